//! Whether a text holds a key or a password, by what issuers put in front of their keys. What looks like anything else
//! is not guessed at: a finding here must be right. Tests at the end of the file.

/// How keys begin, how long they are at least, and whether only letters and digits follow.
const PREFIXES: [(&str, usize, bool); 21] = [
    ("AKIA", 20, true),
    ("ASIA", 20, true),
    ("AIza", 39, false),
    ("SG.", 60, false),
    ("dckr_pat_", 30, false),
    ("dop_v1_", 60, true),
    ("ghp_", 36, true),
    ("gho_", 36, true),
    ("ghs_", 36, true),
    ("ghu_", 36, true),
    ("github_pat_", 40, false),
    ("glpat-", 24, false),
    ("hf_", 34, true),
    ("npm_", 40, true),
    ("pypi-", 60, false),
    ("rk_live_", 24, true),
    ("sk_live_", 24, true),
    ("sk-ant-", 40, false),
    ("sk-proj-", 40, false),
    ("xoxb-", 24, false),
    ("xoxp-", 24, false),
];

/// Passwords that are none: what people write in examples.
const DUMMIES: [&str; 20] = [
    "",
    "admin",
    "build",
    "change-me",
    "change_me",
    "changeme",
    "dummy",
    "example",
    "none",
    "null",
    "pass",
    "passwd",
    "password",
    "placeholder",
    "postgres",
    "root",
    "secret",
    "test",
    "user",
    "xxx",
];

/// Whether a text holds something that opens a door.
pub(crate) fn holds_secret(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.contains("PRIVATE KEY-----") || text.split(|c: char| !is_part(c)).any(is_key) || holds_password(text)
}

/// Whether a value only stands in for a secret.
pub(crate) fn is_dummy(value: &str) -> bool {
    DUMMIES.contains(&value.to_lowercase().as_str())
}

fn is_key(word: &str) -> bool {
    let has_prefix = PREFIXES.iter().any(|(prefix, least, is_plain)| {
        let Some(rest) = word.strip_prefix(prefix) else { return false };
        let is_allowed = !is_plain || rest.chars().all(|c| c.is_ascii_alphanumeric());
        word.len() >= *least && is_allowed && rest.chars().any(|c| c.is_ascii_digit())
    });
    // A JSON web token: three parts, the first of which is `{"`.
    has_prefix || (word.starts_with("eyJ") && word.len() >= 60 && word.matches('.').count() == 2)
}

/// `scheme://user:password@host`.
fn holds_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, separator)| {
        let rest = &text[at + separator.len()..];
        let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '`' | ')' | '?' | '#');
        let authority = &rest[..rest.find(ends).unwrap_or(rest.len())];
        let Some((user, password)) = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'))
        else {
            return false;
        };
        let is_variable = password.starts_with(['$', '{', '<', '%', '*']);
        !is_variable && !is_dummy(password) && password != user
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let long = "a1".repeat(30);
        let secrets = [
            format!("AKIA{}", &long.to_uppercase()[..16]),
            format!("--token=ghp_{long}"),
            format!("//registry.npmjs.org/:_authToken=npm_{}", &long[..36]),
            format!("Bearer eyJ{long}.{long}.{long}"),
            "-----BEGIN RSA PRIVATE KEY-----".to_owned(),
            "postgres://shop:h3rring@db/shop".to_owned(),
            "git clone https://me:t0ken@git.example/x".to_owned(),
        ];
        for text in secrets {
            assert!(holds_secret(&text), "{text:?} holds one");
        }
        let others = [
            "",
            "AKIA",
            "npm_config_cache=/root/.npm",
            "https://host:8080/a@b",
            "https://user@host/",
            "postgres://user:password@localhost/db",
            "postgres://shop:shop@db/shop",
            "https://x:$TOKEN@git.example/x",
            "node:22@sha256:0123456789012345678901234567890123456789012345678901234567890123",
            "-----BEGIN CERTIFICATE-----",
        ];
        for text in others {
            assert!(!holds_secret(text), "{text:?} holds none");
        }
    }
}
