//! Git LFS: a pointer is read only as `git lfs` writes it, and whatever a server answers, nothing is called but addresses of the form that the
//! remote repository has or a better one, with header lines that cannot end a head.
#![no_main]

use havre_core::outward::OutwardUrl;
use havre_core::source::RemoteUrl;
use havre_core::source::lfs::is_pointer;
use havre_decide::source::lfs::answer::{HEADERS_MAX, check_status, parse, redirect};
use havre_decide::source::lfs::{Pointer, endpoint, request};
use libfuzzer_sys::fuzz_target;

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\n\
    oid sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\nsize 5\n";

/// Nothing less protected than the remote repository, and nobody but who it seems to be.
fn check(remote: &RemoteUrl, url: &OutwardUrl) {
    assert!(remote.is_plain() || !url.is_plain());
    assert!(!url.authority().contains('@') && !url.host().is_empty());
    assert!(url.target().bytes().all(|byte| byte.is_ascii_graphic()));
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(pointer) = Pointer::parse(bytes) {
        assert!(is_pointer(bytes));
        assert_eq!(pointer.to_string().as_bytes(), bytes);
        assert!(request(&[pointer]).len() < 1024);
    }
    let wanted = [Pointer::parse(POINTER.as_bytes()).expect("is one")];
    let text = String::from_utf8_lossy(bytes);
    for remote in ["https://git.example.org/acme/shop.git", "http://10.0.0.5:3000/shop"] {
        let remote: RemoteUrl = remote.parse().expect("is an address");
        let from = endpoint(&remote).expect("is an address");
        if let Ok(url) = redirect(&remote, &from, Some(&*text)) {
            check(&remote, &url);
        }
        let Ok(downloads) = parse(&remote, &wanted, bytes) else { continue };
        assert_eq!(downloads.len(), 1);
        for download in &downloads {
            check(&remote, download.url());
            assert!(download.headers().count() <= HEADERS_MAX);
            let of = (download.url().host().to_owned(), download.url().port());
            assert!(!download.wants_token() || of == (remote.host().to_owned(), remote.port()));
            for (name, value) in download.headers() {
                assert!(name != "host" && !value.expose().iter().any(u8::is_ascii_control));
            }
        }
    }
    let _ = check_status(u16::from(bytes.first().copied().unwrap_or(0)) + 200, bytes);
});
