//! `Procfile` and `app.json`: what other platforms are told about a program. Only what Havre can honour in a Dockerfile is
//! taken; the rest becomes a note that says where it belongs. Tests at the end of the file.

use havre_core::name::{ProbeTarget, RelativePath};
use serde_json::Value;

use crate::stack::shown;
use crate::stack::snapshot::Snapshot;

/// Longest command that is read.
const COMMAND_MAX: usize = 4096;
/// Words that begin what ends elsewhere, so that the last command is not a command.
const COMPOUND: [&str; 7] = ["if", "for", "while", "until", "case", "{", "!"];
/// Words only a shell knows, so that `exec` cannot stand before them.
const BUILTIN: [&str; 13] =
    ["exec", "cd", "set", "export", "unset", "test", "source", "eval", "trap", "true", "false", ".", ":"];

/// Command of the process `web`, as an argument vector. A command that needs a shell, such as one with `$PORT`, becomes
/// `sh -c`: that shell runs inside the user's own image, and [`notes`] says so.
pub(crate) fn web_command(snapshot: &Snapshot, root: &RelativePath) -> Option<Vec<String>> {
    process(snapshot, root, "web").and_then(command)
}

/// Command to run once before each release: the process `release`, else `predeploy` of `app.json`.
pub(crate) fn release_command(snapshot: &Snapshot, root: &RelativePath) -> Option<Vec<String>> {
    match process(snapshot, root, "release") {
        Some(line) => command(line),
        None => command(app(snapshot, root)?.pointer("/scripts/dokku/predeploy")?.as_str()?),
    }
}

/// Path that `app.json` has asked when it checks the process `web`.
pub(crate) fn health_path(snapshot: &Snapshot, root: &RelativePath) -> Option<String> {
    let app = app(snapshot, root)?;
    let checks = app.pointer("/healthchecks/web")?.as_array()?;
    let paths = checks.iter().filter_map(|check| check.get("path")?.as_str());
    let mut plain = paths.filter(|path| path.parse::<ProbeTarget>().is_ok());
    plain.next().map(str::to_owned)
}

/// What was taken from both files, and what of them belongs into `havre.toml`, a sentence each.
pub(crate) fn notes(snapshot: &Snapshot, root: &RelativePath) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(web) = web_command(snapshot, root) {
        let needs_shell = web.iter().map(String::as_str).take(2).eq(["sh", "-c"]);
        let shell =
            " It needs a shell, which runs inside this image only; as plain words it would need none.";
        let shell = if needs_shell { shell } else { "" };
        notes.push(format!("The command is `web` of the Procfile.{shell}"));
    }
    if let Some(release) = release_command(snapshot, root) {
        let words = Value::from(release);
        notes.push(format!(
            "A command is to run before each release: write release = {words} into havre.toml, and Havre runs it once."
        ));
    }
    let app = app(snapshot, root);
    if app.as_ref().is_some_and(|app| app.pointer("/scripts/dokku/postdeploy").is_some()) {
        notes.push(
            "`postdeploy` of app.json is not run: use `release` of havre.toml, or `havre run`.".to_owned(),
        );
    }
    if app.as_ref().is_some_and(|app| app.get("cron").is_some()) {
        notes.push("`cron` of app.json is not read.".to_owned());
    }
    let others = other_processes(snapshot, root);
    if !others.is_empty() {
        notes.push(format!(
            "The Procfile names further processes ({}): describe each in havre.toml as a service of its own with `command`.",
            others.join(", ")
        ));
    }
    notes
}

fn app(snapshot: &Snapshot, root: &RelativePath) -> Option<Value> {
    snapshot.json(root, "app.json")?.ok()
}

/// The processes of a Procfile.
fn processes<'s>(
    snapshot: &'s Snapshot,
    root: &RelativePath,
) -> impl Iterator<Item = (&'s str, &'s str)> + use<'s> {
    let text = snapshot.text(root, "Procfile").unwrap_or_default();
    text.lines().filter_map(|line| {
        let (name, command) = line.split_once(':')?;
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        is_name.then_some((name, command.trim()))
    })
}

fn process<'s>(snapshot: &'s Snapshot, root: &RelativePath, wanted: &str) -> Option<&'s str> {
    processes(snapshot, root).find(|(name, _)| *name == wanted).map(|(_, command)| command)
}

fn other_processes(snapshot: &Snapshot, root: &RelativePath) -> Vec<String> {
    let others = processes(snapshot, root).filter(|(name, _)| !matches!(*name, "web" | "release"));
    others.take(10).map(|(name, _)| shown(name)).collect()
}

/// A command line as words; with a shell where it has to be. `None` when there is nothing that could run.
fn command(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    if line.is_empty() || line.len() > COMMAND_MAX || line.chars().any(|c| c.is_control() && c != '\t') {
        return None;
    }
    match split(line) {
        Some(words) if !is_assignment(&words[0]) => Some(words),
        _ => Some(vec!["sh".to_owned(), "-c".to_owned(), with_exec(line)]),
    }
}

/// Splits a command line as a shell would. `None` when a shell would do more than that, or finds nothing; never empty.
pub(crate) fn split(line: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        match character {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let current = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        other => current.push(other),
                    }
                }
            }
            '"' => {
                let current = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '"' => break,
                        '$' | '`' => return None,
                        '\\' => match rest.next()? {
                            escaped @ ('"' | '\\' | '$' | '`') => current.push(escaped),
                            other => current.extend(['\\', other]),
                        },
                        other => current.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(rest.next()?),
            other if other.is_control() || "&|;<>()$`*?[]{}~#!".contains(other) => return None,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    let is_command = words.first().is_some_and(|first| !first.is_empty());
    is_command.then_some(words)
}

/// Whether a word sets a variable for the command behind it: `KEY=value`.
pub(crate) fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(key, _)| {
        !key.is_empty()
            && !key.as_bytes()[0].is_ascii_digit()
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// Lets the last command take the place of the shell, so that signals reach it.
fn with_exec(line: &str) -> String {
    let Some(at) = start_of_last(line) else { return line.to_owned() };
    let tail = line[at..].trim_start();
    let head = line[..line.len() - tail.len()].trim_end();
    let first = first_word(tail);
    if first.is_empty() || BUILTIN.contains(&first) || first.starts_with(['[', '#']) {
        return line.to_owned();
    }
    if [first_word(line), first].iter().any(|word| COMPOUND.contains(word)) {
        return line.to_owned();
    }
    let exec = if is_assignment(first) { "exec env" } else { "exec" };
    let space = if head.is_empty() { "" } else { " " };
    format!("{head}{space}{exec} {tail}")
}

/// Where the last command of a list begins; `None` when it is part of something that `exec` would cut short.
fn start_of_last(line: &str) -> Option<usize> {
    let mut start = 0;
    let mut depth = 0_usize;
    let mut quote: Option<char> = None;
    let mut before = ' ';
    let mut rest = line.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        let next = rest.peek().map(|(_, next)| *next);
        match (quote, character) {
            (Some('\''), '\'') | (Some('"'), '"') | (Some('`'), '`') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => {
                rest.next();
            }
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(character),
            (None, '(') if before == '$' || depth > 0 => depth += 1,
            (None, '(') => return None,
            (None, ')') => depth = depth.checked_sub(1)?,
            (None, ';') if depth == 0 => start = at + 1,
            (None, '&' | '|') if depth == 0 && next == Some(character) => {
                rest.next();
                start = at + 2;
            }
            // Part of a redirection: `2>&1`, `&>file`.
            (None, '&') if depth == 0 && (before == '>' || next == Some('>')) => {}
            (None, '&' | '|') if depth == 0 => return None,
            _ => {}
        }
        before = character;
    }
    (quote.is_none() && depth == 0).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(files: &[(&str, &str)]) -> Snapshot {
        let pair = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        Snapshot {
            paths: files.iter().map(|(name, _)| (*name).to_owned()).collect(),
            texts: files.iter().map(pair).collect(),
        }
    }

    #[test]
    fn words_and_shells() {
        let words = |line: &str| command(line).unwrap_or_default().join("|");
        for (line, expected) in [
            ("node dist/main.js", "node|dist/main.js"),
            ("  node 'a b' \"c \\\"d\" e\\ f ''", "node|a b|c \"d|e f|"),
            ("gunicorn app:app --bind 0.0.0.0:$PORT", "sh|-c|exec gunicorn app:app --bind 0.0.0.0:$PORT"),
            ("npm run migrate && node a.js", "sh|-c|npm run migrate && exec node a.js"),
            ("cd api; node a.js > log 2>&1", "sh|-c|cd api; exec node a.js > log 2>&1"),
            ("PORT=1 node a.js", "sh|-c|exec env PORT=1 node a.js"),
            ("a | b", "sh|-c|a | b"),
            ("a & b", "sh|-c|a & b"),
            ("(a; b)", "sh|-c|(a; b)"),
            ("a -w $(nproc; x)", "sh|-c|exec a -w $(nproc; x)"),
            ("if x; then y; fi", "sh|-c|if x; then y; fi"),
            ("exec a $PORT", "sh|-c|exec a $PORT"),
            ("a 'b", "sh|-c|a 'b"),
            ("echo ';' \"&& $A\"", "sh|-c|exec echo ';' \"&& $A\""),
            ("", ""),
            ("a\u{0}b", ""),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn both_files() {
        let app = r#"{"scripts": {"dokku": {"predeploy": "node migrate.js", "postdeploy": "x"}},
            "healthchecks": {"web": [{"type": "startup"}, {"path": "no"}, {"path": "/api/health"}]}}"#;
        let all = snapshot(&[("Procfile", "# x\nweb: node a.js\nworker: node b.js\n"), ("app.json", app)]);
        let here = RelativePath::here();
        assert_eq!(web_command(&all, &here), Some(vec!["node".to_owned(), "a.js".to_owned()]));
        assert_eq!(release_command(&all, &here), Some(vec!["node".to_owned(), "migrate.js".to_owned()]));
        assert_eq!(health_path(&all, &here).as_deref(), Some("/api/health"));
        insta::assert_snapshot!(notes(&all, &here).join("\n"), @r#"
        The command is `web` of the Procfile.
        A command is to run before each release: write release = ["node","migrate.js"] into havre.toml, and Havre runs it once.
        `postdeploy` of app.json is not run: use `release` of havre.toml, or `havre run`.
        The Procfile names further processes (worker): describe each in havre.toml as a service of its own with `command`.
        "#);
        assert_eq!(notes(&snapshot(&[]), &here), Vec::<String>::new());
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(line in "[a ;&|'\"\\\\$()`=é\t>\\[]{0,20}") {
            if let Some(words) = command(&line) {
                proptest::prop_assert!(!words[0].is_empty());
            }
        }
    }
}
