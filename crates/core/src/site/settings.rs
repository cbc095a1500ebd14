//! What `havre.toml` says of a site beyond where its files come from. Tests: `tests/it/manifest.rs`, `tests/it/site.rs`.

use serde::{Deserialize, Serialize};

use crate::quantity::Span;
use crate::site::purge::PurgeSpec;

/// How long files of the release before are served after a switch.
pub const KEEP_ASSETS: Span = Span::seconds(3600);
/// Longest such time.
pub const KEEP_ASSETS_MAX: Span = Span::seconds(7 * 86_400);
/// How many releases can be gone back to.
pub const RELEASES_KEPT: u32 = 10;
/// Most of them: each is a folder on disk.
pub const RELEASES_KEPT_MAX: u32 = 100;
/// Longest time a CDN may hold pages.
pub const HOLD_MAX: Span = Span::seconds(365 * 86_400);
/// Most earlier releases whose files a route table names.
pub const EARLIER_MAX: usize = 10;

/// Settings of a site; what is left out has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteSettings {
    /// Addresses of pages with or without `.html`.
    pub clean_urls: CleanUrls,
    /// Addresses of pages with or without a slash at the end.
    pub trailing_slash: TrailingSlash,
    /// How long files of the release before are served after a switch; zero for not at all.
    pub keep_assets: Span,
    /// How many releases can be gone back to.
    pub releases_kept: u32,
    /// A CDN in front of the edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cdn: Option<CdnSpec>,
}

impl Default for SiteSettings {
    fn default() -> Self {
        Self {
            clean_urls: CleanUrls::Serve,
            trailing_slash: TrailingSlash::Auto,
            keep_assets: KEEP_ASSETS,
            releases_kept: RELEASES_KEPT,
            cdn: None,
        }
    }
}

impl SiteSettings {
    /// Nothing was said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Addresses of pages with or without `.html`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CleanUrls {
    /// `/about` answers with `about.html`, and so does `/about.html`.
    #[default]
    Serve,
    /// `/about.html` leads to `/about`.
    Redirect,
    /// `/about` is not `about.html`.
    Off,
}

/// Addresses of pages with or without a slash at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrailingSlash {
    /// Folders have one, files do not.
    #[default]
    Auto,
    /// Every page has one.
    Always,
    /// No page has one.
    Never,
}

/// A CDN in front of the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CdnSpec {
    /// How it wants to be told what can be purged together.
    pub tags: TagHeader,
    /// How long it may hold pages.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hold: Option<Span>,
    /// How to tell it to forget pages after a switch. Boxed, because most sites have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub purge: Option<Box<PurgeSpec>>,
}

/// The header that names what can be purged together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagHeader {
    /// `Surrogate-Key`, separated by spaces (Fastly).
    SurrogateKey,
    /// `Cache-Tag`, separated by commas (Cloudflare).
    CacheTag,
    /// `CDN-Tag`, separated by commas (bunny.net).
    CdnTag,
}
