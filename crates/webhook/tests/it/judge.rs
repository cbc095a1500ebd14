//! What follows from events, for a project that has a remote repository and services of images, and where it has none.

use havre_core::artifact::ImageRef;
use havre_core::source::{CommitId, HeadAt, RefName};
use havre_webhook::judge::{Rules, Verdict, judge};
use havre_webhook::payload::{Action, Event, ImagePushed, PullRequest, Push, read};
use havre_webhook::provider::Provider;
use proptest::prelude::*;

use crate::fixture;

fn image(text: &str) -> ImageRef {
    text.parse().expect("is an image")
}

fn commit() -> CommitId {
    "0123456789abcdef0123456789abcdef01234567".parse().expect("is a commit")
}

pub(crate) fn rules(provider: Provider) -> Rules {
    Rules {
        project: "orrery".parse().expect("is a name"),
        provider,
        remote: Some("https://github.com/lumen-labs/orrery.git".parse().expect("is an address")),
        images: ["ghcr.io/lumen-labs/orrery-api:stable", "nginx", "docker.io/library/nginx:1.29"]
            .map(image)
            .to_vec(),
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
        Verdict::Ignored { reason } => format!("ignored: {reason}"),
        Verdict::Pong => "pong".to_owned(),
        Verdict::Fetch { reference, commit: Some(commit) } => {
            format!("fetch {reference} at {}", commit.short())
        }
        Verdict::Fetch { reference, commit: None } => format!("fetch {reference}, which is gone"),
        Verdict::Preview { wish } => {
            let head = wish.head.as_ref().map_or("?", CommitId::short);
            let fork = if wish.is_fork { " of a fork" } else { "" };
            format!("preview {}: {}{fork} at {head} into {}", wish.number, wish.branch, wish.base)
        }
        Verdict::EndPreview { number } => format!("end preview {number}"),
        Verdict::Deploy { images } => {
            let images: Vec<&str> = images.iter().map(ImageRef::as_str).collect();
            format!("deploy {}", images.join(" "))
        }
    }
}

fn judged(event: &Event) -> String {
    told(&judge(event, &rules(Provider::GitHub)))
}

#[test]
fn every_fixture_has_a_verdict() {
    let mut lines = Vec::new();
    for fixture in fixture::all().iter().filter(|fixture| fixture.name.starts_with("github.")) {
        match fixture.with(|headers| read(fixture.provider, headers, &fixture.body)) {
            Ok(contents) => {
                let verdicts = contents.events.iter().map(judged);
                lines.push(format!("{}: {}", fixture.name, verdicts.collect::<Vec<_>>().join(" | ")));
            }
            Err(error) => lines.push(format!("{}: {}", fixture.name, error.name())),
        }
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    github.create.branch.json: ignored: events of the kind create are not used
    github.package.tagged.json: deploy ghcr.io/lumen-labs/orrery-api:stable
    github.package.untagged.json: ignored: events of the kind package are not used
    github.ping.new-webhook.json: pong
    github.pull_request.fork-gone.json: end preview 58
    github.pull_request.fork.json: preview 58: main of a fork at 3f673f2a8e0a into main
    github.pull_request.labeled.json: ignored: nothing follows from this change of pull request 57
    github.pull_request.opened.json: preview 57: feature/tides at e9d71f5ee7c9 into main
    github.pull_request.synchronize.json: preview 57: feature/tides at 84a516841ba7 into main
    github.push.command-as-branch.json: ref_invalid
    github.push.deleted.json: fetch refs/heads/feature/tides, which is gone
    github.push.forced.json: fetch refs/heads/main at 84a516841ba7
    github.push.main.json: fetch refs/heads/main at e9d71f5ee7c9
    github.push.new-branch.json: fetch refs/heads/feature/tides at e9d71f5ee7c9
    github.push.option-as-branch.json: ref_invalid
    github.push.skip.json: fetch refs/heads/main at 84a516841ba7
    github.push.tag-deleted.json: fetch refs/tags/v1.4.0, which is gone
    github.push.tag.json: fetch refs/tags/v1.4.0 at e9d71f5ee7c9
    github.registry_package.tagged.json: deploy ghcr.io/lumen-labs/orrery-api:stable
    ");
}

#[test]
fn branches_and_tags_are_fetched_whoever_follows_them() {
    let rows = [
        ("refs/heads/main", "fetch refs/heads/main at 0123456789ab"),
        ("refs/heads/dev/ida/tides", "fetch refs/heads/dev/ida/tides at 0123456789ab"),
        ("refs/tags/v1.0.0", "fetch refs/tags/v1.0.0 at 0123456789ab"),
    ];
    let none = Rules { remote: None, ..rules(Provider::GitHub) };
    for (reference, expected) in rows {
        for message in ["web: draw the tides", "[skip ci]"] {
            let push = Push { head_message: message.to_owned(), ..push(reference) };
            let is_tag = push.reference.tag().is_some();
            let event = if is_tag { Event::Tag(push) } else { Event::Push(push) };
            assert_eq!(judged(&event), expected, "what a message asks for is read off the commit itself");
            assert_eq!(
                told(&judge(&event, &none)),
                "ignored: the project orrery has no remote repository to fetch from: set one with `havre remote set URL`"
            );
        }
    }
    let gone = Push { is_deleted: true, ..push("refs/heads/x") };
    assert_eq!(judged(&Event::Push(gone)), "fetch refs/heads/x, which is gone");
}

#[test]
fn pull_requests_make_and_end_previews() {
    let rows = [
        (Action::Opened, false, "preview 7: feature/tides at 0123456789ab into main"),
        (Action::Updated, false, "preview 7: feature/tides at 0123456789ab into main"),
        (Action::Closed, false, "end preview 7"),
        (Action::Other, false, "ignored: nothing follows from this change of pull request 7"),
        (Action::Opened, true, "preview 7: feature/tides of a fork at 0123456789ab into main"),
        (Action::Closed, true, "end preview 7"),
    ];
    for (action, is_fork, expected) in rows {
        let event = Event::PullRequest(PullRequest { is_fork, ..pull_request(action) });
        assert_eq!(judged(&event), expected);
        let none = Rules { remote: None, ..rules(Provider::GitHub) };
        assert!(
            told(&judge(&event, &none)).starts_with("ignored: the project orrery has no remote repository")
        );
        let elsewhere = "https://git.example.org/a/b.git".parse().expect("is an address");
        let other = Rules { remote: Some(elsewhere), ..rules(Provider::GitHub) };
        assert_eq!(
            told(&judge(&event, &other)),
            "ignored: the pull request is one of lumen-labs/orrery, and orrery is fetched from https://git.example.org/a/b.git"
        );
    }
    // The same repository, written otherwise.
    let same =
        PullRequest { base_repository: "Lumen-Labs/Orrery".to_owned(), ..pull_request(Action::Closed) };
    assert_eq!(judged(&Event::PullRequest(same)), "end preview 7");
    let none = PullRequest { number: 0, ..pull_request(Action::Closed) };
    assert!(
        judged(&Event::PullRequest(none)).starts_with("ignored: `0` is not the number of a pull request")
    );
}

#[test]
fn each_forge_shows_the_commits_of_a_pull_request_elsewhere() {
    let branch = || HeadAt::Branch { branch: "feature/tides".parse().expect("is a branch") };
    for (provider, expected) in [
        (Provider::GitHub, HeadAt::Pull),
        (Provider::Gitea, HeadAt::Pull),
        (Provider::GitLab, HeadAt::MergeRequest),
        (Provider::Bitbucket, branch()),
        (Provider::Generic, branch()),
    ] {
        let event = Event::PullRequest(pull_request(Action::Opened));
        let Verdict::Preview { wish } = judge(&event, &rules(provider)) else { panic!("{provider}") };
        assert_eq!(wish.at, expected, "{provider}");
    }
}

#[test]
fn images_are_compared_by_what_docker_makes_of_them() {
    let digest = format!("@sha256:{}", "a".repeat(64));
    let rows = [
        ("ghcr.io/lumen-labs/orrery-api:stable", "deploy ghcr.io/lumen-labs/orrery-api:stable"),
        (
            "ghcr.io/lumen-labs/orrery-api:1",
            "ignored: no service runs the image ghcr.io/lumen-labs/orrery-api:1",
        ),
        ("ghcr.io/lumen-labs/orrery-api", "ignored: no service runs the image ghcr.io/lumen-labs/orrery-api"),
        ("lumen-labs/orrery-api:stable", "ignored: no service runs the image lumen-labs/orrery-api:stable"),
        ("docker.io/library/nginx:latest", "deploy nginx"),
        ("docker.io/nginx:latest", "deploy nginx"),
        ("index.docker.io/library/nginx:1.29", "deploy docker.io/library/nginx:1.29"),
        ("localhost/nginx:latest", "ignored: no service runs the image localhost/nginx:latest"),
        ("nginx:5000/nginx:latest", "ignored: no service runs the image nginx:5000/nginx:latest"),
    ];
    let pushed =
        |name: &str| Event::ImagePushed(ImagePushed { image: image(name), digest: None, pusher: None });
    // A webhook for images needs no remote repository.
    let rules = Rules { remote: None, ..rules(Provider::Registry) };
    for (name, expected) in rows {
        assert_eq!(told(&judge(&pushed(name), &rules)), expected);
    }
    // What is pinned here moves with no push, and a push of a digest names no tag.
    let pinned = Rules { images: vec![image(&format!("nginx{digest}"))], ..rules.clone() };
    for name in ["nginx".to_owned(), format!("nginx{digest}")] {
        let verdict = judge(&pushed(&name), &pinned);
        assert!(told(&verdict).starts_with("ignored: no service runs the image"), "{name}");
    }
    // Two services that write the same image in two ways.
    let both = Rules { images: vec![image("nginx"), image("docker.io/library/nginx:latest")], ..rules };
    let verdict = judge(&pushed("nginx:latest"), &both);
    assert_eq!(told(&verdict), "deploy nginx docker.io/library/nginx:latest");
}

proptest! {
    /// Whatever a branch, a message or a repository is called, a push leads to a fetch of that branch at most.
    #[test]
    fn a_push_leads_to_a_fetch(branch in "[a-z0-9/._-]{1,20}", message in ".{0,40}", repository in ".{0,40}") {
        let Ok(reference) = format!("refs/heads/{branch}").parse::<RefName>() else { return Ok(()) };
        let push = Push { reference: reference.clone(), head_message: message, repository, ..push("refs/heads/x") };
        let verdict = judge(&Event::Push(push), &rules(Provider::GitHub));
        prop_assert_eq!(verdict, Verdict::Fetch { reference, commit: Some(commit()) });
    }
}
