//! What follows from an event: something is fetched, made, taken down or deployed, or it is ignored and the reason can be said in a sentence.
//! Pure. Which environment follows a branch is not decided here: that stands in `havre.toml` of the commit, which has to be fetched first
//! (`havre_manifest::follow`); nor whether a pull request may have a preview, which its base branch says (`havre_decide::preview::plan`).
//! Tests: `tests/it/judge.rs`.

use std::fmt;

use havre_core::artifact::ImageRef;
use havre_core::name::ProjectName;
use havre_core::preview::{PullNumber, PullNumberError, Wish};
use havre_core::registry::RegistryHost;
use havre_core::source::{CommitId, HeadAt, RefName, RemoteUrl};

use crate::payload::{Action, Event, ImagePushed, PullRequest, Push};
use crate::provider::Provider;

/// What a project is, as far as a verdict needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Its name.
    pub project: ProjectName,
    /// Who sends.
    pub provider: Provider,
    /// Where its repository is fetched from; without it, nothing is.
    pub remote: Option<RemoteUrl>,
    /// Images of its services, as they are configured.
    pub images: Vec<ImageRef>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Ignored {
        /// Why.
        reason: Ignored,
    },
    /// Nothing: the sender tries the webhook, and it works.
    Pong,
    /// Fetch this branch or tag.
    Fetch {
        /// Which.
        reference: RefName,
        /// The commit that was announced; absent where it was removed.
        commit: Option<CommitId>,
    },
    /// Note that this pull request should have a preview of its newest commit.
    Preview {
        /// What is noted.
        wish: Wish,
    },
    /// Take down the preview of a pull request, if there is one.
    EndPreview {
        /// Of which.
        number: PullNumber,
    },
    /// Build and deploy the services with one of these images.
    Deploy {
        /// As they are configured.
        images: Vec<ImageRef>,
    },
}

/// Why nothing is done. Its text is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// There is nowhere to fetch from.
    Remote {
        /// The project.
        project: ProjectName,
    },
    /// The pull request is one of another repository: a webhook of a whole organisation brings those of others, with the same numbers.
    Repository {
        /// Theirs.
        theirs: String,
        /// The project.
        project: ProjectName,
        /// Where that is fetched from.
        ours: RemoteUrl,
    },
    /// No pull request has such a number.
    Number(PullNumberError),
    /// Nothing follows from what was done to the pull request.
    Change {
        /// Which.
        number: PullNumber,
    },
    /// Nothing follows from this kind of event.
    Event {
        /// Its name.
        name: String,
    },
    /// No service runs this image.
    Image {
        /// Which.
        image: ImageRef,
    },
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote { project } => write!(
                f,
                "the project {project} has no remote repository to fetch from: set one with `havre remote set URL`"
            ),
            Self::Repository { theirs, project, ours } => {
                write!(f, "the pull request is one of {theirs}, and {project} is fetched from {ours}")
            }
            Self::Number(error) => error.fmt(f),
            Self::Change { number } => {
                write!(f, "nothing follows from this change of pull request {number}")
            }
            Self::Event { name } => write!(f, "events of the kind {name} are not used"),
            Self::Image { image } => write!(f, "no service runs the image {image}"),
        }
    }
}

/// Says what follows from an event.
pub fn judge(event: &Event, rules: &Rules) -> Verdict {
    let verdict = match event {
        Event::Push(push) | Event::Tag(push) => judge_push(push, rules),
        Event::PullRequest(request) => judge_pull_request(request, rules),
        Event::ImagePushed(pushed) => judge_image(pushed, rules),
        Event::Ping => Ok(Verdict::Pong),
        Event::Other { name } => Err(Ignored::Event { name: name.clone() }),
    };
    verdict.unwrap_or_else(|reason| Verdict::Ignored { reason })
}

/// Every branch and tag is fetched, whatever follows it: what is fetched says so. Whatever repository the sender names, that of the project is
/// asked.
fn judge_push(push: &Push, rules: &Rules) -> Result<Verdict, Ignored> {
    remote(rules)?;
    let commit = if push.is_deleted { None } else { Some(push.after.clone()) };
    Ok(Verdict::Fetch { reference: push.reference.clone(), commit })
}

fn judge_pull_request(request: &PullRequest, rules: &Rules) -> Result<Verdict, Ignored> {
    let number = PullNumber::try_from(request.number).map_err(Ignored::Number)?;
    let ours = remote(rules)?;
    if !ours.is_of(&request.base_repository) {
        let (theirs, project) = (request.base_repository.clone(), rules.project.clone());
        return Err(Ignored::Repository { theirs, project, ours: ours.clone() });
    }
    match request.action {
        Action::Other => Err(Ignored::Change { number }),
        // Also of a fork: its preview, made while that was another rule, would stay.
        Action::Closed => Ok(Verdict::EndPreview { number }),
        Action::Opened | Action::Updated => {
            let wish = Wish {
                project: rules.project.clone(),
                number,
                head: request.head.clone(),
                branch: request.head_ref.clone(),
                base: request.base_ref.clone(),
                at: head_at(request, rules.provider),
                is_fork: request.is_fork,
            };
            Ok(Verdict::Preview { wish })
        }
    }
}

/// Where this forge shows the commits of a pull request.
fn head_at(request: &PullRequest, provider: Provider) -> HeadAt {
    match provider {
        Provider::GitHub | Provider::Gitea => HeadAt::Pull,
        Provider::GitLab => HeadAt::MergeRequest,
        Provider::Bitbucket | Provider::Generic | Provider::Registry => {
            HeadAt::Branch { branch: request.head_ref.clone() }
        }
    }
}

fn judge_image(pushed: &ImagePushed, rules: &Rules) -> Result<Verdict, Ignored> {
    let name = canonical(&pushed.image);
    let images: Vec<ImageRef> =
        rules.images.iter().filter(|image| name.is_some() && canonical(image) == name).cloned().collect();
    if images.is_empty() {
        return Err(Ignored::Image { image: pushed.image.clone() });
    }
    Ok(Verdict::Deploy { images })
}

fn remote(rules: &Rules) -> Result<&RemoteUrl, Ignored> {
    rules.remote.as_ref().ok_or_else(|| Ignored::Remote { project: rules.project.clone() })
}

/// Registry, path and tag of an image, with what Docker fills in; `None` for an image by digest, which no push can change.
fn canonical(image: &ImageRef) -> Option<(String, String)> {
    if image.as_str().contains('@') {
        return None;
    }
    let name = image.repository();
    let tag = image.as_str().strip_prefix(name)?.strip_prefix(':').unwrap_or("latest");
    let (host, path) = RegistryHost::split(image);
    let library = if host.is_hub() && !path.contains('/') { "library/" } else { "" };
    Some((format!("{host}/{library}{path}"), tag.to_owned()))
}
