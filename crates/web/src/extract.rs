//! Parses path, query and body of requests; what does not parse is refused with its rule.
//! Tests: `tests/it/refusal.rs`.

use std::str::FromStr;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request, WebSocketUpgrade};
use havre_core::artifact::Digest;
use havre_core::id::{
    BackupRunId, BuildId, CertificateId, CopyId, DeploymentId, DrillId, JobRunId, PipelineId, RestoreId,
    SwapId, TunnelId, VolumeRestoreId,
};
use havre_core::name::{
    BuildSecretName, DatabaseName, DnsName, EnvKey, EnvironmentName, IssuerName, JobName, ProjectName,
    ProviderName, SshKeyName, TargetName, TokenName, VolumeName,
};
use havre_core::preview::PullNumber;
use havre_core::registry::RegistryHost;
use havre_core::service::Place;
use havre_webhook::provider::Provider;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::{Code, Refusal};
use crate::state::AppState;

/// A JSON body; an empty one counts as `{}`.
pub(crate) struct Input<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Input<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Refusal> {
        let bytes = read_body(request, state.limits.body_bytes).await?;
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(bytes)
            .map(Self)
            .map_err(|error| Refusal::new(Code::BodyInvalid, format!("the request body is wrong: {error}")))
    }
}

/// A whole body of at most `limit` bytes.
pub(crate) async fn read_body(request: Request, limit: usize) -> Result<axum::body::Bytes, Refusal> {
    let too_large = || Refusal::new(Code::BodyTooLarge, format!("the request body is over {limit} bytes"));
    let announced = request.headers().get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    to_bytes(request.into_body(), limit).await.map_err(|error| {
        let is_limit = std::error::Error::source(&error).is_some_and(|source| source.is::<LengthLimit>());
        if is_limit { too_large() } else { Refusal::new(Code::BodyInvalid, "the request body broke off") }
    })
}

type LengthLimit = http_body_util::LengthLimitError;

/// A query string.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &AppState) -> Result<Self, Refusal> {
        let Query(value) = Query::try_from_uri(&parts.uri).map_err(|error| {
            Refusal::new(Code::QueryInvalid, format!("the query is wrong: {}", error.body_text()))
        })?;
        Ok(Self(value))
    }
}

/// Names in the path of an environment.
pub(crate) struct EnvironmentPath {
    pub(crate) project: ProjectName,
    pub(crate) environment: EnvironmentName,
}

impl FromRequestParts<AppState> for EnvironmentPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let params = Segments::of(parts, state).await?;
        Ok(Self { project: params.parse("project")?, environment: params.parse("environment")? })
    }
}

/// Names in the path of a service.
pub(crate) struct ServicePath(pub(crate) Place);

impl FromRequestParts<AppState> for ServicePath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        Ok(Self(Segments::of(parts, state).await?.place()?))
    }
}

/// Names in the path of a job.
pub(crate) struct JobPath {
    pub(crate) place: Place,
    pub(crate) job: JobName,
}

impl FromRequestParts<AppState> for JobPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let params = Segments::of(parts, state).await?;
        Ok(Self { place: params.place()?, job: params.parse("job")? })
    }
}

/// Names in the path of a volume.
#[derive(Clone)]
pub(crate) struct VolumePath {
    pub(crate) place: Place,
    pub(crate) volume: VolumeName,
}

impl FromRequestParts<AppState> for VolumePath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let params = Segments::of(parts, state).await?;
        Ok(Self { place: params.place()?, volume: params.parse("volume")? })
    }
}

/// Names in the path of a database.
#[derive(Clone)]
pub(crate) struct DatabasePath {
    pub(crate) project: ProjectName,
    pub(crate) environment: EnvironmentName,
    pub(crate) database: DatabaseName,
}

impl FromRequestParts<AppState> for DatabasePath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let params = Segments::of(parts, state).await?;
        Ok(Self {
            project: params.parse("project")?,
            environment: params.parse("environment")?,
            database: params.parse("database")?,
        })
    }
}

/// Project and number in the path of the preview of a pull request.
pub(crate) struct PreviewPath {
    pub(crate) project: ProjectName,
    pub(crate) number: PullNumber,
}

impl FromRequestParts<AppState> for PreviewPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let params = Segments::of(parts, state).await?;
        Ok(Self { project: params.parse("project")?, number: params.parse("number")? })
    }
}

/// Names in the path of a secret.
pub(crate) struct SecretPath {
    pub(crate) project: ProjectName,
    pub(crate) name: EnvKey,
}

impl FromRequestParts<AppState> for SecretPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let params = Segments::of(parts, state).await?;
        Ok(Self { project: params.parse("project")?, name: params.parse("name")? })
    }
}

/// Names in the path of a secret provider.
pub(crate) struct SecretProviderPath {
    pub(crate) project: ProjectName,
    pub(crate) name: ProviderName,
}

impl FromRequestParts<AppState> for SecretProviderPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let params = Segments::of(parts, state).await?;
        Ok(Self { project: params.parse("project")?, name: params.parse("name")? })
    }
}

/// Names in the path of a webhook.
pub(crate) struct HookPath {
    pub(crate) project: ProjectName,
    pub(crate) provider: Provider,
}

impl FromRequestParts<AppState> for HookPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let params = Segments::of(parts, state).await?;
        Ok(Self { project: params.parse("project")?, provider: params.parse("provider")? })
    }
}

/// Names in the path of a secret of builds.
pub(crate) struct BuildSecretPath {
    pub(crate) project: ProjectName,
    pub(crate) name: BuildSecretName,
}

impl FromRequestParts<AppState> for BuildSecretPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let params = Segments::of(parts, state).await?;
        Ok(Self { project: params.parse("project")?, name: params.parse("secret")? })
    }
}

// One macro, because these extractors differ in nothing but a name.
macro_rules! one_segment {
    ($($(#[$doc:meta])* $name:ident($value:ty) $segment:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) $value);

        impl FromRequestParts<AppState> for $name {
            type Rejection = Refusal;

            async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
                Ok(Self(Segments::of(parts, state).await?.parse($segment)?))
            }
        }
    )*};
}

one_segment! {
    /// Id in the path of a build.
    BuildPath(BuildId) "build";
    /// Id in the path of a pipeline.
    PipelinePath(PipelineId) "pipeline";
    /// Name in the path of a project.
    ProjectPath(ProjectName) "project";
    /// Id in the path of a deployment.
    DeploymentPath(DeploymentId) "deployment";
    /// Id in the path of a certificate.
    CertificatePath(CertificateId) "certificate";
    /// Digest in the path of material.
    DigestPath(Digest) "digest";
    /// Name in the path of an issuer.
    IssuerPath(IssuerName) "issuer";
    /// Zone in the path of a DNS provider.
    ZonePath(DnsName) "zone";
    /// Host in the path of a registry.
    RegistryPath(RegistryHost) "host";
    /// Name in the path of a token.
    TokenPath(TokenName) "token";
    /// Name in the path of a key for SSH.
    SshKeyPath(SshKeyName) "ssh_key";
    /// Id in the path of a run of a job.
    JobRunPath(JobRunId) "run";
    /// Name in the path of a target of backups.
    BackupTargetPath(TargetName) "target";
    /// Id in the path of a run of a backup.
    BackupRunPath(BackupRunId) "backup_run";
    /// Id in the path of a copy.
    CopyPath(CopyId) "copy";
    /// Id in the path of a swap.
    SwapPath(SwapId) "swap";
    /// Id in the path of a tunnel.
    TunnelPath(TunnelId) "tunnel";
    /// Id in the path of a restore.
    RestorePath(RestoreId) "restore";
    /// Id in the path of a restore of a volume.
    VolumeRestorePath(VolumeRestoreId) "volume_restore";
    /// Id in the path of a drill.
    DrillPath(DrillId) "drill";
}

struct Segments(RawPathParams);

impl Segments {
    async fn of(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        RawPathParams::from_request_parts(parts, state).await.map(Self).map_err(|error| {
            Refusal::new(Code::NameInvalid, format!("the path is wrong: {}", error.body_text()))
        })
    }

    fn place(&self) -> Result<Place, Refusal> {
        Ok(Place {
            project: self.parse("project")?,
            environment: self.parse("environment")?,
            service: self.parse("service")?,
        })
    }

    fn parse<T: FromStr>(&self, segment: &str) -> Result<T, Refusal>
    where
        Refusal: From<T::Err>,
    {
        let text = self.0.iter().find(|(name, _)| *name == segment).map_or("", |(_, text)| text);
        Ok(text.parse::<T>()?)
    }
}

/// A request to speak WebSocket.
pub(crate) struct Upgrade(pub(crate) WebSocketUpgrade);

impl FromRequestParts<AppState> for Upgrade {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        WebSocketUpgrade::from_request_parts(parts, state).await.map(Self).map_err(|error| {
            Refusal::new(Code::BodyInvalid, format!("this path speaks WebSocket: {}", error.body_text()))
        })
    }
}
