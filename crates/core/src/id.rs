//! Typed row ids. Mixing two kinds does not compile; text form is a letter and a number (`r7`).
//! Ids are given out by the store and never reused. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use crate::text::text_json;

/// Text that is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} id: expected `{prefix}` and a number, such as `{prefix}12`")]
pub struct IdError {
    /// What was given (at most 32 characters of it).
    pub text: String,
    /// Kind of id that was expected.
    pub kind: &'static str,
    /// Letter the kind starts with.
    pub prefix: &'static str,
}

// One macro, because eight hand-written copies would differ some day; it makes types, not structure.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $kind:literal $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(i64);

        impl $name {
            /// Wraps a row id read from the store.
            pub const fn new(row: i64) -> Self {
                Self(row)
            }

            /// The row id, for the store.
            pub const fn row(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text, $prefix).map(Self).ok_or_else(|| IdError {
                    text: text.chars().take(32).collect(),
                    kind: $kind,
                    prefix: $prefix,
                })
            }
        }

        text_json! { $name }
    )*};
}

ids! {
    /// A project: a group of services.
    ProjectId "project" "p";
    /// A named copy of a project, such as production.
    EnvironmentId "environment" "e";
    /// A service of one environment.
    ServiceId "service" "s";
    /// One immutable release of a service.
    ReleaseId "release" "r";
    /// One attempt to make a release live.
    DeploymentId "deployment" "d";
    /// One attempt to make an artifact.
    BuildId "build" "b";
    /// One running instance of a release.
    TaskId "task" "t";
    /// One access token of the HTTP API.
    TokenId "token" "k";
    /// One key by which somebody pushes over SSH.
    SshKeyId "SSH key" "y";
    /// A certificate: a set of names and what is served for them.
    CertificateId "certificate" "c";
    /// One order placed at an issuer.
    OrderId "order" "o";
    /// One run of the pipeline for a commit.
    PipelineId "pipeline" "i";
    /// One run of a job, its further attempts included.
    JobRunId "job run" "j";
    /// One managed database.
    DatabaseId "database" "m";
    /// One restore of a snapshot into a new database.
    RestoreId "restore" "v";
    /// One restore of a snapshot into a new volume.
    VolumeRestoreId "volume restore" "f";
    /// One restore that is tried and thrown away.
    DrillId "drill" "x";
    /// One run that tries to save something.
    BackupRunId "backup run" "u";
    /// One copy into a database: of another one, or of a dump.
    CopyId "copy" "q";
    /// One exchange of the names of two databases, or upgrade of one.
    SwapId "swap" "w";
    /// One way from elsewhere into a database, for a time.
    TunnelId "tunnel" "n";
}

fn parse(text: &str, prefix: &str) -> Option<i64> {
    let digits = text.strip_prefix(prefix)?;
    // No sign, no leading zero: one id has one text.
    if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_unique() {
        assert_eq!("r7".parse::<ReleaseId>(), Ok(ReleaseId::new(7)));
        assert_eq!(ReleaseId::new(7).to_string(), "r7");
        for wrong in ["", "r", "r0", "r07", "7", "r+7", "r-7", "d7", "r7 ", "r99999999999999999999"] {
            assert!(wrong.parse::<ReleaseId>().is_err(), "{wrong:?} must not parse");
        }
    }
}
