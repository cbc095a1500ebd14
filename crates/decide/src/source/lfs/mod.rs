//! Git LFS: what pointers say, where their contents are asked for, what the server answers, and what of that may be called; what is answered to
//! those who push to Havre, and how long what was fetched is kept. Only the batch API, only the transfer `basic`. Opens no connection. Tests at
//! the ends of the files, and in `answer_tests.rs`.

pub mod answer;
pub mod batch;
pub mod keep;
pub mod pointer;

use havre_core::outward::{OutwardUrl, OutwardUrlError};
use havre_core::source::RemoteUrl;
use serde_json::{Value, json};

pub use answer::{Download, LfsError};
pub use pointer::{Pointer, Wanted};

/// What requests and answers of the batch API call themselves.
pub const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
/// Most contents that are asked for in one call; what `git lfs` asks for.
pub const BATCH_MAX: usize = 100;

/// Where the contents of a repository are asked for: at its own address (git-lfs, "Server Discovery"). What `.lfsconfig` says does not count:
/// whoever can push would choose who is called.
///
/// # Errors
/// Never for an address that [`RemoteUrl`] takes: its grammar is the narrower one.
pub fn endpoint(remote: &RemoteUrl) -> Result<OutwardUrl, OutwardUrlError> {
    let path = remote.path().trim_end_matches('/');
    let end = if path.ends_with(".git") { "" } else { ".git" };
    format!("{}{path}{end}/info/lfs/objects/batch", remote.origin()).parse()
}

/// The body of a call that asks for these.
pub fn request(wanted: &[Pointer]) -> String {
    let object = |pointer: &Pointer| json!({ "oid": pointer.oid().hex(), "size": pointer.size() });
    let objects: Vec<Value> = wanted.iter().map(object).collect();
    let body =
        json!({ "operation": "download", "transfers": ["basic"], "hash_algo": "sha256", "objects": objects });
    body.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_asked_for_at_the_address_of_the_repository() {
        for (remote, expected) in [
            ("https://a.org/acme/shop.git", "https://a.org/acme/shop.git/info/lfs/objects/batch"),
            ("https://a.org/acme/shop", "https://a.org/acme/shop.git/info/lfs/objects/batch"),
            ("https://a.org:8443/shop.git/", "https://a.org:8443/shop.git/info/lfs/objects/batch"),
            ("http://[::1]:3000/~ada/shop/", "http://[::1]:3000/~ada/shop.git/info/lfs/objects/batch"),
        ] {
            let remote: RemoteUrl = remote.parse().expect("is an address");
            let url = endpoint(&remote).expect("is an address");
            assert_eq!(url.to_string(), expected);
            assert_eq!(
                (url.host(), url.port(), url.is_plain()),
                (remote.host(), remote.port(), remote.is_plain())
            );
        }
        let longest = format!("https://a.org/{}", "a".repeat(498));
        assert!(endpoint(&longest.parse().expect("is an address")).is_ok());
    }

    #[test]
    fn a_request_names_every_content() {
        let oid = "ab".repeat(32);
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 7\n");
        let body = request(&[Pointer::parse(text.as_bytes()).expect("is one")]);
        let body: Value = serde_json::from_str(&body).expect("is JSON");
        assert_eq!(
            body,
            json!({
                "operation": "download", "transfers": ["basic"], "hash_algo": "sha256",
                "objects": [{ "oid": oid, "size": 7 }],
            })
        );
    }

    proptest::proptest! {
        #[test]
        fn every_remote_repository_has_an_endpoint_of_its_own_host(
            text in "https?://[a-z]{1,8}(\\.[a-z]{1,8}){0,2}(:[1-9][0-9]{0,3})?(/[A-Za-z0-9_~+@][A-Za-z0-9._~+@-]{0,9}){1,4}/?",
        ) {
            let Ok(remote) = text.parse::<RemoteUrl>() else { return Ok(()) };
            let url = endpoint(&remote).expect("is an address");
            proptest::prop_assert!(url.to_string().starts_with(remote.origin()));
            proptest::prop_assert_eq!((url.host(), url.port()), (remote.host(), remote.port()));
        }
    }
}
