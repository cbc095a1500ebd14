//! What can go wrong at an issuer or a server of names, classed by what can be done about it. Plain data: causes are text.
//! Reading an issuer's answers is `client/answer.rs`. Tests at the end of the file.

use std::time::Duration;

use havre_core::name::CertificateName;
use serde::{Deserialize, Serialize};

/// Why an issuer did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum AuthorityError {
    /// Its limit is reached. Trying before `retry_after` makes it worse.
    #[error("could not {what}: {problem}")]
    RateLimited {
        /// What we were doing.
        what: String,
        /// How long to wait, where it said so.
        retry_after: Option<Duration>,
        /// What it said.
        problem: Problem,
    },
    /// It said no, and will say no again until something is changed: a record, a name, a key.
    #[error("could not {what}: {problem}")]
    Refused {
        /// What we were doing.
        what: String,
        /// What it said, and of which names.
        problem: Problem,
    },
    /// The account is the trouble: unknown, deactivated, new terms, external credentials missing or wrong.
    #[error("could not {what}: the issuer does not accept the account: {problem}")]
    Account {
        /// What we were doing.
        what: String,
        /// What it said.
        problem: Problem,
    },
    /// It could not be reached: name, connection, TLS, or no answer in time.
    #[error("could not {what}: {address} cannot be reached: {message}")]
    Unreachable {
        /// What we were doing.
        what: String,
        /// Host and port.
        address: String,
        /// What happened.
        message: String,
    },
    /// It answers, and is not well: 5xx, an overload, or nonces refused again and again.
    #[error("could not {what}: the issuer has trouble of its own ({message})")]
    Unavailable {
        /// What we were doing.
        what: String,
        /// How long to wait, where it said so.
        retry_after: Option<Duration>,
        /// Status and what it said.
        message: String,
    },
    /// What answers is not an ACME server, or speaks another dialect.
    #[error("could not {what}: the answer is not one of an ACME server: {message}")]
    Garbled {
        /// What we were doing.
        what: String,
        /// What was wrong with it.
        message: String,
    },
    /// We refuse, before anything is sent: an address that is not `https`, or not public.
    #[error("could not {what}: {message}")]
    NotAllowed {
        /// What we were doing.
        what: String,
        /// Why not.
        message: String,
    },
    /// The order is not as far as that. Look at it again.
    #[error("could not {what}: the order is {state}")]
    NotReady {
        /// What we were doing.
        what: String,
        /// How far it is.
        state: String,
    },
    /// What we were given cannot be right, such as a key that is none.
    #[error("could not {what}: {message}")]
    BadInput {
        /// What we were doing.
        what: String,
        /// What is wrong.
        message: String,
    },
}

impl AuthorityError {
    /// Whether the same call can succeed later without anybody changing anything.
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::RateLimited { .. }
            | Self::Unreachable { .. }
            | Self::Unavailable { .. }
            | Self::NotReady { .. } => true,
            // An issuer behind a broken proxy answers garbage for an hour; a wrong URL does it for ever. The former hurts more
            // when it is taken for the latter.
            Self::Garbled { .. } => true,
            Self::Refused { .. } | Self::Account { .. } | Self::NotAllowed { .. } | Self::BadInput { .. } => {
                false
            }
        }
    }

    /// How long the issuer asked to be left alone.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What the issuer said, where it said something.
    pub const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::RateLimited { problem, .. }
            | Self::Refused { problem, .. }
            | Self::Account { problem, .. } => Some(problem),
            _ => None,
        }
    }
}

/// What an issuer said (RFC 8555, 6.7; RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which kind.
    pub kind: ProblemKind,
    /// In its own words, at most 1,000 characters.
    pub detail: String,
    /// The names it is about, each with its own reason; empty when it is about the whole.
    pub names: Vec<NameProblem>,
}

impl Problem {
    /// One without names.
    pub fn new(kind: ProblemKind, detail: &str) -> Self {
        Self {
            kind,
            detail: detail.chars().filter(|c| !c.is_control()).take(1000).collect(),
            names: Vec::new(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let detail = if self.detail.is_empty() { "no reason given" } else { self.detail.as_str() };
        write!(f, "{detail} ({})", self.kind.as_str())?;
        for (index, name) in self.names.iter().enumerate() {
            write!(f, "{}{name}", if index == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

/// What is wrong with one name of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameProblem {
    /// The name.
    pub name: CertificateName,
    /// Which kind.
    pub kind: ProblemKind,
    /// In the issuer's words.
    pub detail: String,
}

impl std::fmt::Display for NameProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.name, self.detail, self.kind.as_str())
    }
}

// One macro, because each kind and its word in the standard belong together.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        /// Kinds of problems, by what follows `urn:ietf:params:acme:error:`.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum ProblemKind {
            $($(#[$doc])* $name,)*
            /// Any other word.
            Other(String),
        }

        impl ProblemKind {
            /// The word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<String> for ProblemKind {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$name,)*
                    _ => Self::Other(text.chars().filter(char::is_ascii_graphic).take(64).collect()),
                }
            }
        }
    };
}

kinds! {
    /// There is no account of this key.
    AccountDoesNotExist "accountDoesNotExist";
    /// The certificate it replaces has been replaced before: order without saying so.
    AlreadyReplaced "alreadyReplaced";
    /// It is revoked already.
    AlreadyRevoked "alreadyRevoked";
    /// The request for the certificate is not acceptable.
    BadCsr "badCSR";
    /// A nonce was old; tried again inside, so seen only when that failed too.
    BadNonce "badNonce";
    /// The key is weak, known or of a kind it does not take.
    BadPublicKey "badPublicKey";
    /// CAA records forbid it.
    Caa "caa";
    /// Several names, each with its own problem.
    Compound "compound";
    /// It could not connect to look at the challenge.
    Connection "connection";
    /// Looking up the name failed.
    Dns "dns";
    /// External credentials are needed, or wrong.
    ExternalAccountRequired "externalAccountRequired";
    /// What it found was not the answer of this challenge.
    IncorrectResponse "incorrectResponse";
    /// The contact is not acceptable.
    InvalidContact "invalidContact";
    /// The request does not make sense to it, such as an order it does not know.
    Malformed "malformed";
    /// The order is not ready to be finalized.
    OrderNotReady "orderNotReady";
    /// A limit is reached.
    RateLimited "rateLimited";
    /// It does not issue for this name.
    RejectedIdentifier "rejectedIdentifier";
    /// Trouble of its own.
    ServerInternal "serverInternal";
    /// TLS failed when it looked at the challenge.
    Tls "tls";
    /// It looked and found something else, or the account may not do this.
    Unauthorized "unauthorized";
    /// Contact of a kind it does not know.
    UnsupportedContact "unsupportedContact";
    /// A name of a kind it does not know.
    UnsupportedIdentifier "unsupportedIdentifier";
    /// A person must do something at the issuer's site, such as agree to new terms.
    UserActionRequired "userActionRequired";
}

impl From<ProblemKind> for String {
    fn from(kind: ProblemKind) -> Self {
        kind.as_str().to_owned()
    }
}

/// Why records could not be written, or where to write them could not be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum DnsError {
    /// No server of names could say which zone a name is in.
    #[error("could not find the zone of {name}: {message}")]
    NoZone {
        /// The name.
        name: String,
        /// What was answered.
        message: String,
    },
    /// The provider does not accept the credentials, or they do not reach this zone.
    #[error(
        "could not {what}: {provider} refuses the credentials: {message}; check the `{provider}` settings"
    )]
    Denied {
        /// What we were doing.
        what: String,
        /// The provider.
        provider: String,
        /// What it said.
        message: String,
    },
    /// The provider could not be reached, or answers with trouble of its own.
    #[error("could not {what}: {provider} has trouble: {message}")]
    Unavailable {
        /// What we were doing.
        what: String,
        /// The provider.
        provider: String,
        /// What happened.
        message: String,
    },
    /// The provider said no, and will again.
    #[error("could not {what}: {provider} refuses: {message}")]
    Refused {
        /// What we were doing.
        what: String,
        /// The provider.
        provider: String,
        /// What it said.
        message: String,
    },
    /// The settings of the provider cannot be right.
    #[error("the settings of the DNS provider {provider} cannot be used: {message}")]
    BadSettings {
        /// The provider.
        provider: String,
        /// What is wrong.
        message: String,
    },
}

impl DnsError {
    /// Whether the same call can succeed later without anybody changing anything.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::NoZone { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_names_and_crosses_a_process_boundary() {
        let mut problem = Problem::new(ProblemKind::Compound, "some names were refused\r\n");
        problem.names.push(NameProblem {
            name: "a.example.org".parse().unwrap(),
            kind: ProblemKind::from("rejectedIdentifier".to_owned()),
            detail: "this name is on a list".into(),
        });
        let error = AuthorityError::Refused { what: "order a certificate".into(), problem };
        assert_eq!(
            error.to_string(),
            "could not order a certificate: some names were refused (compound): a.example.org: this name is on a list (rejectedIdentifier)"
        );
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<AuthorityError>(&json).unwrap(), error);
        assert!(!error.is_passing());
    }

    #[test]
    fn unknown_kinds_keep_their_word() {
        let kind = ProblemKind::from("new\nkind".to_owned());
        assert_eq!(kind, ProblemKind::Other("newkind".into()));
        assert_eq!(serde_json::to_string(&kind).unwrap(), "\"newkind\"");
    }
}
