//! What becomes of each row of a store that came back on another server. What is on disk there is nothing: no task, no volume, no database, no
//! site, no image. So nothing may be said to be there: tasks are forgotten, databases wait for their newest backup, what was under way is over.
//! Services, routes, certificates, secrets, webhooks and schedules are rows, and stay. Pure; tests at the end of the file.

use std::fmt;

use havre_core::artifact::Artifact;
use havre_core::backup::{Content, SnapshotId};
use havre_core::id::{CopyId, DatabaseId, RestoreId, SwapId, TaskId, TunnelId};
use havre_core::name::{ProjectName, TargetName};
use havre_core::quantity::Span;
use havre_core::service::Place;
use havre_core::source::RefName;
use havre_core::time::Timestamp;

use havre_decide::swap::state::State as Swap;

/// Something that was saved later than this ago may come from a server that still works.
pub const ALIVE: Span = Span::seconds(2 * 3600);
/// Most names in a sentence.
const NAMED_MAX: usize = 20;

/// A state of Havre that was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Its snapshot.
    pub snapshot: SnapshotId,
    /// When its run began.
    pub at: Timestamp,
    /// What must come out.
    pub content: Content,
}

/// How long ago somebody saved something into a repository, where that is so short that he may still be alive.
pub fn alive(newest: Option<Timestamp>, now: Timestamp) -> Option<Span> {
    // One in the future is of a clock that is ahead: no longer ago than now.
    let ago = now.since(newest?);
    (ago < ALIVE.duration()).then(|| Span::seconds(ago.as_secs()))
}

/// A database of the store that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenDatabase {
    /// Its row.
    pub id: DatabaseId,
    /// Where it belongs.
    pub place: Place,
    /// Somebody had asked for it to go.
    pub is_destroying: bool,
    /// A restore was filling it.
    pub is_being_filled: bool,
    /// Of when its newest backup is that the store knows of.
    pub newest: Option<Timestamp>,
}

/// A service of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenService {
    /// Where it belongs.
    pub place: Place,
    /// What its live release runs.
    pub live: Option<Artifact>,
    /// It keeps files in volumes.
    pub has_volumes: bool,
}

/// What is in a store that came back, as far as something has to become of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Tasks of services.
    pub tasks: Vec<TaskId>,
    /// Restores that were under way.
    pub restores: Vec<RestoreId>,
    /// Copies that were under way.
    pub copies: Vec<CopyId>,
    /// Swaps that were under way.
    pub swaps: Vec<SwapId>,
    /// Ways into databases.
    pub tunnels: Vec<TunnelId>,
    /// Databases.
    pub databases: Vec<SeenDatabase>,
    /// Services.
    pub services: Vec<SeenService>,
    /// Targets of backups.
    pub targets: Vec<TargetName>,
    /// Branches and tags of repositories that were pushed or fetched.
    pub refs: Vec<(ProjectName, RefName)>,
    /// Public host names.
    pub hosts: Vec<String>,
}

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is over, and so is what it was making.
    EndRestore(RestoreId),
    /// It is over.
    EndCopy(CopyId),
    /// It is over.
    EndSwap(SwapId),
    /// It is over.
    CloseTunnel(TunnelId),
    /// Nothing runs; its service gets others.
    ForgetTask(TaskId),
    /// The repository is not there: the next push of the same commit is a push.
    ForgetRef {
        /// Whose repository.
        project: ProjectName,
        /// Which branch or tag.
        reference: RefName,
    },
    /// Its data is not there.
    Lose {
        /// Its row.
        database: DatabaseId,
        /// Where it belongs.
        place: Place,
        /// What comes back.
        newest: Option<Timestamp>,
    },
    /// Nobody knows whether it can be used from here.
    LookAt(TargetName),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndRestore(id) => write!(f, "end the restore {id}"),
            Self::EndCopy(id) => write!(f, "end the copy {id}"),
            Self::EndSwap(id) => write!(f, "end the swap {id}"),
            Self::CloseTunnel(id) => write!(f, "close the tunnel {id}"),
            Self::ForgetTask(id) => write!(f, "forget the task {id}"),
            Self::ForgetRef { project, reference } => write!(f, "forget {reference} of {project}"),
            Self::Lose { place, newest: Some(at), .. } => {
                write!(f, "database {place}: put its backup of {at} back")
            }
            Self::Lose { place, newest: None, .. } => write!(f, "database {place}: wait, it has no backup"),
            Self::LookAt(target) => write!(f, "look at the backup target {target}"),
        }
    }
}

/// Chooses, in the order in which it is done.
pub fn plan(seen: &Seen) -> Vec<Step> {
    let mut steps: Vec<Step> = seen.restores.iter().map(|id| Step::EndRestore(*id)).collect();
    steps.extend(seen.copies.iter().map(|id| Step::EndCopy(*id)));
    steps.extend(seen.swaps.iter().map(|id| Step::EndSwap(*id)));
    steps.extend(seen.tunnels.iter().map(|id| Step::CloseTunnel(*id)));
    steps.extend(seen.tasks.iter().map(|id| Step::ForgetTask(*id)));
    steps.extend(seen.refs.iter().map(|(project, reference)| Step::ForgetRef {
        project: project.clone(),
        reference: reference.clone(),
    }));
    steps.extend(lost(seen).map(|database| Step::Lose {
        database: database.id,
        place: database.place.clone(),
        newest: database.newest,
    }));
    steps.extend(seen.targets.iter().map(|target| Step::LookAt(target.clone())));
    steps
}

/// One that goes anyway needs nothing; one that was being filled goes with its restore, or is lost already.
fn lost(seen: &Seen) -> impl Iterator<Item = &SeenDatabase> {
    seen.databases.iter().filter(|database| !database.is_destroying && !database.is_being_filled)
}

/// How a swap ends whose servers are gone: what is stored of names is true of what comes back.
pub fn ended_swap(state: &Swap, now: Timestamp) -> Swap {
    match state {
        Swap::Closing { .. }
        | Swap::Saving { .. }
        | Swap::Restoring { .. }
        | Swap::Renaming { .. }
        | Swap::Stopping { .. } => Swap::Cancelled { at: now },
        // Names are exchanged.
        Swap::Starting { .. } | Swap::Deploying { .. } => Swap::Succeeded { at: now },
        Swap::Undoing { outcome, .. } => outcome.ended(now),
        Swap::Succeeded { .. } | Swap::Failed { .. } | Swap::Cancelled { .. } => state.clone(),
    }
}

/// Names, with how many more there are.
fn named(names: &[String]) -> String {
    let mut some: Vec<String> = names.iter().take(NAMED_MAX).cloned().collect();
    if names.len() > some.len() {
        some.push(format!("{} more", names.len() - some.len()));
    }
    some.join(", ")
}

fn places<'a>(services: impl Iterator<Item = &'a SeenService>) -> Vec<String> {
    services.map(|service| service.place.to_string()).collect()
}

/// What is left to do for a person once Havre runs again, in its order.
pub fn left(seen: &Seen) -> Vec<String> {
    let mut left = Vec::new();
    let mut say = |names: &[String], text: &dyn Fn(String) -> String| {
        if !names.is_empty() {
            left.push(text(named(names)));
        }
    };
    let with: Vec<String> =
        lost(seen).filter_map(|one| Some(format!("{} (of {})", one.place, one.newest?))).collect();
    say(&with, &|names| {
        format!(
            "Databases come back by themselves, out of their newest backup: {names}. `havre db list` and `havre restore list DATABASE --done` show \
             how far they are."
        )
    });
    let without: Vec<String> =
        lost(seen).filter(|one| one.newest.is_none()).map(|one| one.place.to_string()).collect();
    say(&without, &|names| {
        format!(
            "These databases have no backup, and do not start empty by themselves: {names}. `havre db destroy DATABASE`, then `havre apply`, \
             makes an empty one."
        )
    });
    let built = |service: &&SeenService| matches!(service.live, Some(Artifact::Image { pull: None, .. }));
    say(&places(seen.services.iter().filter(built)), &|names| {
        format!(
            "Images of these services were built on the old server, and are in no backup: {names}. Run `havre deploy` where their sources \
             are."
        )
    });
    let site = |service: &&SeenService| matches!(service.live, Some(Artifact::Site { .. }));
    say(&places(seen.services.iter().filter(site)), &|names| {
        format!("Files of these sites are in no backup: {names}. Run `havre deploy` where their sources are.")
    });
    say(&places(seen.services.iter().filter(|service| service.has_volumes)), &|names| {
        format!(
            "Files in volumes of these services are in no backup of Havre, and their volumes begin empty: {names}. Put them back before users \
             come."
        )
    });
    say(&seen.hosts, &|names| format!("Point these names at the new server: {names}."));
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use havre_decide::swap::state::Outcome;

    const NOW: Timestamp = Timestamp::from_millis(1_763_978_400_000);

    fn place(name: &str) -> Place {
        Place {
            project: "shop".parse().expect("is a name"),
            environment: "production".parse().expect("is a name"),
            service: name.parse().expect("is a name"),
        }
    }

    fn database(id: i64, name: &str) -> SeenDatabase {
        SeenDatabase {
            id: DatabaseId::new(id),
            place: place(name),
            is_destroying: false,
            is_being_filled: false,
            newest: Some(NOW),
        }
    }

    fn service(name: &str, live: Option<Artifact>) -> SeenService {
        SeenService { place: place(name), live, has_volumes: false }
    }

    fn image(pull: Option<&str>) -> Option<Artifact> {
        let pull = pull.map(|text| text.parse().expect("is a reference"));
        Some(Artifact::Image { id: "a".repeat(64).parse().expect("is a digest"), pull })
    }

    #[test]
    fn nothing_is_said_to_be_there() {
        let seen = Seen {
            tasks: vec![TaskId::new(1), TaskId::new(2)],
            restores: vec![RestoreId::new(3)],
            databases: vec![
                database(1, "db"),
                SeenDatabase { newest: None, ..database(2, "cache") },
                SeenDatabase { is_destroying: true, ..database(3, "old") },
                SeenDatabase { is_being_filled: true, ..database(4, "db-restored-1") },
            ],
            targets: vec!["disk".parse().expect("is a name")],
            refs: vec![("shop".parse().expect("is a name"), "refs/heads/main".parse().expect("is a ref"))],
            ..Seen::default()
        };
        let steps: Vec<String> = plan(&seen).iter().map(ToString::to_string).collect();
        assert_eq!(
            steps,
            [
                "end the restore v3",
                "forget the task t1",
                "forget the task t2",
                "forget refs/heads/main of shop",
                "database shop/production/db: put its backup of 2025-11-24T10:00:00.000Z back",
                "database shop/production/cache: wait, it has no backup",
                "look at the backup target disk",
            ]
        );
        assert!(plan(&Seen::default()).is_empty());
    }

    #[test]
    fn what_no_backup_holds_is_named() {
        let digest = "b".repeat(64).parse().expect("is a digest");
        let seen = Seen {
            databases: vec![database(1, "db"), SeenDatabase { newest: None, ..database(2, "cache") }],
            services: vec![
                service("api", image(None)),
                service(
                    "proxy",
                    image(Some(
                        "nginx@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                    )),
                ),
                service("docs", Some(Artifact::Site { digest })),
                SeenService { has_volumes: true, ..service("files", None) },
            ],
            hosts: vec!["shop.example.org".to_owned()],
            ..Seen::default()
        };
        let left = left(&seen);
        assert_eq!(left.len(), 6, "{left:#?}");
        for (line, name) in
            left.iter().zip(["production/db (of 2025", "cache", "api", "docs", "files", "shop.example.org"])
        {
            assert!(line.contains(name), "{line} says nothing of {name}");
        }
        assert!(!left.iter().any(|line| line.contains("proxy")), "it is pulled");
        assert_eq!(super::left(&Seen::default()), [""; 0]);
    }

    #[test]
    fn many_are_counted() {
        let names: Vec<String> = (0..NAMED_MAX + 3).map(|number| format!("s{number}")).collect();
        assert!(named(&names).ends_with("s19, 3 more"));
    }

    #[test]
    fn who_saved_something_lately_may_be_alive() {
        let ago = |seconds: i64| Some(Timestamp::from_millis(NOW.as_millis() - seconds * 1000));
        assert_eq!(alive(None, NOW), None);
        assert_eq!(alive(ago(60), NOW), Some(Span::seconds(60)));
        assert_eq!(alive(ago(-60), NOW), Some(Span::seconds(0)));
        assert_eq!(alive(ago(2 * 3600), NOW), None);
    }

    #[test]
    fn names_are_what_the_store_says() {
        let ended = |state: &Swap| ended_swap(state, NOW).name();
        assert_eq!(ended(&Swap::Stopping { since: NOW }), "cancelled");
        assert_eq!(ended(&Swap::Starting { since: NOW }), "succeeded");
        assert_eq!(ended(&Swap::Undoing { since: NOW, outcome: Outcome::Cancelled }), "cancelled");
        assert_eq!(ended(&Swap::Succeeded { at: NOW }), "succeeded");
    }
}
