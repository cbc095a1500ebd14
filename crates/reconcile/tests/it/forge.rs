//! Telling forges what became of commits: the newest state, once, again until they listen, over restarts, and not for ever.

use havre_core::event::Actor;
use havre_core::id::PipelineId;
use havre_core::name::ProjectName;
use havre_core::pipeline::{Cause, Stage, State};
use havre_core::quantity::Span;
use havre_core::secret::Secret;
use havre_core::source::forge::Forge;
use havre_outward::CallError;
use havre_reconcile::forge::{self, ForgeAnswer};
use havre_store::{NewPipeline, TellingSpec};

use crate::world::{Control, Outside};

const GITHUB: &str = "https://github.com/acme/dropit.git";

fn commit(digit: char) -> String {
    digit.to_string().repeat(40)
}

fn project(name: &str) -> ProjectName {
    name.parse().unwrap()
}

async fn set_remote(control: &Control, name: &'static str, url: &'static str, forge: Option<Forge>) {
    let written = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        let token = Secret::from("planted-token");
        tx.set_remote(&project(name), &url.parse().unwrap(), Some(&token))?;
        tx.set_telling(&project(name), TellingSpec { forge, ..TellingSpec::default() })
    });
    written.await.unwrap();
}

async fn begin(control: &Control, name: &'static str, digit: char) -> PipelineId {
    let new = NewPipeline {
        project: project(name),
        environment: "production".parse().unwrap(),
        reference: "refs/heads/main".parse().unwrap(),
        commit: commit(digit).parse().unwrap(),
        subject: "Say hello".to_owned(),
        author: "Ada".to_owned(),
        cause: Cause::Push { by: Actor::Local },
    };
    let now = control.world.now();
    control.world.store.write(now, Actor::Local, move |tx| Ok(tx.create_pipeline(new)?.id)).await.unwrap()
}

/// The pipeline is in this state from now on.
async fn set_state(control: &Control, id: PipelineId, to: State) {
    let written = control.world.store.write(control.world.now(), Actor::Havre, move |tx| {
        let from = tx.get_pipeline(id)?.state;
        tx.set_pipeline_state(id, &from, to)
    });
    written.await.unwrap();
}

fn building(control: &Control) -> State {
    State::Building { since: control.world.now() }
}

/// One round; every call as its end of the address and the state told.
async fn round(control: &Control) -> Vec<String> {
    forge::activate(&control.world).await.unwrap();
    let calls = control.outside.forge.take().into_iter();
    calls
        .map(|call| {
            let end = call.url.rsplit('/').next().unwrap_or_default().chars().take(4).collect::<String>();
            format!("{end} {}", call.body["state"].as_str().unwrap_or_default())
        })
        .collect()
}

fn pass(control: &Control, seconds: u64) {
    control.outside.clock.advance(Span::seconds(seconds).duration());
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Result<ForgeAnswer, CallError> {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(ForgeAnswer { status, headers, body: body.as_bytes().to_vec() })
}

fn away() -> Result<ForgeAnswer, CallError> {
    Err(CallError::Away("api.github.com: no answer within 20s".to_owned()))
}

/// What events say of forges.
async fn story(control: &Control) -> Vec<String> {
    let events = control.world.store.read(|view| view.events(0, None, 1000)).await.unwrap();
    events.iter().map(|event| event.kind.to_string()).filter(|text| text.starts_with("forge")).collect()
}

const NONE: [&str; 0] = [];

#[tokio::test]
async fn a_forge_is_told_of_the_beginning_and_the_end() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, "dropit", GITHUB, None).await;
    let id = begin(&control, "dropit", 'a').await;
    forge::activate(&control.world).await.unwrap();
    let calls = outside.forge.take();
    let [call] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(call.url, format!("https://api.github.com/repos/acme/dropit/statuses/{}", commit('a')));
    assert_eq!((call.method, &call.token), ("POST", &("authorization", "Bearer planted-token".to_owned())));
    assert_eq!(
        call.body,
        serde_json::json!({
            "state": "pending", "context": "havre/production", "description": "i1 is about to begin",
            "target_url": "https://havre.example.org/v1/pipelines/i1",
        })
    );
    assert_eq!(round(&control).await, NONE, "once");
    let since = control.world.now();
    set_state(&control, id, State::CheckingOut { since }).await;
    assert_eq!(round(&control).await, NONE, "to a forge that is the same");
    set_state(&control, id, building(&control)).await;
    assert_eq!(round(&control).await, ["aaaa pending"]);
    set_state(&control, id, State::Deploying { since }).await;
    set_state(&control, id, State::Succeeded { at: since }).await;
    assert_eq!(round(&control).await, ["aaaa success"]);
    assert_eq!(round(&control).await, NONE);
    assert_eq!(
        story(&control).await,
        [
            "forge of dropit told that i1 is pending",
            "forge of dropit told that i1 is running",
            "forge of dropit told that i1 is success",
        ]
    );
}

#[tokio::test]
async fn many_changes_are_one_call_and_the_newest_counts() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, "dropit", GITHUB, None).await;
    let first = begin(&control, "dropit", 'a').await;
    set_state(&control, first, building(&control)).await;
    set_state(
        &control,
        first,
        State::Failed { at: control.world.now(), stage: Stage::Build, reason: "planted-reason".to_owned() },
    )
    .await;
    forge::activate(&control.world).await.unwrap();
    let calls = outside.forge.take();
    let [call] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(call.body["state"], "failure");
    assert!(!call.body.to_string().contains("planted-reason"), "what a build says is not for everybody");

    // The same commit again: the forge hears of the new run, and nothing of the old one any more.
    let second = begin(&control, "dropit", 'b').await;
    let third = begin(&control, "dropit", 'b').await;
    set_state(&control, second, State::Superseded { at: control.world.now(), by: third }).await;
    assert_eq!(round(&control).await, ["bbbb pending"]);
    assert_eq!(round(&control).await, NONE);
}

#[tokio::test]
async fn a_forge_that_is_away_is_told_again_also_by_the_next_control() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, "dropit", GITHUB, None).await;
    let id = begin(&control, "dropit", 'a').await;
    outside.forge.answer_next(away());
    outside.forge.answer_next(answer(502, &[], "<html>"));
    assert_eq!(round(&control).await, ["aaaa pending"]);
    assert!(forge::activate(&control.world).await.unwrap(), "something waits");
    pass(&control, 4);
    assert_eq!(round(&control).await, NONE, "it waits");
    pass(&control, 1);
    assert_eq!(round(&control).await, ["aaaa pending"]);

    drop(control);
    let control = outside.control();
    pass(&control, 29);
    assert_eq!(round(&control).await, NONE, "a restart does not make the pause shorter");
    set_state(&control, id, building(&control)).await;
    assert_eq!(round(&control).await, NONE, "nor does another state");
    pass(&control, 1);
    assert_eq!(round(&control).await, ["aaaa pending"]);
    assert_eq!(story(&control).await, ["forge of dropit told that i1 is running"]);
}

#[tokio::test]
async fn a_forge_that_stays_away_is_given_up_for_this_state_only() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, "dropit", GITHUB, None).await;
    let id = begin(&control, "dropit", 'a').await;
    for pause in [5, 30, 120, 600, 3600] {
        outside.forge.answer_next(away());
        assert_eq!(round(&control).await, ["aaaa pending"]);
        pass(&control, pause);
    }
    assert_eq!(round(&control).await, NONE);
    let given_up = "forge of dropit not told that i1 is pending: api.github.com: no answer within 20s";
    assert_eq!(story(&control).await, [given_up]);
    // The pipeline went on all the while, and its end is told.
    set_state(&control, id, State::Succeeded { at: control.world.now() }).await;
    assert_eq!(round(&control).await, ["aaaa success"]);
}

#[tokio::test]
async fn what_only_a_person_can_change_is_given_up_at_once_and_told_with_another_token() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, "dropit", GITHUB, None).await;
    let id = begin(&control, "dropit", 'a').await;
    let refuse = || answer(403, &[], r#"{"message":"you sent planted-token"}"#);
    outside.forge.answer_next(refuse());
    assert_eq!(round(&control).await, ["aaaa pending"]);
    pass(&control, 7200);
    assert_eq!(round(&control).await, NONE);
    outside.forge.answer_next(refuse());
    set_state(&control, id, State::Succeeded { at: control.world.now() }).await;
    assert_eq!(round(&control).await, ["aaaa success"]);
    assert_eq!(
        story(&control).await,
        [
            "forge of dropit not told that i1 is pending: the forge refuses, and repeats the token in its answer, \
          which is why that is not shown"
        ],
        "the same reason once"
    );
    set_remote(&control, "dropit", GITHUB, None).await;
    assert_eq!(round(&control).await, ["aaaa success"]);
    assert_eq!(story(&control).await.len(), 2);
}

#[tokio::test]
async fn a_forge_that_wants_a_pause_gets_it_and_others_are_told() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, "dropit", GITHUB, None).await;
    set_remote(&control, "orrery", "https://git.example.org/acme/orrery.git", Some(Forge::Gitea)).await;
    begin(&control, "dropit", 'a').await;
    outside.forge.answer_next(answer(429, &[("retry-after", "90")], ""));
    assert_eq!(round(&control).await, ["aaaa pending"]);
    begin(&control, "dropit", 'b').await;
    begin(&control, "orrery", 'c').await;
    assert_eq!(round(&control).await, ["cccc pending"]);
    pass(&control, 89);
    assert_eq!(round(&control).await, NONE);
    pass(&control, 1);
    assert_eq!(round(&control).await, ["bbbb pending"], "the newest first, one at a time");
    assert_eq!(round(&control).await, ["aaaa pending"]);
}

#[tokio::test]
async fn what_cannot_be_told_is_not_tried() {
    let outside = Outside::new();
    let control = outside.control();
    set_remote(&control, "dropit", "https://bitbucket.acme.org/acme/dropit.git", Some(Forge::Bitbucket))
        .await;
    begin(&control, "dropit", 'a').await;
    assert_eq!(round(&control).await, NONE);
    assert_eq!(
        story(&control).await,
        [
            "forge of dropit not told that i1 is pending: only Bitbucket Cloud can be told, which is at bitbucket.org"
        ]
    );
    // Switched off before it was told.
    set_remote(&control, "orrery", GITHUB, None).await;
    begin(&control, "orrery", 'b').await;
    let off = TellingSpec { is_off: true, ..TellingSpec::default() };
    let written = control
        .world
        .store
        .write(control.world.now(), Actor::Local, move |tx| tx.set_telling(&project("orrery"), off));
    written.await.unwrap();
    assert_eq!(round(&control).await, NONE);
}
