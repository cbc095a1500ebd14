//! What follows from an event: something runs, or it is ignored and the reason can be said in a sentence. Pure; which services exist and
//! whether a commit was deployed before is not known here. Tests: `tests/it/judge.rs`.

use std::fmt;

use havre_core::artifact::{Digest, ImageRef};
use havre_core::glob::{Glob, Paths};
use havre_core::name::EnvironmentName;
use havre_core::registry::RegistryHost;
use havre_core::source::{BranchName, CommitId, RefName};

use crate::payload::{Action, Event, ImagePushed, PullRequest, Push};

/// What a project wants to happen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The repository, such as `acme/shop`, without regard to case: a webhook of a whole organisation brings others too. `None` takes all.
    pub repository: Option<String>,
    /// Which branches belong to which environment; the first that matches decides.
    pub branches: Vec<(EnvironmentName, Glob)>,
    /// Which tags belong to which environment; the first that matches decides.
    pub tags: Vec<(EnvironmentName, Glob)>,
    /// Which changes matter. Where it is not known what a push has changed, it is taken to matter.
    pub paths: Paths,
    /// Images of services, as they are configured.
    pub images: Vec<ImageRef>,
    /// Whether pull requests get an environment of their own.
    pub has_previews: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Ignored {
        /// Why.
        reason: Ignored,
    },
    /// Build and deploy this commit.
    Run {
        /// Where.
        environment: EnvironmentName,
        /// The branch or tag that says so.
        reference: RefName,
        /// What.
        commit: CommitId,
    },
    /// Make or renew the preview of a pull request.
    Preview {
        /// Of which.
        number: u64,
        /// What; `None` when the sender does not say it, and the branch has to be asked.
        commit: Option<CommitId>,
        /// Its branch.
        branch: BranchName,
        /// The branch it is meant for.
        base: BranchName,
    },
    /// Remove the preview of a pull request, if there is one.
    EndPreview {
        /// Of which.
        number: u64,
    },
    /// Deploy the services with one of these images.
    Deploy {
        /// As they are configured.
        images: Vec<ImageRef>,
        /// What was pushed, if the sender says it.
        digest: Option<Digest>,
    },
}

/// Why nothing is done. Its text is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// It is about another repository.
    Repository {
        /// Which.
        repository: String,
    },
    /// The branch belongs to no environment.
    Branch {
        /// Which.
        branch: BranchName,
    },
    /// The tag belongs to no environment.
    Tag {
        /// Which.
        tag: BranchName,
    },
    /// The newest commit asks for it.
    Skip {
        /// How it does.
        marker: &'static str,
    },
    /// It changes nothing that matters.
    Paths {
        /// How many paths it changes.
        changed: usize,
    },
    /// The branch or tag was removed.
    Deleted {
        /// Which.
        reference: RefName,
    },
    /// The sender tries the webhook.
    Ping,
    /// Nothing follows from this kind of event, or from this action.
    Event {
        /// Its name.
        name: String,
    },
    /// The pull request comes from another repository, so strangers may have written it.
    Fork {
        /// From which; `None` when it is gone.
        repository: Option<String>,
    },
    /// There are no previews here.
    Previews,
    /// No service runs this image.
    Image {
        /// Which.
        image: ImageRef,
    },
}

/// Texts in the message of the newest commit that ask for nothing to be run, whatever their case.
const MARKERS: [&str; 4] = ["[skip ci]", "[ci skip]", "[no ci]", "[skip cd]"];

/// The same as a trailer: a line of the last paragraph.
const TRAILER: &str = "skip-checks: true";

impl Ignored {
    /// A stable name for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Repository { .. } => "repository",
            Self::Branch { .. } => "branch",
            Self::Tag { .. } => "tag",
            Self::Skip { .. } => "skip",
            Self::Paths { .. } => "paths",
            Self::Deleted { .. } => "deleted",
            Self::Ping => "ping",
            Self::Event { .. } => "event",
            Self::Fork { .. } => "fork",
            Self::Previews => "previews",
            Self::Image { .. } => "image",
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository { repository } => {
                write!(f, "the repository {repository} is not the one of this project")
            }
            Self::Branch { branch } => write!(f, "no environment follows the branch {branch}"),
            Self::Tag { tag } => write!(f, "no environment follows the tag {tag}"),
            Self::Skip { marker } => write!(f, "the newest commit says `{marker}`"),
            Self::Paths { changed: 1 } => f.write_str("the one path that changed does not matter here"),
            Self::Paths { changed } => write!(f, "none of the {changed} paths that changed matters here"),
            Self::Deleted { reference } => write!(f, "{reference} was removed; what runs is left alone"),
            Self::Ping => f.write_str("the webhook works"),
            Self::Event { name } => write!(f, "nothing follows from `{name}`"),
            Self::Fork { repository: Some(repository) } => {
                write!(f, "the pull request comes from {repository}, and forks get no preview")
            }
            Self::Fork { repository: None } => {
                f.write_str("the pull request comes from a repository that is gone, and forks get no preview")
            }
            Self::Previews => f.write_str("this project makes no previews of pull requests"),
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
        Event::Ping => Err(Ignored::Ping),
        Event::Other { name } => Err(Ignored::Event { name: name.clone() }),
    };
    verdict.unwrap_or_else(|reason| Verdict::Ignored { reason })
}

fn judge_push(push: &Push, rules: &Rules) -> Result<Verdict, Ignored> {
    check_repository(&push.repository, rules)?;
    if push.is_deleted {
        return Err(Ignored::Deleted { reference: push.reference.clone() });
    }
    let environment = match (push.reference.branch(), push.reference.tag()) {
        (Some(branch), _) => follower(&rules.branches, &branch).ok_or(Ignored::Branch { branch })?,
        (None, Some(tag)) => follower(&rules.tags, &tag).ok_or(Ignored::Tag { tag })?,
        (None, None) => return Err(Ignored::Event { name: push.reference.to_string() }),
    };
    if let Some(marker) = skip_marker(&push.head_message) {
        return Err(Ignored::Skip { marker });
    }
    // A tag is set on purpose, whatever has changed since some other one.
    if let Some(changed) = &push.changed_paths
        && push.reference.tag().is_none()
        && !rules.paths.is_empty()
        && !rules.paths.is_concerned(changed)
    {
        return Err(Ignored::Paths { changed: changed.len() });
    }
    Ok(Verdict::Run { environment, reference: push.reference.clone(), commit: push.after.clone() })
}

fn follower(rules: &[(EnvironmentName, Glob)], name: &BranchName) -> Option<EnvironmentName> {
    rules.iter().find(|(_, glob)| glob.is_match(name.as_str())).map(|(environment, _)| environment.clone())
}

fn judge_pull_request(request: &PullRequest, rules: &Rules) -> Result<Verdict, Ignored> {
    check_repository(&request.base_repository, rules)?;
    if !rules.has_previews {
        return Err(Ignored::Previews);
    }
    let number = request.number;
    match request.action {
        // Also of a fork: its preview, made while that was another rule, would stay forever.
        Action::Closed => Ok(Verdict::EndPreview { number }),
        Action::Other => Err(Ignored::Event { name: "pull_request".to_owned() }),
        Action::Opened | Action::Updated if request.is_fork => {
            Err(Ignored::Fork { repository: request.head_repository.clone() })
        }
        Action::Opened | Action::Updated => Ok(Verdict::Preview {
            number,
            commit: request.head.clone(),
            branch: request.head_ref.clone(),
            base: request.base_ref.clone(),
        }),
    }
}

fn judge_image(pushed: &ImagePushed, rules: &Rules) -> Result<Verdict, Ignored> {
    let name = canonical(&pushed.image);
    let images: Vec<ImageRef> =
        rules.images.iter().filter(|image| name.is_some() && canonical(image) == name).cloned().collect();
    if images.is_empty() {
        return Err(Ignored::Image { image: pushed.image.clone() });
    }
    Ok(Verdict::Deploy { images, digest: pushed.digest.clone() })
}

fn check_repository(repository: &str, rules: &Rules) -> Result<(), Ignored> {
    match &rules.repository {
        Some(wanted) if !wanted.eq_ignore_ascii_case(repository) => {
            Err(Ignored::Repository { repository: repository.to_owned() })
        }
        _ => Ok(()),
    }
}

/// How a message asks for nothing to be run.
fn skip_marker(message: &str) -> Option<&'static str> {
    let message = message.to_ascii_lowercase();
    if let Some(marker) = MARKERS.into_iter().find(|marker| message.contains(*marker)) {
        return Some(marker);
    }
    // A subject alone has no trailers.
    let (_, last) = message.trim_end().rsplit_once("\n\n")?;
    let is_trailer = |line: &str| line.trim_end().replace(' ', "") == TRAILER.replace(' ', "");
    last.lines().any(is_trailer).then_some(TRAILER)
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
