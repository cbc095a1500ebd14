//! What is said to `havred recover`. Nothing secret is: passwords and keys come from files, from a terminal or from standard input.

use std::path::PathBuf;

use havre_core::backup::RepositoryId;
use havre_core::backup::location::Location;
use havre_core::ssh_key::Fingerprint;
use havre_core::time::Timestamp;
use havre_rescue::place::{Beside, PlaceError, parse};
use havre_rescue::restore::Wanted;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Where the repository lies, as its recovery kit says: /mnt/disk/havre, s3:https://..., sftp://user@machine:22//path
    #[arg(long, value_name = "PLACE")]
    pub(super) from: String,
    /// Of a bucket: where the storage says it is, such as eu-west-3
    #[arg(long, value_name = "NAME")]
    pub(super) region: Option<String>,
    /// Of a bucket: it stands in the path, not in the host
    #[arg(long)]
    pub(super) path_style: bool,
    /// Of another machine: fingerprint of its key, which stands in the recovery kit
    #[arg(long, value_name = "SHA256:...")]
    pub(super) host_key: Option<Fingerprint>,
    /// Id of the repository, to be sure that it is the one of this recovery kit
    #[arg(long, value_name = "ID")]
    pub(super) repository: Option<RepositoryId>,
    /// File with the password of the repository; without it, it is asked for, or read from standard input
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// File with the two keys of a bucket in two lines, or with the private key for SSH
    #[arg(long, value_name = "FILE")]
    pub(super) credential_file: Option<PathBuf>,
    /// File with the master key of the old server, which is put where the configuration says; without it, it has to be there
    #[arg(long, value_name = "FILE")]
    pub(super) master_key_file: Option<PathBuf>,
    /// Only shows which states there are
    #[arg(long)]
    pub(super) list: bool,
    /// The newest state that is not younger than this, such as 2026-11-24T10:00:00Z; the newest of all without it
    #[arg(long, value_name = "INSTANT", value_parser = instant, conflicts_with = "snapshot")]
    pub(super) at: Option<Timestamp>,
    /// The state whose snapshot begins with these digits
    #[arg(long, value_name = "ID")]
    pub(super) snapshot: Option<String>,
    /// Reads and checks everything, says what would come of it, and leaves nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// The old server does not run any more, although it saved something a short while ago
    #[arg(long)]
    pub(super) old_server_is_gone: bool,
}

fn instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|error| error.to_string())
}

impl Options {
    /// Where the repository lies.
    pub(super) fn location(&self) -> Result<Location, PlaceError> {
        let (region, path_style, host_key) = (self.region.clone(), self.path_style, self.host_key.clone());
        parse(&self.from, &Beside { region, path_style, host_key })
    }

    /// Which state is wanted.
    pub(super) fn wanted(&self) -> Wanted {
        match (&self.snapshot, self.at) {
            (Some(snapshot), _) => Wanted::Snapshot(snapshot.clone()),
            (None, Some(at)) => Wanted::At(at),
            (None, None) => Wanted::Newest,
        }
    }
}
