//! What is promoted from one environment to another, and what is left out.

use havre_core::artifact::Artifact;
use havre_core::event::EventKind;
use havre_core::id::{DeploymentId, ReleaseId};
use havre_core::name::EnvironmentName;
use havre_core::release::event::{Event, Measure};
use havre_core::release::promotion::{Candidate, PromotedFrom, Reason, Source, Target, Verdict, judge};
use havre_core::service::spec::{ImageSource, ServiceSpec, SiteSource, SiteWork, TaskWork, Work};

use crate::sample::{spec, work};

fn image(letter: &str) -> Artifact {
    Artifact::Image { id: letter.repeat(64).parse().expect("is a digest"), pull: None }
}

fn files(letter: &str) -> Artifact {
    Artifact::Site { digest: letter.repeat(64).parse().expect("is a digest") }
}

/// A service that is built from a Dockerfile.
fn built() -> ServiceSpec {
    let source = serde_json::json!({
        "kind": "dockerfile", "context": ".", "dockerfile": "Dockerfile", "target": null, "args": {},
    });
    spec(TaskWork { source: serde_json::from_value(source).expect("is a source"), ..work() })
}

fn site() -> ServiceSpec {
    let source = SiteSource::Folder { root: "dist".parse().expect("is a path") };
    let site = SiteWork { source, spa: false, settings: Default::default() };
    ServiceSpec { work: Work::Site(Box::new(site)), ..built() }
}

fn from(artifact: Option<&Artifact>) -> Option<Source<'_>> {
    Some(Source { artifact, is_removed: false })
}

fn to<'r>(spec: &'r ServiceSpec, live: Option<&'r Artifact>) -> Option<Target<'r>> {
    Some(Target { spec, live, under_way: None, is_destroyed: false })
}

#[track_caller]
fn decided(from: Option<Source<'_>>, to: Option<Target<'_>>, expected: Verdict) {
    assert_eq!(judge(&Candidate { is_named: false, from, to }), expected);
}

#[test]
fn another_artifact_is_promoted() {
    let (spec, old, new) = (built(), image("a"), image("b"));
    decided(from(Some(&new)), to(&spec, Some(&old)), Verdict::Promote);
    decided(from(Some(&new)), to(&spec, None), Verdict::Promote);
    let (site, old, new) = (site(), files("a"), files("b"));
    decided(from(Some(&new)), to(&site, Some(&old)), Verdict::Promote);
}

#[test]
fn the_same_by_digest_is_left_as_it_is() {
    let (spec, here) = (built(), image("a"));
    decided(from(Some(&here)), to(&spec, Some(&here)), Verdict::Skip(Reason::SameAlready));
    // The same image from another place is the same image.
    let Artifact::Image { id, .. } = here.clone() else { panic!("is an image") };
    let pulled = Artifact::Image { pull: format!("api@{id}").parse().ok(), id };
    decided(from(Some(&pulled)), to(&spec, Some(&here)), Verdict::Skip(Reason::SameAlready));
    let (site, files) = (site(), files("a"));
    decided(from(Some(&files)), to(&site, Some(&files)), Verdict::Skip(Reason::SameAlready));
}

#[test]
fn what_is_under_way_counts_as_what_runs() {
    let (spec, old, new) = (built(), image("a"), image("b"));
    let busy = |next| {
        let under_way = Some((DeploymentId::new(7), next));
        Some(Target { spec: &spec, live: Some(&old), under_way, is_destroyed: false })
    };
    decided(from(Some(&new)), busy(&new), Verdict::Skip(Reason::UnderWay));
    decided(from(Some(&old)), busy(&new), Verdict::Promote);
}

#[test]
fn what_is_missing_is_named() {
    let (spec, image) = (built(), image("a"));
    decided(from(Some(&image)), None, Verdict::Skip(Reason::NotInTarget));
    decided(None, to(&spec, Some(&image)), Verdict::Skip(Reason::NotInSource));
    decided(from(None), to(&spec, Some(&image)), Verdict::Skip(Reason::NeverDeployed));
    let gone = Some(Source { artifact: Some(&image), is_removed: true });
    decided(gone, to(&spec, None), Verdict::Skip(Reason::ArtifactRemoved));
    let leaving = Some(Target { spec: &spec, live: None, under_way: None, is_destroyed: true });
    decided(from(Some(&image)), leaving, Verdict::Skip(Reason::BeingDestroyed));
}

#[test]
fn a_site_stays_a_site() {
    let (spec, site) = (built(), site());
    decided(from(Some(&files("a"))), to(&spec, None), Verdict::Skip(Reason::OtherKind));
    decided(from(Some(&image("a"))), to(&site, None), Verdict::Skip(Reason::OtherKind));
}

#[test]
fn a_service_that_names_an_image_is_promoted_only_by_name() {
    let reference = "postgres:17".parse().expect("is a reference");
    let spec = spec(TaskWork { source: ImageSource::Image { reference }, ..work() });
    let (old, new) = (image("a"), image("b"));
    decided(from(Some(&new)), to(&spec, Some(&old)), Verdict::Skip(Reason::BuildsFromImage));
    decided(from(Some(&old)), to(&spec, Some(&old)), Verdict::Skip(Reason::SameAlready));
    let named = Candidate { is_named: true, from: from(Some(&new)), to: to(&spec, Some(&old)) };
    assert_eq!(judge(&named), Verdict::Promote);
}

#[test]
fn reasons_name_the_environments() {
    let staging: EnvironmentName = "staging".parse().expect("is a name");
    let production = EnvironmentName::production();
    assert_eq!(Reason::NeverDeployed.text(&staging, &production), "never deployed in staging");
    assert_eq!(Reason::NotInTarget.text(&staging, &production), "not in production");
    assert_eq!(Reason::SameAlready.text(&staging, &production), "same already");
    let from = PromotedFrom { environment: staging, release: ReleaseId::new(7) };
    assert_eq!(from.to_string(), "r7 of staging");
    let json = serde_json::json!({ "environment": "staging", "release": "r7" });
    assert_eq!(serde_json::to_value(&from).expect("is JSON"), json);
}

#[test]
fn events_have_one_form_for_years() {
    let release = ReleaseId::new(3);
    let from =
        PromotedFrom { environment: "staging".parse().expect("is a name"), release: ReleaseId::new(7) };
    let before = Some(Measure { release: ReleaseId::new(2), bytes: 100 });
    for (event, json, is_notable) in [
        (
            Event::Promoted { release, from },
            serde_json::json!({ "room": "release", "type": "promoted", "release": "r3",
                "from": { "environment": "staging", "release": "r7" } }),
            false,
        ),
        (
            Event::Measured { release, bytes: 121, before },
            serde_json::json!({ "room": "release", "type": "measured", "release": "r3", "bytes": 121,
                "before": { "release": "r2", "bytes": 100 } }),
            true,
        ),
        (
            Event::Measured { release, bytes: 121, before: None },
            serde_json::json!({ "room": "release", "type": "measured", "release": "r3", "bytes": 121, "before": null }),
            false,
        ),
    ] {
        assert_eq!(event.is_notable(), is_notable, "{event}");
        let kind = EventKind::Release(event);
        assert_eq!(serde_json::to_value(&kind).expect("is JSON"), json);
        assert_eq!(serde_json::from_value::<EventKind>(json).expect("is an event"), kind);
    }
}
