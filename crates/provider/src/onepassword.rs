//! 1Password by a Connect server: a vault and an item by name or id, and a field of the item. Tests: `tests/it/onepassword.rs`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use havre_core::secret::Secret;
use havre_decide::secret::provider::reference::{Form, Location};
use havre_decide::secret::provider::{Fetched, ValueVersion};
use serde_json::Value;

use crate::call::{Ask, Client, proof};
use crate::{FetchError, text_of};

/// Length of the ids 1Password gives.
const ID: usize = 26;

/// One Connect server and who asks it.
pub(crate) struct OnePassword<'a> {
    pub(crate) client: Client,
    pub(crate) token: &'a Secret,
}

impl OnePassword<'_> {
    pub(crate) async fn fetch(
        &self,
        locations: &BTreeSet<Location>,
    ) -> Result<BTreeMap<Location, Fetched>, FetchError> {
        // Each vault and each item is asked for once.
        let mut vaults: BTreeMap<&str, String> = BTreeMap::new();
        let mut items: BTreeMap<(&str, &str), Value> = BTreeMap::new();
        let mut fetched = BTreeMap::new();
        for location in locations {
            let Form::Item { vault, item, section, field } = location.form() else { continue };
            let vault_id = match vaults.entry(vault) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.find("/v1/vaults", "name", vault).await?),
            };
            let found = match items.entry((vault, item)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.item(vault_id, item).await?),
            };
            let value = text_of(location, field_of(location, found, section.as_deref(), field)?)?;
            let version = found["version"].as_u64().map(|version| version.to_string());
            let version = ValueVersion::new(version.as_deref().unwrap_or_default());
            fetched.insert(location.clone(), Fetched { value, version });
        }
        Ok(fetched)
    }

    pub(crate) async fn look(&self) -> Result<String, FetchError> {
        let vaults = self.get("/v1/vaults".to_owned(), "list the vaults").await?;
        let names = vaults.as_array().into_iter().flatten().filter_map(|vault| vault["name"].as_str());
        let names: Vec<&str> = names.collect();
        Ok(format!("the token opens the vaults {}", names.join(", ")))
    }

    async fn item(&self, vault: &str, named: &str) -> Result<Value, FetchError> {
        let items = format!("/v1/vaults/{vault}/items");
        let id = self.find(&items, "title", named).await?;
        self.get(format!("{items}/{id}"), &format!("read the item {named}")).await
    }

    /// The id of what has this name in a list, or is it.
    async fn find(&self, list: &str, key: &str, named: &str) -> Result<String, FetchError> {
        if is_id(named) {
            return Ok(named.to_owned());
        }
        // A part of a reference holds no quote, and of what must be escaped only spaces.
        let target = format!("{list}?filter={key}%20eq%20%22{}%22", named.replace(' ', "%20"));
        let found = self.get(target, &format!("look for {named}")).await?;
        let has_name = |one: &&Value| one[key].as_str() == Some(named);
        let ids: Vec<&str> = found
            .as_array()
            .into_iter()
            .flatten()
            .filter(has_name)
            .filter_map(|one| one["id"].as_str())
            .collect();
        match ids[..] {
            [id] if is_id(id) => Ok(id.to_owned()),
            [] => Err(FetchError::refused(format!(
                "there is no `{named}`, or the token of the Connect server does not open it"
            ))),
            [_] => Err(FetchError::refused(format!("the id of `{named}` is none"))),
            _ => Err(FetchError::refused(format!(
                "several are named `{named}`: say the id of the one that is meant"
            ))),
        }
    }

    async fn get(&self, target: String, wanted: &str) -> Result<Value, FetchError> {
        let headers = vec![proof("authorization", "Bearer ", self.token)?];
        self.client.ask(Ask { method: "GET", target, headers, body: String::new() }).await?.good(wanted)
    }
}

/// What the server says becomes part of a path, so it is looked at.
fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The value of the field that is meant. Without a section, a field outside of sections comes before those in one.
fn field_of<'v>(
    location: &Location,
    item: &'v Value,
    section: Option<&str>,
    field: &str,
) -> Result<&'v Value, FetchError> {
    let is = |value: &Value, text: &str| value.as_str().is_some_and(|value| value.eq_ignore_ascii_case(text));
    let is_named = |one: &&Value| is(&one["label"], field) || is(&one["id"], field);
    let sections = item["sections"].as_array().map(Vec::as_slice).unwrap_or_default();
    let in_section = |one: &&Value| match section {
        None => true,
        Some(section) => {
            let id = &one["section"]["id"];
            is(id, section) || sections.iter().any(|one| one["id"] == *id && is(&one["label"], section))
        }
    };
    let fields = item["fields"].as_array().into_iter().flatten();
    let found: Vec<&Value> = fields.filter(is_named).filter(in_section).collect();
    let outside: Vec<&Value> = found.iter().copied().filter(|one| one["section"].is_null()).collect();
    match (found.as_slice(), outside.as_slice()) {
        ([one], _) | (_, [one]) => Ok(&one["value"]),
        ([], _) => Err(FetchError::refused(format!("{location}: the item has no such field"))),
        _ => Err(FetchError::refused(format!(
            "{location}: the item has several such fields: say the section, or the id"
        ))),
    }
}
