//! From the address of a remote repository to where its forge takes calls about it. Tests at the end of the file.

use havre_core::source::RemoteUrl;
use havre_core::source::forge::Forge;

/// An address at which this forge has no repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The path is not of the form the forge has.
    #[error(
        "the address of the remote repository does not end in owner/repository, as those of this forge do"
    )]
    Path,
    /// Bitbucket at a host of one's own.
    #[error("only Bitbucket Cloud can be told, which is at bitbucket.org")]
    DataCenter,
}

/// A repository at a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The forge.
    pub forge: Forge,
    /// Where calls about it go: `https://api.github.com/repos/acme/shop`.
    base: String,
    /// What it is called: `acme/shop`.
    name: String,
}

impl Repository {
    /// The repository at this address. A path before owner and name is where Gitea was put behind a proxy.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn at(forge: Forge, url: &RemoteUrl) -> Result<Self, AddressError> {
        let path = url.path().trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let (above, name) = path.rsplit_once('/').ok_or(AddressError::Path)?;
        let (before, owner) = match above.rsplit_once('/') {
            Some((before, owner)) => (Some(before), owner),
            None => (None, above),
        };
        if name.is_empty() {
            return Err(AddressError::Path);
        }
        let origin = origin(url);
        let base = match (forge, before) {
            (Forge::GitHub, None) => format!("{}/repos/{owner}/{name}", github(url)),
            // Groups hold groups, so that the whole path is the name.
            (Forge::GitLab, _) => format!("{origin}/api/v4/projects/{}", path.replace('/', "%2F")),
            (Forge::Gitea, None) => format!("{origin}/api/v1/repos/{owner}/{name}"),
            (Forge::Gitea, Some(before)) => format!("{origin}/{before}/api/v1/repos/{owner}/{name}"),
            (Forge::Bitbucket, None) if url.host() == "bitbucket.org" => {
                format!("https://api.bitbucket.org/2.0/repositories/{owner}/{name}")
            }
            (Forge::Bitbucket, None) => return Err(AddressError::DataCenter),
            (Forge::GitHub | Forge::Bitbucket, Some(_)) => return Err(AddressError::Path),
        };
        Ok(Self { forge, base, name: path.to_owned() })
    }

    /// What it is called there.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Address of something below the repository.
    pub(crate) fn below(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

/// Where GitHub takes calls: at a host beside the one of its pages, or below them on a server of one's own.
fn github(url: &RemoteUrl) -> String {
    let host = url.host();
    match host == "github.com" || host.ends_with(".ghe.com") {
        true => format!("https://api.{host}"),
        false => format!("{}/api/v3", origin(url)),
    }
}

/// Where a forge answers over HTTP whose repositories are fetched over SSH: at the usual port of the same host.
fn origin(url: &RemoteUrl) -> String {
    match (url.is_ssh(), url.host()) {
        (false, _) => url.origin().to_owned(),
        (true, host) if host.contains(':') => format!("https://[{host}]"),
        (true, host) => format!("https://{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(forge: Forge, url: &str) -> Result<String, AddressError> {
        Repository::at(forge, &url.parse().expect("is an address")).map(|repository| repository.below(""))
    }

    #[test]
    fn where_calls_go() {
        for (forge, url, expected) in [
            (Forge::GitHub, "https://github.com/acme/shop.git", "https://api.github.com/repos/acme/shop"),
            (Forge::GitHub, "https://acme.ghe.com/a/b/", "https://api.acme.ghe.com/repos/a/b"),
            (Forge::GitHub, "https://git.acme.org:8443/a/b", "https://git.acme.org:8443/api/v3/repos/a/b"),
            (Forge::GitLab, "https://gitlab.com/a/b/c.git", "https://gitlab.com/api/v4/projects/a%2Fb%2Fc"),
            (Forge::GitHub, "git@github.com:acme/shop.git", "https://api.github.com/repos/acme/shop"),
            (Forge::GitLab, "ssh://git@[::1]:2222/a/b.git", "https://[::1]/api/v4/projects/a%2Fb"),
            (Forge::Gitea, "ssh://git@codeberg.org:22/a/b", "https://codeberg.org/api/v1/repos/a/b"),
            (Forge::Gitea, "https://codeberg.org/a/b.git", "https://codeberg.org/api/v1/repos/a/b"),
            (Forge::Gitea, "http://[::1]:3000/git/a/b.git", "http://[::1]:3000/git/api/v1/repos/a/b"),
            (
                Forge::Bitbucket,
                "https://bitbucket.org/a/b.git",
                "https://api.bitbucket.org/2.0/repositories/a/b",
            ),
        ] {
            assert_eq!(base(forge, url).as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_has_no_owner_is_refused() {
        for (forge, url, error) in [
            (Forge::GitHub, "https://github.com/shop.git", AddressError::Path),
            (Forge::GitHub, "https://github.com/a/b/c", AddressError::Path),
            (Forge::GitLab, "https://gitlab.com/shop", AddressError::Path),
            (Forge::Bitbucket, "https://bitbucket.org/a/b/c", AddressError::Path),
            (Forge::Bitbucket, "https://bitbucket.acme.org/a/b", AddressError::DataCenter),
        ] {
            assert_eq!(base(forge, url), Err(error), "{url}");
        }
    }
}
