//! Promotion: the same artifact, by digest, with the configuration of another environment. Here is decided, for one service,
//! whether it is promoted or left out and why; `web` records it. Pure. Tests: `tests/it/promotion.rs`.

use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::id::{DeploymentId, ReleaseId};
use crate::name::EnvironmentName;
use crate::service::spec::{ImageSource, ServiceSpec, Work};

/// The release an artifact was promoted from. By name, because it outlives both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotedFrom {
    /// The environment.
    pub environment: EnvironmentName,
    /// The release of the service of the same name there.
    pub release: ReleaseId,
}

impl std::fmt::Display for PromotedFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.release, self.environment)
    }
}

/// What rows say of the services of one name in two environments. At least one of them is there.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'r> {
    /// Somebody asked for this very service.
    pub is_named: bool,
    /// Where it would come from; `None` where there is none.
    pub from: Option<Source<'r>>,
    /// Where it would go; `None` where there is none.
    pub to: Option<Target<'r>>,
}

/// A service as the environment it comes from has it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'r> {
    /// What the newest deployment that succeeded has brought; `None` before the first one.
    pub artifact: Option<&'r Artifact>,
    /// That artifact was given up.
    pub is_removed: bool,
}

/// A service as the environment it goes to has it.
#[derive(Debug, Clone, Copy)]
pub struct Target<'r> {
    /// Its configuration there.
    pub spec: &'r ServiceSpec,
    /// What users get there.
    pub live: Option<&'r Artifact>,
    /// The newest deployment under way there, and what it brings.
    pub under_way: Option<(DeploymentId, &'r Artifact)>,
    /// It is on its way out.
    pub is_destroyed: bool,
}

/// What becomes of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It gets the artifact.
    Promote,
    /// It is left as it is.
    Skip(Reason),
}

/// Why a service is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The environment it would come from has no such service.
    NotInSource,
    /// The environment it would go to has no such service.
    NotInTarget,
    /// No deployment of it has succeeded where it would come from.
    NeverDeployed,
    /// It runs that artifact.
    SameAlready,
    /// A deployment of that artifact is under way.
    UnderWay,
    /// It is on its way out where it would go.
    BeingDestroyed,
    /// It is a site in one of them and has tasks in the other.
    OtherKind,
    /// Its configuration names an image, and nobody asked for this very service.
    BuildsFromImage,
    /// The artifact is not kept any more.
    ArtifactRemoved,
}

impl Reason {
    /// For people.
    pub fn text(self, from: &EnvironmentName, to: &EnvironmentName) -> String {
        match self {
            Self::NotInSource => format!("not in {from}"),
            Self::NotInTarget => format!("not in {to}"),
            Self::NeverDeployed => format!("never deployed in {from}"),
            Self::SameAlready => "same already".to_owned(),
            Self::UnderWay => format!("a deployment of the same is under way in {to}"),
            Self::BeingDestroyed => format!("being destroyed in {to}"),
            Self::OtherKind => format!("a site in one of {from} and {to}, tasks in the other"),
            Self::BuildsFromImage => {
                "builds from image: its configuration names it; name the service to promote it all the same"
                    .to_owned()
            }
            Self::ArtifactRemoved => format!("what {from} has of it is not kept any more"),
        }
    }
}

/// Decides about one service.
pub fn judge(candidate: &Candidate<'_>) -> Verdict {
    match reason(candidate) {
        Some(reason) => Verdict::Skip(reason),
        None => Verdict::Promote,
    }
}

fn reason(candidate: &Candidate<'_>) -> Option<Reason> {
    let Some(to) = candidate.to else { return Some(Reason::NotInTarget) };
    let Some(from) = candidate.from else { return Some(Reason::NotInSource) };
    let Some(artifact) = from.artifact else { return Some(Reason::NeverDeployed) };
    if to.is_destroyed {
        return Some(Reason::BeingDestroyed);
    }
    if !fits(artifact, to.spec) {
        return Some(Reason::OtherKind);
    }
    // What is under way comes after what is live, and replaces it.
    match to.under_way {
        Some((_, next)) if is_same(next, artifact) => return Some(Reason::UnderWay),
        None if to.live.is_some_and(|live| is_same(live, artifact)) => return Some(Reason::SameAlready),
        _ => {}
    }
    if takes_image(to.spec) && !candidate.is_named {
        return Some(Reason::BuildsFromImage);
    }
    from.is_removed.then_some(Reason::ArtifactRemoved)
}

fn fits(artifact: &Artifact, spec: &ServiceSpec) -> bool {
    match (artifact, &spec.work) {
        (Artifact::Image { .. }, Work::Tasks(_)) | (Artifact::Site { .. }, Work::Site(_)) => true,
        (Artifact::Image { .. }, Work::Site(_)) | (Artifact::Site { .. }, Work::Tasks(_)) => false,
    }
}

/// By digest: where an image can be pulled from again makes it no other image.
fn is_same(one: &Artifact, other: &Artifact) -> bool {
    match (one, other) {
        (Artifact::Image { id: one, .. }, Artifact::Image { id: other, .. }) => one == other,
        (Artifact::Site { digest: one }, Artifact::Site { digest: other }) => one == other,
        (Artifact::Image { .. }, Artifact::Site { .. }) | (Artifact::Site { .. }, Artifact::Image { .. }) => {
            false
        }
    }
}

/// Such as a database: which image it runs is said in `havre.toml`, for each environment.
fn takes_image(spec: &ServiceSpec) -> bool {
    spec.tasks().is_some_and(|work| matches!(work.source, ImageSource::Image { .. }))
}
