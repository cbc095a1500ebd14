//! What lies beside a published site: the list of its files, what was made of them, and its rules. `build` writes it
//! once, the edge reads it and answers from it. Tests: `tests/it/site.rs`.
//!
//! ```text
//! <sites folder>/<digest>/            the user's files, exactly as they were published
//! <sites folder>/<digest>.made/       what Havre made of them; no file of the user's is ever here
//!     site.json                       this document
//!     <SHA-256 of a file>.br          the same bytes compressed, where that is smaller
//! ```

use serde::{Deserialize, Serialize};

use super::headers::HeaderRule;
use super::redirects::RedirectRule;

/// Version of [`Document`]; an edge that does not know it serves the plain files.
pub const VERSION: u32 = 1;
/// Name of the document.
pub const FILE_NAME: &str = "site.json";
/// Largest document that is read: 20,000 files with long names.
pub const SIZE_MAX: u64 = 32 * 1024 * 1024;
/// Files at the root of a site that are read and never served.
pub const RULE_FILES: [&str; 2] = ["_headers", "_redirects"];

/// Everything known about a published site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// See [`VERSION`].
    pub version: u32,
    /// Every file that is served, by path.
    pub files: Vec<FileEntry>,
    /// `_headers`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderRule>,
    /// `_redirects`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<RedirectRule>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Below the folder of the site, decoded, without a slash at either end.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its contents, lower-case hex.
    pub sha256: String,
    /// What was made of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<Made>,
}

/// One file in another encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// Which.
    pub encoding: Encoding,
    /// Bytes.
    pub size: u64,
}

/// How bytes of a file are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Brotli.
    Br,
    /// Zstandard.
    Zstd,
    /// Gzip.
    Gzip,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Br, Self::Zstd, Self::Gzip];

    /// The name in `Accept-Encoding` and `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

/// The folder beside the site's own, from the 64 hex digits of its digest.
pub fn made_folder(hex: &str) -> String {
    format!("{hex}.made")
}

/// Name of a file in it.
pub fn made_file(sha256: &str, encoding: Encoding) -> String {
    format!("{sha256}.{}", encoding.name())
}

/// Whether a text is a SHA-256 in lower-case hex: safe as the name of a file.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
