//! An archive of a site never writes outside of its folder and leaves nothing behind when it is refused.
#![no_main]

use std::path::Path;

use havre_build::site::{Limits, Sites};
use havre_core::id::BuildId;
use libfuzzer_sys::fuzz_target;
use tokio_util::sync::CancellationToken;

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    std::fs::read_dir(folder).expect("read").map(|entry| entry.expect("read").file_name()).collect()
}

fuzz_target!(|archive: &[u8]| {
    let home = tempfile::tempdir().expect("make a folder");
    let inside = home.path().join("sites");
    let sites = Sites::open(&inside, Limits { files: 20, bytes: 64 * 1024 }).expect("open");
    let published = sites.publish(BuildId::new(1), archive, None, &CancellationToken::new());
    assert_eq!(names(home.path()), ["sites"], "nothing is written elsewhere");
    if published.is_err() {
        assert!(names(&inside).is_empty(), "nothing is left of a refused one");
    }
});
