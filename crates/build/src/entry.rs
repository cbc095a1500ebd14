//! Names inside archives that others made: what may be used as a path, and how it is shown. Opens no file.
//! Tests at the end of the file.

/// Longest path in bytes.
pub(crate) const PATH_MAX: usize = 1024;
/// Longest component of a path in bytes; what Linux file systems take.
const COMPONENT_MAX: usize = 255;
/// Deepest nesting of folders.
const DEPTH_MAX: usize = 64;

/// A name for messages: escaped, at most 120 characters of it.
pub(crate) fn show(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut shown: String = text.chars().take(120).flat_map(char::escape_debug).collect();
    if text.chars().nth(120).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The components of a relative path that stays inside, without `.`; empty for the root itself.
///
/// # Errors
/// Says what is wrong, naming the path.
pub(crate) fn parse_path(name: &[u8]) -> Result<Vec<&str>, String> {
    let text = std::str::from_utf8(name).map_err(|_| format!("{} is not valid UTF-8", show(name)))?;
    let wrong = |what: &str| Err(format!("{} {what}", show(name)));
    if name.len() > PATH_MAX {
        return wrong("is longer than 1024 bytes");
    }
    if text.starts_with('/') {
        return wrong("is an absolute path");
    }
    if text.contains('\0') {
        return wrong("contains a NUL byte");
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return wrong("leaves its folder");
    }
    if parts.iter().any(|part| part.len() > COMPONENT_MAX) {
        return wrong("has a part longer than 255 bytes");
    }
    if parts.len() > DEPTH_MAX {
        return wrong("is nested deeper than 64 folders");
    }
    Ok(parts)
}

/// Whether the symbolic link at `link` with that target stays inside, wherever other links lead.
///
/// Stricter than resolving the text: `..` may stand only at the start, because after a component that may be a link
/// itself nobody knows where it leads.
pub(crate) fn link_stays_inside(link: &[&str], target: &[u8]) -> bool {
    let Ok(target) = std::str::from_utf8(target) else { return false };
    if target.is_empty() || target.len() > PATH_MAX || target.starts_with('/') || target.contains('\0') {
        return false;
    }
    let mut folders = link.len().saturating_sub(1);
    let mut went_down = false;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if went_down || folders == 0 => return false,
            ".." => folders -= 1,
            _ => went_down = true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let long = "a/".repeat(600);
        let part = "a".repeat(256);
        let deep = "a/".repeat(65);
        let right: [(&[u8], &[&str]); 5] = [
            (b"index.html", &["index.html"]),
            (b"./a//b/./c/", &["a", "b", "c"]),
            (b".", &[]),
            ("é/x y".as_bytes(), &["é", "x y"]),
            (b"...", &["..."]),
        ];
        for (name, parts) in right {
            assert_eq!(parse_path(name), Ok(parts.to_vec()));
        }
        let wrong: [(&[u8], &str); 8] = [
            (b"/etc/passwd", "`/etc/passwd` is an absolute path"),
            (b"../x", "`../x` leaves its folder"),
            (b"a/../../x", "`a/../../x` leaves its folder"),
            (b"a\0b", "`a\\0b` contains a NUL byte"),
            (b"\xff", "`\u{fffd}` is not valid UTF-8"),
            (long.as_bytes(), "is longer than 1024 bytes"),
            (part.as_bytes(), "has a part longer than 255 bytes"),
            (deep.as_bytes(), "is nested deeper than 64 folders"),
        ];
        for (name, message) in wrong {
            let error = parse_path(name).expect_err("must be refused");
            assert!(error.ends_with(message), "{error}");
        }
    }

    #[test]
    fn links() {
        let at = ["node_modules", ".bin", "vite"];
        for right in ["../vite/bin/vite.js", "vite.js", "../../x", "./a/b", "a//b"] {
            assert!(link_stays_inside(&at, right.as_bytes()), "{right} stays inside");
        }
        for wrong in ["/bin/sh", "../../../x", "a/../b", "..//../..", "", "\0"] {
            assert!(!link_stays_inside(&at, wrong.as_bytes()), "{wrong:?} must be refused");
        }
        assert!(!link_stays_inside(&["x"], b".."));
    }
}
