//! What kinds of providers there are and what each wants to know. Nothing in here is secret but the credential, which stands apart. Pure.
//! Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use havre_core::outward::{OutwardUrl, TAG};
use havre_core::secret::Secret;
use serde::{Deserialize, Serialize};

use crate::secret::provider::reference::{Form, Location, is_path};

/// Longest credential, in bytes.
pub const CREDENTIAL_MAX: usize = 4096;
/// Longest certificates of authorities, in bytes.
pub const CA_MAX: usize = 64 * 1024;
/// Longest path and word, in bytes.
const WORD_MAX: usize = 128;

/// What is wrong with the settings of a provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Its address.
    #[error("the address of a provider is one such as https://vault.example.org:8200, without a query; {0}")]
    Url(String),
    /// A path.
    #[error(
        "`{0}` is not a path such as team/one: at most 128 of the characters A-Z, a-z, 0-9, . _ - @ and /"
    )]
    Path(String),
    /// A word.
    #[error("a role id is 1 to 128 of the characters A-Z, a-z, 0-9, . _ and -")]
    Word,
    /// Certificates.
    #[error("the certificates of an authority are PEM of at most 64 KB, and no private key is among them")]
    Ca,
    /// The credential.
    #[error("{0}")]
    Credential(&'static str),
}

/// Where a provider answers: an address whose path is what stands before that of its interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerUrl(OutwardUrl);

impl ServerUrl {
    /// The address.
    pub const fn url(&self) -> &OutwardUrl {
        &self.0
    }

    /// What stands before each path, without `/` at the end.
    pub fn base(&self) -> String {
        self.0.target().trim_end_matches('/').to_owned()
    }
}

impl FromStr for ServerUrl {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let url = text.parse::<OutwardUrl>().map_err(|error| SettingError::Url(error.to_string()))?;
        if text.contains('?') || text.contains(TAG) {
            return Err(SettingError::Url("this one has a query or a tag".to_owned()));
        }
        Ok(Self(url))
    }
}

/// A namespace, or where a way to log in is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SettingPath(String);

impl FromStr for SettingPath {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        // Vault shows namespaces with a slash at the end.
        let path = text.strip_suffix('/').unwrap_or(text);
        if path.len() > WORD_MAX || !is_path(path) {
            return Err(SettingError::Path(text.chars().take(80).flat_map(char::escape_debug).collect()));
        }
        Ok(Self(path.to_owned()))
    }
}

/// The public half of a login by role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleId(String);

impl FromStr for RoleId {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        match (1..=WORD_MAX).contains(&text.len()) && text.bytes().all(is_good) {
            true => Ok(Self(text.to_owned())),
            false => Err(SettingError::Word),
        }
    }
}

/// Certificates of the authorities that are trusted in place of the machine's own, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaText(String);

impl FromStr for CaText {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let is_good = text.len() <= CA_MAX
            && text.contains("-----BEGIN CERTIFICATE-----")
            && !text.contains("PRIVATE KEY")
            && !text.contains('\0');
        if is_good { Ok(Self(text.to_owned())) } else { Err(SettingError::Ca) }
    }
}

// One macro, because each of these is written as its text and read by its own grammar.
macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = SettingError;

            fn try_from(text: String) -> Result<Self, SettingError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}

as_text! { ServerUrl SettingPath RoleId CaText }

/// A provider, without its credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum ProviderSpec {
    /// Vault or OpenBao: engines KV of version 1 and 2. The credential is a token, or the secret id of a role.
    Vault {
        /// Where it answers.
        url: ServerUrl,
        /// In which namespace.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<SettingPath>,
        /// Which role of `AppRole` logs in; without one the credential is a token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role_id: Option<RoleId>,
        /// Where `AppRole` is mounted; `approle` where nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        auth_mount: Option<SettingPath>,
        /// Whom to trust in place of the machine's own authorities.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<CaText>,
    },
    /// 1Password, by a Connect server. The credential is a token of it.
    #[serde(rename = "onepassword")]
    OnePassword {
        /// Where the Connect server answers.
        url: ServerUrl,
        /// Whom to trust in place of the machine's own authorities.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<CaText>,
    },
    /// Bitwarden Secrets Manager. The credential is an access token of a machine account.
    Bitwarden {
        /// The cloud, such as `https://bitwarden.com` or `https://bitwarden.eu`, or a server of one's own.
        url: ServerUrl,
        /// Whom to trust in place of the machine's own authorities.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<CaText>,
    },
    /// Files of the server, in the folder its administrator allows. There is no credential.
    File {},
}

impl ProviderSpec {
    /// Its word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Vault { .. } => "vault",
            Self::OnePassword { .. } => "onepassword",
            Self::Bitwarden { .. } => "bitwarden",
            Self::File {} => "file",
        }
    }

    /// Where it answers; none for files.
    pub const fn url(&self) -> Option<&ServerUrl> {
        match self {
            Self::Vault { url, .. } | Self::OnePassword { url, .. } | Self::Bitwarden { url, .. } => {
                Some(url)
            }
            Self::File {} => None,
        }
    }

    /// Whom it wants trusted in place of the machine's own authorities.
    pub const fn ca(&self) -> Option<&CaText> {
        match self {
            Self::Vault { ca, .. } | Self::OnePassword { ca, .. } | Self::Bitwarden { ca, .. } => ca.as_ref(),
            Self::File {} => None,
        }
    }

    /// What the credential is; none where there is none.
    pub const fn credential(&self) -> Option<&'static str> {
        match self {
            Self::Vault { role_id: Some(_), .. } => Some("the secret id of the role"),
            Self::Vault { role_id: None, .. } => Some("the token"),
            Self::OnePassword { .. } => Some("the token of the Connect server"),
            Self::Bitwarden { .. } => Some("the access token of the machine account"),
            Self::File {} => None,
        }
    }

    /// Checks what somebody gave as the credential.
    ///
    /// # Errors
    /// It is missing, there should be none, or it is not one line of visible ASCII characters.
    pub fn parse_credential(&self, text: Option<String>) -> Result<Option<Secret>, SettingError> {
        let secret = text.map(|text| Secret::from(text.trim()));
        match (self.credential(), secret) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(SettingError::Credential("files need no credential")),
            (Some(_), None) => Err(SettingError::Credential("a provider of this kind needs a credential")),
            (Some(_), Some(secret)) => {
                let bytes = secret.expose();
                let is_good =
                    (1..=CREDENTIAL_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
                let message = "the credential is one word of 1 to 4096 visible ASCII characters";
                if is_good { Ok(Some(secret)) } else { Err(SettingError::Credential(message)) }
            }
        }
    }

    /// Whether it has values at places of this form; else how its places are written.
    ///
    /// # Errors
    /// For people.
    pub fn takes(&self, location: &Location) -> Result<(), String> {
        let form = match (self, location.form()) {
            (Self::Vault { .. }, Form::Field { .. })
            | (Self::OnePassword { .. }, Form::Item { .. })
            | (Self::File {}, Form::Whole { .. }) => return Ok(()),
            (Self::Bitwarden { .. }, Form::Whole { path }) if is_uuid(path) => return Ok(()),
            (Self::Vault { .. }, _) => {
                "path#field, such as secret/data/app#password (in an engine of version 1, secret/app#password)"
            }
            (Self::OnePassword { .. }, _) => "op://vault/item/field",
            (Self::Bitwarden { .. }, _) => "the id of a secret, such as be8e0ad8-d545-4017-a55a-b02f014d4158",
            (Self::File {}, _) => "the path of a file below the folder of the project, such as db/password",
        };
        Err(format!("`{location}` is no place of a provider of the kind {}: write it as {form}", self.kind()))
    }
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Result<ProviderSpec, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn each_kind_says_what_it_wants_and_nothing_else_is_taken() {
        let vault = r#"{"kind":"vault","url":"https://vault.example.org:8200/","namespace":"team/one/","role_id":"r-1"}"#;
        let vault = spec(vault).unwrap();
        assert_eq!(
            serde_json::to_string(&vault).unwrap(),
            r#"{"kind":"vault","url":"https://vault.example.org:8200/","namespace":"team/one","role_id":"r-1"}"#
        );
        assert_eq!(vault.credential(), Some("the secret id of the role"));
        assert_eq!(vault.url().unwrap().base(), "");
        assert_eq!("https://a.example/x/".parse::<ServerUrl>().unwrap().base(), "/x");
        assert_eq!(spec(r#"{"kind":"file"}"#).unwrap(), ProviderSpec::File {});
        for wrong in [
            r#"{"kind":"vault"}"#,
            r#"{"kind":"vault","url":"https://a.example","token":"x"}"#,
            r#"{"kind":"vault","url":"https://a.example/?x=1"}"#,
            r#"{"kind":"vault","url":"ftp://a.example"}"#,
            r#"{"kind":"vault","url":"https://a.example","namespace":"../x"}"#,
            r#"{"kind":"vault","url":"https://a.example","role_id":"a b"}"#,
            r#"{"kind":"onepassword","url":"https://a.example","ca":"no certificate"}"#,
            r#"{"kind":"file","url":"https://a.example"}"#,
            r#"{"kind":"keychain"}"#,
        ] {
            assert!(spec(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_credential_is_one_word_and_files_have_none() {
        let file = ProviderSpec::File {};
        let vault = spec(r#"{"kind":"vault","url":"https://a.example"}"#).unwrap();
        assert!(file.parse_credential(None).unwrap().is_none());
        assert!(file.parse_credential(Some("x".to_owned())).is_err());
        let found = vault.parse_credential(Some(" hvs.x\n".to_owned())).unwrap().unwrap();
        assert_eq!(found.expose_text(), Some("hvs.x"));
        for wrong in [None, Some(String::new()), Some("a b".to_owned()), Some("x".repeat(CREDENTIAL_MAX + 1))]
        {
            assert!(vault.parse_credential(wrong).is_err());
        }
    }

    #[test]
    fn each_kind_has_places_of_its_own_form() {
        let specs = [
            spec(r#"{"kind":"vault","url":"https://a.example"}"#).unwrap(),
            spec(r#"{"kind":"onepassword","url":"https://a.example"}"#).unwrap(),
            spec(r#"{"kind":"bitwarden","url":"https://a.example"}"#).unwrap(),
            ProviderSpec::File {},
        ];
        for (text, kinds) in [
            ("a/b#c", vec!["vault"]),
            ("op://a/b/c", vec!["onepassword"]),
            ("be8e0ad8-d545-4017-a55a-b02f014d4158", vec!["bitwarden", "file"]),
            ("db/password", vec!["file"]),
        ] {
            let location: Location = text.parse().unwrap();
            let takers = specs.iter().filter(|spec| spec.takes(&location).is_ok());
            assert_eq!(takers.map(ProviderSpec::kind).collect::<Vec<_>>(), kinds, "{text}");
        }
    }
}
