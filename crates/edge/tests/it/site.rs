//! Static sites: a golden list of requests and answers, and the law that nothing outside a folder is ever shown.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::Arc;

use havre_api::route_table::{ROUTE_TABLE_VERSION, RouteTable};
use havre_edge::site::{Body, Site, SiteAnswer, SiteRequest, Sites};
use havre_edge::table::{Found, Table};
use proptest::prelude::*;
use tempfile::TempDir;

const DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn site(prefix: &str, spa: bool) -> Arc<Site> {
    site_of(prefix, |target| target["spa"] = spa.into())
}

/// A site whose target on the wire is changed first.
fn site_of(prefix: &str, change: impl FnOnce(&mut serde_json::Value)) -> Arc<Site> {
    let mut target = serde_json::json!({
        "kind": "site", "digest": DIGEST, "release": "r3", "spa": false, "expose_release": false,
    });
    change(&mut target);
    let route = serde_json::json!({ "host": "web", "path_prefix": prefix, "target": target });
    let mut wire = RouteTable { version: ROUTE_TABLE_VERSION, generation: 1, ..RouteTable::default() };
    wire.routes = vec![serde_json::from_value(route).unwrap()];
    let table = Table::build(&wire, None).unwrap();
    match table.find("web", prefix) {
        Found::Site(site) => Arc::clone(site),
        other => panic!("no site: {other:?}"),
    }
}

/// The answer, with the disk where it is needed.
fn ask(sites: &Sites, site: &Arc<Site>, request: &SiteRequest<'_>) -> SiteAnswer {
    match sites.answer(site, request) {
        SiteAnswer::Cold(cold) => cold.answer(),
        answer => answer,
    }
}

/// A sites folder with one site, and beside it what must never be shown.
fn published() -> (TempDir, Sites) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join(DIGEST);
    let write = |name: &str, text: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("index.html", b"<h1>home</h1>");
    write("404.html", b"<h1>nothing here</h1>");
    write("about/index.html", b"<h1>about</h1>");
    write("assets/index-DiwrgTda.js", b"console.log(1)");
    write("assets/logo.SVG", b"<svg/>");
    write("big.bin", &(0..100_000_u32).map(|i| i.to_le_bytes()[0]).collect::<Vec<u8>>());
    write("caf\u{e9} 1.txt", b"coffee");
    write("empty/nothing.txt", b"");
    write(".env", b"SECRET");
    write(".git/config", b"SECRET");
    write("a/.hidden/x.txt", b"SECRET");
    write(".well-known/security.txt", b"Contact: mailto:a@b");
    fs::write(dir.path().join("outside.txt"), "SECRET").unwrap();
    symlink("../outside.txt", root.join("link.txt")).unwrap();
    symlink("..", root.join("up")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    let sites = Sites::new(dir.path().to_owned());
    (dir, sites)
}

fn get(target: &str) -> SiteRequest<'_> {
    SiteRequest { method: "GET", target, ..SiteRequest::default() }
}

/// The bytes of an answer with a body.
fn body(answer: &SiteAnswer) -> Option<Vec<u8>> {
    let SiteAnswer::Ready(reply) = answer else { return None };
    match &reply.body {
        Body::None => None,
        Body::Bytes(body) => Some(body.to_vec()),
        Body::File { file, offset, length, .. } => {
            let mut body = vec![0; usize::try_from(*length).unwrap()];
            file.read_exact_at(&mut body, *offset).unwrap();
            Some(body)
        }
    }
}

/// The value of a header line, empty when there is none.
fn header<'a>(answer: &'a SiteAnswer, name: &str) -> &'a str {
    let lines = match answer {
        SiteAnswer::Ready(reply) => &reply.lines,
        SiteAnswer::Trouble(_, lines) => lines,
        SiteAnswer::Cold(_) => panic!("not settled"),
    };
    let found = lines.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| std::str::from_utf8(value).unwrap())
}

fn show(answer: &SiteAnswer) -> String {
    let reply = match answer {
        SiteAnswer::Ready(reply) => reply,
        SiteAnswer::Trouble(trouble, _) => {
            return format!("{trouble:?} {}", header(answer, "content-range")).trim_end().to_owned();
        }
        SiteAnswer::Cold(_) => return "Cold".to_owned(),
    };
    match (reply.status, body(answer)) {
        (301, _) => format!("301 {}", header(answer, "location")),
        (status, None) => format!("{status} | {}", header(answer, "cache-control")),
        (status, Some(body)) => {
            assert_eq!(reply.body.length(), Some(body.len() as u64));
            let form = if matches!(reply.body, Body::File { .. }) { "file" } else { "memory" };
            let text = if body.len() < 64 && body.is_ascii() {
                format!("{:?}", String::from_utf8(body).unwrap())
            } else {
                format!("{} bytes, first {}, last {}", body.len(), body[0], body[body.len() - 1])
            };
            let range = header(answer, "content-range");
            let part = if range.is_empty() { String::new() } else { format!(" [{range}]") };
            let (kind, cache) = (header(answer, "content-type"), header(answer, "cache-control"));
            format!("{status} {kind} | {cache} | {form}{part} {text}")
        }
    }
}

const PLAIN_TARGETS: &[&str] = &[
    "/",
    "/index.html",
    "/?a=b",
    "/about",
    "/about/",
    "/about?x=1",
    "/about/index.html",
    "/assets",
    "/assets/index-DiwrgTda.js",
    "/assets/logo.SVG",
    "/caf%C3%A9%201.txt",
    "/empty/nothing.txt",
    "/big.bin",
    "/.well-known/security.txt",
    "/missing",
    "/missing.js",
    "/index.html/",
    "/index.html/x",
    "/%zz",
    "//",
    "//evil.example/",
    "/fifo",
    "/link.txt",
    "/up/outside.txt",
    "/.env",
    "/.git/config",
    "/a/.hidden/x.txt",
    "/%2e%2e/outside.txt",
    "/..%2foutside.txt",
    "/about/../index.html",
    "/about%2findex.html",
    "/index.html%00",
    "/a\\b",
    "relative",
];

#[test]
fn golden_answers() {
    let (_dir, sites) = published();
    let plain = site("/", false);
    let spa = site("/", true);
    let below = site("/docs/", true);
    let mut page = String::new();
    let mut row = |label: &str, site: &Arc<Site>, request: SiteRequest<'_>| {
        // Twice: from disk and from memory the answer is the same, and what was asked for stays in memory.
        let first = show(&ask(&sites, site, &request));
        assert_eq!(show(&sites.answer(site, &request)), first);
        page.push_str(&format!("{label} {} {} -> {first}\n", request.method, request.target));
    };
    for target in PLAIN_TARGETS {
        row("site", &plain, get(target));
    }
    for target in
        ["/users/7", "/users/7/", "/users/7.json", "/.well-known/acme-challenge/x", "/../x", "/assets/"]
    {
        row("spa", &spa, get(target));
    }
    for target in ["/docs", "/docs?x", "/docs/", "/docs/about", "/docs/deep/page", "/docs/..%2f.env"] {
        row("docs", &below, get(target));
    }
    for method in ["HEAD", "POST", "DELETE", "OPTIONS"] {
        row("site", &plain, SiteRequest { method, ..get("/") });
    }
    for range in [
        "bytes=0-3",
        "bytes=99990-",
        "bytes=-5",
        "bytes=5-2",
        "bytes=100000-",
        "bytes=0-1,4-5",
        "lines=1-2",
        "bytes=x-",
    ] {
        row(range, &plain, SiteRequest { range: Some(range), ..get("/big.bin") });
    }
    row("bytes=1-2", &plain, SiteRequest { range: Some("bytes=1-2"), ..get("/index.html") });
    row("bytes=0-", &plain, SiteRequest { range: Some("bytes=0-"), ..get("/empty/nothing.txt") });
    row(
        "HEAD bytes=1-2",
        &plain,
        SiteRequest { method: "HEAD", range: Some("bytes=1-2"), ..get("/index.html") },
    );
    row("bytes=0-", &plain, SiteRequest { range: Some("bytes=0-"), ..get("/missing") });
    insta::assert_snapshot!(page);
}

#[test]
fn an_entity_tag_saves_the_body_and_guards_ranges() {
    let (_dir, sites) = published();
    let site = site("/", false);
    let home = ask(&sites, &site, &get("/index.html"));
    let etag = header(&home, "etag");
    let asked = |if_none_match: Option<&str>, if_range: Option<&str>| {
        let range = if_range.map(|_| "bytes=0-2");
        show(&ask(&sites, &site, &SiteRequest { if_none_match, if_range, range, ..get("/index.html") }))
    };
    let weak = format!("\"x\", W/{etag}");
    assert_eq!(asked(Some(etag), None), "304 | no-cache");
    assert_eq!(asked(Some(&weak), None), "304 | no-cache");
    assert_eq!(asked(Some("*"), None), "304 | no-cache");
    let whole = "200 text/html; charset=utf-8 | no-cache | memory \"<h1>home</h1>\"";
    assert_eq!(asked(Some("\"other\""), None), whole);
    assert_eq!(asked(None, Some("\"other\"")), whole);
    assert_eq!(
        asked(None, Some(etag)),
        "206 text/html; charset=utf-8 | no-cache | memory [bytes 0-2/13] \"<h1\""
    );
    assert_ne!(etag, header(&ask(&sites, &site, &get("/about/")), "etag"));
}

#[test]
fn only_hashed_names_are_kept_for_ever() {
    let (dir, sites) = published();
    let site = site("/", false);
    let rows = [
        ("index-DiwrgTda.js", true),
        ("index-DiwrgTda.js.map", true),
        ("index-B-x_1aBc.css", true),
        ("main-3fa4b2c190de.css", true),
        ("my-document.pdf", false),
        ("my-Document.pdf", false),
        ("report-20261124.pdf", false),
        ("photo-holiday2024.jpg", false),
        ("READ-CONTENTS.txt", false),
        ("page-DiwrgTda.html", false),
        ("DiwrgTda.js", false),
        ("app.js", false),
    ];
    for (name, _) in rows {
        fs::write(dir.path().join(DIGEST).join(name), "x").unwrap();
    }
    for (name, expected) in rows {
        let target = format!("/{name}");
        let answer = ask(&sites, &site, &get(&target));
        let cache_control = if expected { "public, max-age=31536000, immutable" } else { "no-cache" };
        assert_eq!(header(&answer, "cache-control"), cache_control, "{name}");
    }
}

#[test]
fn a_site_that_is_not_on_disk_yet_appears_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let sites = Sites::new(dir.path().to_owned());
    let site = site("/", false);
    assert_eq!(show(&ask(&sites, &site, &get("/"))), "SiteUnreadable");
    fs::create_dir(dir.path().join(DIGEST)).unwrap();
    fs::write(dir.path().join(DIGEST).join("index.html"), "here").unwrap();
    assert_eq!(
        show(&ask(&sites, &site, &get("/"))),
        "200 text/html; charset=utf-8 | no-cache | memory \"here\""
    );
}

#[test]
fn more_small_files_than_memory_are_all_served() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join(DIGEST);
    fs::create_dir(&root).unwrap();
    for index in 0..700 {
        fs::write(root.join(format!("{index}.txt")), vec![b'0' + (index % 10) as u8; 32 * 1024]).unwrap();
    }
    let sites = Sites::new(dir.path().to_owned());
    let site = site("/", false);
    for index in (0..700).chain(0..700) {
        let answer = ask(&sites, &site, &get(&format!("/{index}.txt")));
        assert_eq!(body(&answer), Some(vec![b'0' + (index % 10) as u8; 32 * 1024]));
    }
}

/// Pieces that attacks on paths are made of.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("..".to_owned()),
        Just("%2e%2e".to_owned()),
        Just("%252e%252e".to_owned()),
        Just(".%2E".to_owned()),
        Just(".".to_owned()),
        Just(String::new()),
        Just("up".to_owned()),
        Just("link.txt".to_owned()),
        Just("outside.txt".to_owned()),
        Just(".env".to_owned()),
        Just("%2eenv".to_owned()),
        Just(".git".to_owned()),
        Just("config".to_owned()),
        Just("a".to_owned()),
        Just(".hidden".to_owned()),
        Just("about".to_owned()),
        Just("..\\".to_owned()),
        Just("%5c".to_owned()),
        Just("%00".to_owned()),
        Just("%c0%ae%c0%ae".to_owned()),
        Just("%ff".to_owned()),
        Just(".well-known".to_owned()),
        Just(DIGEST.to_owned()),
        "[ -~]{0,6}",
    ]
}

fn contains_secret(dir: &Path, answer: &SiteAnswer) -> bool {
    // The probe of the property itself: the secret is really there to be found.
    let mut secret = String::new();
    fs::File::open(dir.join("outside.txt")).unwrap().read_to_string(&mut secret).unwrap();
    body(answer).is_some_and(|body| body.windows(secret.len()).any(|window| window == secret.as_bytes()))
}

#[test]
fn no_path_leaves_the_folder_or_shows_hidden_files() {
    let (dir, sites) = published();
    let sites_to_ask = [site("/", false), site("/", true)];
    let strategy =
        proptest::collection::vec((piece(), prop_oneof![Just("/"), Just("%2f"), Just("//")]), 1..7);
    proptest!(ProptestConfig::with_cases(4000), |(pieces in strategy)| {
        let mut target = String::from("/");
        for (piece, separator) in &pieces {
            target.push_str(piece);
            target.push_str(separator);
        }
        for target in [target.as_str(), target.trim_end_matches('/')] {
            for site in &sites_to_ask {
                let answer = ask(&sites, site, &get(target));
                prop_assert!(!contains_secret(dir.path(), &answer), "{target}");
                let location = header(&answer, "location");
                prop_assert!(
                    location.is_empty() || (location.starts_with('/') && !location.starts_with("//")),
                    "{target} -> {location}"
                );
            }
        }
    });
}
