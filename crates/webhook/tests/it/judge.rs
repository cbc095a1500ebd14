//! What follows from events: one table with a project that has most of what can be set, and what each other setting changes.

use havre_core::artifact::ImageRef;
use havre_core::glob::{Glob, Paths};
use havre_core::source::{CommitId, RefName};
use havre_webhook::judge::{Ignored, Rules, Verdict, judge};
use havre_webhook::payload::{Action, Event, ImagePushed, PullRequest, Push, read};
use proptest::prelude::*;

use crate::fixture;

fn glob(text: &str) -> Glob {
    text.parse().expect("is a pattern")
}

fn globs(texts: &[&str]) -> Vec<Glob> {
    texts.iter().map(|text| glob(text)).collect()
}

fn follows(environment: &str, text: &str) -> (havre_core::name::EnvironmentName, Glob) {
    (environment.parse().expect("is a name"), glob(text))
}

fn image(text: &str) -> ImageRef {
    text.parse().expect("is an image")
}

fn commit() -> CommitId {
    "0123456789abcdef0123456789abcdef01234567".parse().expect("is a commit")
}

fn rules() -> Rules {
    Rules {
        repository: Some("lumen-labs/orrery".to_owned()),
        branches: vec![
            follows("production", "main"),
            follows("staging", "release/*"),
            follows("staging", "main"),
            follows("development", "dev/**"),
        ],
        tags: vec![follows("production", "v[0-9]*")],
        paths: Paths::default(),
        images: ["ghcr.io/lumen-labs/orrery-api:stable", "nginx", "docker.io/library/nginx:1.29"]
            .map(image)
            .to_vec(),
        has_previews: true,
    }
}

fn push(reference: &str) -> Push {
    Push {
        reference: reference.parse().expect("is a ref"),
        before: Some(commit()),
        after: commit(),
        is_deleted: false,
        is_forced: Some(false),
        repository: "lumen-labs/orrery".to_owned(),
        clone_url: None,
        head_message: "web: draw the tides".to_owned(),
        author: None,
        changed_paths: None,
        pusher: None,
    }
}

fn pull_request(action: Action) -> PullRequest {
    PullRequest {
        number: 7,
        action,
        head: Some(commit()),
        head_ref: "feature/tides".parse().expect("is a branch"),
        base_ref: "main".parse().expect("is a branch"),
        head_repository: Some("lumen-labs/orrery".to_owned()),
        base_repository: "lumen-labs/orrery".to_owned(),
        is_fork: false,
    }
}

/// In one line for people.
fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Ignored { reason } => format!("ignored ({}): {reason}", reason.name()),
        Verdict::Run { environment, reference, commit } => {
            format!("run {reference} at {} in {environment}", commit.short())
        }
        Verdict::Preview { number, commit, branch, base } => {
            let commit = commit.as_ref().map_or("?", |commit| commit.short());
            format!("preview {number}: {branch} at {commit} into {base}")
        }
        Verdict::EndPreview { number } => format!("end preview {number}"),
        Verdict::Deploy { images, digest } => {
            let images: Vec<&str> = images.iter().map(ImageRef::as_str).collect();
            format!("deploy {} ({})", images.join(" "), digest.as_ref().map_or("?", |digest| digest.short()))
        }
    }
}

fn pushed(push: Push, rules: &Rules) -> String {
    let is_tag = push.reference.tag().is_some();
    told(&judge(&if is_tag { Event::Tag(push) } else { Event::Push(push) }, rules))
}

#[test]
fn every_fixture_has_a_verdict() {
    let mut lines = Vec::new();
    for fixture in fixture::all().iter().filter(|fixture| fixture.name.starts_with("github.")) {
        match fixture.with(|headers| read(fixture.provider, headers, &fixture.body)) {
            Ok(contents) => {
                let verdicts = contents.events.iter().map(|event| told(&judge(event, &rules())));
                lines.push(format!("{}: {}", fixture.name, verdicts.collect::<Vec<_>>().join(" | ")));
            }
            Err(error) => lines.push(format!("{}: {}", fixture.name, error.name())),
        }
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    github.create.branch.json: ignored (event): nothing follows from `create`
    github.package.tagged.json: deploy ghcr.io/lumen-labs/orrery-api:stable (6105d6cc76af)
    github.package.untagged.json: ignored (event): nothing follows from `package`
    github.ping.new-webhook.json: ignored (ping): the webhook works
    github.pull_request.fork-gone.json: end preview 58
    github.pull_request.fork.json: ignored (fork): the pull request comes from stranger-tides/orrery, and forks get no preview
    github.pull_request.labeled.json: ignored (event): nothing follows from `pull_request`
    github.pull_request.opened.json: preview 57: feature/tides at e9d71f5ee7c9 into main
    github.pull_request.synchronize.json: preview 57: feature/tides at 84a516841ba7 into main
    github.push.command-as-branch.json: ref_invalid
    github.push.deleted.json: ignored (deleted): refs/heads/feature/tides was removed; what runs is left alone
    github.push.forced.json: run refs/heads/main at 84a516841ba7 in production
    github.push.main.json: run refs/heads/main at e9d71f5ee7c9 in production
    github.push.new-branch.json: ignored (branch): no environment follows the branch feature/tides
    github.push.option-as-branch.json: ref_invalid
    github.push.skip.json: ignored (skip): the newest commit says `[skip ci]`
    github.push.tag-deleted.json: ignored (deleted): refs/tags/v1.4.0 was removed; what runs is left alone
    github.push.tag.json: run refs/tags/v1.4.0 at e9d71f5ee7c9 in production
    github.registry_package.tagged.json: deploy ghcr.io/lumen-labs/orrery-api:stable (6105d6cc76af)
    ");
}

#[test]
fn branches_and_tags_have_environments() {
    let rows = [
        ("refs/heads/main", "run refs/heads/main at 0123456789ab in production"),
        ("refs/heads/release/1.4", "run refs/heads/release/1.4 at 0123456789ab in staging"),
        ("refs/heads/release/1/4", "ignored (branch): no environment follows the branch release/1/4"),
        ("refs/heads/dev/ida/tides", "run refs/heads/dev/ida/tides at 0123456789ab in development"),
        ("refs/heads/main2", "ignored (branch): no environment follows the branch main2"),
        // A branch with the name of a tag is no tag, nor the other way round.
        ("refs/heads/v1.0.0", "ignored (branch): no environment follows the branch v1.0.0"),
        ("refs/tags/v1.0.0", "run refs/tags/v1.0.0 at 0123456789ab in production"),
        ("refs/tags/main", "ignored (tag): no environment follows the tag main"),
        ("refs/tags/vnext", "ignored (tag): no environment follows the tag vnext"),
    ];
    for (reference, expected) in rows {
        assert_eq!(pushed(push(reference), &rules()), expected);
    }
    let none = Rules::default();
    assert_eq!(
        pushed(push("refs/heads/main"), &none),
        "ignored (branch): no environment follows the branch main"
    );
}

#[test]
fn messages_can_ask_for_nothing() {
    let rows = [
        ("web: draw the tides", None),
        ("web: draw the tides [skip ci]", Some("[skip ci]")),
        ("[CI SKIP] web: draw the tides", Some("[ci skip]")),
        ("web\n\nlong text [No CI] and more", Some("[no ci]")),
        ("web\n\n[skip cd]\n", Some("[skip cd]")),
        ("web\n\nskip-checks: true", Some("skip-checks: true")),
        ("web\n\ntext\n\n\nSkip-Checks:true\nSigned-off-by: Ida\n\n", Some("skip-checks: true")),
        ("web\n\nskip-checks: true\n\ntext behind it", None),
        ("web\n\nskip-checks: false", None),
        ("web\n\nnot skip-checks: true", None),
        ("skip-checks: true", None),
        ("skip ci", None),
        ("[skip-ci]", None),
        ("", None),
    ];
    for (message, expected) in rows {
        for reference in ["refs/heads/main", "refs/tags/v1"] {
            let push = Push { head_message: message.to_owned(), ..push(reference) };
            let verdict = judge(&Event::Push(push), &rules());
            let marker = match &verdict {
                Verdict::Ignored { reason: Ignored::Skip { marker } } => Some(*marker),
                Verdict::Run { .. } => None,
                other => panic!("{message:?}: {other:?}"),
            };
            assert_eq!(marker, expected, "{message:?}");
        }
    }
}

/// Paths that matter, paths that do not, what the payload lists, and whether a run follows.
type PathRow = (&'static [&'static str], &'static [&'static str], Option<&'static [&'static str]>, bool);

#[test]
fn paths_decide_what_matters_in_a_monorepo() {
    let rows: [PathRow; 13] = [
        (&[], &[], Some(&[]), true),
        (&[], &[], Some(&["docs/a.md"]), true),
        (&["apps/api"], &[], Some(&["apps/api/src/main.rs"]), true),
        (&["apps/api"], &[], Some(&["apps/web/main.ts", "apps/api/src/main.rs"]), true),
        (&["apps/api"], &[], Some(&["apps/web/main.ts", "apps/api2/x"]), false),
        (&["apps/api/**", "Cargo.lock"], &[], Some(&["Cargo.lock"]), true),
        (&["apps/api"], &["**/*.md"], Some(&["apps/api/readme.md"]), false),
        (&["apps/api"], &["**/*.md"], Some(&["apps/api/readme.md", "apps/api/x"]), true),
        (&[], &["docs"], Some(&["docs/a", "docs/b/c"]), false),
        (&[], &["docs"], Some(&["docs/a", "readme"]), true),
        // Nothing has changed; and it is not known what has.
        (&["apps/api"], &[], Some(&[]), false),
        (&["apps/api"], &[], None, true),
        (&[], &["**"], None, true),
    ];
    for (include, exclude, changed, is_run) in rows {
        let rules = Rules { paths: Paths { include: globs(include), exclude: globs(exclude) }, ..rules() };
        let changed_paths = changed.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect());
        let push = Push { changed_paths, ..push("refs/heads/main") };
        let verdict = judge(&Event::Push(push), &rules);
        assert_eq!(
            matches!(verdict, Verdict::Run { .. }),
            is_run,
            "{include:?} {exclude:?} {changed:?}: {verdict:?}"
        );
    }
    let rules = Rules { paths: Paths { include: globs(&["apps"]), exclude: Vec::new() }, ..rules() };
    let docs = |reference| Push { changed_paths: Some(vec!["docs/a".to_owned()]), ..push(reference) };
    let told = pushed(docs("refs/heads/main"), &rules);
    assert_eq!(told, "ignored (paths): the one path that changed does not matter here");
    assert_eq!(pushed(docs("refs/tags/v1"), &rules), "run refs/tags/v1 at 0123456789ab in production");
}

#[test]
fn the_first_reason_is_told() {
    let removed = |reference| Push { is_deleted: true, ..push(reference) };
    let elsewhere = Push { repository: "stranger/orrery".to_owned(), ..removed("refs/heads/main") };
    let told = pushed(elsewhere, &rules());
    assert_eq!(told, "ignored (repository): the repository stranger/orrery is not the one of this project");
    // The same repository, written otherwise.
    let same = Push { repository: "Lumen-Labs/Orrery".to_owned(), ..push("refs/heads/main") };
    assert_eq!(pushed(same, &rules()), "run refs/heads/main at 0123456789ab in production");
    let told = pushed(removed("refs/heads/x"), &rules());
    assert_eq!(told, "ignored (deleted): refs/heads/x was removed; what runs is left alone");
    let skipped = Push { head_message: "[skip ci]".to_owned(), ..push("refs/heads/x") };
    assert_eq!(pushed(skipped, &rules()), "ignored (branch): no environment follows the branch x");
}

#[test]
fn pull_requests_make_and_end_previews() {
    let request = |action, is_fork| {
        let from = if is_fork { "stranger/orrery" } else { "lumen-labs/orrery" };
        let head_repository = Some(from.to_owned());
        Event::PullRequest(PullRequest { is_fork, head_repository, ..pull_request(action) })
    };
    let fork = "ignored (fork): the pull request comes from stranger/orrery, and forks get no preview";
    let rows = [
        (Action::Opened, false, "preview 7: feature/tides at 0123456789ab into main"),
        (Action::Updated, false, "preview 7: feature/tides at 0123456789ab into main"),
        (Action::Closed, false, "end preview 7"),
        (Action::Other, false, "ignored (event): nothing follows from `pull_request`"),
        (Action::Opened, true, fork),
        (Action::Updated, true, fork),
        (Action::Closed, true, "end preview 7"),
    ];
    for (action, is_fork, expected) in rows {
        assert_eq!(told(&judge(&request(action, is_fork), &rules())), expected);
        let off = Rules { has_previews: false, ..rules() };
        let off = told(&judge(&request(action, is_fork), &off));
        assert_eq!(off, "ignored (previews): this project makes no previews of pull requests");
        let other = Rules { repository: Some("a/b".to_owned()), ..rules() };
        assert!(told(&judge(&request(action, is_fork), &other)).starts_with("ignored (repository)"));
    }
    let gone = PullRequest { is_fork: true, head_repository: None, ..pull_request(Action::Opened) };
    let told = told(&judge(&Event::PullRequest(gone), &rules()));
    assert!(told.contains("a repository that is gone"), "{told}");
}

#[test]
fn images_are_compared_by_what_docker_makes_of_them() {
    let digest = format!("@sha256:{}", "a".repeat(64));
    let rows = [
        ("ghcr.io/lumen-labs/orrery-api:stable", "deploy ghcr.io/lumen-labs/orrery-api:stable (?)"),
        (
            "ghcr.io/lumen-labs/orrery-api:1",
            "ignored (image): no service runs the image ghcr.io/lumen-labs/orrery-api:1",
        ),
        (
            "ghcr.io/lumen-labs/orrery-api",
            "ignored (image): no service runs the image ghcr.io/lumen-labs/orrery-api",
        ),
        (
            "lumen-labs/orrery-api:stable",
            "ignored (image): no service runs the image lumen-labs/orrery-api:stable",
        ),
        ("docker.io/library/nginx:latest", "deploy nginx (?)"),
        ("docker.io/nginx:latest", "deploy nginx (?)"),
        ("index.docker.io/library/nginx:1.29", "deploy docker.io/library/nginx:1.29 (?)"),
        ("localhost/nginx:latest", "ignored (image): no service runs the image localhost/nginx:latest"),
        ("nginx:5000/nginx:latest", "ignored (image): no service runs the image nginx:5000/nginx:latest"),
    ];
    for (name, expected) in rows {
        let event = Event::ImagePushed(ImagePushed { image: image(name), digest: None, pusher: None });
        assert_eq!(told(&judge(&event, &rules())), expected);
    }
    // What is pinned here moves with no push, and a push of a digest names no tag.
    let pinned = Rules { images: vec![image(&format!("nginx{digest}"))], ..rules() };
    for name in ["nginx".to_owned(), format!("nginx{digest}")] {
        let event = Event::ImagePushed(ImagePushed { image: image(&name), digest: None, pusher: None });
        assert!(told(&judge(&event, &pinned)).starts_with("ignored (image)"), "{name}");
    }
    // Two services that write the same image in two ways.
    let both = Rules { images: vec![image("nginx"), image("docker.io/library/nginx:latest")], ..rules() };
    let event = Event::ImagePushed(ImagePushed { image: image("nginx:latest"), digest: None, pusher: None });
    assert_eq!(told(&judge(&event, &both)), "deploy nginx docker.io/library/nginx:latest (?)");
}

proptest! {
    /// Nothing runs but what a rule names, whatever a commit or a path is called.
    #[test]
    fn only_branches_with_a_rule_run(branch in "[a-z0-9/._-]{1,20}", message in ".{0,40}", path in ".{0,40}") {
        let Ok(reference) = format!("refs/heads/{branch}").parse::<RefName>() else { return Ok(()) };
        let push = Push { reference, head_message: message, changed_paths: Some(vec![path]), ..push("refs/heads/x") };
        let verdict = judge(&Event::Push(push), &rules());
        let is_named = branch == "main" || branch.starts_with("release/") || branch.starts_with("dev/");
        let is_run = matches!(verdict, Verdict::Run { .. });
        prop_assert!(is_named || !is_run, "{:?}", verdict);
    }
}
