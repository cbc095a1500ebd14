//! Rules about secrets. What a build argument, a variable or a copied file holds can be read by everybody who has the
//! image, its history or the build cache, in earlier stages too. No message holds a value.

use crate::file::{Assignment, Keyword};
use crate::review::Findings;
use crate::review::context::is_environment_name;
use crate::review::quote::{plain, quote};
use crate::review::secret_value::{holds_secret, is_dummy};
use crate::review::subject::{Step, Subject};

/// What build tools write into pages for everybody.
const PUBLIC_PREFIXES: [&str; 8] =
    ["NEXT_PUBLIC_", "NUXT_PUBLIC_", "EXPO_PUBLIC_", "PUBLIC_", "VITE_", "REACT_APP_", "GATSBY_", "VUE_APP_"];
/// Parts of names that say it may be known.
const PUBLIC: [&str; 6] = ["PUBLIC", "PUBLISHABLE", "PUB", "ANON", "GPG", "PGP"];
/// Last parts of names that are about a secret and are none.
const ABOUT: [&str; 28] = [
    "ALGORITHM",
    "AUDIENCE",
    "COUNT",
    "DIR",
    "DISABLED",
    "DUMMY",
    "ENABLED",
    "EXPIRATION",
    "EXPIRES",
    "EXPIRY",
    "FILE",
    "FORMAT",
    "HEADER",
    "HOST",
    "ID",
    "ISSUER",
    "LENGTH",
    "LIFETIME",
    "LIMIT",
    "NAME",
    "PATH",
    "PORT",
    "POLICY",
    "SIZE",
    "TTL",
    "TYPE",
    "URL",
    "VERSION",
];
/// Parts of names of secrets.
const SECRET: [&str; 6] = ["TOKEN", "SECRET", "SECRETS", "APIKEY", "CREDENTIAL", "CREDENTIALS"];
/// What stands before `KEY` in names of things that are no secret.
const KEYS: [&str; 10] =
    ["CACHE", "FOREIGN", "HOST", "IDEMPOTENCY", "INDEX", "PARTITION", "PRIMARY", "REGISTRY", "ROW", "SORT"];

/// Files that hold secrets by their names.
const FILES: [&str; 11] = [
    ".git-credentials",
    ".netrc",
    ".pgpass",
    ".pypirc",
    "credentials.json",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
    "service-account.json",
    "serviceaccount.json",
];

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for instruction in &subject.file.instructions {
        if holds_secret(&instruction.raw) {
            // An unknown word may be the secret itself.
            let name = match instruction.keyword {
                Keyword::Unknown(_) => "line",
                ref known => known.as_str(),
            };
            let message = format!(
                "this {name} holds a key or a password, readable in the repository, in the history and in the cache of builds"
            );
            let fix = "give it a new value, for this one is known; mount it where it is needed: \
                       RUN --mount=type=secret,id=<name>";
            findings.error("secret-value", instruction.line, message, fix);
        }
    }
    for instruction in subject.file.preamble() {
        for assignment in instruction.assignments() {
            argument(instruction.line, &assignment, findings);
        }
    }
    for step in &subject.steps {
        let assignments = step.instruction.assignments();
        match step.instruction.keyword {
            Keyword::Arg => {
                for assignment in &assignments {
                    argument(step.instruction.line, assignment, findings);
                }
            }
            Keyword::Env => {
                for assignment in &assignments {
                    variable(step, assignment, findings);
                }
            }
            _ => files(step, findings),
        }
    }
}

/// Values of arguments stay in the history of every stage.
fn argument(line: u32, assignment: &Assignment, findings: &mut Findings) {
    let Assignment { name, value } = assignment;
    let literal = value.as_deref().filter(|value| !value.contains('$'));
    if !is_secret_name(name) || literal.is_some_and(|value| is_harmless(value) && !value.is_empty()) {
        return;
    }
    let shown = quote(name);
    let name = plain(name);
    let fix = format!(
        "take the ARG out, and mount it where it is needed: RUN --mount=type=secret,id={name} \
         {name}=\"$(cat /run/secrets/{name})\" <command>"
    );
    match literal {
        Some(value) if !value.is_empty() && !is_dummy(value) => {
            let message = format!(
                "the value of {shown} can be read by everybody who has this file or the image's history"
            );
            findings.error("secret-arg", line, message, fix);
        }
        _ => {
            let message = format!(
                "what is passed as {shown} stays in the history and in the cache of builds, in earlier stages too"
            );
            findings.warning("secret-arg", line, message, fix);
        }
    }
}

/// Values of variables stay in the image.
fn variable(step: &Step<'_>, assignment: &Assignment, findings: &mut Findings) {
    let value = assignment.value.as_deref().unwrap_or_default();
    let is_placeholder = !step.is_shipped && is_dummy(value);
    if !is_secret_name(&assignment.name) || is_harmless(value) || is_placeholder {
        return;
    }
    let line = step.instruction.line;
    let name = quote(&assignment.name);
    let fix = "take it out: a running program gets its secrets from outside of the image; a build gets them by \
               RUN --mount=type=secret,id=<name>";
    if step.is_shipped {
        let message = format!("the value of {name} is in the image: whoever can pull it can read it");
        findings.error("secret-env", line, message, fix);
    } else {
        let message =
            format!("the value of {name} is in this file or in the cache of builds, though not in the image");
        findings.warning("secret-env", line, message, fix);
    }
}

/// Files that hold secrets, copied.
fn files(step: &Step<'_>, findings: &mut Findings) {
    let Some(copied) = step.copied_from_context() else { return };
    let line = step.instruction.line;
    for source in &copied.sources {
        let name = source.rsplit('/').next().unwrap_or_default();
        let is_secret = is_environment_name(name) || name.starts_with(".env*") || FILES.contains(&name);
        if !is_secret {
            continue;
        }
        let fix = format!(
            "take {} out of the COPY and into .dockerignore; a build reads it by RUN --mount=type=secret,id=<name>",
            plain(source)
        );
        let shown = quote(source);
        if step.is_shipped {
            let message = format!("{shown} is copied into the image: whoever can pull it can read it");
            findings.error("secret-file", line, message, fix);
        } else if name == ".env" || FILES.contains(&name) {
            let message = format!("{shown} stays in the cache of builds, though not in the image");
            findings.warning("secret-file", line, message, fix);
        } else {
            let message = format!("{shown} stays in the cache of builds: it must hold no secret");
            findings.note("secret-file", line, message, fix);
        }
    }
}

/// Whether a variable holds a secret, by its name.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_uppercase();
    if name == "AWS_ACCESS_KEY_ID" {
        return true;
    }
    let parts: Vec<&str> = name.split('_').collect();
    let last = parts.last().copied().unwrap_or_default();
    let is_public = PUBLIC_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || parts.iter().any(|part| PUBLIC.contains(part))
        || ABOUT.contains(&last);
    if is_public {
        return false;
    }
    let is_word = |part: &&str| {
        SECRET.contains(part) || ["PASSWORD", "PASSWD", "PASSPHRASE"].iter().any(|word| part.contains(word))
    };
    let has_key = parts.windows(2).any(|pair| pair[1] == "KEY" && is_key(pair[0], last));
    parts.iter().any(is_word) || has_key
}

/// Whether what stands before `KEY` makes it the key to something.
fn is_key(before: &str, last: &str) -> bool {
    // In the middle of a name it may be any key.
    let is_certain = matches!(before, "API" | "ACCESS" | "PRIVATE" | "SECRET" | "ENCRYPTION" | "SIGNING");
    is_certain || (last == "KEY" && !KEYS.contains(&before))
}

/// Nothing, a switch, or a small number.
fn is_harmless(value: &str) -> bool {
    let switches = ["true", "false", "yes", "no", "on", "off", "none", "null"];
    let is_number = value.len() < 6 && value.chars().all(|c| c.is_ascii_digit());
    is_number || switches.contains(&value.to_lowercase().as_str())
}
