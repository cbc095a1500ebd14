//! Which Node.js: what the repository pins, else what `engines` admits, else the default. Tests at the end of the file.

use havre_core::name::RelativePath;

use crate::stack::node::workspace::{Project, above};
use crate::stack::snapshot::Snapshot;
use crate::stack::{StackError, shown, unclear};

/// Taken where nothing is said: the long-term release most programs run on.
const DEFAULT: u32 = 22;
/// Taken for `engines`, the first that is admitted.
const CANDIDATES: [u32; 9] = [DEFAULT, 24, 20, 18, 16, 23, 21, 19, 25];
/// Images exist from this one on.
const OLDEST: u32 = 16;
/// No image has a higher number for years to come.
const NEWEST: u32 = 60;
/// The oldest that still gets security fixes.
const MAINTAINED: u32 = 22;
/// Names of long-term releases, as `.nvmrc` may say them.
const NAMED: [(&str, u32); 6] =
    [("gallium", 16), ("hydrogen", 18), ("iron", 20), ("jod", 22), ("krypton", 24), ("*", DEFAULT)];

/// The major number, and where it comes from.
pub(super) fn find(snapshot: &Snapshot, project: &Project) -> Result<(u32, String), StackError> {
    let root = &project.program.folder;
    let pin = find_pin(snapshot, project);
    let engines = project.program.text("/engines/node").or_else(|| project.top.text("/engines/node"));
    let (major, mut note) = match (pin, engines) {
        (Some((major, file)), Some(range)) if !admits(range, major) => {
            let chosen = choose(root, range)?;
            let range = shown(range);
            (
                chosen,
                format!(
                    "Node.js {chosen}, by `engines` (`{range}`); {file} says {major}, which it excludes."
                ),
            )
        }
        (Some((major, file)), _) => (major, format!("Node.js {major}, by {file}.")),
        (None, Some(range)) => {
            let major = choose(root, range)?;
            (major, format!("Node.js {major}, by `engines` of package.json (`{}`).", shown(range)))
        }
        (None, None) => (
            DEFAULT,
            format!("Node.js {DEFAULT}, because nothing says which; `engines` of package.json can."),
        ),
    };
    if !(OLDEST..=NEWEST).contains(&major) {
        let reason = format!("it asks for Node.js {major}, for which there is no image");
        return Err(unclear(root, reason, "name another in `engines` of package.json"));
    }
    if major < MAINTAINED {
        note.push_str(" That one gets no security fixes any more.");
    }
    Ok((major, note))
}

/// A version that somebody wrote down for tools, nearest to the program first.
fn find_pin(snapshot: &Snapshot, project: &Project) -> Option<(u32, String)> {
    let root = &project.program.folder;
    let mut folders: Vec<RelativePath> = vec![root.clone()];
    folders.extend(above(root));
    for folder in &folders {
        for name in [".nvmrc", ".node-version"] {
            if let Some(major) = snapshot.text(folder, name).and_then(parse_pin) {
                return Some((major, name.to_owned()));
            }
        }
        if let Some(major) = snapshot.text(folder, ".tool-versions").and_then(parse_tools) {
            return Some((major, ".tool-versions".to_owned()));
        }
    }
    let volta = project.program.text("/volta/node").or_else(|| project.top.text("/volta/node"));
    volta.and_then(parse_pin).map(|major| (major, "`volta` of package.json".to_owned()))
}

/// `v22.11.0`, `22`, `lts/jod`, `lts/*`, `node`.
fn parse_pin(text: &str) -> Option<u32> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let line = line.to_ascii_lowercase();
    if let Some(name) = line.strip_prefix("lts/") {
        return NAMED.iter().find(|(named, _)| *named == name).map(|(_, major)| *major);
    }
    if matches!(line.as_str(), "lts" | "node" | "stable" | "latest" | "current") {
        return Some(DEFAULT);
    }
    number(line.trim_start_matches('v'))
}

/// The line `nodejs 22.11.0` of asdf and mise.
fn parse_tools(text: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let is_ours = matches!(words.next(), Some("nodejs" | "node"));
        if is_ours { parse_pin(words.next()?) } else { None }
    })
}

/// The number before the first dot.
fn number(text: &str) -> Option<u32> {
    text.split('.').next()?.parse().ok().filter(|number| *number < 1000)
}

fn choose(root: &RelativePath, range: &str) -> Result<u32, StackError> {
    CANDIDATES.into_iter().find(|major| admits(range, *major)).ok_or_else(|| {
        let reason = format!("`engines` of package.json asks for Node.js `{}`", shown(range));
        unclear(root, reason, "name a version there is, such as \"22\"")
    })
}

/// Whether a range admits the newest version of a major number. A range that cannot be read admits nothing.
fn admits(range: &str, major: u32) -> bool {
    range.split("||").any(|part| admits_all(part.trim(), major))
}

fn admits_all(part: &str, major: u32) -> bool {
    if let Some((from, to)) = part.split_once(" - ") {
        let (from, to) = (number(from.trim()), number(to.trim()));
        return from.zip(to).is_some_and(|(from, to)| (from..=to).contains(&major));
    }
    // `>= 20` is written with and without the space.
    let mut words: Vec<String> = Vec::new();
    for word in part.split([' ', ',']).filter(|word| !word.is_empty()) {
        match words.last_mut().filter(|last| last.ends_with(['>', '<', '=', '^', '~'])) {
            Some(last) => last.push_str(word),
            None => words.push(word.to_owned()),
        }
    }
    words.iter().all(|word| admits_one(word, major))
}

fn admits_one(word: &str, major: u32) -> bool {
    let version = word.trim_start_matches(['>', '<', '=', '^', '~']);
    let sign = &word[..word.len() - version.len()];
    let version = version.trim_start_matches(['v', 'V']);
    if matches!(version, "" | "*" | "x" | "X") {
        return sign.is_empty() || sign == ">=";
    }
    let Some(named) = number(version) else { return false };
    let is_whole = version.split('.').skip(1).all(|part| matches!(part, "0" | "x" | "X" | "*"));
    let has_more = version.contains('.');
    match sign {
        ">=" => major >= named,
        // `>20` excludes every 20.x, `>20.1` only what is older than the newest 20.x.
        ">" => {
            if has_more {
                major >= named
            } else {
                major > named
            }
        }
        "<" => major < named,
        // The newest 20.x is not below 20.1.
        "<=" => {
            if has_more && !is_whole {
                major < named
            } else {
                major <= named
            }
        }
        "" | "=" | "^" | "~" | "~>" => major == named,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A range, and what of 18, 20, 22 and 24 it admits.
    const RANGES: &[(&str, &[u32])] = &[
        ("22", &[22]),
        ("22.x", &[22]),
        ("^20.10.0", &[20]),
        ("~20.10", &[20]),
        ("20.11.1", &[20]),
        (">=20", &[20, 22, 24]),
        (">= 20.9 <23", &[20, 22]),
        (">20", &[22, 24]),
        (">20.1", &[20, 22, 24]),
        ("<=20", &[18, 20]),
        ("<=20.1.0", &[18]),
        ("18 || >=22", &[18, 22, 24]),
        ("18 - 20", &[18, 20]),
        ("*", &[18, 20, 22, 24]),
        ("", &[18, 20, 22, 24]),
        ("v22", &[22]),
        ("latest", &[]),
        (">=99999999999", &[]),
        ("<2é", &[]),
    ];

    #[test]
    fn ranges() {
        let admitted = |range: &str| -> Vec<u32> {
            [18, 20, 22, 24].into_iter().filter(|major| admits(range, *major)).collect()
        };
        for (range, expected) in RANGES {
            assert_eq!(admitted(range), *expected, "{range}");
        }
    }

    #[test]
    fn pins() {
        for (text, expected) in [
            ("v22.11.0\n", Some(22)),
            ("lts/jod", Some(22)),
            ("lts/*", Some(DEFAULT)),
            ("lts/none", None),
            ("node", Some(DEFAULT)),
            ("# 1\n\n20", Some(20)),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(parse_pin(text), expected, "{text:?}");
        }
        assert_eq!(parse_tools("python 3.12\nnodejs 20.1.0\n"), Some(20));
    }
}
