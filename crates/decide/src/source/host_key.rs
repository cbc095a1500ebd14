//! Which keys the host of a remote repository may show over SSH: what a person says of them, and what follows from what the host shows. Trust
//! comes from a person, never from the first answer alone, unless that person asks for just this. Opens no connection. Tests at the end of the
//! file.

use havre_core::ssh_key::{Algorithm, Fingerprint, PublicKey};

/// Longest text in which a person says it, in bytes: some lines of `known_hosts`.
pub const TEXT_MAX: usize = 16 * 1024;
/// Most keys of one host.
pub const KEYS_MAX: usize = 8;

/// What a person says of the keys of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// These, as they are.
    Keys(Vec<PublicKey>),
    /// The one with this fingerprint, which the host has to show.
    Fingerprint(Fingerprint),
    /// Whichever it shows now.
    New,
}

/// Why no key can be trusted, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyError {
    /// More than any host has.
    #[error("what is given as the host's key is more than {} keys, or {} bytes", KEYS_MAX, TEXT_MAX)]
    TooLong,
    /// Nothing in it is a key.
    #[error(
        "what is given as the host's key holds no key: give a fingerprint (SHA256:...), or a line of known_hosts"
    )]
    Empty,
    /// A line is none.
    #[error("line {line} of what is given as the host's key: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Keys of others only.
    #[error("what is given as the host's key names other hosts, and not {host}")]
    OtherHost {
        /// The host of the address.
        host: String,
    },
    /// The host shows others.
    #[error(
        "{host} shows no key with the fingerprint {wanted}, but {shown}: it is not the host that was meant, or somebody is in between"
    )]
    Differs {
        /// The host.
        host: String,
        /// What was given.
        wanted: Fingerprint,
        /// What it shows.
        shown: String,
    },
    /// The host shows none.
    #[error("{host} shows no key of a kind that is taken here")]
    NoneShown {
        /// The host.
        host: String,
    },
}

/// Reads a fingerprint, a public key, or lines of `known_hosts`. Of those, lines that name other hosts are left out.
///
/// # Errors
/// See [`HostKeyError`].
pub fn parse(text: &str, host: &str) -> Result<Trust, HostKeyError> {
    let text = text.trim();
    if text.len() > TEXT_MAX {
        return Err(HostKeyError::TooLong);
    }
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        return Ok(Trust::Fingerprint(fingerprint));
    }
    let (mut keys, mut has_others) = (Vec::new(), false);
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |reason: String| HostKeyError::Line { line: index + 1, reason };
        let (names, key) = split(line).map_err(|reason| wrong(reason.to_owned()))?;
        if names.is_some_and(|names| !is_named(names, host)) {
            has_others = true;
            continue;
        }
        keys.push(key.parse::<PublicKey>().map_err(|error| wrong(error.to_string()))?);
    }
    match keys.len() {
        0 if has_others => Err(HostKeyError::OtherHost { host: host.to_owned() }),
        0 => Err(HostKeyError::Empty),
        1..=KEYS_MAX => Ok(Trust::Keys(keys)),
        _ => Err(HostKeyError::TooLong),
    }
}

/// The names a line begins with, where it has some, and the key.
fn split(line: &str) -> Result<(Option<&str>, &str), &'static str> {
    if line.starts_with('@') {
        return Err("lines with a mark, such as @cert-authority, are not taken: give the host's own key");
    }
    if line.starts_with("|1|") {
        return Err("its name is hashed, so that nobody can see which host it is: leave out the first word");
    }
    let (first, rest) = line.split_once([' ', '\t']).ok_or("it is neither a fingerprint nor a key")?;
    Ok(if Algorithm::parse(first).is_some() { (None, line) } else { (Some(first), rest.trim_start()) })
}

/// Whether one of the names, which commas divide, is this host, with or without a port.
fn is_named(names: &str, host: &str) -> bool {
    names.split(',').any(|name| {
        let bare =
            name.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(name, |(bare, _)| bare);
        bare == host
    })
}

/// The keys to trust, out of those the host has shown with their fingerprints.
///
/// # Errors
/// [`HostKeyError::Differs`], [`HostKeyError::NoneShown`].
pub fn pick(
    trust: Trust,
    shown: &[(PublicKey, Fingerprint)],
    host: &str,
) -> Result<Vec<PublicKey>, HostKeyError> {
    let strongest = || shown.iter().min_by_key(|(key, _)| rank(key.algorithm()));
    let found = match &trust {
        Trust::Keys(keys) => return Ok(keys.clone()),
        Trust::Fingerprint(wanted) => shown.iter().find(|(_, fingerprint)| fingerprint == wanted),
        Trust::New => strongest(),
    };
    match (found, trust) {
        (Some((key, _)), _) => Ok(vec![key.clone()]),
        (None, Trust::Fingerprint(wanted)) if !shown.is_empty() => {
            let all: Vec<Fingerprint> = shown.iter().map(|(_, fingerprint)| fingerprint.clone()).collect();
            Err(HostKeyError::Differs { host: host.to_owned(), wanted, shown: Fingerprint::list(&all) })
        }
        (None, Trust::Keys(_) | Trust::Fingerprint(_) | Trust::New) => {
            Err(HostKeyError::NoneShown { host: host.to_owned() })
        }
    }
}

/// The strongest first.
const fn rank(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Ed25519 => 0,
        Algorithm::EcdsaP521 => 1,
        Algorithm::EcdsaP384 => 2,
        Algorithm::EcdsaP256 => 3,
        Algorithm::Rsa => 4,
        Algorithm::SkEd25519 | Algorithm::SkEcdsaP256 => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "git.example.org";
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua";
    const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIOy1WJ7sTzyx9I9Nz+xtZCQC9NifPAvqOjo5dNq27WVN6IL5LQp1NZ+Q1Y2lwo1VZp1pv4i2qjZbjo9+SNaJMw=";
    const FINGERPRINT: &str = "SHA256:W8RG7bKgVt4c+DEkLgjyPvgVOvZxS86TB5i/qZ7KmGc";
    const OTHER: &str = "SHA256:wK2iATqZPfxfJugRs59aalW5UaXK7OZyChj0reLiQk4";

    fn key(text: &str) -> PublicKey {
        text.parse().expect("is a key")
    }

    fn fingerprint(text: &str) -> Fingerprint {
        text.parse().expect("is one")
    }

    #[test]
    fn what_a_person_may_say() {
        let trusted = |text: &str| parse(text, HOST).expect("is understood");
        assert_eq!(trusted(&format!(" {FINGERPRINT}\n")), Trust::Fingerprint(fingerprint(FINGERPRINT)));
        for text in [
            KEY.to_owned(),
            format!("{KEY} root@forge"),
            format!("{HOST} {KEY}"),
            format!("{HOST},203.0.113.7\t{KEY} comment"),
            format!("[{HOST}]:2222 {KEY}"),
            format!("# of the forge\n\nother.example.org {P256}\r\n{HOST} {KEY}\n"),
        ] {
            let Trust::Keys(keys) = trusted(&text) else { panic!("{text}") };
            assert_eq!(keys.iter().map(PublicKey::plain).collect::<Vec<_>>(), [KEY], "{text}");
        }
        let both = format!("{HOST} {KEY}\n{HOST} {P256}");
        assert_eq!(trusted(&both), Trust::Keys(vec![key(KEY), key(P256)]));
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, says) in [
            (String::new(), "holds no key"),
            ("# nothing".to_owned(), "holds no key"),
            (format!("other.example.org {KEY}"), "names other hosts, and not git.example.org"),
            (format!("*.example.org {KEY}"), "names other hosts"),
            (format!("{HOST}.evil.org {KEY}"), "names other hosts"),
            (format!("|1|c2FsdA==|aGFzaA== {KEY}"), "leave out the first word"),
            (format!("@cert-authority {HOST} {KEY}"), "give the host's own key"),
            ("SHA256:short".to_owned(), "neither a fingerprint nor a key"),
            (format!("{HOST} ssh-ed25519 AAAA"), "line 1 of what is given"),
            (format!("{HOST} {KEY}\n{HOST} ssh-dss AAAA"), "line 2 of what is given"),
            (format!("{KEY}\n").repeat(9), "more than 8 keys"),
            ("x".repeat(TEXT_MAX + 1), "16384 bytes"),
        ] {
            let error = parse(&text, HOST).expect_err("is none").to_string();
            assert!(error.contains(says), "{text:.80}: {error}");
        }
    }

    #[test]
    fn only_what_was_asked_for_is_trusted() {
        let shown = [(key(P256), fingerprint(OTHER)), (key(KEY), fingerprint(FINGERPRINT))];
        let wanted = || Trust::Fingerprint(fingerprint(FINGERPRINT));
        assert_eq!(pick(wanted(), &shown, HOST), Ok(vec![key(KEY)]));
        assert_eq!(pick(Trust::New, &shown, HOST), Ok(vec![key(KEY)]), "the strongest");
        assert_eq!(pick(Trust::Keys(vec![key(P256)]), &[], HOST), Ok(vec![key(P256)]), "nothing is asked");
        let differs = pick(wanted(), &shown[..1], HOST).expect_err("is another").to_string();
        assert!(differs.contains(FINGERPRINT) && differs.contains(OTHER), "{differs}");
        for trust in [wanted(), Trust::New] {
            assert_eq!(pick(trust, &[], HOST), Err(HostKeyError::NoneShown { host: HOST.to_owned() }));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_trusted_for_another_host(text in "[a-z0-9., \\[\\]:@|#*\\n-]{0,40}") {
            let line = format!("{text} {KEY}");
            if let Ok(Trust::Keys(_)) = parse(&line, HOST) {
                let last = text.rsplit('\n').next().unwrap_or_default().trim();
                proptest::prop_assert!(last.is_empty() || last.contains(HOST), "{text:?}");
            }
        }
    }
}
