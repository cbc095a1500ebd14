//! What deliveries say: every fixture in one line, and what bad ones are refused with.

use std::error::Error as _;

use havre_webhook::headers::Headers;
use havre_webhook::judge::judge;
use havre_webhook::payload::{
    BODY_MAX, Contents, DEPTH_MAX, EVENTS_MAX, Event, PayloadError, PullRequest, Push, read,
};
use havre_webhook::provider::Provider;
use proptest::prelude::*;

use crate::fixture::{self, Fixture};
use crate::judge::rules;

fn contents(fixture: &Fixture, body: &[u8]) -> Result<Contents, PayloadError> {
    fixture.with(|headers| read(fixture.provider, headers, body))
}

/// In one line for people.
fn line(event: &Event) -> String {
    match event {
        Event::Push(push) => format!("push {}", push_line(push)),
        Event::Tag(push) => format!("tag {}", push_line(push)),
        Event::PullRequest(request) => pull_request_line(request),
        Event::ImagePushed(pushed) => {
            let digest = pushed.digest.as_ref().map_or("?", |digest| digest.short());
            format!("image {} {digest} by {}", pushed.image, pushed.pusher.as_deref().unwrap_or("?"))
        }
        Event::Ping => "ping".to_owned(),
        Event::Other { name } => format!("other {name}"),
    }
}

fn push_line(push: &Push) -> String {
    let before = push.before.as_ref().map_or("new", |commit| commit.short());
    let after = if push.is_deleted { "removed" } else { push.after.short() };
    let forced = match push.is_forced {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    let paths = push.changed_paths.as_ref().map_or_else(|| "unknown".to_owned(), |paths| paths.join(" "));
    let (author, pusher) = (push.author.as_deref().unwrap_or("?"), push.pusher.as_deref().unwrap_or("?"));
    let (reference, repository, subject) = (&push.reference, &push.repository, push.subject());
    format!(
        "{reference} {before} -> {after} in {repository} by {pusher}; {author}: {subject}; forced {forced}; paths {paths}"
    )
}

fn pull_request_line(request: &PullRequest) -> String {
    let head = request.head.as_ref().map_or("?", |commit| commit.short());
    let from = request.head_repository.as_deref().unwrap_or("?");
    let fork = if request.is_fork { ", fork" } else { "" };
    let PullRequest { number, action, head_ref, base_ref, base_repository, .. } = request;
    format!(
        "pull request {number} {action:?} {head} {head_ref} of {from} into {base_ref} of {base_repository}{fork}"
    )
}

/// Its name and the beginning of what is behind it, the text that was refused.
fn refusal_line(error: &PayloadError) -> String {
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    let text = source.split(" is not ").next().unwrap_or_default();
    format!("refused {}: {text}", error.name())
}

fn told(fixture: &Fixture) -> String {
    match contents(fixture, &fixture.body) {
        Ok(contents) => {
            let events = contents.events.iter().map(line);
            events.chain(contents.refused.iter().map(refusal_line)).collect::<Vec<_>>().join(" | ")
        }
        Err(error) => refusal_line(&error),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one line for each fixture, to be read in one place")]
fn every_fixture_is_read() {
    let lines: Vec<String> =
        fixture::all().iter().map(|fixture| format!("{}: {}", fixture.name, told(fixture))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    bitbucket.pullrequest-comment_created.nice.json: other pullrequest:comment_created
    bitbucket.pullrequest-created.fork.json: pull request 9 Opened ? feature/tides of stranger/orrery into main of lumen-labs/orrery, fork
    bitbucket.pullrequest-created.opened.json: pull request 8 Opened ? feature/tides of lumen-labs/orrery into main of lumen-labs/orrery
    bitbucket.pullrequest-fulfilled.merged.json: pull request 8 Closed ? feature/tides of lumen-labs/orrery into main of lumen-labs/orrery
    bitbucket.pullrequest-rejected.fork-gone.json: pull request 9 Closed ? feature/tides of ? into main of lumen-labs/orrery, fork
    bitbucket.pullrequest-updated.new-commits.json: pull request 8 Updated ? feature/tides of lumen-labs/orrery into main of lumen-labs/orrery
    bitbucket.repo-push.deleted.json: push refs/heads/feature/tides e9d71f5ee7c9 -> removed in lumen-labs/orrery by ida; ?: ; forced no; paths unknown
    bitbucket.repo-push.forced.json: push refs/heads/main 86f7e437faa5 -> e9d71f5ee7c9 in lumen-labs/orrery by ida; Ida Marlow: web: draw the tides; forced yes; paths unknown
    bitbucket.repo-push.main.json: push refs/heads/main 86f7e437faa5 -> e9d71f5ee7c9 in lumen-labs/orrery by ida; Ida Marlow: web: draw the tides; forced no; paths unknown
    bitbucket.repo-push.nothing.json: other repo:push
    bitbucket.repo-push.option-as-branch.json: refused ref_invalid: `refs/heads/--upload-pack=x`
    bitbucket.repo-push.several.json: push refs/heads/main 86f7e437faa5 -> e9d71f5ee7c9 in lumen-labs/orrery by ida; Ida Marlow: web: draw the tides; forced no; paths unknown | push refs/heads/feature/tides new -> e9d71f5ee7c9 in lumen-labs/orrery by ida; Ida Marlow: web: draw the tides; forced no; paths unknown | refused ref_invalid: `refs/heads/gr\u{fc}n`
    bitbucket.repo-push.tag.json: tag refs/tags/v1.4.0 new -> e9d71f5ee7c9 in lumen-labs/orrery by ida; Ida Marlow: web: draw the tides; forced no; paths unknown
    forgejo.pull_request.opened.json: pull request 4 Opened e9d71f5ee7c9 feature/tides of lumen/orrery into main of lumen/orrery
    forgejo.push.main.json: push refs/heads/main 86f7e437faa5 -> e9d71f5ee7c9 in lumen/orrery by ida; Ida Marlow: web: draw the tides; forced ?; paths apps/api/src/main.rs apps/api/src/tide.rs apps/web/src/old.ts apps/web/src/ring.ts
    generic.image.pushed.json: image registry.example.org/orrery/api:stable 6105d6cc76af by ci
    generic.ping.hello.json: ping
    generic.pull_request.fork.json: pull request 4 Updated 3f673f2a8e0a main of stranger into main of orrery, fork
    generic.pull_request.opened.json: pull request 3 Opened e9d71f5ee7c9 feature/tides of orrery into main of orrery
    generic.push.command-as-branch.json: refused ref_invalid: `refs/heads/$(id)`
    generic.push.deleted.json: push refs/heads/feature/tides e9d71f5ee7c9 -> removed in orrery by ?; ?: ; forced ?; paths unknown
    generic.push.least.json: push refs/heads/main new -> e9d71f5ee7c9 in orrery by ?; ?: ; forced ?; paths unknown
    generic.push.main.json: push refs/heads/main 86f7e437faa5 -> e9d71f5ee7c9 in orrery by ci; Ida Marlow: web: draw the tides; forced no; paths apps/api/src/main.rs apps/web/src/ring.ts
    generic.push.tag.json: tag refs/tags/v1.4.0 new -> e9d71f5ee7c9 in orrery by ?; ?: ; forced ?; paths unknown
    gitea.package.tagged.json: image git.example.org/lumen/orrery-api:stable ? by ida
    gitea.package.untagged.json: other package
    gitea.pull_request.closed.json: pull request 4 Closed e9d71f5ee7c9 feature/tides of lumen/orrery into main of lumen/orrery
    gitea.pull_request.fork.json: pull request 5 Opened 3f673f2a8e0a main of stranger/orrery into main of lumen/orrery, fork
    gitea.pull_request.opened.json: pull request 4 Opened e9d71f5ee7c9 feature/tides of lumen/orrery into main of lumen/orrery
    gitea.pull_request.synchronized.json: pull request 4 Updated 84a516841ba7 feature/tides of lumen/orrery into main of lumen/orrery
    gitea.push.command-as-branch.json: refused ref_invalid: `refs/heads/$(id)`
    gitea.push.deleted.json: push refs/heads/feature/tides e9d71f5ee7c9 -> removed in lumen/orrery by ida; ?: ; forced ?; paths unknown
    gitea.push.forced.json: push refs/heads/main e9d71f5ee7c9 -> 86f7e437faa5 in lumen/orrery by ida; Ida Marlow: start; forced ?; paths unknown
    gitea.push.main.json: push refs/heads/main 86f7e437faa5 -> e9d71f5ee7c9 in lumen/orrery by ida; Ida Marlow: web: draw the tides; forced ?; paths apps/api/src/main.rs apps/api/src/tide.rs apps/web/src/old.ts apps/web/src/ring.ts
    gitea.push.many-commits.json: push refs/heads/main 86f7e437faa5 -> e9d71f5ee7c9 in lumen/orrery by ida; Ida Marlow: web: draw the tides; forced ?; paths unknown
    gitea.push.new-branch.json: push refs/heads/feature/tides new -> e9d71f5ee7c9 in lumen/orrery by ida; Ida Marlow: web: draw the tides; forced ?; paths unknown
    gitea.push.no-lists.json: push refs/heads/main 86f7e437faa5 -> e9d71f5ee7c9 in lumen/orrery by ida; Ida Marlow: web: draw the tides; forced ?; paths unknown
    gitea.push.tag.json: tag refs/tags/v1.4.0 new -> e9d71f5ee7c9 in lumen/orrery by ida; Ida Marlow: web: draw the tides; forced ?; paths unknown
    github.create.branch.json: other create
    github.package.tagged.json: image ghcr.io/lumen-labs/orrery-api:stable 6105d6cc76af by idamarlow
    github.package.untagged.json: other package
    github.ping.new-webhook.json: ping
    github.pull_request.fork-gone.json: pull request 58 Closed 3f673f2a8e0a main of ? into main of lumen-labs/orrery, fork
    github.pull_request.fork.json: pull request 58 Opened 3f673f2a8e0a main of stranger-tides/orrery into main of lumen-labs/orrery, fork
    github.pull_request.labeled.json: pull request 57 Other e9d71f5ee7c9 feature/tides of lumen-labs/orrery into main of lumen-labs/orrery
    github.pull_request.opened.json: pull request 57 Opened e9d71f5ee7c9 feature/tides of lumen-labs/orrery into main of lumen-labs/orrery
    github.pull_request.synchronize.json: pull request 57 Updated 84a516841ba7 feature/tides of lumen-labs/orrery into main of lumen-labs/orrery
    github.push.command-as-branch.json: refused ref_invalid: `refs/heads/$(id)`
    github.push.deleted.json: push refs/heads/feature/tides e9d71f5ee7c9 -> removed in lumen-labs/orrery by idamarlow; ?: ; forced no; paths unknown
    github.push.forced.json: push refs/heads/main e9d71f5ee7c9 -> 84a516841ba7 in lumen-labs/orrery by idamarlow; Ida Marlow: api: tides, once more; forced yes; paths unknown
    github.push.main.json: push refs/heads/main 86f7e437faa5 -> e9d71f5ee7c9 in lumen-labs/orrery by idamarlow; Ida Marlow: web: draw the tides; forced no; paths apps/api/src/main.rs apps/api/src/tide.rs apps/web/src/old.ts apps/web/src/ring.ts
    github.push.new-branch.json: push refs/heads/feature/tides new -> e9d71f5ee7c9 in lumen-labs/orrery by idamarlow; Ida Marlow: web: draw the tides; forced no; paths unknown
    github.push.option-as-branch.json: refused ref_invalid: `refs/heads/--upload-pack=x`
    github.push.skip.json: push refs/heads/main e9d71f5ee7c9 -> 84a516841ba7 in lumen-labs/orrery by idamarlow; Ida Marlow: docs: a comma [skip ci]; forced no; paths docs/readme.md
    github.push.tag-deleted.json: tag refs/tags/v1.4.0 415f0fe19774 -> removed in lumen-labs/orrery by idamarlow; ?: ; forced no; paths unknown
    github.push.tag.json: tag refs/tags/v1.4.0 new -> e9d71f5ee7c9 in lumen-labs/orrery by idamarlow; Ida Marlow: web: draw the tides; forced no; paths unknown
    github.registry_package.tagged.json: image ghcr.io/lumen-labs/orrery-api:stable 6105d6cc76af by idamarlow
    gitlab.merge_request.fork.json: pull request 20 Opened 3f673f2a8e0a feature/tides of stranger/orrery into main of lumen-labs/platform/orrery, fork
    gitlab.merge_request.merged.json: pull request 19 Closed e9d71f5ee7c9 feature/tides of lumen-labs/platform/orrery into main of lumen-labs/platform/orrery
    gitlab.merge_request.new-commits.json: pull request 19 Updated 84a516841ba7 feature/tides of lumen-labs/platform/orrery into main of lumen-labs/platform/orrery
    gitlab.merge_request.new-title.json: pull request 19 Other e9d71f5ee7c9 feature/tides of lumen-labs/platform/orrery into main of lumen-labs/platform/orrery
    gitlab.merge_request.open.json: pull request 19 Opened e9d71f5ee7c9 feature/tides of lumen-labs/platform/orrery into main of lumen-labs/platform/orrery
    gitlab.note.comment.json: other Note Hook
    gitlab.push.deleted.json: push refs/heads/feature/tides e9d71f5ee7c9 -> removed in lumen-labs/platform/orrery by ida; ?: ; forced ?; paths unknown
    gitlab.push.main.json: push refs/heads/main 86f7e437faa5 -> e9d71f5ee7c9 in lumen-labs/platform/orrery by ida; Ida Marlow: web: draw the tides; forced ?; paths apps/api/src/main.rs apps/api/src/tide.rs apps/web/src/old.ts apps/web/src/ring.ts
    gitlab.push.many-commits.json: push refs/heads/main 86f7e437faa5 -> e9d71f5ee7c9 in lumen-labs/platform/orrery by ida; Ida Marlow: web: draw the tides; forced ?; paths unknown
    gitlab.push.new-branch.json: push refs/heads/feature/tides new -> e9d71f5ee7c9 in lumen-labs/platform/orrery by ida; Ida Marlow: web: draw the tides; forced ?; paths unknown
    gitlab.push.option-as-branch.json: refused ref_invalid: `refs/heads/--upload-pack=x`
    gitlab.push.set-back.json: push refs/heads/main e9d71f5ee7c9 -> 86f7e437faa5 in lumen-labs/platform/orrery by ida; ?: ; forced ?; paths unknown
    gitlab.tag_push.annotated.json: tag refs/tags/v1.4.0 new -> e9d71f5ee7c9 in lumen-labs/platform/orrery by ida; Ida Marlow: web: draw the tides; forced ?; paths unknown
    gitlab.tag_push.deleted.json: tag refs/tags/v1.4.0 415f0fe19774 -> removed in lumen-labs/platform/orrery by ida; ?: ; forced ?; paths unknown
    registry.distribution.layers.json: other push without a tag
    registry.distribution.pull.json: other pull
    registry.distribution.push.json: image registry.example.org/orrery/api:stable 6105d6cc76af by ci
    registry.distribution.several.json: image registry.example.org/orrery/api:stable 6105d6cc76af by ci | image registry.example.org/orrery/api:1.4.0 6105d6cc76af by ci
    registry.docker-hub.push.json: image docker.io/lumenlabs/orrery-api:stable ? by idamarlow
    registry.github.passed-on.json: image ghcr.io/lumen-labs/orrery-api:stable 6105d6cc76af by idamarlow
    ");
}

#[test]
fn addresses_are_told_where_the_sender_has_them() {
    for (name, expected) in [
        ("github.push.main.json", Some("https://github.com/lumen-labs/orrery.git")),
        ("gitlab.push.main.json", Some("https://gitlab.example.org/lumen-labs/platform/orrery.git")),
        ("gitea.push.main.json", Some("https://git.example.org/lumen/orrery.git")),
        ("bitbucket.repo-push.main.json", None),
    ] {
        let fixture = fixture::one(name);
        let contents = contents(&fixture, &fixture.body).expect("can be read");
        let [Event::Push(push)] = contents.events.as_slice() else { panic!("{name} is one push") };
        assert_eq!(push.clone_url.as_deref(), expected, "{name}");
        assert!(push.head_message.contains("As blue rings"), "{name}");
    }
}

/// Texts no branch may be, as they stand in JSON.
const HOSTILE: [&str; 9] =
    ["--upload-pack=x", "-c", "$(id)", "`id`", "a;id", "../../etc", "a\\u0000b", "a\\nb", "main@{1}"];

#[test]
fn branches_outside_of_the_grammar_are_never_passed_on() {
    let mut count = 0;
    for fixture in fixture::all() {
        let text = String::from_utf8(fixture.body.clone()).expect("is UTF-8");
        for hostile in HOSTILE {
            let text = text
                .replace("\"refs/heads/main\"", &format!("\"refs/heads/{hostile}\""))
                .replace("\"feature/tides\"", &format!("\"{hostile}\""))
                .replace("\"refs/tags/v1.4.0\"", &format!("\"refs/tags/{hostile}\""));
            if text.as_bytes() == fixture.body {
                continue;
            }
            count += 1;
            // What else the delivery says may stay, but nothing has that name.
            match contents(&fixture, text.as_bytes()) {
                Err(PayloadError::RefInvalid(_)) => {}
                Ok(contents) => {
                    let is_other = matches!(contents.events.as_slice(), [Event::Other { .. }]);
                    assert!(is_other || !contents.refused.is_empty(), "{} with {hostile}", fixture.name);
                }
                Err(error) => panic!("{} with {hostile}: {error}", fixture.name),
            }
        }
    }
    assert!(count > 200, "only {count} were tried");
}

#[test]
fn whatever_is_cut_off_is_no_payload() {
    for fixture in fixture::all() {
        let whole = fixture.body.trim_ascii_end();
        let stride = whole.len().div_ceil(256);
        for end in (0..whole.len()).step_by(stride).chain([whole.len() - 1]) {
            let read = contents(&fixture, &whole[..end]);
            assert!(matches!(read, Err(PayloadError::Json { .. })), "{} up to {end}: {read:?}", fixture.name);
        }
        let doubled = [whole, whole].concat();
        assert!(contents(&fixture, &doubled).is_err(), "{} twice", fixture.name);
    }
}

#[test]
fn deep_nesting_is_an_error_wherever_it_is() {
    for fixture in fixture::all() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for depth in [DEPTH_MAX, 10_000] {
                let nested = open.repeat(depth);
                let alone = contents(&fixture, nested.as_bytes());
                assert!(alone.is_err(), "{} alone", fixture.name);
                let text = String::from_utf8(fixture.body.clone()).expect("is UTF-8");
                let within = format!("{{\"unknown\":{nested}1{},{}", close.repeat(depth), &text[1..]);
                let within = contents(&fixture, within.as_bytes());
                assert!(matches!(within, Err(PayloadError::TooDeep)), "{}: {within:?}", fixture.name);
            }
        }
    }
    // Brackets in texts are no nesting.
    let fixture = fixture::one("github.push.main.json");
    let text = String::from_utf8(fixture.body.clone()).expect("is UTF-8");
    let text =
        text.replace("web: draw the tides", &format!("web: {} \\\" {}", "[".repeat(200), "{".repeat(200)));
    assert!(contents(&fixture, text.as_bytes()).is_ok());
}

#[test]
fn large_payloads_are_read_up_to_the_limit() {
    let fixture = fixture::one("github.push.main.json");
    let text = String::from_utf8(fixture.body.clone()).expect("is UTF-8");
    // Two thousand commits with the names of their files, the most GitHub lists.
    let commit = r#"{"id":"1","message":"m","added":["apps/api/src/PATH.rs"],"removed":[],"modified":[]}"#;
    let many = |count: usize| {
        let commits: Vec<String> =
            (0..count).map(|number| commit.replace("PATH", &number.to_string())).collect();
        text.replacen("\"commits\": [", &format!("\"commits\": [{},", commits.join(",")), 1)
    };
    for (count, expected) in [(2000, Some(2004)), (2046, None)] {
        let contents = contents(&fixture, many(count).as_bytes()).expect("can be read");
        let [Event::Push(push)] = contents.events.as_slice() else { panic!("is one push") };
        assert_eq!(push.changed_paths.as_ref().map(Vec::len), expected, "{count} commits");
    }
    let mut padded = fixture.body.clone();
    padded.resize(BODY_MAX, b' ');
    assert!(contents(&fixture, &padded).is_ok());
    padded.push(b' ');
    let bytes = padded.len();
    assert_eq!(contents(&fixture, &padded).expect_err("is too large"), PayloadError::TooLarge { bytes });
    // A message of four megabytes is cut, and is still text.
    let long = text.replace("web: draw the tides", &"é".repeat(1_000_000));
    let contents = contents(&fixture, long.as_bytes()).expect("can be read");
    let [Event::Push(push)] = contents.events.as_slice() else { panic!("is one push") };
    assert_eq!(push.head_message.len(), 64 * 1024);
}

#[test]
fn one_delivery_has_a_bounded_number_of_events() {
    let fixture = fixture::one("registry.distribution.push.json");
    let event = r#"{"action":"push","target":{"repository":"a/b","tag":"1","url":"https://r.example/v2/a"}}"#;
    for (count, is_read) in [(EVENTS_MAX, true), (EVENTS_MAX + 1, false)] {
        let body = format!(r#"{{"events":[{}]}}"#, vec![event; count].join(","));
        let read = contents(&fixture, body.as_bytes());
        assert_eq!(read.is_ok(), is_read, "{read:?}");
    }
}

#[test]
fn a_form_is_refused_with_a_hint() {
    let fixture = fixture::one("github.push.main.json");
    let kinds = ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=utf-8"];
    for kind in kinds {
        let form = fixture.without("Content-Type").and("Content-Type", kind.as_bytes());
        assert_eq!(contents(&form, &form.body).expect_err("is a form"), PayloadError::Form);
    }
    let error = contents(&fixture, b"payload=%7B%7D").expect_err("is a form");
    assert!(error.to_string().contains("`application/json`"), "{error}");
}

#[test]
fn without_its_header_nobody_guesses_the_event() {
    for (name, header) in [
        ("github.push.main.json", "X-GitHub-Event"),
        ("gitlab.push.main.json", "X-Gitlab-Event"),
        ("gitea.push.main.json", "X-Gitea-Event"),
        ("bitbucket.repo-push.main.json", "X-Event-Key"),
    ] {
        let fixture = fixture::one(name);
        let error = contents(&fixture.without(header), &fixture.body).expect_err("has no event");
        assert_eq!(error, PayloadError::EventMissing { header });
        let error = contents(&fixture.and(header, b"push"), &fixture.body).expect_err("has two");
        assert_eq!(error.name(), "event_several");
        // The body of one event under the name of another is not taken for it.
        for other in
            ["push", "pull_request", "Push Hook", "Merge Request Hook", "repo:push", "pullrequest:created"]
        {
            let other = fixture.without(header).and(header, other.as_bytes());
            let read = contents(&other, &other.body).map(|contents| contents.events);
            let is_push = matches!(read.as_deref(), Ok([Event::Push(_)]));
            let is_nothing =
                matches!(read.as_deref(), Ok([Event::Other { .. }]) | Err(PayloadError::Json { .. }));
            assert!(is_push || is_nothing, "{name}: {read:?}");
        }
    }
}

#[test]
fn what_is_none_of_it_says_so() {
    let rows: [(&str, &str); 9] = [
        ("github.push.main.json", "[]"),
        ("github.push.main.json", "null"),
        ("github.push.main.json", r#"{"ref":"refs/heads/main","ref":"refs/heads/x"}"#),
        (
            "github.push.main.json",
            r#"{"ref":"refs/heads/main","before":"1","after":"2","repository":{"full_name":"a/b"}}"#,
        ),
        ("generic.push.main.json", r#"{"event":"push","ref":"main","after":"2","repository":"a"}"#),
        ("generic.image.pushed.json", r#"{"event":"image","image":"-v"}"#),
        (
            "registry.docker-hub.push.json",
            r#"{"push_data":{"tag":"$(id)"},"repository":{"repo_name":"a/b"}}"#,
        ),
        ("registry.docker-hub.push.json", "{}"),
        ("registry.docker-hub.push.json", "\u{1b}[31m"),
    ];
    let lines: Vec<String> = rows
        .iter()
        .map(|(name, body)| {
            let error = contents(&fixture::one(name), body.as_bytes()).expect_err("is refused");
            let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            format!("{}: {error}{source}", error.name())
        })
        .collect();
    let names: Vec<&str> = lines.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        names,
        [
            "payload_invalid",
            "payload_invalid",
            "payload_invalid",
            "commit_invalid",
            "ref_invalid",
            "image_invalid",
            "image_invalid",
            "payload_unknown",
            "payload_invalid",
        ]
    );
    for line in lines {
        assert!(line.len() < 600 && !line.contains('\u{1b}'), "{line:?}");
    }
}

/// The parser's own words are cut, whatever they quote.
#[test]
fn errors_stay_short() {
    let fixture = fixture::one("github.push.main.json");
    let body = format!(
        r#"{{"ref":"refs/heads/main","before":"x","after":"x","repository":"{}"}}"#,
        "a".repeat(100_000)
    );
    let error = contents(&fixture, body.as_bytes()).expect_err("is refused").to_string();
    assert!(error.len() < 400, "{} bytes", error.len());
}

/// Whatever was read keeps its promises, and can be judged.
fn keeps_its_promises(provider: Provider, headers: &Headers<'_>, body: &[u8]) {
    let rules = rules(provider);
    let Ok(contents) = read(provider, headers, body) else { return };
    assert!((1..=EVENTS_MAX).contains(&contents.events.len()));
    for event in &contents.events {
        assert!(event.name().len() <= 256);
        if let Event::Push(push) | Event::Tag(push) = event {
            assert_eq!(push.is_deleted, push.after.is_zero());
            assert_eq!(matches!(event, Event::Tag(_)), push.reference.tag().is_some());
            assert!(push.repository.len() <= 256 && push.head_message.len() <= 64 * 1024);
        }
        let _ = judge(event, &rules);
    }
}

proptest! {
    #[test]
    fn random_bytes_are_read_without_a_panic(
        provider in prop::sample::select(Provider::ALL.to_vec()),
        event in "[ -~]{0,20}",
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let lines: Vec<(&str, &[u8])> =
            provider.event_headers().iter().take(1).map(|header| (*header, event.as_bytes())).collect();
        keeps_its_promises(provider, &Headers::new(&lines), &body);
    }

    #[test]
    fn changed_fixtures_are_read_without_a_panic(
        number in 0..fixture::COUNT,
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let all = FIXTURES.get_or_init(fixture::all);
        let fixture = &all[number];
        let mut body = fixture.body.clone();
        for (place, byte) in places {
            let place = place.index(body.len());
            body[place] = byte;
        }
        fixture.with(|headers| keeps_its_promises(fixture.provider, headers, &body));
    }
}

/// Read once for all cases.
static FIXTURES: std::sync::OnceLock<Vec<Fixture>> = std::sync::OnceLock::new();
