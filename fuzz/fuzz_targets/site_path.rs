//! Paths of requests for files: whatever resolves stays below the folder of the site, and has one address.
#![no_main]

use std::path::{Component, Path};

use havre_site::pattern::encode;
use havre_http::site::path::{MAX_PATH, SitePath};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| {
    let Some(found) = SitePath::parse(path) else { return };
    let parts: Vec<Component<'_>> = Path::new(&found.relative).components().collect();
    assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))), "{found:?}");
    assert!(!found.relative.chars().any(|c| c.is_control() || c == '\\'), "{found:?}");
    for (place, name) in found.relative.split('/').enumerate().filter(|_| !found.relative.is_empty()) {
        assert!(!name.is_empty(), "{found:?}");
        assert!(!name.starts_with('.') || (place == 0 && name == ".well-known"), "{found:?}");
    }
    assert_eq!(found.name(), found.relative.rsplit('/').next().unwrap_or_default());
    let slash = if found.is_folder && !found.relative.is_empty() { "/" } else { "" };
    let address = format!("/{}{slash}", encode(&found.relative));
    // Text that came bare can be longer once it is encoded.
    if address.len() <= MAX_PATH {
        assert_eq!(SitePath::parse(&address), Some(found));
    }
});
