//! What a build makes and a release runs: an image or a static site, always named by digest.
//! Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::text_json;

/// Lower-case hex SHA-256, text form `sha256:<64 digits>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// The 64 hex digits without `sha256:`; safe as a folder name.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

/// Text that is not a digest or an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct ArtifactError {
    text: String,
    expected: &'static str,
}

fn error(text: &str, expected: &'static str) -> ArtifactError {
    ArtifactError { text: text.chars().take(80).flat_map(char::escape_default).collect(), expected }
}

impl FromStr for Digest {
    type Err = ArtifactError;

    fn from_str(text: &str) -> Result<Self, ArtifactError> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Ok(Self(hex.to_owned()));
        }
        Err(error(text, "a digest: sha256: and 64 hex digits"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// Name of an image as a registry or the engine knows it (distribution reference grammar): an optional host with
/// port, path components, then `:tag` and/or `@sha256:...`. `nginx:1` and `registry.example.org:5000/team/app@sha256:…`
/// are references.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageRef(String);

impl ImageRef {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before `:tag` and `@digest`.
    pub fn repository(&self) -> &str {
        let name = self.0.split('@').next().unwrap_or(&self.0);
        match name.rfind(':') {
            Some(colon) if !name[colon..].contains('/') => &name[..colon],
            _ => name,
        }
    }
}

fn is_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    is_component(&host.to_ascii_lowercase())
        && port.is_none_or(|port| (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit()))
}

impl FromStr for ImageRef {
    type Err = ArtifactError;

    fn from_str(text: &str) -> Result<Self, ArtifactError> {
        let wrong =
            || error(text, "an image reference such as nginx:1 or registry.example.org/team/app@sha256:…");
        if text.len() > 384 {
            return Err(wrong());
        }
        let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
        let digest_ok = digest.is_none_or(|d| d.starts_with("sha256:") && d.parse::<Digest>().is_ok());
        let (path, tag) = match name.rfind(':') {
            Some(colon) if !name[colon..].contains('/') => (&name[..colon], Some(&name[colon + 1..])),
            _ => (name, None),
        };
        let tag_ok = tag.is_none_or(|tag| {
            (1..=128).contains(&tag.len())
                && !tag.starts_with(['.', '-'])
                && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        });
        let mut parts = path.split('/');
        let first = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        let first_ok = is_component(first) || (!rest.is_empty() && is_registry(first));
        if digest_ok && tag_ok && first_ok && rest.iter().all(|part| is_component(part)) {
            return Ok(Self(text.to_owned()));
        }
        Err(wrong())
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a release runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Artifact {
    /// A container image.
    Image {
        /// The engine's own id of the image: digest of its configuration. Never moves, unlike a tag.
        id: Digest,
        /// Where to pull it from when the engine has lost it (`name@sha256:…`); `None` for images built here.
        pull: Option<ImageRef>,
    },
    /// A folder of files served by the edge.
    Site {
        /// Digest over the sorted paths, modes and contents.
        digest: Digest,
    },
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { id, .. } => write!(f, "image {}", id.short()),
            Self::Site { digest } => write!(f, "site {}", digest.short()),
        }
    }
}

text_json! { Digest ImageRef }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let pinned = format!("registry.example.org:5000/team/app@{digest}");
        for right in
            ["nginx", "nginx:1", "library/nginx:1.2-x", "localhost:5000/a", &pinned, &format!("a:1@{digest}")]
        {
            assert!(right.parse::<ImageRef>().is_ok(), "{right:?} must parse");
        }
        for wrong in
            ["", "-v", "a b", "a;b", "A", "a:", "a/", "/a", "a@sha256:12", "a:$(id)", "a//b", "http://a/b"]
        {
            assert!(wrong.parse::<ImageRef>().is_err(), "{wrong:?} must not parse");
        }
        let parsed: ImageRef = pinned.parse().expect("is a reference");
        assert_eq!(parsed.repository(), "registry.example.org:5000/team/app");
    }
}
