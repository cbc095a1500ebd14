//! Vault and OpenBao: a login by token or role, and values of engines KV of version 1 and 2. Paths are those of the interface, so that nobody asks
//! which version an engine has: the answer says it. Tests: `tests/it/vault.rs`.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::secret::Secret;
use havre_decide::secret::provider::reference::{Form, Location};
use havre_decide::secret::provider::setting::{RoleId, SettingPath};
use havre_decide::secret::provider::{Fetched, ValueVersion};
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::call::{Answer, Ask, Client, proof};
use crate::{FetchError, text_of};

/// Where roles log in unless something else is said.
const MOUNT: &str = "approle";

/// One Vault and who asks it.
pub(crate) struct Vault<'a> {
    pub(crate) client: Client,
    pub(crate) namespace: Option<&'a SettingPath>,
    pub(crate) role_id: Option<&'a RoleId>,
    pub(crate) auth_mount: Option<&'a SettingPath>,
    /// A token, or the secret id of the role.
    pub(crate) credential: &'a Secret,
}

/// What lies at a path.
struct Lying {
    fields: Map<String, Value>,
    version: ValueVersion,
}

impl Vault<'_> {
    pub(crate) async fn fetch(
        &self,
        locations: &BTreeSet<Location>,
    ) -> Result<BTreeMap<Location, Fetched>, FetchError> {
        let token = self.log_in().await?;
        let fetched = self.read_all(&token, locations).await;
        self.log_out(&token).await;
        fetched
    }

    pub(crate) async fn look(&self) -> Result<String, FetchError> {
        let token = self.log_in().await?;
        let seen =
            self.ask("GET", "/v1/auth/token/lookup-self".to_owned(), Some(&token), String::new()).await;
        self.log_out(&token).await;
        let body = seen?.good("look at the token")?;
        let policies = body["data"]["policies"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let policies: Vec<&str> = policies.collect();
        Ok(format!("logged in, with the policies {}", policies.join(", ")))
    }

    /// The token is the credential, or what the role gets for it.
    async fn log_in(&self) -> Result<Secret, FetchError> {
        let Some(role) = self.role_id else { return Ok(self.credential.clone()) };
        let mount = self.auth_mount.map_or(MOUNT.to_owned(), ToString::to_string);
        let body = json!({
            "role_id": role.to_string(),
            "secret_id": self.credential.expose_text().unwrap_or_default(),
        });
        let answer = self.ask("POST", format!("/v1/auth/{mount}/login"), None, body.to_string()).await?;
        let body = answer.good("log in")?;
        let token = body["auth"]["client_token"].as_str().filter(|token| !token.is_empty());
        token.map(Secret::from).ok_or_else(|| FetchError::refused("the login gave no token"))
    }

    /// Takes back what a role got. A token that somebody gave us is theirs. One that stays ends by itself.
    async fn log_out(&self, token: &Secret) {
        if self.role_id.is_some() {
            let target = "/v1/auth/token/revoke-self".to_owned();
            let _ = self.ask("POST", target, Some(token), String::new()).await;
        }
    }

    async fn read_all(
        &self,
        token: &Secret,
        locations: &BTreeSet<Location>,
    ) -> Result<BTreeMap<Location, Fetched>, FetchError> {
        let mut paths: BTreeMap<&str, Vec<(&Location, &str)>> = BTreeMap::new();
        for location in locations {
            if let Form::Field { path, field } = location.form() {
                paths.entry(path).or_default().push((location, field.as_str()));
            }
        }
        let mut fetched = BTreeMap::new();
        for (path, wanted) in paths {
            let answer = self.ask("GET", format!("/v1/{path}"), Some(token), String::new()).await?;
            let lying = read(path, answer)?;
            for (location, field) in wanted {
                let missing = || FetchError::refused(format!("{path} has no field `{field}`"));
                let value = text_of(location, lying.fields.get(field).ok_or_else(missing)?)?;
                fetched.insert(location.clone(), Fetched { value, version: lying.version.clone() });
            }
        }
        Ok(fetched)
    }

    async fn ask(
        &self,
        method: &'static str,
        target: String,
        token: Option<&Secret>,
        body: String,
    ) -> Result<Answer, FetchError> {
        let mut headers =
            vec![(HeaderName::from_static("x-vault-request"), HeaderValue::from_static("true"))];
        if let Some(namespace) = self.namespace {
            let value = HeaderValue::try_from(namespace.to_string());
            let value = value.map_err(|_| FetchError::refused("the namespace is no value of a header"))?;
            headers.push((HeaderName::from_static("x-vault-namespace"), value));
        }
        if let Some(token) = token {
            headers.push(proof("x-vault-token", "", token)?);
        }
        self.client.ask(Ask { method, target, headers, body }).await
    }
}

fn read(path: &str, answer: Answer) -> Result<Lying, FetchError> {
    let wanted = format!("read {path}");
    if answer.status == 404 {
        let hint = if answer.body["data"]["metadata"].is_object() {
            "; its newest version is deleted"
        } else {
            "; is the path right? In an engine of version 2 `data` follows the mount, as in secret/data/app"
        };
        return Err(answer.bad(&wanted, hint));
    }
    if answer.status == 403 {
        return Err(answer.bad(&wanted, "; its policy must allow `read` on this path"));
    }
    let mut body = answer.good(&wanted)?;
    let mut data = body.get_mut("data").map(Value::take).unwrap_or_default();
    // Version 2 puts the fields and what it knows of them side by side.
    let version = data["metadata"]["version"].as_u64();
    if let (Some(version), true) = (version, data["data"].is_object()) {
        let version = ValueVersion::new(&version.to_string());
        return match data["data"].take() {
            Value::Object(fields) => Ok(Lying { fields, version }),
            _ => Err(FetchError::refused(format!("{path} holds no fields"))),
        };
    }
    match data {
        Value::Object(fields) => Ok(Lying { fields, version: ValueVersion::new("") }),
        _ => Err(FetchError::refused(format!("{path} holds no fields"))),
    }
}
