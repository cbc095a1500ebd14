//! Comments on pull requests: one for each, made once, changed as its preview goes, found again, and never with a secret in it.

use havre_core::event::Actor;
use havre_core::id::PipelineId;
use havre_core::name::ProjectName;
use havre_core::pipeline::{Cause, Stage, State as PipelineState};
use havre_core::preview::{CloseReason, Preview, PullNumber, State, TTL};
use havre_core::quantity::Span;
use havre_core::secret::Secret;
use havre_core::service::spec::{HttpsMode, HttpsSpec, RouteSpec, ServiceSpec};
use havre_core::source::forge::Forge;
use havre_outward::CallError;
use havre_reconcile::forge::{ForgeAnswer, comment};
use havre_store::{NewPipeline, TellingSpec};

use crate::world::{Control, Outside, spec, work};

const GITHUB: &str = "https://github.com/acme/dropit.git";
const PLACE: &str = "https://api.github.com/repos/acme/dropit/issues/7/comments";
const TOKEN: &str = "planted-token";

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

fn number(number: u64) -> PullNumber {
    PullNumber::try_from(number).unwrap()
}

async fn set_remote(control: &Control, url: &'static str, telling: TellingSpec<'static>) {
    let written = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        tx.set_remote(&project(), &url.parse().unwrap(), Some(&Secret::from(TOKEN)))?;
        tx.set_telling(&project(), telling)
    });
    written.await.unwrap();
}

/// A preview and its pipeline, as the loop of previews makes them.
async fn open(control: &Control, pull: u64, digit: char) -> PipelineId {
    let at = control.world.now();
    let commit = digit.to_string().repeat(40);
    let written = control.world.store.write(at, Actor::Havre, move |tx| {
        let preview = Preview {
            project: project(),
            number: number(pull),
            commit: commit.parse().unwrap(),
            branch: "feature/x".parse().unwrap(),
            base: "main".parse().unwrap(),
            base_commit: "b".repeat(40).parse().unwrap(),
            is_fork: false,
            state: State::Open { since: at },
            pushed_at: at,
            ttl: TTL,
        };
        tx.put_preview(&preview)?;
        let pipeline = tx.create_pipeline(NewPipeline {
            project: project(),
            environment: preview.environment(),
            reference: "refs/heads/feature/x".parse().unwrap(),
            commit: preview.commit.clone(),
            subject: "Say hello".to_owned(),
            author: "Ada".to_owned(),
            cause: Cause::PullRequest { number: number(pull), by: Actor::Local },
        })?;
        Ok(pipeline.id)
    });
    written.await.unwrap()
}

/// The pipeline is in this state from now on.
async fn set_state(control: &Control, id: PipelineId, to: PipelineState) {
    let written = control.world.store.write(control.world.now(), Actor::Havre, move |tx| {
        let from = tx.get_pipeline(id)?.state;
        tx.set_pipeline_state(id, &from, to)
    });
    written.await.unwrap();
}

async fn fail(control: &Control, id: PipelineId, reason: &str) {
    let (at, reason) = (control.world.now(), reason.to_owned());
    set_state(control, id, PipelineState::Failed { at, stage: Stage::Build, reason }).await;
}

async fn close(control: &Control, pull: u64) {
    let at = control.world.now();
    let written = control.world.store.write(at, Actor::Havre, move |tx| {
        let row = tx.find_preview(&project(), number(pull))?.unwrap();
        tx.set_preview_state(&row, State::Closing { since: at, reason: CloseReason::Ended })?;
        let row = tx.find_preview(&project(), number(pull))?.unwrap();
        tx.set_preview_state(&row, State::Closed { at, reason: CloseReason::Ended })
    });
    written.await.unwrap();
}

/// One round; the method of every call.
async fn round(control: &Control) -> Vec<&'static str> {
    comment::activate(&control.world).await.unwrap();
    control.outside.forge.take().into_iter().map(|call| call.method).collect()
}

fn pass(control: &Control, seconds: u64) {
    control.outside.clock.advance(Span::seconds(seconds).duration());
}

/// The one comment there is.
fn only(control: &Control) -> String {
    let comments = control.outside.forge.comments();
    let [comment] = &comments[..] else { panic!("{comments:?}") };
    comment.text.clone()
}

fn answer(status: u16, headers: &[(&str, &str)]) -> Result<ForgeAnswer, CallError> {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(ForgeAnswer { status, headers, body: b"{}".to_vec() })
}

fn away() -> Result<ForgeAnswer, CallError> {
    Err(CallError::Away("api.github.com: no answer within 20s".to_owned()))
}

/// What events say of comments.
async fn story(control: &Control) -> Vec<String> {
    let events = control.world.store.read(|view| view.events(0, None, 1000)).await.unwrap();
    let texts = events.iter().map(|event| event.kind.to_string());
    texts.filter(|text| text.contains("in a comment")).collect()
}

const NONE: [&str; 0] = [];
const SENT: &str = "forge of dropit told in a comment on pull request 7";

#[tokio::test]
async fn one_comment_is_made_and_then_changed_until_the_preview_has_gone() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, GITHUB, TellingSpec::default()).await;
    outside.forge.add_comment(PLACE, "Nice.");
    let id = open(&control, 7, 'a').await;
    comment::activate(&control.world).await.unwrap();
    let calls = outside.forge.take();
    let [listed, made] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((listed.method, &listed.url), ("GET", &format!("{PLACE}?per_page=100&page=1")));
    assert_eq!((made.method, made.url.as_str()), ("POST", PLACE));
    assert_eq!(made.token, ("authorization", "Bearer planted-token".to_owned()));
    let ours = &outside.forge.comments()[1];
    let start =
        "**dropit**, preview `pr-7` of `aaaaaaaaaaaa`: waits for its turn\n\n\n<!-- havre dropit/pr-7/";
    assert!(ours.text.starts_with(start) && ours.text.ends_with(" -->\n"), "{}", ours.text);
    assert_eq!(round(&control).await, NONE, "once");

    let since = control.world.now();
    set_state(&control, id, PipelineState::CheckingOut { since }).await;
    set_state(&control, id, PipelineState::Building { since }).await;
    assert_eq!(round(&control).await, ["PATCH"], "of many changes the newest");
    assert!(outside.forge.comments()[1].text.contains("is being built"));
    let route = RouteSpec { host: "7.preview.example".parse().unwrap(), path: "/".parse().unwrap() };
    let https = HttpsSpec { mode: HttpsMode::Off, hsts: None };
    let wanted = ServiceSpec { routes: vec![route], https, ..spec(work("r1")) };
    let applied = control.world.store.write(since, Actor::Havre, move |tx| {
        let environment = tx.ensure_environment(project(), "pr-7".parse().unwrap())?;
        tx.apply_service(environment.id, wanted)
    });
    applied.await.unwrap();
    set_state(&control, id, PipelineState::Succeeded { at: since }).await;
    assert_eq!(round(&control).await, ["PATCH"]);
    let text = outside.forge.comments()[1].text.clone();
    assert!(text.contains("`aaaaaaaaaaaa`: ready\n"), "{text}");
    assert!(text.contains("| api | http://7.preview.example/ | not deployed yet |"), "{text}");

    open(&control, 7, 'c').await;
    assert_eq!(round(&control).await, ["PATCH"], "the next push changes the same one");
    assert!(outside.forge.comments()[1].text.contains("`cccccccccccc`: waits"));
    close(&control, 7).await;
    assert_eq!(round(&control).await, ["PATCH"]);
    assert!(outside.forge.comments()[1].text.contains(": closed, the pull request was closed\n"));
    assert_eq!(round(&control).await, NONE);
    open(&control, 7, 'd').await;
    assert_eq!(round(&control).await, ["PATCH"], "opened again, it is the same one still");
    assert_eq!(outside.forge.comments().len(), 2);
    assert_eq!(outside.forge.comments()[0].text, "Nice.");
    assert_eq!(story(&control).await, [SENT; 6]);
}

#[tokio::test]
async fn every_forge_gets_one() {
    for (forge, url, place, update) in [
        (Forge::GitHub, GITHUB, PLACE, "PATCH"),
        (
            Forge::GitLab,
            "https://gitlab.com/acme/web/dropit.git",
            "https://gitlab.com/api/v4/projects/acme%2Fweb%2Fdropit/merge_requests/7/notes",
            "PUT",
        ),
        (
            Forge::Gitea,
            "https://git.example.org/acme/dropit.git",
            "https://git.example.org/api/v1/repos/acme/dropit/issues/7/comments",
            "PATCH",
        ),
        (
            Forge::Bitbucket,
            "https://bitbucket.org/acme/dropit.git",
            "https://api.bitbucket.org/2.0/repositories/acme/dropit/pullrequests/7/comments",
            "PUT",
        ),
    ] {
        let outside = Outside::new();
        let control = outside.control();
        set_remote(&control, url, TellingSpec { forge: Some(forge), ..TellingSpec::default() }).await;
        let id = open(&control, 7, 'a').await;
        outside.forge.lose_next_comment();
        assert_eq!(round(&control).await, ["GET", "POST"], "{forge}");
        assert_eq!(outside.forge.comments()[0].place, place);
        // The answer was lost, and with it the number; what was made is found by its mark.
        pass(&control, 5);
        assert_eq!(round(&control).await, ["GET", update], "{forge}");
        set_state(&control, id, PipelineState::Cancelled { at: control.world.now() }).await;
        assert_eq!(round(&control).await, [update], "{forge}");
        assert!(only(&control).contains(": cancelled\n"), "{forge}");
    }
}

#[tokio::test]
async fn a_mark_that_others_copied_leads_nowhere() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, GITHUB, TellingSpec::default()).await;
    outside
        .forge
        .add_comment(PLACE, "<!-- havre dropit/pr-7 --> <!-- havre dropit/pr-7/0000000000000000 -->");
    open(&control, 7, 'a').await;
    assert_eq!(round(&control).await, ["GET", "POST"]);
    let copied = outside.forge.comments()[1].text.clone();
    outside.forge.add_comment(PLACE, &copied);
    drop(control);
    let control = outside.control();
    close(&control, 7).await;
    assert_eq!(round(&control).await, ["PATCH"]);
    let texts: Vec<bool> = outside.forge.comments().iter().map(|one| one.text.contains(": closed")).collect();
    assert_eq!(texts, [false, true, false], "its number is remembered, also by the next control");
}

#[tokio::test]
async fn one_that_somebody_has_deleted_is_made_again_while_there_is_something_to_say() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, GITHUB, TellingSpec::default()).await;
    let id = open(&control, 7, 'a').await;
    round(&control).await;
    outside.forge.delete_comments();
    assert_eq!(round(&control).await, NONE, "there is nothing new to say");
    set_state(&control, id, PipelineState::Cancelled { at: control.world.now() }).await;
    assert_eq!(round(&control).await, ["PATCH"]);
    assert_eq!(round(&control).await, NONE);
    pass(&control, 5);
    assert_eq!(round(&control).await, ["GET", "POST"]);
    assert!(only(&control).contains(": cancelled\n"));

    outside.forge.delete_comments();
    close(&control, 7).await;
    assert_eq!(round(&control).await, ["PATCH"]);
    pass(&control, 5);
    assert_eq!(round(&control).await, ["GET"], "of the end nobody has to hear then");
    assert_eq!(outside.forge.comments(), []);
    assert_eq!(round(&control).await, NONE);
}

#[tokio::test]
async fn a_forge_that_is_away_is_told_again_also_by_the_next_control_and_not_for_ever() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, GITHUB, TellingSpec::default()).await;
    let id = open(&control, 7, 'a').await;
    for pause in [5, 30, 120] {
        outside.forge.answer_next(away());
        assert_eq!(round(&control).await, ["GET"]);
        assert_eq!(round(&control).await, NONE, "it waits");
        pass(&control, pause);
    }
    drop(control);
    let control = outside.control();
    for pause in [600, 3600] {
        outside.forge.answer_next(away());
        assert_eq!(round(&control).await, ["GET"]);
        pass(&control, pause);
    }
    assert_eq!(round(&control).await, NONE);
    let given_up =
        "forge of dropit not told in a comment on pull request 7: api.github.com: no answer within 20s";
    assert_eq!(story(&control).await, [given_up]);
    set_state(&control, id, PipelineState::Cancelled { at: control.world.now() }).await;
    assert_eq!(round(&control).await, ["GET", "POST"], "what is new is begun anew");
}

#[tokio::test]
async fn what_only_a_person_can_change_is_given_up_at_once_and_told_with_another_token() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, GITHUB, TellingSpec::default()).await;
    let id = open(&control, 7, 'a').await;
    for status in [403, 404] {
        outside.forge.answer_next(answer(status, &[]));
        assert_eq!(round(&control).await, ["GET"]);
        pass(&control, 7200);
        assert_eq!(round(&control).await, NONE);
        let since = control.world.now();
        set_state(&control, id, PipelineState::Building { since }).await;
    }
    let told = story(&control).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|text| text.contains("`Pull requests: write`")), "{told:?}");
    set_remote(&control, GITHUB, TellingSpec::default()).await;
    assert_eq!(round(&control).await, ["GET", "POST"]);
    assert!(only(&control).contains("is being built"));
}

#[tokio::test]
async fn a_forge_that_wants_a_pause_gets_it_and_a_project_has_one_call_at_once() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, GITHUB, TellingSpec::default()).await;
    open(&control, 7, 'a').await;
    open(&control, 8, 'c').await;
    outside.forge.answer_next(answer(429, &[("retry-after", "90")]));
    assert_eq!(round(&control).await, ["GET"]);
    pass(&control, 89);
    assert_eq!(round(&control).await, NONE);
    pass(&control, 1);
    assert!(comment::activate(&control.world).await.unwrap(), "another one waits");
    assert_eq!(outside.forge.comments().len(), 1);
    assert_eq!(round(&control).await.len(), 4, "both");
    assert_eq!(outside.forge.comments().len(), 2);
}

#[tokio::test]
async fn nothing_is_told_where_nobody_wants_it() {
    let outside = Outside::new();
    let control = outside.control();
    let off = TellingSpec { has_no_comments: true, ..TellingSpec::default() };
    set_remote(&control, GITHUB, off).await;
    let id = open(&control, 7, 'a').await;
    assert_eq!(round(&control).await, NONE);
    set_remote(&control, GITHUB, TellingSpec::default()).await;
    assert_eq!(round(&control).await, ["GET", "POST"], "what is open is told from then on");
    set_remote(&control, GITHUB, off).await;
    set_state(&control, id, PipelineState::Cancelled { at: control.world.now() }).await;
    assert_eq!(round(&control).await, NONE);
    let elsewhere = "https://gitlab.com/acme/dropit.git";
    set_remote(&control, elsewhere, TellingSpec::default()).await;
    assert_eq!(round(&control).await, ["GET", "POST"], "at another forge it is another comment");
    assert_eq!(outside.forge.comments().len(), 2);
}

#[tokio::test]
async fn the_reason_of_a_failure_is_told_without_secrets() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, GITHUB, TellingSpec::default()).await;
    let id = open(&control, 7, 'a').await;
    let set = control.world.store.write(control.world.now(), Actor::Local, |tx| {
        tx.set_secret(&project(), None, &"KEY".parse().unwrap(), &Secret::from("planted-value"))?;
        // Also a value that was replaced.
        tx.set_secret(&project(), None, &"KEY".parse().unwrap(), &Secret::from("another-value"))
    });
    set.await.unwrap();
    fail(&control, id, "build b1 of api failed\n/close\n<b>planted-value</b> another-value planted-token")
        .await;
    assert_eq!(round(&control).await, ["GET", "POST"]);
    let text = only(&control);
    let shown = "failed (build)\n\n    build b1 of api failed\n    /close\n    <b>[secret KEY]</b> [secret KEY] [token]\n";
    assert!(text.contains(shown), "{text}");
    assert!(!text.contains("planted"), "{text}");
}
