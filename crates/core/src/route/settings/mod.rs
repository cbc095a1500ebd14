//! What a route does with requests and answers beyond bringing them to its target: one type from `havre.toml` over
//! rows to the edge, because each part is a closed type that cannot hold what would harm a head or a redirect.
//! Pure data; the edge applies it (`havre_edge::policy`), `manifest::edge` reads it. JSON is compact: what is not
//! set is not written, and rows of before have none of it. Tests at the end of files and in `tests/it/settings.rs`.

pub mod auth;
pub mod network;
pub mod rate;
pub mod redirect;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::name::{AbsolutePath, HostName};
use crate::quantity::{ByteSize, Span};
use auth::BasicAuth;
use network::Network;
use rate::RateLimit;
use redirect::{Redirect, SiteOrigin};
use text::{CookieName, HeaderName, HeaderValue, MethodName, Page, StatusPattern};

/// Longest time a request is held while a service has no task.
pub const HOLD_MOST: Span = Span::seconds(30);

/// Everything a service says about its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeSpec {
    /// For every address of the service.
    #[serde(skip_serializing_if = "is_default")]
    pub settings: RouteSettings,
    /// Addresses below a path, with everything that holds for them: nothing is inherited at this level.
    #[serde(skip_serializing_if = "is_default")]
    pub paths: BTreeMap<AbsolutePath, RouteSettings>,
    /// Hosts among the service's routes that only lead elsewhere.
    #[serde(skip_serializing_if = "is_default")]
    pub redirect_hosts: BTreeMap<HostName, Redirect>,
}

/// What holds for the requests of one route.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteSettings {
    /// Answered by the edge itself; the first that matches wins.
    #[serde(skip_serializing_if = "is_default")]
    pub redirects: Vec<Redirect>,
    /// Taken off the front of the path before the task sees it.
    #[serde(skip_serializing_if = "is_default")]
    pub strip_prefix: Option<AbsolutePath>,
    /// What changes in the lines the task gets.
    #[serde(skip_serializing_if = "is_default")]
    pub request_headers: HeaderEdits,
    /// What changes in the lines the client gets.
    #[serde(skip_serializing_if = "is_default")]
    pub response_headers: HeaderEdits,
    /// Name and password asked for.
    #[serde(skip_serializing_if = "is_default")]
    pub basic_auth: Option<BasicAuth>,
    /// Only these clients are served; empty for everybody.
    #[serde(skip_serializing_if = "is_default")]
    pub allow: Vec<Network>,
    /// These clients are not served, whatever `allow` says.
    #[serde(skip_serializing_if = "is_default")]
    pub deny: Vec<Network>,
    /// All of them hold.
    #[serde(skip_serializing_if = "is_default")]
    pub rate_limits: Vec<RateLimit>,
    /// Sizes and times.
    #[serde(skip_serializing_if = "is_default")]
    pub limits: RouteLimits,
    /// Answers of tasks are compressed where the client takes that.
    #[serde(skip_serializing_if = "is_default")]
    pub compress: bool,
    /// A client stays with one task.
    #[serde(skip_serializing_if = "is_default")]
    pub sticky: Option<Sticky>,
    /// What other origins may do.
    #[serde(skip_serializing_if = "is_default")]
    pub cors: Option<Cors>,
    /// In place of the edge's own pages about errors.
    #[serde(skip_serializing_if = "is_default")]
    pub error_pages: ErrorPages,
    /// What maintenance looks like here; it is switched on elsewhere.
    #[serde(skip_serializing_if = "is_default")]
    pub maintenance: MaintenanceSettings,
    /// Longest hold of a request while the service has no task during a stop-first update; [`HOLD_MOST`] when
    /// absent, zero for none.
    #[serde(skip_serializing_if = "is_default")]
    pub hold: Option<Span>,
}

/// Changes of header lines. Names that frame a message or that only the edge may say are no [`HeaderName`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderEdits {
    /// One line of this name, in place of all others.
    #[serde(skip_serializing_if = "is_default")]
    pub set: BTreeMap<HeaderName, HeaderValue>,
    /// One more line of this name.
    #[serde(skip_serializing_if = "is_default")]
    pub add: BTreeMap<HeaderName, HeaderValue>,
    /// No line of this name.
    #[serde(skip_serializing_if = "is_default")]
    pub remove: BTreeSet<HeaderName>,
}

/// Sizes and times; what is absent is as the edge's defaults say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteLimits {
    /// Largest body of a request.
    #[serde(skip_serializing_if = "is_default")]
    pub body: Option<ByteSize>,
    /// Largest head of a request; the limit of the whole edge holds too.
    #[serde(skip_serializing_if = "is_default")]
    pub head: Option<ByteSize>,
    /// Longest wait for a connection to a task.
    #[serde(skip_serializing_if = "is_default")]
    pub connect: Option<Span>,
    /// Longest wait from the end of the request to the first byte of the answer.
    #[serde(skip_serializing_if = "is_default")]
    pub first_byte: Option<Span>,
    /// Longest time from the whole head of the request to the last byte of the answer.
    #[serde(skip_serializing_if = "is_default")]
    pub total: Option<Span>,
}

/// A client stays with one task, by a cookie the edge signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sticky {
    /// Name of the cookie.
    pub cookie: CookieName,
    /// How long the client keeps it; until it is closed when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_age: Option<Span>,
}

/// What other origins may do (Fetch standard, CORS protocol).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Who.
    pub origins: CorsOrigins,
    /// Methods beyond the simple ones.
    pub methods: BTreeSet<MethodName>,
    /// Request headers they may send; empty for all they ask for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: BTreeSet<HeaderName>,
    /// Answer headers they may read beyond the simple ones.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expose: BTreeSet<HeaderName>,
    /// With cookies and credentials; never together with any origin.
    #[serde(default, skip_serializing_if = "is_default")]
    pub credentials: bool,
    /// How long a browser remembers a preflight.
    pub max_age: Span,
}

/// Which origins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorsOrigins {
    /// All of them.
    Any,
    /// These.
    Only(BTreeSet<SiteOrigin>),
}

/// Pages in place of the edge's own about errors.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorPages {
    /// By status or class of it; the exact status wins.
    #[serde(skip_serializing_if = "is_default")]
    pub pages: BTreeMap<StatusPattern, Page>,
    /// Also in place of what the task answers with such a status, for clients that want a page.
    #[serde(skip_serializing_if = "is_default")]
    pub replace: bool,
}

/// What maintenance looks like.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaintenanceSettings {
    /// In place of the edge's own page.
    #[serde(skip_serializing_if = "is_default")]
    pub page: Option<Page>,
    /// Clients that are served all the same.
    #[serde(skip_serializing_if = "is_default")]
    pub allow: Vec<Network>,
}

impl EdgeSpec {
    /// Nothing is said.
    pub fn is_empty(&self) -> bool {
        is_default(self)
    }

    /// The longest section that covers a path.
    pub fn section(&self, path: &AbsolutePath) -> Option<(&AbsolutePath, &RouteSettings)> {
        self.paths
            .iter()
            .filter(|(section, _)| section.covers(path))
            .max_by_key(|(section, _)| section.as_str().len())
    }
}

impl RouteSettings {
    /// Nothing is set.
    pub fn is_empty(&self) -> bool {
        is_default(self)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
