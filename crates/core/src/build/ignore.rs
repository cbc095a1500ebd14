//! A whole `.dockerignore`: lines in order, the last one that matches decides, `!` takes back. A path is out when the
//! deciding pattern matches it or a folder above it. Tests at the end of the file.

use super::pattern::Pattern;

/// Most patterns of one file.
const PATTERNS_MAX: usize = 10_000;

/// The rules of one context.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    takes_back: bool,
    pattern: Pattern,
}

impl Ignore {
    /// Reads the text of a `.dockerignore`.
    ///
    /// # Errors
    /// Names the line and says what is wrong with it; the line as it is, so whoever shows it makes it fit for a terminal.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            // Only at the very start of a line does # begin a comment.
            let line = if line.starts_with('#') { "" } else { line.trim() };
            let (takes_back, line) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let wrong = |why: &str| format!("line {}: `{line}`: {why}", index + 1);
            if line.is_empty() {
                if takes_back {
                    return Err(wrong("a ! needs a pattern"));
                }
                continue;
            }
            let pattern = Pattern::parse(&clean(line)).map_err(|why| wrong(&why))?;
            rules.push(Rule { takes_back, pattern });
            if rules.len() > PATTERNS_MAX {
                return Err(format!("more than {PATTERNS_MAX} patterns"));
            }
        }
        Ok(Self { rules })
    }

    /// Whether this path, relative to the context, stays out.
    pub fn is_ignored(&self, path: &str) -> bool {
        let mut is_ignored = false;
        for rule in &self.rules {
            // A rule that would change nothing needs no look.
            if rule.takes_back == is_ignored && covers(&rule.pattern, path) {
                is_ignored = !rule.takes_back;
            }
        }
        is_ignored
    }

    /// Whether something inside this ignored folder may be taken back.
    pub fn may_keep_below(&self, folder: &str) -> bool {
        self.rules.iter().any(|rule| rule.takes_back && rule.pattern.may_match_below(folder))
    }
}

/// Whether a pattern matches the path or a folder above it.
fn covers(pattern: &Pattern, path: &str) -> bool {
    let above = path.match_indices('/').map(|(at, _)| &path[..at]);
    pattern.is_match(path) || above.into_iter().any(|folder| pattern.is_match(folder))
}

/// Go's `filepath.Clean`, then without a leading slash: patterns are relative to the context.
fn clean(line: &str) -> String {
    let is_rooted = line.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in line.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_rooted => {}
            other => parts.push(other),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules, paths that stay out, paths that go in.
    const TABLE: &[(&str, &[&str], &[&str])] = &[
        ("", &[], &["a"]),
        ("# comment\n\n  \n", &[], &["a", "# comment"]),
        (" #a", &["#a"], &["a"]),
        ("\u{feff}a", &["a"], &["b"]),
        ("/a/", &["a", "a/b"], &["b/a"]),
        ("./a/../b", &["b", "b/c"], &["a"]),
        ("/../a", &["a"], &["b"]),
        ("node_modules", &["node_modules", "node_modules/x/y.js"], &["apps/node_modules/x", "node_modules2"]),
        ("**/node_modules", &["node_modules/x", "apps/api/node_modules/x"], &["apps/api/x"]),
        ("*", &["a", "a/b", ".dockerignore"], &[]),
        ("*\n!src", &["a", "b/src"], &["src", "src/a/b"]),
        ("*\n!src\nsrc/secret*", &["src/secret.txt", "a"], &["src/a"]),
        ("*.md\n!README.md", &["a.md"], &["README.md", "a/b.md"]),
        ("*.md\n!README*.md\nREADME-secret.md", &["a.md", "README-secret.md"], &["README.md"]),
        ("*.md\nREADME-secret.md\n!README*.md", &["a.md"], &["README.md", "README-secret.md"]),
        ("!a\na", &["a"], &["b"]),
        ("a\n! a", &[], &["a"]),
        ("dir\n!dir/keep/**", &["dir/x", "dir/keep"], &["dir/keep/y"]),
        ("**\n!**/*.js", &["a.txt", "a/b.txt"], &["a.js", "a/b/c.js"]),
        ("a/*\n!a/b", &["a/c", "a/c/b"], &["a", "a/b", "a/b/c"]),
        (".", &[], &["a"]),
        ("../x", &[], &["x"]),
        ("a b", &["a b", "a b/c"], &["a"]),
    ];

    #[test]
    fn table() {
        for (text, out, inside) in TABLE {
            let ignore = Ignore::parse(text).expect("parses");
            for path in *out {
                assert!(ignore.is_ignored(path), "{text:?} must keep out {path}");
            }
            for path in *inside {
                assert!(!ignore.is_ignored(path), "{text:?} must let in {path}");
            }
        }
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(Ignore::parse("a\n!\n").expect_err("is wrong"), "line 2: ``: a ! needs a pattern");
        assert_eq!(Ignore::parse("a\n\n[x").expect_err("is wrong"), "line 3: `[x`: a [ has no ]");
    }

    #[test]
    fn folders_that_need_a_look() {
        let ignore = Ignore::parse("*\n!apps/api\n").expect("parses");
        assert!(ignore.may_keep_below("apps"));
        assert!(!ignore.may_keep_below("node_modules"));
        assert!(!Ignore::parse("*").expect("parses").may_keep_below("apps"));
    }
}
