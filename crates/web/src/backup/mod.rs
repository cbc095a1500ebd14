//! Backups: targets are set and runs are asked for here; what runs is the loop. Who decides where backups lie is the owner of the machine, so
//! that targets are handled there only. No answer holds a password, but for the recovery kit.

pub mod check;
pub mod run;
pub mod status;
pub mod target;

use havre_core::backup::credential::CredentialError;
use havre_core::backup::run::BackupRun;
use havre_core::backup::state::State;
use havre_core::backup::target::BackupTarget;

use crate::error::{Code, Refusal};

/// The wire form of a target.
pub(crate) fn wire_target(row: BackupTarget) -> havre_api::backup::BackupTarget {
    havre_api::backup::BackupTarget {
        name: row.spec.name,
        address: row.spec.location.to_string(),
        location: row.spec.location,
        medium: row.spec.medium,
        is_offsite: row.spec.is_offsite,
        repository: row.repository,
        has_credential: row.has_credential,
        state: row.state,
        kit_shown_at: row.kit_shown_at,
        created_at: row.created_at,
    }
}

/// The wire form of a run.
pub(crate) fn wire_run(row: BackupRun) -> havre_api::backup::BackupRun {
    let failure = match &row.state {
        State::Failed { reason, .. } => reason.to_string(),
        State::Dumping { .. } | State::Storing { .. } | State::Verifying { .. } | State::Good { .. } => {
            String::new()
        }
    };
    havre_api::backup::BackupRun {
        id: row.id,
        name: row.what.to_string(),
        status: row.shown_state(),
        is_final: row.state.is_over(),
        what: row.what,
        target: row.target,
        state: row.state,
        failure,
        asked_by: row.asked_by,
        produced_bytes: row.progress.produced_bytes,
        added_bytes: row.progress.added_bytes,
        snapshot: row.snapshot,
        manifest: row.manifest,
        cancel_requested: row.cancel_requested,
        created_at: row.created_at,
        begun_at: row.begun_at,
        ended_at: row.ended_at,
        forgotten_at: row.forgotten_at,
    }
}

/// What somebody gave as a credential is none.
pub(crate) fn credential_refused(error: CredentialError) -> Refusal {
    let hint = match error {
        CredentialError::NotNeeded => "leave it out",
        CredentialError::Missing | CredentialError::S3 | CredentialError::Sftp => {
            "`havre backup target set` reads it from standard input"
        }
    };
    Refusal::new(Code::BackupTargetInvalid, error.to_string()).hint(hint)
}
