//! Every refusal: its stable code, its status, its text. The one page of status codes:
//!
//! | status | codes | meaning |
//! |---|---|---|
//! | 400 | `body_invalid` `query_invalid` `name_invalid` `confirm_missing` `payload_invalid` | the request itself is wrong; sending it again cannot help |
//! | 401 | `unauthorised` `delivery_refused` | no valid access token; a delivery whose sender does not know the secret of the webhook |
//! | 403 | `machine_only` `forbidden` | known, but not allowed through this door |
//! | 404 | `path_not_found` `environment_not_found` `service_not_found` `release_not_found` `deployment_not_found` `build_not_found` `build_secret_not_found` `pipeline_not_found` `preview_not_found` `repository_not_found` `task_not_found` `token_not_found` `ssh_key_not_found` `certificate_not_found` `issuer_not_found` `provider_not_found` `registry_not_found` `remote_not_found` `webhook_not_found` `job_not_found` `job_run_not_found` `secret_not_found` `secret_provider_not_found` `database_not_found` `backup_target_not_found` `backup_run_not_found` `copy_not_found` `swap_not_found` `snapshot_not_found` `restore_not_found` `drill_not_found` `content_not_found` | there is no such thing |
//! | 405 | `method_not_allowed` | the path exists, the method does not |
//! | 408 | `upload_stalled` | the client stopped sending |
//! | 409 | `route_taken` `state_changed` `being_destroyed` `other_kind` `nothing_live` `nothing_to_roll_back_to` `nothing_to_promote` `already_live` `already_over` `name_taken` `build_needed` `not_scalable` `task_not_running` `not_renewable` `no_master_key` `delivery_repeated` `job_running` `secret_in_use` `database_in_use` `rotation_running` `backup_running` `backup_target_in_use` `backup_target_elsewhere` `no_backup_target` `no_backup_repository` `kit_shown` `copy_running` `swap_running` `swap_refused` `too_many_restores` `drill_running` `public_url_missing` | right in itself, but not in the present state |
//! | 413 | `body_too_large` `context_too_large` | over a limit |
//! | 415 | `payload_form` | a form instead of JSON |
//! | 422 | `push_refused` `spec_invalid` `context_invalid` `image_invalid` `build_secret_invalid` `certificate_invalid` `issuer_invalid` `provider_invalid` `registry_invalid` `remote_invalid` `webhook_invalid` `secret_invalid` `backup_target_invalid` `backup_unsupported` `payload_refused` `copy_refused` `policy_invalid` | well formed, but breaks a rule |
//! | 429 | `too_many_streams` | too many streams or uploads at once; try again later |
//! | 500 | `internal` | a bug or a damaged store; the server's log says more |
//! | 501 | `locks_unsupported` | Git LFS goes on without locks |
//! | 503 | `unavailable` | the engine or the store cannot be used right now |
//! | 504 | `timeout` | no answer in time; what was asked for may still happen |
//! | 507 | `disk_full` | the server's disk is full; nothing was changed |
//!
//! Internal causes go to the log, never into a body. Tests: at the end of the file and in `tests/it`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use havre_api::error::ErrorBody;
use havre_core::artifact::ArtifactError;
use havre_core::id::IdError;
use havre_core::name::NameError;
use havre_core::preview::PullNumberError;
use havre_core::registry::RegistryHostError;
use havre_store::StoreError;
use havre_webhook::provider::ProviderError;
use http::StatusCode;

/// Stable name of a kind of refusal; see the table at the top of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table at the top of the file documents them side by side")]
pub enum Code {
    BodyInvalid,
    QueryInvalid,
    NameInvalid,
    ConfirmMissing,
    PayloadInvalid,
    Unauthorised,
    DeliveryRefused,
    MachineOnly,
    Forbidden,
    PathNotFound,
    EnvironmentNotFound,
    ServiceNotFound,
    ReleaseNotFound,
    DeploymentNotFound,
    BuildNotFound,
    BuildSecretNotFound,
    PipelineNotFound,
    PreviewNotFound,
    RepositoryNotFound,
    TaskNotFound,
    TokenNotFound,
    SshKeyNotFound,
    CertificateNotFound,
    IssuerNotFound,
    ProviderNotFound,
    JobNotFound,
    JobRunNotFound,
    JobRunning,
    SecretNotFound,
    SecretProviderNotFound,
    SecretInUse,
    SecretInvalid,
    DatabaseNotFound,
    DatabaseInUse,
    RotationRunning,
    BackupTargetNotFound,
    BackupTargetInvalid,
    BackupTargetInUse,
    BackupTargetElsewhere,
    BackupRunNotFound,
    BackupRunning,
    BackupUnsupported,
    SnapshotNotFound,
    RestoreNotFound,
    TooManyRestores,
    DrillNotFound,
    DrillRunning,
    NoBackupTarget,
    NoBackupRepository,
    KitShown,
    CopyNotFound,
    CopyRunning,
    CopyRefused,
    SwapNotFound,
    SwapRunning,
    SwapRefused,
    PolicyInvalid,
    RegistryNotFound,
    RemoteNotFound,
    WebhookNotFound,
    MethodNotAllowed,
    UploadStalled,
    RouteTaken,
    StateChanged,
    BeingDestroyed,
    OtherKind,
    NothingLive,
    NothingToRollBackTo,
    NothingToPromote,
    AlreadyLive,
    AlreadyOver,
    NameTaken,
    BuildNeeded,
    NotScalable,
    TaskNotRunning,
    NotRenewable,
    NoMasterKey,
    DeliveryRepeated,
    BodyTooLarge,
    ContextTooLarge,
    PayloadForm,
    PushRefused,
    SpecInvalid,
    ContextInvalid,
    ImageInvalid,
    BuildSecretInvalid,
    CertificateInvalid,
    IssuerInvalid,
    ProviderInvalid,
    RegistryInvalid,
    RemoteInvalid,
    WebhookInvalid,
    PayloadRefused,
    TooManyStreams,
    Internal,
    Unavailable,
    Timeout,
    DiskFull,
    LocksUnsupported,
    ContentNotFound,
    PublicUrlMissing,
}

impl Code {
    /// Name in bodies and status of the answer.
    #[expect(clippy::too_many_lines, reason = "a table with a line for each code")]
    pub const fn parts(self) -> (&'static str, StatusCode) {
        match self {
            Self::BodyInvalid => ("body_invalid", StatusCode::BAD_REQUEST),
            Self::QueryInvalid => ("query_invalid", StatusCode::BAD_REQUEST),
            Self::NameInvalid => ("name_invalid", StatusCode::BAD_REQUEST),
            Self::ConfirmMissing => ("confirm_missing", StatusCode::BAD_REQUEST),
            Self::Unauthorised => ("unauthorised", StatusCode::UNAUTHORIZED),
            Self::MachineOnly => ("machine_only", StatusCode::FORBIDDEN),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
            Self::PathNotFound => ("path_not_found", StatusCode::NOT_FOUND),
            Self::EnvironmentNotFound => ("environment_not_found", StatusCode::NOT_FOUND),
            Self::ServiceNotFound => ("service_not_found", StatusCode::NOT_FOUND),
            Self::ReleaseNotFound => ("release_not_found", StatusCode::NOT_FOUND),
            Self::DeploymentNotFound => ("deployment_not_found", StatusCode::NOT_FOUND),
            Self::BuildNotFound => ("build_not_found", StatusCode::NOT_FOUND),
            Self::BuildSecretNotFound => ("build_secret_not_found", StatusCode::NOT_FOUND),
            Self::BuildSecretInvalid => ("build_secret_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::PipelineNotFound => ("pipeline_not_found", StatusCode::NOT_FOUND),
            Self::PreviewNotFound => ("preview_not_found", StatusCode::NOT_FOUND),
            Self::RepositoryNotFound => ("repository_not_found", StatusCode::NOT_FOUND),
            Self::TaskNotFound => ("task_not_found", StatusCode::NOT_FOUND),
            Self::TokenNotFound => ("token_not_found", StatusCode::NOT_FOUND),
            Self::SshKeyNotFound => ("ssh_key_not_found", StatusCode::NOT_FOUND),
            Self::CertificateNotFound => ("certificate_not_found", StatusCode::NOT_FOUND),
            Self::IssuerNotFound => ("issuer_not_found", StatusCode::NOT_FOUND),
            Self::ProviderNotFound => ("provider_not_found", StatusCode::NOT_FOUND),
            Self::JobNotFound => ("job_not_found", StatusCode::NOT_FOUND),
            Self::JobRunNotFound => ("job_run_not_found", StatusCode::NOT_FOUND),
            Self::JobRunning => ("job_running", StatusCode::CONFLICT),
            Self::SecretNotFound => ("secret_not_found", StatusCode::NOT_FOUND),
            Self::SecretProviderNotFound => ("secret_provider_not_found", StatusCode::NOT_FOUND),
            Self::SecretInUse => ("secret_in_use", StatusCode::CONFLICT),
            Self::SecretInvalid => ("secret_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::DatabaseNotFound => ("database_not_found", StatusCode::NOT_FOUND),
            Self::DatabaseInUse => ("database_in_use", StatusCode::CONFLICT),
            Self::RotationRunning => ("rotation_running", StatusCode::CONFLICT),
            Self::BackupTargetNotFound => ("backup_target_not_found", StatusCode::NOT_FOUND),
            Self::BackupTargetInvalid => ("backup_target_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::BackupTargetInUse => ("backup_target_in_use", StatusCode::CONFLICT),
            Self::BackupTargetElsewhere => ("backup_target_elsewhere", StatusCode::CONFLICT),
            Self::BackupRunNotFound => ("backup_run_not_found", StatusCode::NOT_FOUND),
            Self::BackupRunning => ("backup_running", StatusCode::CONFLICT),
            Self::BackupUnsupported => ("backup_unsupported", StatusCode::UNPROCESSABLE_ENTITY),
            Self::NoBackupTarget => ("no_backup_target", StatusCode::CONFLICT),
            Self::NoBackupRepository => ("no_backup_repository", StatusCode::CONFLICT),
            Self::KitShown => ("kit_shown", StatusCode::CONFLICT),
            Self::CopyNotFound => ("copy_not_found", StatusCode::NOT_FOUND),
            Self::CopyRunning => ("copy_running", StatusCode::CONFLICT),
            Self::CopyRefused => ("copy_refused", StatusCode::UNPROCESSABLE_ENTITY),
            Self::SwapNotFound => ("swap_not_found", StatusCode::NOT_FOUND),
            Self::SwapRunning => ("swap_running", StatusCode::CONFLICT),
            Self::SwapRefused => ("swap_refused", StatusCode::CONFLICT),
            Self::PolicyInvalid => ("policy_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::SnapshotNotFound => ("snapshot_not_found", StatusCode::NOT_FOUND),
            Self::RestoreNotFound => ("restore_not_found", StatusCode::NOT_FOUND),
            Self::TooManyRestores => ("too_many_restores", StatusCode::CONFLICT),
            Self::DrillNotFound => ("drill_not_found", StatusCode::NOT_FOUND),
            Self::DrillRunning => ("drill_running", StatusCode::CONFLICT),
            Self::PayloadInvalid => ("payload_invalid", StatusCode::BAD_REQUEST),
            Self::DeliveryRefused => ("delivery_refused", StatusCode::UNAUTHORIZED),
            Self::RegistryNotFound => ("registry_not_found", StatusCode::NOT_FOUND),
            Self::RemoteNotFound => ("remote_not_found", StatusCode::NOT_FOUND),
            Self::WebhookNotFound => ("webhook_not_found", StatusCode::NOT_FOUND),
            Self::DeliveryRepeated => ("delivery_repeated", StatusCode::CONFLICT),
            Self::PayloadForm => ("payload_form", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::RegistryInvalid => ("registry_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::RemoteInvalid => ("remote_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::WebhookInvalid => ("webhook_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::PayloadRefused => ("payload_refused", StatusCode::UNPROCESSABLE_ENTITY),
            Self::NotRenewable => ("not_renewable", StatusCode::CONFLICT),
            Self::NoMasterKey => ("no_master_key", StatusCode::CONFLICT),
            Self::CertificateInvalid => ("certificate_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::IssuerInvalid => ("issuer_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::ProviderInvalid => ("provider_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::UploadStalled => ("upload_stalled", StatusCode::REQUEST_TIMEOUT),
            Self::RouteTaken => ("route_taken", StatusCode::CONFLICT),
            Self::StateChanged => ("state_changed", StatusCode::CONFLICT),
            Self::BeingDestroyed => ("being_destroyed", StatusCode::CONFLICT),
            Self::OtherKind => ("other_kind", StatusCode::CONFLICT),
            Self::NothingLive => ("nothing_live", StatusCode::CONFLICT),
            Self::NothingToRollBackTo => ("nothing_to_roll_back_to", StatusCode::CONFLICT),
            Self::NothingToPromote => ("nothing_to_promote", StatusCode::CONFLICT),
            Self::AlreadyLive => ("already_live", StatusCode::CONFLICT),
            Self::AlreadyOver => ("already_over", StatusCode::CONFLICT),
            Self::NameTaken => ("name_taken", StatusCode::CONFLICT),
            Self::BuildNeeded => ("build_needed", StatusCode::CONFLICT),
            Self::NotScalable => ("not_scalable", StatusCode::CONFLICT),
            Self::TaskNotRunning => ("task_not_running", StatusCode::CONFLICT),
            Self::BodyTooLarge => ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::ContextTooLarge => ("context_too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::PushRefused => ("push_refused", StatusCode::UNPROCESSABLE_ENTITY),
            Self::SpecInvalid => ("spec_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::ContextInvalid => ("context_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::ImageInvalid => ("image_invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::TooManyStreams => ("too_many_streams", StatusCode::TOO_MANY_REQUESTS),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::Timeout => ("timeout", StatusCode::GATEWAY_TIMEOUT),
            Self::DiskFull => ("disk_full", StatusCode::INSUFFICIENT_STORAGE),
            Self::LocksUnsupported => ("locks_unsupported", StatusCode::NOT_IMPLEMENTED),
            Self::ContentNotFound => ("content_not_found", StatusCode::NOT_FOUND),
            Self::PublicUrlMissing => ("public_url_missing", StatusCode::CONFLICT),
        }
    }
}

/// A request that is refused, ready to be sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Kind.
    pub code: Code,
    /// What went wrong, for people.
    pub message: String,
    /// What to do next, for people; may be empty.
    pub hint: String,
    /// Further data.
    pub details: Option<serde_json::Value>,
}

impl Refusal {
    /// Without hint and details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: String::new(), details: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Adds further data.
    #[must_use]
    pub fn details(mut self, details: serde_json::Value) -> Self {
        self.details = Some(details);
        self
    }

    /// The body it is sent as.
    pub fn body(self) -> ErrorBody {
        let (code, _) = self.code.parts();
        ErrorBody { code: code.to_owned(), message: self.message, hint: self.hint, details: self.details }
    }

    /// A bug of ours or a damaged store; the cause goes to the log only.
    pub(crate) fn internal(doing: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = chain(error), "could not {doing}");
        Self::new(Code::Internal, "the server could not answer because of an error of its own")
            .hint("the log of havred on the server says what happened")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (_, status) = self.code.parts();
        let mut response = (status, Json(self.body())).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(http::header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::new(Code::NameInvalid, error.to_string())
    }
}

impl From<ArtifactError> for Refusal {
    fn from(error: ArtifactError) -> Self {
        Self::new(Code::NameInvalid, error.to_string())
    }
}

impl From<ProviderError> for Refusal {
    fn from(error: ProviderError) -> Self {
        Self::new(Code::NameInvalid, error.to_string())
    }
}

impl From<RegistryHostError> for Refusal {
    fn from(error: RegistryHostError) -> Self {
        Self::new(Code::NameInvalid, error.to_string())
    }
}

impl From<PullNumberError> for Refusal {
    fn from(error: PullNumberError) -> Self {
        Self::new(Code::NameInvalid, error.to_string())
    }
}

impl From<IdError> for Refusal {
    fn from(error: IdError) -> Self {
        Self::new(Code::NameInvalid, error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::RouteTaken { route, owner } => route_taken(&route.to_string(), &owner.to_string()),
            StoreError::Conflict { .. } => Self::new(Code::StateChanged, text)
                .hint("look at it again, then repeat the request if you still want it"),
            StoreError::BeingDestroyed { .. } => Self::new(Code::BeingDestroyed, text),
            StoreError::OtherKind { .. } => Self::new(Code::OtherKind, text),
            StoreError::NotScalable { .. } => Self::new(Code::NotScalable, text),
            StoreError::JobRunning { run, .. } => Self::new(Code::JobRunning, text)
                .hint(format!("wait until it has ended, or `havre job cancel {run}`")),
            StoreError::OtherServer { .. } => Self::new(Code::OtherKind, text)
                .hint("`havre db upgrade NAME --to VERSION` makes a newer version of it; another server needs another name"),
            StoreError::DatabaseInUse { .. } => Self::new(Code::DatabaseInUse, text)
                .hint("take it out of their `uses` and deploy them, or destroy them first"),
            StoreError::RotationRunning { .. } => Self::new(Code::RotationRunning, text)
                .hint("it ends once every task of the service was started with the new password"),
            StoreError::BackupRunning { .. }
            | StoreError::TargetBusy { .. }
            | StoreError::TargetElsewhere { .. }
            | StoreError::TooManyTargets { .. }
            | StoreError::TargetNeeded { .. }
            | StoreError::KitNotShown { .. }
            | StoreError::KitShown { .. }
            | StoreError::NoRepository { .. } => backup_refused(&error, text),
            StoreError::CopyRunning { copy, .. } => Self::new(Code::CopyRunning, text)
                .hint(format!("wait until it has ended, or `havre db cancel {copy}`")),
            StoreError::SwapRunning { swap, .. } => Self::new(Code::SwapRunning, text)
                .hint(format!("wait until it has ended, or `havre db cancel {swap}`")),
            StoreError::SwapRefused { .. } => Self::new(Code::SwapRefused, text)
                .hint("wait for that, then ask again"),
            StoreError::TooManyRestores { .. } => Self::new(Code::TooManyRestores, text)
                .hint("wait until one is over; `havre db list` shows what they make"),
            StoreError::TooManyVolumes { .. } => Self::new(Code::TooManyRestores, text)
                .hint("`havre restore SERVICE/VOLUME --to FILE` gives the files out all the same"),
            StoreError::DrillRunning { drill, .. } => Self::new(Code::DrillRunning, text)
                .hint(format!("wait until it is over; `havre backup report {drill}` then shows what came of it")),
            StoreError::NameTaken { .. } => Self::new(Code::NameTaken, text).hint("choose another name"),
            StoreError::NotFound { kind, .. } => Self::new(not_found_code(kind), text),
            StoreError::SecretInUse { .. } => Self::new(Code::SecretInUse, text)
                .hint("take it out of havre.toml and deploy, or say --force; without it no task of theirs can be started again"),
            StoreError::NoMasterKey => Self::new(Code::NoMasterKey, text),
            StoreError::PoolExhausted { .. } => Self::new(Code::Unavailable, text),
            StoreError::Full(_) => Self::new(Code::DiskFull, text),
            StoreError::Disk(_) | StoreError::ReadOnly(_) | StoreError::Damaged(_) => {
                tracing::error!(error = chain(&error), "could not use the store");
                Self::new(Code::Unavailable, text)
            }
            StoreError::Closed => {
                Self::new(Code::Unavailable, "the server is stopping").hint("repeat the request in a moment")
            }
            _ => Self::internal("use the store", &error),
        }
    }
}

/// What the store says of backups, with what to do next.
fn backup_refused(error: &StoreError, text: String) -> Refusal {
    let (code, hint) = match error {
        StoreError::BackupRunning { run, .. } => (
            Code::BackupRunning,
            format!("wait until it is over, or `havre backup cancel {run}`"),
        ),
        StoreError::TargetBusy { run, .. } => (
            Code::BackupTargetInUse,
            format!("wait until it is over, or `havre backup cancel {run}`"),
        ),
        StoreError::TargetElsewhere { .. } => (
            Code::BackupTargetElsewhere,
            "give the new place another name; remove the old one once the new one has everything".to_owned(),
        ),
        StoreError::TooManyTargets { .. } => (Code::BackupTargetInvalid, "remove one".to_owned()),
        StoreError::TargetNeeded { .. } => (
            Code::BackupTargetInUse,
            "wait for a backup somewhere else, or say --force; the repository is left as it is, and its recovery kit opens it".to_owned(),
        ),
        StoreError::KitNotShown { target } => (
            Code::BackupTargetInUse,
            format!("`havre backup kit {target}` prints it; or say --force"),
        ),
        StoreError::KitShown { target, .. } => (
            Code::KitShown,
            format!("`havre backup kit {target} --again` shows it once more, and that is recorded"),
        ),
        _ => (
            Code::NoBackupRepository,
            "it is made when the target is first used; `havre backup target list` says what it waits for".to_owned(),
        ),
    };
    Refusal::new(code, text).hint(hint)
}

fn not_found_code(kind: &str) -> Code {
    match kind {
        "environment" | "project" => Code::EnvironmentNotFound,
        "service" => Code::ServiceNotFound,
        "release" => Code::ReleaseNotFound,
        "deployment" => Code::DeploymentNotFound,
        "build" => Code::BuildNotFound,
        "build secret" => Code::BuildSecretNotFound,
        "pipeline" => Code::PipelineNotFound,
        "preview" => Code::PreviewNotFound,
        "task" => Code::TaskNotFound,
        "token" => Code::TokenNotFound,
        "key for SSH" => Code::SshKeyNotFound,
        "certificate" => Code::CertificateNotFound,
        "issuer" => Code::IssuerNotFound,
        "DNS provider" => Code::ProviderNotFound,
        "job" => Code::JobNotFound,
        "job run" => Code::JobRunNotFound,
        "database" => Code::DatabaseNotFound,
        "backup target" => Code::BackupTargetNotFound,
        "backup run" => Code::BackupRunNotFound,
        "copy" => Code::CopyNotFound,
        "swap" => Code::SwapNotFound,
        "restore" | "volume restore" => Code::RestoreNotFound,
        "drill" => Code::DrillNotFound,
        "registry" => Code::RegistryNotFound,
        "remote repository" => Code::RemoteNotFound,
        "webhook" => Code::WebhookNotFound,
        "secret" | "data key of" => Code::SecretNotFound,
        "secret provider" => Code::SecretProviderNotFound,
        _ => Code::PathNotFound,
    }
}

/// Another service has that public address.
pub(crate) fn route_taken(route: &str, owner: &str) -> Refusal {
    Refusal::new(Code::RouteTaken, format!("the route {route} belongs to {owner} already"))
        .hint("take it away from that service first, or choose another host or path")
        .details(serde_json::json!({ "route": route, "owner": owner }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_status_codes_is_complete() {
        let page: String =
            include_str!("error.rs").lines().filter(|line| line.starts_with("//! |")).collect();
        let names: Vec<&str> = include_str!("error.rs")
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> (\""))
            .map(|(_, rest)| rest.split('"').next().unwrap())
            .collect();
        assert_eq!(names.len(), 101);
        for name in names {
            assert_eq!(page.matches(&format!("`{name}`")).count(), 1, "{name} must be on the page once");
        }
    }

    #[test]
    fn causes_stay_in_the_log() {
        let cause = StoreError::Encode {
            what: "a spec",
            source: serde_json::from_str::<u8>("secret").expect_err("is not a number"),
        };
        let body = Refusal::from(cause).body();
        assert_eq!(body.code, "internal");
        assert_eq!(body.message, "the server could not answer because of an error of its own");
    }
}
