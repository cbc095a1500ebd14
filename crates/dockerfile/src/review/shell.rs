//! The commands of a shell script, as far as rules need them: words without quotes, what is piped into what. Runs over
//! the text once, knows no functions and puts in no variables; what it cannot tell it leaves as it is. Tests at the end.

use std::iter::Peekable;
use std::str::Chars;

use crate::file::{Instruction, Keyword};

/// Shells that read a script.
const SHELLS: [&str; 6] = ["sh", "bash", "ash", "dash", "zsh", "ksh"];
/// Words that stand in front of a command and say nothing about it.
const KEYWORDS: [&str; 12] =
    ["if", "then", "else", "elif", "fi", "do", "done", "while", "until", "!", "{", "}"];
/// Programs that run the program behind them.
const WRAPPERS: [&str; 7] = ["sudo", "exec", "env", "time", "nohup", "nice", "corepack"];

/// One simple command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Command {
    /// Without quotes and redirections.
    pub(crate) words: Vec<String>,
    /// Variables that are set in front of it, such as `CI=1`.
    pub(crate) assignments: Vec<String>,
    /// It reads what the command before it writes.
    pub(crate) is_piped: bool,
    /// Which word names the program, behind `sudo` and its like.
    program: usize,
}

/// Whether a program is a shell.
pub(crate) fn is_shell(program: &str) -> bool {
    SHELLS.contains(&program)
}

/// The last part of a path.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The commands of a `RUN`: of its text, its heredocs, and of `sh -c` inside.
pub(crate) fn of_run(run: &Instruction) -> Vec<Command> {
    if run.keyword != Keyword::Run {
        return Vec::new();
    }
    let mut found = match run.exec_form() {
        Some(words) => vec![Command::of_words(words)],
        None => commands(&run.arguments),
    };
    // A heredoc is a script where nothing but a shell reads it; else it is data.
    if found.first().is_none_or(|first| is_shell(first.program()) && first.inner_script().is_none()) {
        for heredoc in run.heredocs.iter().filter(|heredoc| is_script(&heredoc.body)) {
            found.extend(commands(&heredoc.body));
        }
    }
    let inner: Vec<Command> =
        found.iter().filter_map(Command::inner_script).flat_map(|script| commands(&script)).collect();
    found.extend(inner);
    found
}

/// Whether a text is for a shell: it names none, or one that is.
fn is_script(body: &str) -> bool {
    match body.lines().next().and_then(|line| line.strip_prefix("#!")) {
        Some(program) => program.split_whitespace().any(|word| is_shell(base_name(word))),
        None => true,
    }
}

/// The commands of a script, in order.
pub(crate) fn commands(script: &str) -> Vec<Command> {
    let mut splitter = Splitter::default();
    let mut characters = script.chars().peekable();
    while let Some(character) = characters.next() {
        splitter.take(character, &mut characters);
    }
    splitter.end_command(false);
    splitter.commands
}

impl Command {
    /// A command whose words are known.
    pub(crate) fn of_words(words: Vec<String>) -> Self {
        let program = program(&words);
        Self { words, program, ..Self::default() }
    }

    /// Name of its program without folders; empty when there is none.
    pub(crate) fn program(&self) -> &str {
        self.words.get(self.program).map_or("", |word| base_name(word))
    }

    /// What the program gets.
    pub(crate) fn arguments(&self) -> &[String] {
        self.words.get(self.program + 1..).unwrap_or_default()
    }

    /// Whether one of these is an argument, alone or with a value behind `=`.
    pub(crate) fn has(&self, names: &[&str]) -> bool {
        self.arguments().iter().any(|argument| {
            let name = argument.split_once('=').map_or(argument.as_str(), |(name, _)| name);
            names.contains(&name) || names.contains(&argument.as_str())
        })
    }

    /// Arguments that are no flags, without the values of these flags.
    pub(crate) fn positional(&self, with_value: &[&str]) -> Vec<&str> {
        let mut found = Vec::new();
        let mut arguments = self.arguments().iter();
        while let Some(argument) = arguments.next() {
            if with_value.contains(&argument.as_str()) {
                arguments.next();
            } else if !argument.starts_with('-') {
                found.push(argument.as_str());
            }
        }
        found
    }

    /// Whether a variable is set for it alone, and to what.
    pub(crate) fn assignment(&self, name: &str) -> Option<&str> {
        let mut values = self.assignments.iter().filter_map(|assignment| assignment.split_once('='));
        values.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The script of `sh -c`.
    pub(crate) fn inner_script(&self) -> Option<String> {
        if !is_shell(self.program()) {
            return None;
        }
        let is_c = |word: &String| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c');
        let at = self.arguments().iter().position(is_c)?;
        self.arguments().get(at + 1).cloned()
    }
}

/// The first word that is no wrapper, and no flag or variable of one.
fn program(words: &[String]) -> usize {
    let is_before = |at: usize, word: &String| {
        let belongs = at > 0 && (word.starts_with('-') || is_assignment(word));
        belongs || WRAPPERS.contains(&base_name(word))
    };
    words.iter().enumerate().find(|(at, word)| !is_before(*at, word)).map_or(words.len(), |(at, _)| at)
}

/// `NAME=value`.
fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// What is left of `2>` when it is a redirection; process substitutions are words.
fn redirection(word: &str) -> Option<&str> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&');
    let is_one = rest.starts_with(['<', '>']) && !rest.starts_with("<(") && !rest.starts_with(">(");
    is_one.then(|| rest.trim_start_matches(['<', '>', '&', '|', '-']))
}

type Rest<'a, 'b> = &'a mut Peekable<Chars<'b>>;

#[derive(Default)]
struct Splitter {
    commands: Vec<Command>,
    words: Vec<String>,
    word: String,
    /// Quotes make a word even with nothing between them.
    has_word: bool,
    is_piped: bool,
}

impl Splitter {
    fn take(&mut self, character: char, rest: Rest<'_, '_>) {
        match character {
            '\\' => match rest.next() {
                None | Some('\n') => {}
                Some(escaped) => self.add(escaped),
            },
            '\'' => {
                self.has_word = true;
                self.word.extend(rest.take_while(|c| *c != '\''));
            }
            '"' => self.take_quoted(rest),
            '$' | '`' => self.take_substitution(character, rest),
            '#' if !self.has_word => while rest.next_if(|c| *c != '\n').is_some() {},
            '\n' | ';' => self.end_command(false),
            '&' => self.take_ampersand(rest),
            '|' => self.take_bar(rest),
            '(' if self.word.ends_with(['<', '>']) => {
                self.add('(');
                self.take_until_closed(rest, ('(', ')'));
            }
            '(' | ')' => self.end_command(false),
            '<' | '>' => self.take_redirection(character),
            _ if character.is_whitespace() => self.end_word(),
            _ => self.add(character),
        }
    }

    fn add(&mut self, character: char) {
        self.has_word = true;
        self.word.push(character);
    }

    /// Up to the closing double quote.
    fn take_quoted(&mut self, rest: Rest<'_, '_>) {
        self.has_word = true;
        while let Some(character) = rest.next() {
            match character {
                '"' => return,
                '\\' => match rest.next() {
                    None | Some('\n') => {}
                    Some(escaped) => self.add(escaped),
                },
                '$' | '`' => self.take_substitution(character, rest),
                _ => self.add(character),
            }
        }
    }

    /// `$(...)`, `${...}` and what stands between backticks belong to the word as they are.
    fn take_substitution(&mut self, character: char, rest: Rest<'_, '_>) {
        self.add(character);
        if character == '`' {
            for inner in rest.by_ref() {
                self.add(inner);
                if inner == '`' {
                    return;
                }
            }
            return;
        }
        for pair in [('(', ')'), ('{', '}')] {
            if rest.next_if_eq(&pair.0).is_some() {
                self.add(pair.0);
                return self.take_until_closed(rest, pair);
            }
        }
    }

    fn take_until_closed(&mut self, rest: Rest<'_, '_>, (open, close): (char, char)) {
        let mut depth = 1_usize;
        for inner in rest.by_ref() {
            self.add(inner);
            if inner == open {
                depth += 1;
            } else if inner == close {
                depth -= 1;
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn take_ampersand(&mut self, rest: Rest<'_, '_>) {
        let is_redirection = self.word.ends_with(['<', '>']) || rest.peek() == Some(&'>');
        if rest.next_if_eq(&'&').is_none() && is_redirection {
            self.add('&');
        } else {
            self.end_command(false);
        }
    }

    fn take_bar(&mut self, rest: Rest<'_, '_>) {
        if rest.next_if_eq(&'|').is_some() {
            self.end_command(false);
        } else if self.word.ends_with('>') {
            self.add('|');
        } else {
            rest.next_if_eq(&'&');
            self.end_command(true);
        }
    }

    /// `a>b` are two words, `2>b` and `>>` are one.
    fn take_redirection(&mut self, character: char) {
        let belongs = self.word.chars().all(|c| c.is_ascii_digit() || matches!(c, '<' | '>' | '&'));
        if !belongs {
            self.end_word();
        }
        self.add(character);
    }

    fn end_word(&mut self) {
        if self.has_word {
            self.words.push(std::mem::take(&mut self.word));
            self.has_word = false;
        }
    }

    fn end_command(&mut self, is_next_piped: bool) {
        self.end_word();
        if self.words.is_empty() {
            // A line end behind a bar.
            self.is_piped |= is_next_piped;
            return;
        }
        let is_piped = std::mem::replace(&mut self.is_piped, is_next_piped);
        let written = std::mem::take(&mut self.words).into_iter();
        let mut command = Command { is_piped, ..Command::default() };
        let mut is_target = false;
        for word in written.skip_while(|word| KEYWORDS.contains(&word.as_str())) {
            if std::mem::take(&mut is_target) {
                continue;
            }
            if let Some(target) = redirection(&word) {
                is_target = target.is_empty();
            } else if command.words.is_empty() && is_assignment(&word) {
                command.assignments.push(word);
            } else {
                command.words.push(word);
            }
        }
        if !command.words.is_empty() {
            command.program = program(&command.words);
            self.commands.push(command);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(script: &str) -> Vec<String> {
        commands(script)
            .iter()
            .map(|command| {
                let bar = if command.is_piped { "| " } else { "" };
                format!("{bar}{}", command.words.join("·"))
            })
            .collect()
    }

    #[test]
    fn table() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("a b  c", &["a·b·c"]),
            ("a && b || c; d & e\nf", &["a", "b", "c", "d", "e", "f"]),
            ("a | b |& c", &["a", "| b", "| c"]),
            ("a |\n b", &["a", "| b"]),
            ("a 'b c' \"d \\\" e\" ''", &["a·b c·d \" e·"]),
            ("a \\\n b", &["a·b"]),
            ("a # b && c\nd", &["a", "d"]),
            ("a#b", &["a#b"]),
            ("a >b 2>&1 < c &>d >>e", &["a"]),
            ("a>b && c", &["a", "c"]),
            ("a <<EOF", &["a"]),
            ("a $(b; c) \"$(d | e)\" ${f:-g h} `i;j`", &["a·$(b; c)·$(d | e)·${f:-g h}·`i;j`"]),
            ("a <(b; c)", &["a·<(b; c)"]),
            ("(a; b) && { c; }", &["a", "b", "c"]),
            ("if a; then b; else c; fi", &["a", "b", "c"]),
            ("! a && while b; do c; done", &["a", "b", "c"]),
            ("A=1 B='2 3' a C=4", &["a·C=4"]),
            ("A=1", &[]),
            ("a 'b", &["a·b"]),
            ("a \"$(b", &["a·$(b"]),
        ];
        for (script, wanted) in table {
            assert_eq!(&split(script)[..], *wanted, "{script:?}");
        }
    }

    #[test]
    fn programs() {
        let program = |script: &str| {
            commands(script).first().map(|command| command.program().to_owned()).unwrap_or_default()
        };
        assert_eq!(program("/usr/bin/curl x"), "curl");
        assert_eq!(program("sudo -E A=1 apt-get update"), "apt-get");
        assert_eq!(program("exec env A=1 node x"), "node");
        assert_eq!(program("sudo"), "");
    }

    #[test]
    fn arguments() {
        let found = commands("A=1 npm --prefix apps/api ci --omit=dev -q");
        let npm = &found[0];
        assert_eq!(npm.assignment("A"), Some("1"));
        assert_eq!(npm.positional(&["--prefix"]), ["ci"]);
        assert!(npm.has(&["--omit=dev"]) && npm.has(&["--omit"]) && !npm.has(&["dev"]));
        assert_eq!(commands("bash -eo pipefail -c 'a b' c")[0].inner_script().as_deref(), Some("a b"));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(script in "[a-c '\"`$(){}<>|&;#=\\\\\n-]{0,60}") {
            for command in commands(&script) {
                command.program();
                command.inner_script();
                command.positional(&["-a"]);
            }
        }
    }
}
