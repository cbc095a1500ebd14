//! Submodules: what `.gitmodules` says of them, where each is fetched from, and who may be shown the token of the repository they are in.
//! Opens no connection. Tests at the end of the file.

use std::collections::BTreeMap;

use havre_core::source::remote::{RemoteUrl, RemoteUrlError};

/// Name of the file, at the root of a repository.
pub const FILE: &str = ".gitmodules";
/// Largest such file, in bytes.
pub const FILE_MAX: u64 = 64 * 1024;
/// Most submodules of one commit, those of submodules included.
pub const SUBMODULES_MAX: usize = 32;
/// How deep they may lie in each other.
pub const DEPTH_MAX: usize = 4;

/// Why a submodule cannot be fetched, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmoduleError {
    /// `.gitmodules` is none.
    #[error(
        "line {line} of .gitmodules is not understood: expected [submodule \"name\"], or a key and a value"
    )]
    Line {
        /// Number of the line, from 1.
        line: usize,
    },
    /// A folder of whoever made the commit.
    #[error(
        "its address is a path of some machine: take the https:// address of the repository, or a relative one such as ../lib.git"
    )]
    LocalPath,
    /// Relative to nothing.
    #[error(
        "its address is relative, and this repository is pushed to Havre: take the https:// address, or let Havre fetch the repository \
         itself (`havre remote set`)"
    )]
    Relative,
    /// More `..` than the address has parts.
    #[error("its relative address leads out of the host it is relative to")]
    LeavesHost,
    /// For SSH, of a form that is none.
    #[error("its address seems to be one for SSH, and is not of the form git@git.example.org:acme/lib.git")]
    Ssh,
    /// For SSH, and there is no key for any host.
    #[error(
        "its address is one for SSH, and this project has no deploy key, because its own repository is not fetched over SSH: take the \
         https:// address of the same repository, or let Havre fetch this repository over SSH as well (`havre remote set git@HOST:PATH`)"
    )]
    NoKey,
    /// For SSH, at another host than that of the remote repository.
    #[error(
        "it lies behind SSH at {host}, and the deploy key of this project is for {own} only, whose host key is the one that is trusted: take the \
         https:// address of the same repository, or a copy of it at {own}"
    )]
    OtherHost {
        /// User, host and port of the submodule.
        host: String,
        /// Those of the remote repository.
        own: String,
    },
    /// A user or a password before the host.
    #[error(
        "its address holds a user or a password, which everybody who reads the commit sees: leave it out"
    )]
    Credentials,
    /// Anything else.
    #[error("its address is not of the form https://git.example.org/acme/lib.git")]
    Address,
}

impl From<RemoteUrlError> for SubmoduleError {
    fn from(error: RemoteUrlError) -> Self {
        match error {
            RemoteUrlError::Credentials => Self::Credentials,
            RemoteUrlError::Ssh => Self::Ssh,
            RemoteUrlError::Malformed => Self::Address,
        }
    }
}

/// Addresses by path, as they stand in the text of `.gitmodules`. Entries that lack one of the two are left out, as git does; keys that say how
/// a work tree is updated are read by nobody here.
///
/// # Errors
/// [`SubmoduleError::Line`]: what is not understood is refused, not guessed.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, SubmoduleError> {
    let mut found: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    let mut section: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        let wrong = SubmoduleError::Line { line: index + 1 };
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            section = read_section(rest).ok_or(wrong)?;
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, "true"));
        let value = read_value(value.trim()).ok_or_else(|| wrong.clone())?;
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(wrong);
        }
        let Some(name) = &section else { continue };
        let entry = found.entry(name.clone()).or_default();
        // As git does: the last one counts.
        match key.to_ascii_lowercase().as_str() {
            "path" => entry.0 = Some(value),
            "url" => entry.1 = Some(value),
            _ => {}
        }
    }
    Ok(found.into_values().filter_map(|(path, url)| Some((clean(&path?), url?))).collect())
}

/// A path without what does not matter at its ends.
fn clean(path: &str) -> String {
    path.trim_start_matches("./").trim_end_matches('/').to_owned()
}

/// What follows `[`: the name of a submodule, or `None` for a section of something else. `None` outside is an error.
fn read_section(rest: &str) -> Option<Option<String>> {
    let end = rest.rfind(']')?;
    let (inside, after) = (rest[..end].trim(), rest[end + 1..].trim());
    if !after.is_empty() && !after.starts_with(['#', ';']) {
        return None;
    }
    let Some((kind, name)) = inside.split_once(|c: char| c.is_ascii_whitespace()) else {
        return Some(None);
    };
    if !kind.eq_ignore_ascii_case("submodule") {
        return Some(None);
    }
    let name = name.trim().strip_prefix('"')?.strip_suffix('"')?;
    Some(Some(name.to_owned()))
}

/// A value without its quotes and the comment behind it; `None` for one that goes on in the next line, or whose quotes do not end.
fn read_value(text: &str) -> Option<String> {
    let mut value = String::new();
    let (mut is_quoted, mut kept) = (false, 0);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            '\\' => match characters.next()? {
                escaped @ ('"' | '\\') => value.push(escaped),
                // The others are line breaks and the like, which no path and no address has.
                _ => return None,
            },
            '#' | ';' if !is_quoted => break,
            other => value.push(other),
        }
        if is_quoted || !character.is_whitespace() {
            kept = value.len();
        }
    }
    if is_quoted {
        return None;
    }
    value.truncate(kept);
    Some(value)
}

/// Where a submodule is fetched from: an address of its own, or one relative to `base`, the address of the repository it is in. That is `None`
/// where the repository was pushed here.
///
/// # Errors
/// See [`SubmoduleError`].
pub fn resolve(url: &str, base: Option<&RemoteUrl>) -> Result<RemoteUrl, SubmoduleError> {
    if url.starts_with("./") || url.starts_with("../") {
        return resolve_relative(url, base.ok_or(SubmoduleError::Relative)?);
    }
    let is_path = !url.contains(':');
    if is_path || url.starts_with('/') || url.to_ascii_lowercase().starts_with("file:") {
        return Err(SubmoduleError::LocalPath);
    }
    Ok(url.parse::<RemoteUrl>()?)
}

fn resolve_relative(url: &str, base: &RemoteUrl) -> Result<RemoteUrl, SubmoduleError> {
    let mut parts: Vec<&str> = base.path().split('/').filter(|part| !part.is_empty()).collect();
    let mut rest = url;
    loop {
        if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            parts.pop().ok_or(SubmoduleError::LeavesHost)?;
            rest = after;
        } else {
            break;
        }
    }
    parts.push(rest);
    // The path of `git@host:path` begins at the home of the user, unless it has a slash of its own.
    let slash = if base.path().starts_with('/') { "/" } else { "" };
    Ok(format!("{}{slash}{}", base.origin(), parts.join("/")).parse::<RemoteUrl>()?)
}

/// Whether the token of `remote` may be shown to the server of a submodule: only to the one it is for.
pub fn may_have_token(remote: &RemoteUrl, submodule: &RemoteUrl) -> bool {
    let of = |url: &RemoteUrl| (url.is_plain(), url.is_ssh(), url.host().to_owned(), url.port());
    of(remote) == of(submodule)
}

/// Whether the deploy key of `remote` may be shown to the host of a submodule, an address for SSH: only to the one whose own key is trusted, and
/// as the same user. What else the key opens there is for the host to say.
///
/// # Errors
/// [`SubmoduleError::NoKey`] and [`SubmoduleError::OtherHost`].
pub fn check_key(remote: Option<&RemoteUrl>, submodule: &RemoteUrl) -> Result<(), SubmoduleError> {
    let remote = remote.filter(|remote| remote.is_ssh()).ok_or(SubmoduleError::NoKey)?;
    let of = |url: &RemoteUrl| format!("{}@{}:{}", url.user().unwrap_or_default(), url.host(), url.port());
    let (host, own) = (of(submodule), of(remote));
    if host == own { Ok(()) } else { Err(SubmoduleError::OtherHost { host, own }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).expect("is understood").into_iter().collect()
    }

    fn url(text: &str) -> RemoteUrl {
        text.parse().expect("is an address")
    }

    #[test]
    fn a_file_as_git_writes_it() {
        let text = "[submodule \"lib\"]\n\tpath = vendor/lib\n\turl = ../lib.git\n\tbranch = main\n\
            # a comment\n[submodule \"docs theme\"]\n  url = \"https://a.org/theme.git\" ; theirs\n  path = themes/x/\n\
            [core]\n  bare\n[submodule \"half\"]\npath = half\n[submodule \"lib\"]\nURL = https://a.org/lib.git\n";
        let expected = [("themes/x", "https://a.org/theme.git"), ("vendor/lib", "https://a.org/lib.git")];
        let expected = expected.map(|(path, url)| (path.to_owned(), url.to_owned()));
        assert_eq!(pairs(text), expected);
        assert!(pairs("").is_empty());
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, line) in [
            ("[submodule lib]\n", 1),
            ("[submodule \"lib\"]\npath = \"a\n", 2),
            ("[submodule \"lib\"]\n\npath = a\\\nb\n", 3),
            ("[submodule \"lib\"\n", 1),
            ("[submodule \"lib\"] x\n", 1),
            ("[submodule \"lib\"]\npa th = a\n", 2),
            ("[submodule \"lib\"]\npath = a\\tb\n", 2),
        ] {
            assert_eq!(parse(text), Err(SubmoduleError::Line { line }), "{text:?}");
        }
    }

    #[test]
    fn relative_addresses() {
        let base = url("https://git.example.org:8443/acme/shop.git");
        for (text, expected) in [
            ("../lib.git", "https://git.example.org:8443/acme/lib.git"),
            ("../../other/lib", "https://git.example.org:8443/other/lib"),
            ("./lib.git", "https://git.example.org:8443/acme/shop.git/lib.git"),
            (".././../x.git", "https://git.example.org:8443/x.git"),
            ("https://a.org/lib.git", "https://a.org/lib.git"),
        ] {
            assert_eq!(resolve(text, Some(&base)).expect("is an address").as_str(), expected);
        }
        assert_eq!(resolve("../../../x.git", Some(&base)), Err(SubmoduleError::LeavesHost));
        assert_eq!(resolve("../lib.git", None), Err(SubmoduleError::Relative));
        for (base, expected) in [
            ("git@git.example.org:acme/shop.git", "git@git.example.org:acme/lib.git"),
            ("git@git.example.org:/srv/acme/shop.git/", "git@git.example.org:/srv/acme/lib.git"),
            ("ssh://git@git.example.org:2222/acme/shop.git", "ssh://git@git.example.org:2222/acme/lib.git"),
        ] {
            let relative = resolve("../lib.git", Some(&url(base)));
            assert_eq!(relative.expect("is an address").as_str(), expected);
            assert_eq!(resolve("../../../../x.git", Some(&url(base))), Err(SubmoduleError::LeavesHost));
            let absolute = resolve("https://a.org/lib.git", Some(&url(base)));
            assert_eq!(absolute.expect("is an address").as_str(), "https://a.org/lib.git");
        }
        assert_eq!(resolve("../a/../../b", Some(&base)), Err(SubmoduleError::Address));
    }

    #[test]
    fn what_is_never_fetched() {
        for (text, expected) in [
            ("/srv/git/lib.git", SubmoduleError::LocalPath),
            ("lib", SubmoduleError::LocalPath),
            ("", SubmoduleError::LocalPath),
            ("file:///srv/git/lib.git", SubmoduleError::LocalPath),
            ("ssh://-oProxyCommand=x/", SubmoduleError::Ssh),
            ("https://ada:pw@a.org/lib.git", SubmoduleError::Credentials),
            ("ext::sh -c touch% /tmp/x", SubmoduleError::Address),
            ("git://a.org/lib.git", SubmoduleError::Address),
            ("--upload-pack=x:y", SubmoduleError::Address),
            ("https://a.org/lib.git?x", SubmoduleError::Address),
        ] {
            assert_eq!(resolve(text, Some(&url("https://a.org/b/c.git"))), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_key_is_for_its_own_host_and_user() {
        let remote = url("git@git.example.org:acme/shop.git");
        for same in [
            "git@git.example.org:acme/lib.git",
            "ssh://git@git.example.org/x/y",
            "ssh://git@git.example.org:22/x",
        ] {
            assert_eq!(check_key(Some(&remote), &url(same)), Ok(()), "{same}");
        }
        for other in [
            "git@github.com:acme/lib.git",
            "root@git.example.org:acme/lib.git",
            "ssh://git@git.example.org:2222/acme/lib.git",
            "git@git.example.org.evil.org:acme/lib.git",
        ] {
            let refused = check_key(Some(&remote), &url(other)).expect_err("is another one");
            assert!(matches!(refused, SubmoduleError::OtherHost { .. }), "{other}");
            assert!(refused.to_string().contains("git@git.example.org:22 only"), "{refused}");
        }
        let submodule = url("git@git.example.org:acme/lib.git");
        for remote in [None, Some(url("https://git.example.org/acme/shop.git"))] {
            assert_eq!(check_key(remote.as_ref(), &submodule), Err(SubmoduleError::NoKey));
        }
    }

    proptest::proptest! {
        #[test]
        fn a_relative_address_never_leaves_its_host(text in "(\\.{1,2}/){1,4}[a-z./@:-]{0,20}", ssh: bool) {
            let base = if ssh { "git@a.org:b/c.git" } else { "https://a.org/b/c.git" };
            let base = url(base);
            if let Ok(found) = resolve(&text, Some(&base)) {
                proptest::prop_assert_eq!(found.origin(), base.origin());
                proptest::prop_assert_eq!((found.host(), found.user()), (base.host(), base.user()));
            }
        }
    }

    #[test]
    fn a_token_is_for_its_own_server() {
        let remote = url("https://git.example.org/acme/shop.git");
        assert!(may_have_token(&remote, &url("https://git.example.org:443/other/lib.git")));
        for other in [
            "https://git.example.org:8443/acme/lib.git",
            "http://git.example.org:443/acme/lib.git",
            "https://git.example.org.evil.org/acme/lib.git",
            "https://github.com/acme/lib.git",
        ] {
            assert!(!may_have_token(&remote, &url(other)), "{other}");
        }
    }
}
