//! Where a repository lies, as its recovery kit says it: read from the text that restic takes after `-r`. What is not in that text comes beside
//! it. Tests at the end of the file.

use havre_core::backup::location::{Endpoint, KeyPrefix, Location};
use havre_core::ssh_key::Fingerprint;

/// What the text itself does not say.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// Where the object storage says it is.
    pub region: Option<String>,
    /// The bucket stands in the path.
    pub path_style: bool,
    /// Fingerprint of the key of the other machine.
    pub host_key: Option<Fingerprint>,
}

/// Text that says no place. An address with keys in it is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "that is no place of a repository ({0}); say it as the recovery kit does: /mnt/disk/havre, s3:https://s3.example.org/bucket/prefix or \
     sftp://user@nas.example.org:22//srv/havre"
)]
pub struct PlaceError(String);

fn wrong(why: impl ToString) -> PlaceError {
    PlaceError(why.to_string())
}

/// Reads a place.
///
/// # Errors
/// It is none, or something beside it is missing.
pub fn parse(text: &str, beside: &Beside) -> Result<Location, PlaceError> {
    let location = match (text.strip_prefix("s3:"), text.strip_prefix("sftp://")) {
        (Some(rest), _) => bucket(rest, beside)?,
        (None, Some(rest)) => machine(rest, beside)?,
        (None, None) => Location::Folder { path: text.parse().map_err(wrong)? },
    };
    location.check().map_err(wrong)?;
    Ok(location)
}

fn bucket(text: &str, beside: &Beside) -> Result<Location, PlaceError> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("the address has no https://"))?;
    let (authority, path) = rest.split_once('/').ok_or_else(|| wrong("there is no bucket"))?;
    let (bucket, prefix) = match path.split_once('/') {
        Some((bucket, prefix)) => (bucket, Some(prefix)),
        None => (path, None),
    };
    let endpoint: Endpoint = format!("{scheme}://{authority}").parse().map_err(wrong)?;
    let region = beside.region.as_ref().ok_or_else(|| wrong("a bucket needs --region, such as eu-west-3"))?;
    Ok(Location::S3 {
        endpoint,
        bucket: bucket.parse().map_err(wrong)?,
        region: region.parse().map_err(wrong)?,
        prefix: prefix.map(str::parse::<KeyPrefix>).transpose().map_err(wrong)?,
        path_style: beside.path_style,
    })
}

fn machine(text: &str, beside: &Beside) -> Result<Location, PlaceError> {
    let (user, rest) = text.split_once('@').ok_or_else(|| wrong("there is no user"))?;
    let (host, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']').ok_or_else(|| wrong("a [ has no ]"))?,
        None => rest.split_at(rest.find([':', '/']).ok_or_else(|| wrong("there is no path"))?),
    };
    let (port, path) = rest.split_once('/').ok_or_else(|| wrong("there is no path"))?;
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().map_err(|_| wrong("its port is no number"))?,
        None if port.is_empty() => 22,
        None => return Err(wrong("there is something behind the machine")),
    };
    let host_key = beside.host_key.clone().ok_or_else(|| {
        wrong("another machine needs --host-key SHA256:..., which stands in the recovery kit")
    })?;
    Ok(Location::Sftp {
        host: host.parse().map_err(wrong)?,
        port,
        user: user.parse().map_err(wrong)?,
        path: path.parse().map_err(wrong)?,
        host_key,
    })
}

/// One argument of a line that people type into a shell.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-' | b':' | b'@');
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The line that brings a whole server back from this place.
pub fn command(location: &Location) -> String {
    let mut words = vec!["havred recover --from".to_owned(), quoted(&location.to_string())];
    match location {
        Location::Folder { .. } => {}
        Location::S3 { region, path_style, .. } => {
            words.extend(["--region".to_owned(), region.to_string()]);
            words.extend(path_style.then(|| "--path-style".to_owned()));
            words.push("--credential-file keys".to_owned());
        }
        Location::Sftp { host_key, .. } => {
            words.extend(["--host-key".to_owned(), quoted(&host_key.to_string())]);
            words.push("--credential-file key".to_owned());
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "SHA256:wK2iATqZPfxfJugRs59aalW5UaXK7OZyChj0reLiQk4";

    fn beside() -> Beside {
        Beside { region: Some("eu-west-3".to_owned()), path_style: true, host_key: KEY.parse().ok() }
    }

    #[test]
    fn what_a_kit_says_is_read_again() {
        for text in [
            "/mnt/two/havre",
            "s3:https://s3.example.org/havre-backups",
            "s3:https://s3.example.org:9000/havre-backups/servers/one",
            "s3:http://[::1]:9000/havre-backups",
            "sftp://backup@b.example.org:22//srv/havre",
            "sftp://backup@[2001:db8::1]:2222//srv/havre",
        ] {
            let location = parse(text, &beside()).expect("is a place");
            assert_eq!(location.to_string(), text);
        }
        let short = parse("sftp://backup@b.example.org//srv/havre", &beside()).expect("is a place");
        assert_eq!(short.to_string(), "sftp://backup@b.example.org:22//srv/havre");
    }

    #[test]
    fn what_is_no_place_is_refused_without_being_said() {
        for wrong in [
            "",
            "/",
            "relative/planted",
            "s3:s3.example.org/planted",
            "s3:https://s3.example.org",
            "s3:https://planted:key@s3.example.org/bucket",
            "s3:https://s3.example.org/bucket/../planted",
            "sftp://b.example.org//planted",
            "sftp://backup@b.example.org:0//planted",
            "sftp://backup@b.example.org:x//planted",
            "sftp://backup@b.example.org:22/planted",
            "sftp://backup@[::1//planted",
        ] {
            assert!(parse(wrong, &beside()).is_err(), "{wrong:?} must not parse");
        }
        let bare = Beside::default();
        let error = parse("s3:https://s3.example.org/bucket", &bare).expect_err("has no region").to_string();
        assert!(error.contains("--region"), "{error}");
        let error = parse("sftp://a@b.example.org:22//srv", &bare).expect_err("has no key").to_string();
        assert!(error.contains("--host-key"), "{error}");
    }

    #[test]
    fn the_line_can_be_typed() {
        let line = |text: &str| command(&parse(text, &beside()).expect("is a place"));
        assert_eq!(line("/mnt/two"), "havred recover --from /mnt/two");
        assert_eq!(
            line("s3:https://s3.example.org/backups"),
            "havred recover --from s3:https://s3.example.org/backups --region eu-west-3 --path-style --credential-file keys"
        );
        assert_eq!(
            line("sftp://a@b.example.org:22//srv"),
            format!(
                "havred recover --from sftp://a@b.example.org:22//srv --host-key {KEY} --credential-file key"
            )
        );
    }
}
