//! Everything that can go wrong in the store, in words for the person who has to act.
//! SQLite's own errors are sorted by what the reader can do about them. Tests: `tests/it`, and those of `store`.

use std::io;
use std::path::PathBuf;

use havre_core::backup::target::name_some;
use havre_core::backup::{RepositoryId, What};
use havre_core::id::{BackupRunId, CopyId, DrillId, JobRunId, SwapId};
use havre_core::name::{EnvKey, JobName, ServiceName, TargetName};
use havre_core::secret::value::SecretVersion;
use havre_core::service::Place;
use havre_core::service::spec::RouteSpec;
use havre_core::time::Timestamp;
use rusqlite::ErrorCode;

/// Why the store could not do something. Whatever it was, nothing of that write was kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error("could not open the store {}: {} uses it; stop that one first", path.display(), holder(*pid))]
    InUse {
        /// The store.
        path: PathBuf,
        /// The process, where its lock file names one.
        pid: Option<u32>,
    },
    /// A file or thread could not be handled.
    #[error("could not {doing} {}", path.display())]
    File {
        /// What we were doing.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The disk is full.
    #[error(
        "could not write to the store: its disk is full; free some space and try again, nothing was changed"
    )]
    Full(#[source] rusqlite::Error),
    /// The disk or its file system failed.
    #[error(
        "could not read or write the store's file: the disk or file system failed; look at the kernel's log (dmesg) \
         and at the mount's options, nothing was changed"
    )]
    Disk(#[source] rusqlite::Error),
    /// The file may not be written.
    #[error(
        "could not write to the store: its file or folder is read-only for this user; nothing was changed"
    )]
    ReadOnly(#[source] rusqlite::Error),
    /// The file is damaged.
    #[error(
        "the store's file is damaged; stop havred, keep a copy of the file, and restore it from a backup"
    )]
    Damaged(#[source] rusqlite::Error),
    /// A statement failed for another reason: a bug of ours, or a broken law of the schema.
    #[error("could not run a statement on the store")]
    Statement(#[source] rusqlite::Error),
    /// SQLite did not accept a setting that safety depends on.
    #[error("could not open the store: SQLite answered {name}={got} where {wanted} is needed")]
    Setting {
        /// The pragma.
        name: &'static str,
        /// What we need.
        wanted: &'static str,
        /// What it answered.
        got: String,
    },
    /// The file is a database of something else.
    #[error("{} is not a Havre store", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// A newer Havre has written this store.
    #[error(
        "could not open the store: it was written by a newer havred (schema {found}, this one knows {known}); \
         start that version again, or restore the backup made before the upgrade"
    )]
    NewerSchema {
        /// Newest migration in the file.
        found: i64,
        /// Newest migration this program has.
        known: i64,
    },
    /// An older Havre has written this store, and who only looks does not change it.
    #[error(
        "could not look into the store: it was written by an older havred (schema {found}, this one knows {known}); control brings it up \
         to date when it starts"
    )]
    OlderSchema {
        /// Newest migration in the file.
        found: i64,
        /// Newest migration this program has.
        known: i64,
    },
    /// A migration in the file is not the one this program has under that number.
    #[error(
        "could not open the store: migration {number} ({name}) in it is not the one of this havred; \
         it was written by a different or modified build"
    )]
    ChangedMigration {
        /// Its number.
        number: i64,
        /// Its name in the file.
        name: String,
    },
    /// A row does not parse; it is never skipped.
    #[error("could not read {column} of row {id} of {table}: it is damaged, or written by another version")]
    Row {
        /// Table.
        table: &'static str,
        /// Row id.
        id: i64,
        /// Column.
        column: &'static str,
        /// What does not parse.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A value could not become a column.
    #[error("could not write {what} to the store")]
    Encode {
        /// What it is.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// There is no such row.
    #[error("there is no {kind} {id}")]
    NotFound {
        /// Kind of row.
        kind: &'static str,
        /// Its id or name.
        id: String,
    },
    /// The row is no longer in the state the caller planned from; plan again.
    #[error("{id} changed meanwhile: it is {found}, not {expected}")]
    Conflict {
        /// Which row.
        id: String,
        /// State the caller saw.
        expected: &'static str,
        /// State it is in.
        found: &'static str,
    },
    /// Another service has that address.
    #[error("the route {route} belongs to {owner} already")]
    RouteTaken {
        /// The address.
        route: RouteSpec,
        /// Who has it.
        owner: Place,
    },
    /// A site cannot become a service with tasks, nor back.
    #[error("{place} is a {is} and cannot become a {wanted}: destroy it first, or choose another name")]
    OtherKind {
        /// Which service.
        place: Place,
        /// What it is.
        is: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A database keeps its server and its version: its files are of no use to another one.
    #[error(
        "the database {place} is {is} and cannot become {wanted} as it is: its files are of no use to another server"
    )]
    OtherServer {
        /// Which database.
        place: Box<Place>,
        /// What it is.
        is: String,
        /// What was asked for.
        wanted: String,
    },
    /// Services use it.
    #[error("the database {place} is used by {}", list(users))]
    DatabaseInUse {
        /// Which database.
        place: Place,
        /// By whom.
        users: Vec<ServiceName>,
    },
    /// A password is being changed.
    #[error("the password of {service} for the database {place} is being changed already")]
    RotationRunning {
        /// Which database.
        place: Place,
        /// Whose password.
        service: ServiceName,
    },
    /// Two copies never go into one database at once.
    #[error("the copy {copy} into the database {place} has not ended, and two never go into one at once")]
    CopyRunning {
        /// Which database.
        place: Place,
        /// Its open copy.
        copy: CopyId,
    },
    /// A database that is swapped is left alone.
    #[error("{swap}, a swap or an upgrade of the database {place}, has not ended")]
    SwapRunning {
        /// Which database.
        place: Box<Place>,
        /// Its open swap.
        swap: SwapId,
    },
    /// Something is under way that a swap would break.
    #[error("could not begin to swap or upgrade the database {place}: {why}")]
    SwapRefused {
        /// Which database.
        place: Box<Place>,
        /// What.
        why: String,
    },
    /// Each of them is one of the streams of the API.
    #[error("{most} tunnels are open already, and that is the most there may be")]
    TooManyTunnels {
        /// How many.
        most: usize,
    },
    /// Runs of one job never overlap.
    #[error("{run} of the job {job} has not ended, and two runs of a job never overlap")]
    JobRunning {
        /// Which job.
        job: JobName,
        /// Its open run.
        run: JobRunId,
    },
    /// One run of each thing to each target.
    #[error("{run}, a backup of {what} to {target}, is not over")]
    BackupRunning {
        /// What it saves.
        what: Box<What>,
        /// Where to.
        target: TargetName,
        /// Which.
        run: BackupRunId,
    },
    /// One writer to each target.
    #[error("the backup target {target} is used by {run}")]
    TargetBusy {
        /// Which target.
        target: TargetName,
        /// By what.
        run: BackupRunId,
    },
    /// A target that lies somewhere else is another one.
    #[error(
        "the backup target {target} is at {is}, and cannot move: what was stored there would be lost from sight"
    )]
    TargetElsewhere {
        /// Which target.
        target: TargetName,
        /// Where it is.
        is: String,
    },
    /// More targets than anybody needs.
    #[error("there are {most} backup targets already, and that is the most there may be")]
    TooManyTargets {
        /// How many.
        most: usize,
    },
    /// Newest copies lie in it and nowhere else.
    #[error("the newest backup of {} lies in the backup target {target} only", name_some(what))]
    TargetNeeded {
        /// Which target.
        target: TargetName,
        /// Of what.
        what: Vec<What>,
    },
    /// Without its kit a repository is of no use to anybody once its password is gone from here.
    #[error(
        "nobody has the recovery kit of the backup target {target}, and without it nothing there can be read again"
    )]
    KitNotShown {
        /// Which target.
        target: TargetName,
    },
    /// A kit is shown once.
    #[error("the recovery kit of the backup target {target} was shown at {at}")]
    KitShown {
        /// Which target.
        target: TargetName,
        /// When.
        at: Timestamp,
    },
    /// A kit needs a repository.
    #[error("the backup target {target} has no repository yet")]
    NoRepository {
        /// Which target.
        target: TargetName,
    },
    /// Somebody has put another repository in its place.
    #[error("the repository of the backup target {target} is {}, but {} was found there", known.short(), found.short())]
    OtherRepository {
        /// Which target.
        target: TargetName,
        /// The one it has.
        known: RepositoryId,
        /// What was found.
        found: RepositoryId,
    },
    /// Each of them is a server that loads.
    #[error("{most} restores are under way already, and that is the most there may be")]
    TooManyRestores {
        /// How many.
        most: usize,
    },
    /// A service has as many volumes that restores have made as it may have.
    #[error("{place} has {most} volumes that restores have made, and that is the most there may be")]
    TooManyVolumes {
        /// The service.
        place: Place,
        /// How many.
        most: usize,
    },
    /// One drill of each thing at a time.
    #[error("{drill}, a drill of {what}, is not over")]
    DrillRunning {
        /// What it tries.
        what: Box<What>,
        /// Which.
        drill: DrillId,
    },
    /// A site has no tasks to scale.
    #[error("{place} is a site: it has no tasks to scale")]
    NotScalable {
        /// Which service.
        place: Place,
    },
    /// It is on its way out.
    #[error("{place} is being destroyed: wait until it is gone")]
    BeingDestroyed {
        /// Which service.
        place: Place,
    },
    /// Nobody asked to destroy it.
    #[error("could not remove {place}: nobody asked to destroy it")]
    NotDestroyed {
        /// Which service.
        place: Place,
    },
    /// Something still depends on the row.
    #[error("could not remove {what}: {dependents} left in it: {count}")]
    NotEmpty {
        /// Which row.
        what: String,
        /// How many.
        count: u64,
        /// Of what.
        dependents: &'static str,
    },
    /// Every address is in use.
    #[error(
        "no free {what} is left in {pool}: remove some tasks or environments, or give Havre a larger pool"
    )]
    PoolExhausted {
        /// What was wanted.
        what: &'static str,
        /// The pool.
        pool: String,
    },
    /// The two address pools cannot be used.
    #[error("could not open the store: {0}")]
    Pools(String),
    /// A name is in use.
    #[error("there is a {kind} named {name} already")]
    NameTaken {
        /// Kind of row.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Something must be sealed or opened, and there is no key for it.
    #[error(
        "there is no master key, so nothing secret can be kept; make one with `havred key create` and restart havred control"
    )]
    NoMasterKey,
    /// The key that sealed rows is not there.
    #[error(
        "could not open the store: it holds values sealed with the master key {wanted}, and {}; restore that key, \
         nothing was changed",
        found.as_ref().map_or("there is no master key".to_owned(), |found| format!("the one there is {found}"))
    )]
    WrongMasterKey {
        /// Name of the key in the store.
        wanted: String,
        /// Name of the one that was given.
        found: Option<String>,
    },
    /// A sealed value cannot be opened.
    #[error("could not open {column} of {row} in {table}: {why}")]
    Sealed {
        /// Table.
        table: &'static str,
        /// Row.
        row: String,
        /// Column.
        column: &'static str,
        /// Why.
        why: &'static str,
    },
    /// A value that a release starts with was removed.
    #[error("{version} of the secret {name} is not kept any more")]
    SecretGone {
        /// Which secret.
        name: EnvKey,
        /// Which value of it.
        version: SecretVersion,
    },
    /// Services would be left without it.
    #[error("the secret {name} is used by {}", users.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    SecretInUse {
        /// Which secret.
        name: EnvKey,
        /// By whom.
        users: Vec<Place>,
    },
    /// No random bytes.
    #[error("could not find random bytes to seal a value with")]
    Random {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A statement's error was swallowed inside a write, so the whole write was dropped.
    #[error("could not commit to the store: SQLite had given the write up after an earlier error")]
    GivenUp,
    /// The store's threads are gone.
    #[error("the store is closed")]
    Closed,
}

fn list(names: &[ServiceName]) -> String {
    let names: Vec<&str> = names.iter().map(ServiceName::as_str).collect();
    names.join(", ")
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(error),
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => Self::Disk(error),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly(error),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error),
            _ => Self::Statement(error),
        }
    }
}

impl StoreError {
    /// `NotFound` for an id or name.
    pub(crate) fn not_found(kind: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound { kind, id: id.to_string() }
    }
}
