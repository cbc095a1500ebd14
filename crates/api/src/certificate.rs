//! Certificates, issuers and DNS providers. Keys and credentials go in and never come out; their `Debug` forms hide them.

use std::collections::BTreeMap;

use havre_core::certificate::challenge::ChallengeKind;
use havre_core::certificate::issuer::DirectoryUrl;
use havre_core::certificate::{Failure, Source, Stage};
use havre_core::dns::provider::ProviderKind;
use havre_core::id::CertificateId;
use havre_core::name::{CertificateName, DnsName, IssuerName};
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// All certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateList {
    /// By name.
    pub certificates: Vec<Certificate>,
}

/// A certificate, and how far the next one has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// Its id.
    #[schema(value_type = String, example = "c3")]
    pub id: CertificateId,
    /// Names it is for.
    #[schema(value_type = Vec<String>, example = json!(["api.example.org"]))]
    pub names: Vec<CertificateName>,
    /// `automatic` or `uploaded`.
    #[schema(value_type = String, example = "automatic")]
    pub source: Source,
    /// A service wants its names now.
    pub is_wanted: bool,
    /// What is served; absent until there is one.
    pub current: Option<CurrentCertificate>,
    /// `resting`, `asking`, `ordering` or `backing_off`.
    #[schema(example = "resting")]
    pub state: String,
    /// The order that is open.
    pub order: Option<OpenOrder>,
    /// What it waits for, for people; empty when it waits for nothing.
    pub waiting: String,
    /// Attempts that failed since the last success.
    pub failures: u32,
    /// The last of them.
    #[schema(value_type = Option<Object>)]
    pub last_failure: Option<Failure>,
    /// Nothing is tried before.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_before: Option<Timestamp>,
    /// When it was first wanted or uploaded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CurrentCertificate {
    /// SHA-256 of chain and key together, in hex.
    pub digest: String,
    /// Names in it.
    #[schema(value_type = Vec<String>)]
    pub names: Vec<CertificateName>,
    /// Who signed it.
    #[schema(example = "R11")]
    pub signed_by: String,
    /// Whom it was ordered from; absent when it was uploaded.
    #[schema(value_type = Option<String>, example = "letsencrypt")]
    pub issuer: Option<IssuerName>,
    /// Serial number in hex.
    pub serial: String,
    /// Valid from.
    #[schema(value_type = String, format = DateTime)]
    pub not_before: Timestamp,
    /// Valid until.
    #[schema(value_type = String, format = DateTime)]
    pub not_after: Timestamp,
    /// When the next one is ordered; absent for one that was uploaded.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub renew_at: Option<Timestamp>,
}

/// An order under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenOrder {
    /// At whom.
    #[schema(value_type = String, example = "letsencrypt")]
    pub issuer: IssuerName,
    /// `rehearsal` or `production`.
    #[schema(value_type = String, example = "production")]
    pub stage: Stage,
    /// `http-01`, `tls-alpn-01` or `dns-01`.
    #[schema(value_type = String, example = "http-01")]
    pub challenge: ChallengeKind,
    /// What happens now, for people.
    pub doing: String,
    /// Since when it is open.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// A certificate a person brings.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadCertificateRequest {
    /// The chain in PEM, the certificate itself first, without its root.
    pub chain: String,
    /// Its private key in PEM: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: String,
    /// Only check it.
    #[serde(default)]
    pub dry_run: bool,
}

impl std::fmt::Debug for UploadCertificateRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadCertificateRequest").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// What an upload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadCertificateResponse {
    /// Its row; absent after a dry run.
    #[schema(value_type = Option<String>, example = "c3")]
    pub id: Option<CertificateId>,
    /// What it is.
    pub certificate: CurrentCertificate,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// All issuers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuerList {
    /// The first that is asked first.
    pub issuers: Vec<Issuer>,
}

/// An issuer, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Issuer {
    /// Its name.
    #[schema(value_type = String, example = "letsencrypt")]
    pub name: IssuerName,
    /// The lowest is asked first.
    pub rank: u32,
    /// Its directory.
    #[schema(value_type = String)]
    pub directory: DirectoryUrl,
    /// Its staging directory.
    #[schema(value_type = Option<String>)]
    pub staging: Option<DirectoryUrl>,
    /// Where it may write to.
    pub contact: Option<String>,
    /// Ways to prove control, in the order they are tried.
    #[schema(value_type = Vec<String>)]
    pub challenges: Vec<ChallengeKind>,
    /// Key id of its external account binding.
    pub eab_key_id: Option<String>,
    /// A root of its own is trusted for talking to it.
    pub has_root: bool,
    /// Our accounts there.
    pub accounts: Vec<IssuerAccount>,
}

/// Our account at an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuerAccount {
    /// `rehearsal` or `production`.
    #[schema(value_type = String, example = "production")]
    pub stage: Stage,
    /// Where it is.
    pub url: String,
}

/// Sets an issuer. What a preset (`letsencrypt`, `google`, `zerossl`) knows can be left out.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SetIssuerRequest {
    /// Its directory.
    #[schema(value_type = Option<String>)]
    pub directory: Option<DirectoryUrl>,
    /// Its staging directory.
    #[schema(value_type = Option<String>)]
    pub staging: Option<DirectoryUrl>,
    /// The lowest is asked first; 10 when left out.
    pub rank: Option<u32>,
    /// Where it may write to: a mail address.
    pub contact: Option<String>,
    /// A person agrees to the issuer's terms; without this nothing is set.
    pub terms_agreed: bool,
    /// Ways to prove control, in the order they are tried; all when left out.
    #[schema(value_type = Option<Vec<String>>)]
    pub challenges: Option<Vec<ChallengeKind>>,
    /// Key id of an external account binding.
    pub eab_key_id: Option<String>,
    /// Its key, base64; never shown again.
    pub eab_key: Option<String>,
    /// PEM of a root to trust for talking to it.
    pub root_pem: Option<String>,
}

impl std::fmt::Debug for SetIssuerRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetIssuerRequest")
            .field("directory", &self.directory)
            .field("contact", &self.contact)
            .field("eab_key_id", &self.eab_key_id)
            .finish_non_exhaustive()
    }
}

/// All DNS providers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsProviderList {
    /// By zone.
    pub providers: Vec<DnsProvider>,
}

/// The provider of a zone, without its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsProvider {
    /// The zone.
    #[schema(value_type = String, example = "example.org")]
    pub zone: DnsName,
    /// Who has it.
    #[schema(value_type = String, example = "infomaniak")]
    pub kind: ProviderKind,
}

/// Sets the provider of a zone. Every field is a secret and never shown again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetDnsProviderRequest {
    /// Who has it.
    #[schema(value_type = String, example = "infomaniak")]
    pub kind: ProviderKind,
    /// What it wants to know, such as `token`.
    pub fields: BTreeMap<String, String>,
}

impl std::fmt::Debug for SetDnsProviderRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.fields.keys().collect();
        f.debug_struct("SetDnsProviderRequest").field("kind", &self.kind).field("fields", &names).finish()
    }
}
