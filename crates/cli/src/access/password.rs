//! `havre password hash`: makes a hash for `basic_auth` of havre.toml. The password is read from standard input and
//! goes nowhere. Tests at the end of the file.

use std::io::{BufRead as _, IsTerminal as _};

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::PasswordHash;
use havre_core::route::settings::auth;

use crate::exit::{CliError, Exit};
use crate::output;

/// What OWASP advises as the least: 19 MiB, two passes. A check costs the edge some twenty milliseconds, once for each password.
const COSTS: (u32, u32, u32) = (19_456, 2, 1);

/// Longest password; what a browser sends beyond it is not looked at.
const PASSWORD_MAX: usize = 256;

pub(crate) fn run(json: bool) -> Result<Exit, CliError> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        output::say("type the password and press Enter; it is shown while you type:");
    }
    let mut line = String::new();
    stdin
        .lock()
        .read_line(&mut line)
        .map_err(|problem| CliError::new(Exit::Usage, format!("could not read the password: {problem}")))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() > PASSWORD_MAX {
        return Err(CliError::new(Exit::Usage, format!("a password has 1 to {PASSWORD_MAX} bytes"))
            .hint("pass it on standard input: printf %s \"$PASSWORD\" | havre password hash"));
    }
    let hash = hash(password.as_bytes())
        .map_err(|problem| CliError::new(Exit::Failed, format!("could not hash the password: {problem}")))?;
    if json {
        output::json(&serde_json::json!({ "hash": hash.as_str() }))?;
    } else {
        output::data(&format!("{}\n", hash.as_str()))?;
    }
    Ok(Exit::Ok)
}

fn hash(password: &[u8]) -> Result<auth::PasswordHash, String> {
    let (memory, passes, lanes) = COSTS;
    let params = argon2::Params::new(memory, passes, lanes, None).map_err(|problem| problem.to_string())?;
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let hash: PasswordHash = hasher.hash_password(password).map_err(|problem| problem.to_string())?;
    hash.to_string().parse().map_err(|problem: auth::PasswordHashError| problem.to_string())
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier as _;

    use super::*;

    #[test]
    fn a_hash_is_one_the_edge_takes_and_no_two_are_the_same() {
        let (one, other) = (hash(b"open sesame").unwrap(), hash(b"open sesame").unwrap());
        assert_ne!(one, other);
        let check =
            |password: &[u8]| argon2::Argon2::default().verify_password(password, one.as_str()).is_ok();
        assert!(check(b"open sesame") && !check(b"open sesam"));
    }
}
