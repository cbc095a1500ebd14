//! Static sites as Havre sees them: `settings` says how one is served, `purge` how and when a
//! CDN is told. What a site says in its own files is the crate `site`. Reference for people: `docs/rooms/site.md`.
//! Tests: `tests/it/site_purge.rs`.

pub mod event;
pub mod purge;
pub mod settings;

/// Text of the user's for a message: escaped, at most 80 characters of it.
fn show(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
