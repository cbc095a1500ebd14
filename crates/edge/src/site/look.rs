//! From a path to the file that answers it, or to the one address this file should have: indexes, clean URLs, slashes.
//! Pure: it asks a list of names and opens nothing. Tests at the end of the file.

use havre_core::site::settings::{CleanUrls, TrailingSlash};
use havre_http::site::path::SitePath;

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// To this file.
    File(String),
    /// The file has another address: decoded, below the prefix of the site.
    At(String),
    /// To nothing.
    Nothing,
}

/// How addresses of pages look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Addresses {
    /// Pages without `.html`.
    pub clean_urls: CleanUrls,
    /// A slash at the end.
    pub trailing_slash: TrailingSlash,
}

/// Finds the file for `wanted` among those that `has` knows.
pub(super) fn look(has: impl Fn(&str) -> bool, addresses: Addresses, wanted: &SitePath) -> Look {
    let Addresses { clean_urls, trailing_slash } = addresses;
    let name = wanted.relative.as_str();
    if name.is_empty() {
        return if has("index.html") { Look::File("index.html".to_owned()) } else { Look::Nothing };
    }
    if !wanted.is_folder && has(name) {
        return match clean(&has, addresses, name) {
            Some(address) => Look::At(address),
            None => Look::File(name.to_owned()),
        };
    }
    let index = format!("{name}/index.html");
    let page = format!("{name}.html");
    let is_page = clean_urls != CleanUrls::Off && has(&page);
    let (bare, slashed) = (format!("/{name}"), format!("/{name}/"));
    match (wanted.is_folder, trailing_slash) {
        (true, TrailingSlash::Never) if has(&index) || is_page => Look::At(bare),
        (true, TrailingSlash::Auto) if !has(&index) && is_page => Look::At(bare),
        (false, TrailingSlash::Always) if has(&index) || is_page => Look::At(slashed),
        (false, TrailingSlash::Auto) if has(&index) => Look::At(slashed),
        _ if has(&index) => Look::File(index),
        _ if is_page => Look::File(page),
        _ => Look::Nothing,
    }
}

/// The clean address of the page `name`, where pages have one and no other file answers there.
fn clean(has: &impl Fn(&str) -> bool, addresses: Addresses, name: &str) -> Option<String> {
    let stem = name.strip_suffix(".html").filter(|_| addresses.clean_urls == CleanUrls::Redirect)?;
    if stem == "index" {
        return Some("/".to_owned());
    }
    let (stem, is_index) = match stem.strip_suffix("/index") {
        Some(folder) => (folder, true),
        None => (stem, false),
    };
    if has(stem) || (!is_index && (stem.ends_with('/') || has(&format!("{stem}/index.html")))) {
        return None;
    }
    let slash = match addresses.trailing_slash {
        TrailingSlash::Always => "/",
        TrailingSlash::Auto if is_index => "/",
        TrailingSlash::Auto | TrailingSlash::Never => "",
    };
    Some(format!("/{stem}{slash}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLEAN: [CleanUrls; 3] = [CleanUrls::Serve, CleanUrls::Redirect, CleanUrls::Off];
    const SLASH: [TrailingSlash; 3] = [TrailingSlash::Auto, TrailingSlash::Always, TrailingSlash::Never];

    #[test]
    fn pages_have_the_addresses_that_were_asked_for() {
        let files = ["index.html", "about.html", "docs/index.html", "both.html", "both/index.html", "a.js"];
        let has = |name: &str| files.contains(&name);
        let mut page = String::new();
        for clean_urls in CLEAN {
            for trailing_slash in SLASH {
                page.push_str(&format!("{clean_urls:?} {trailing_slash:?}\n"));
                for path in [
                    "/",
                    "/index.html",
                    "/about",
                    "/about/",
                    "/about.html",
                    "/docs",
                    "/docs/",
                    "/docs/index.html",
                    "/both",
                    "/both/",
                    "/both.html",
                    "/a.js",
                    "/a.js/",
                    "/none",
                ] {
                    let wanted = SitePath::parse(path).unwrap();
                    let look = look(has, Addresses { clean_urls, trailing_slash }, &wanted);
                    page.push_str(&format!("    {path} {look:?}\n"));
                }
            }
        }
        insta::assert_snapshot!(page);
    }

    proptest! {
        /// Whatever files there are, an address leads to a file after two steps at most.
        #[test]
        fn addresses_never_lead_in_circles(
            files in proptest::collection::btree_set("(index|a|b)(/(index|a|b)){0,2}(\\.html)?", 0..8),
            path in "(/(index|a|b)(\\.html)?){0,3}/?",
            clean in 0_usize..3,
            slash in 0_usize..3,
        ) {
            let has = |name: &str| files.contains(name);
            let addresses = Addresses { clean_urls: CLEAN[clean], trailing_slash: SLASH[slash] };
            let mut path = if path.is_empty() { "/".to_owned() } else { path };
            let start = path.clone();
            for hop in 0.. {
                match look(has, addresses, &SitePath::parse(&path).unwrap()) {
                    Look::At(address) => {
                        prop_assert!(hop < 2, "{start} -> {path} -> {address}");
                        path = address;
                    }
                    Look::File(file) => return { prop_assert!(has(&file)); Ok(()) },
                    Look::Nothing => return { prop_assert_eq!(hop, 0, "{} -> {}", start, path); Ok(()) },
                }
            }
        }
    }
}
