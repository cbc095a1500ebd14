//! Writes the text of a Dockerfile, and says what of the user's files may stand in one: names of a closed grammar, or
//! words in quotes. Knows no language. Tests at the end of the file.

use havre_core::name::RelativePath;
use serde_json::Value;

use crate::stack::{StackError, shown, unclear};

/// Longest line of a comment, in characters.
const WIDTH: usize = 110;
/// Longest name of a package or script.
const NAME_MAX: usize = 214;

/// A Dockerfile in the making.
#[derive(Debug)]
pub(crate) struct Document {
    text: String,
}

impl Document {
    /// Begins with comments: what was decided, a sentence each. The first line is ours, so that no other can be a
    /// directive such as `# syntax=`.
    pub(crate) fn new(notes: &[String]) -> Self {
        let mut document = Self { text: String::new() };
        document.comment(
            "Written by Havre. Saved as `Dockerfile`, it is yours to change, and Havre uses it as it is.",
        );
        for note in notes {
            document.comment(note.as_str());
        }
        document
    }

    /// Begins a stage; an empty name for one that nothing copies from.
    pub(crate) fn stage(&mut self, from: &str, name: &str) {
        self.text.push('\n');
        match name {
            "" => self.line(format!("FROM {from}")),
            name => self.line(format!("FROM {from} AS {name}")),
        }
    }

    /// One instruction. Only a backslash continues it on the next line; any other end of a line becomes a space.
    pub(crate) fn line(&mut self, text: impl Into<String>) {
        let text: String = text.into();
        let mut line = String::with_capacity(text.len() + 1);
        for (index, part) in text.split(['\n', '\r']).enumerate() {
            if index > 0 {
                line.push(if line.ends_with('\\') { '\n' } else { ' ' });
            }
            line.extend(part.chars().filter(|c| !c.is_control() || *c == '\t'));
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A sentence for people, on as many lines as it needs.
    pub(crate) fn comment(&mut self, text: impl Into<String>) {
        let text: String = text.into();
        let mut line = "#".to_owned();
        let mut length = 1;
        for word in text.split_whitespace() {
            let word: String = word.chars().filter(|c| !c.is_control()).collect();
            let count = word.chars().count() + 1;
            if length > 1 && length + count > WIDTH {
                self.text.push_str(&line);
                self.text.push('\n');
                line = "#  ".to_owned();
                length = 3;
            }
            line.push(' ');
            line.push_str(&word);
            length += count;
        }
        self.text.push_str(&line);
        self.text.push('\n');
    }

    /// An instruction whose words no shell reads, such as `CMD ["node", "dist/main.js"]`.
    pub(crate) fn exec(&mut self, instruction: &str, argv: &[String]) {
        let words: Vec<String> = argv.iter().map(|word| Value::from(word.as_str()).to_string()).collect();
        self.line(format!("{instruction} [{}]", words.join(", ")));
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// A path of the user's files as an instruction may hold it.
pub(crate) fn checked_path(root: &RelativePath, text: &str) -> Result<RelativePath, StackError> {
    text.parse().map_err(|_| {
        let reason = format!(
            "the path `{}` leaves the repository, or has characters other than A-Z, a-z, 0-9 and . _ - @ + /",
            shown(text)
        );
        unclear(root, reason, "rename it, or write a Dockerfile of your own")
    })
}

/// A name of a package as registries accept it: `shop`, `@acme/shop`.
pub(crate) fn is_package_name(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-', '_'])
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    text.len() <= NAME_MAX
        && match text.strip_prefix('@') {
            Some(scoped) => scoped.split_once('/').is_some_and(|(scope, name)| part(scope) && part(name)),
            None => part(text),
        }
}

/// A name of a script or program as a command line may hold it: `build`, `build:web`, `next`.
pub(crate) fn is_command_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document() {
        let mut document = Document::new(&["One\nRUN evil".to_owned(), "word ".repeat(30)]);
        document.stage("node:22", "build");
        document.line("RUN a \\\n    && b\nRUN evil\0");
        document.stage("scratch", "");
        document.exec("CMD", &["a\"b\nc".to_owned(), "d\\".to_owned()]);
        insta::assert_snapshot!(document.finish(), @r#"
        # Written by Havre. Saved as `Dockerfile`, it is yours to change, and Havre uses it as it is.
        # One RUN evil
        # word word word word word word word word word word word word word word word word word word word word word
        #   word word word word word word word word word

        FROM node:22 AS build
        RUN a \
            && b RUN evil

        FROM scratch
        CMD ["a\"b\nc", "d\\"]
        "#);
    }

    #[test]
    fn names() {
        for right in ["shop", "@acme/shop", "a.b_c-d", "Shop2"] {
            assert!(is_package_name(right), "{right}");
        }
        let long = "a".repeat(300);
        for wrong in ["", "@acme", "@/a", "a/b", "a b", "a;b", "-a", ".a", "a\n", "é", "a$b", &long] {
            assert!(!is_package_name(wrong), "{wrong:?}");
        }
        assert!(is_command_name("build:web") && !is_command_name("--x") && !is_command_name("a;b"));
        let here = RelativePath::here();
        assert!(checked_path(&here, "a/b").is_ok());
        for wrong in ["../a", "a b", "a\nRUN b", "", "[\"a\"]", "$A"] {
            assert!(checked_path(&here, wrong).is_err(), "{wrong:?}");
        }
    }
}
