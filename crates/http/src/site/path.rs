//! From the path of a request to the name of a file below a site's folder. Purely text: it opens nothing.
//! Tests: `tests/it/site.rs` of the edge (golden and property).

use percent_encoding::percent_decode_str;

/// Longest path that is looked at, in bytes; `PATH_MAX` of Linux.
pub const MAX_PATH: usize = 4096;
/// Deepest folder.
const MAX_SEGMENTS: usize = 64;

/// A name below a site's folder that cannot leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitePath {
    /// Segments joined by `/`, no slash at either end; empty for the folder itself.
    pub relative: String,
    /// The request asked for a folder (it ended with a slash).
    pub is_folder: bool,
}

impl SitePath {
    /// Resolves `path` (as sent, no query), from which the route's prefix is already removed. Each segment is
    /// decoded once. `None` for everything that is not plainly a file of the site: `.`, `..` and empty
    /// segments, hidden names except a leading `.well-known`, NUL and other controls, backslashes, an encoded
    /// slash, bad percent signs, bytes that are not UTF-8.
    pub fn parse(path: &str) -> Option<Self> {
        if path.len() > MAX_PATH {
            return None;
        }
        let rest = path.strip_prefix('/')?;
        let (rest, is_folder) = match rest.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (rest, rest.is_empty()),
        };
        if rest.is_empty() {
            // A second slash (`//`) would be an empty segment.
            return (path == "/").then(|| Self { relative: String::new(), is_folder: true });
        }
        let mut relative = String::with_capacity(rest.len());
        for (index, raw) in rest.split('/').enumerate() {
            if index == MAX_SEGMENTS {
                return None;
            }
            if index > 0 {
                relative.push('/');
            }
            push_segment(&mut relative, raw, index == 0)?;
        }
        Some(Self { relative, is_folder })
    }

    /// Last segment; empty for the folder itself.
    pub fn name(&self) -> &str {
        self.relative.rsplit('/').next().unwrap_or("")
    }

    /// Whether it lies below `.well-known`, which belongs to protocols and not to the pages of the site.
    pub fn is_well_known(&self) -> bool {
        self.relative == ".well-known" || self.relative.starts_with(".well-known/")
    }
}

fn push_segment(relative: &mut String, raw: &str, is_first: bool) -> Option<()> {
    if !has_sound_escapes(raw) {
        return None;
    }
    let segment = percent_decode_str(raw).decode_utf8().ok()?;
    let is_hidden = segment.starts_with('.') && !(is_first && segment == ".well-known");
    if segment.is_empty() || segment.len() > 255 || is_hidden {
        return None;
    }
    if segment.chars().any(|c| c.is_control() || c == '/' || c == '\\') {
        return None;
    }
    relative.push_str(&segment);
    Some(())
}

/// Whether every `%` is followed by two hex digits. The decoder would pass others through as they are, and then
/// two readers could understand one path differently.
fn has_sound_escapes(raw: &str) -> bool {
    raw.split('%')
        .skip(1)
        .all(|rest| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}
