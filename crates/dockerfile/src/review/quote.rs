//! Text of the file inside of messages: short, on one line, and never a secret.

use crate::review::secret_value::holds_secret;

/// Most characters of one quotation.
const LENGTH_MAX: usize = 100;
/// Characters of the longest secret that is looked for.
const SECRET_MAX: usize = 400;

/// The text between backticks, for messages.
pub(crate) fn quote(text: &str) -> String {
    format!("`{}`", plain(text))
}

/// The text without backticks around it, to build a line of.
pub(crate) fn plain(text: &str) -> String {
    // The first half of a secret is one as well, so more is looked at than shown; never all of a long text.
    let near: String = text.chars().take(LENGTH_MAX + SECRET_MAX).collect();
    if holds_secret(&near) {
        return "…".to_owned();
    }
    let one_line = |c: char| if c == '\n' { ' ' } else { c };
    let mut short: String = near.chars().take(LENGTH_MAX).map(one_line).collect();
    if short.len() < near.len() {
        short.push('…');
    }
    short
}

/// Words as a list in JSON, as the exec form wants it.
pub(crate) fn exec_form(words: &[String]) -> String {
    let quoted: Vec<String> =
        words.iter().map(|word| serde_json::to_string(word).expect("a text is always JSON")).collect();
    format!("[{}]", quoted.join(", "))
}
