//! Copies into databases, dumps out of them, and what belongs to one person.

use havre_core::copy::state::State;
use havre_core::copy::{DumpFormat, Origin};
use havre_core::id::CopyId;
use havre_core::name::{DatabaseName, EnvironmentName};
use havre_core::service::Place;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Body of `POST .../databases/{database}/copies`: the database of this name in another environment, copied into this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyRequest {
    /// Environment whose database is copied.
    #[schema(value_type = String, example = "production")]
    pub from: EnvironmentName,
    /// Text of `privacy.toml`, by which personal data is masked on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Copy as it is, personal data included; has to be said for a copy out of `production` without `policy`.
    #[serde(default)]
    pub unmasked: bool,
    /// What was there before goes, in place of staying as `<name>_before_<n>`; never in `production`.
    #[serde(default)]
    pub drop_old: bool,
    /// Original values that the leak test finds in columns that are kept do not refuse the copy.
    #[serde(default)]
    pub accept_leaks: bool,
    /// Name of the database, said a second time; needed where it goes into `production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// Answer of `POST .../databases/{database}/copies`. 202 when it is asked for, 200 for a dry run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CopyResponse {
    /// Nothing was changed.
    pub dry_run: bool,
    /// What people should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The copy; absent for a dry run.
    pub copy: Option<Copy>,
}

/// Copies into one database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CopyList {
    /// Newest first.
    pub copies: Vec<Copy>,
}

/// One copy into a database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Copy {
    /// Its id.
    #[schema(value_type = String, example = "q3")]
    pub id: CopyId,
    /// Where its rows come from: another environment, or a dump that somebody sends.
    #[schema(value_type = Object, example = json!({"from": "database", "id": "m1", "environment": "production"}))]
    pub origin: Origin,
    /// The database it goes into, by names.
    #[schema(value_type = crate::service::PlaceSchema)]
    pub place: Place,
    /// Personal data is masked.
    pub masked: bool,
    /// What was there before goes.
    pub drop_old: bool,
    /// Name of what was there before, once the copy has taken its place and where it stays.
    #[schema(example = "db_before_3")]
    pub before: Option<String>,
    /// Becomes a database of this name beside that of services.
    #[schema(value_type = Option<String>)]
    pub beside: Option<DatabaseName>,
    /// How often it was begun.
    pub attempt: u32,
    /// Where it stands; `state.state` is its name. Once rows are there, `state.report` counts them.
    #[schema(value_type = Object, example = json!({"state": "copying", "since": "2026-11-24T10:00:00.000Z"}))]
    pub state: State,
    /// Nothing will change any more.
    pub is_final: bool,
    /// Why it failed, or is about to, for people: what the rules lack, with the lines to add; empty otherwise.
    pub failure: String,
    /// How far it has come, or why it does not go on right now, for people.
    pub waiting: String,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Body of `POST .../databases/{database}/dump`. The answer is a stream of frames; see `havre_api::frame`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DumpRequest {
    /// `plain` for text, or `custom` for the compressed archive of `pg_dump`.
    #[schema(value_type = String, example = "plain")]
    pub format: DumpFormat,
}

/// Query of `POST .../databases/{database}/imports`. The body is a stream of frames; see `havre_api::frame`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Becomes a database of this name beside that of services, which has to be empty otherwise.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, example = "old")]
    pub beside: Option<DatabaseName>,
}

/// Body of `POST .../databases/{database}/person/export` and of `.../person/erase`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonRequest {
    /// Text of `privacy.toml`, whose `[person]` says which rows belong to a person.
    pub policy: String,
    /// What the person is looked for by, such as an address of e-mail. It is in no event.
    pub person: String,
    /// Only count what would be erased; says nothing to an export.
    #[serde(default)]
    pub dry_run: bool,
}

impl std::fmt::Debug for PersonRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PersonRequest").field("dry_run", &self.dry_run).finish_non_exhaustive()
    }
}

/// Answer of `POST .../databases/{database}/person/erase`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonErased {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Rows that were erased or cleared, or would be, in the order in which it is done.
    pub tables: Vec<PersonRows>,
    /// All of them.
    pub rows: u64,
}

/// Rows of one table that belong to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonRows {
    /// Which: `public.users`.
    #[schema(example = "public.users")]
    pub table: String,
    /// How many.
    pub rows: u64,
}
