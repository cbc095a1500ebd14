//! Sites with a document beside them: encodings, rules of the user, addresses of pages, CDN lines, earlier releases. Whole
//! answers, head and body, for a table of requests; and what a broken document does.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use havre_api::route_table::{ROUTE_TABLE_VERSION, RouteTable};
use havre_edge::site::{Body, Site, SiteAnswer, SiteRequest, Sites};
use havre_edge::table::{Found, Table};
use serde_json::{Value, json};
use tempfile::TempDir;

fn digest(letter: char) -> String {
    letter.to_string().repeat(64)
}

/// Publishes files as `build` does; `encodings` says what was made of them.
fn publish(sites: &Path, letter: char, files: &[(&str, &str, &[&str])], rules: &Value) {
    let (root, made) = (sites.join(digest(letter)), sites.join(format!("{}.made", digest(letter))));
    fs::create_dir_all(&made).unwrap();
    let mut entries = Vec::new();
    for (number, (path, text, encodings)) in files.iter().enumerate() {
        let place = root.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
        let sha256 = format!("{:0<64}", format!("abc{number}"));
        let mut list = Vec::new();
        for encoding in *encodings {
            let body = format!("{encoding} of {path}");
            fs::write(made.join(format!("{sha256}.{encoding}")), &body).unwrap();
            list.push(json!({ "encoding": encoding, "size": body.len() }));
        }
        entries.push(json!({ "path": path, "size": text.len(), "sha256": sha256, "made": list }));
    }
    let mut document = json!({ "version": 1, "files": entries });
    for (key, value) in rules.as_object().unwrap() {
        document[key] = value.clone();
    }
    let path = made.join("site.json");
    fs::write(&path, document.to_string()).unwrap();
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
}

fn site(prefix: &str, letter: char, change: &Value) -> Arc<Site> {
    let mut target = json!({ "kind": "site", "digest": digest(letter), "release": "r3", "spa": false, "expose_release": false });
    for (key, value) in change.as_object().unwrap() {
        target[key] = value.clone();
    }
    let route = json!({ "host": "web", "path_prefix": prefix, "target": target });
    let mut wire = RouteTable { version: ROUTE_TABLE_VERSION, generation: 1, ..RouteTable::default() };
    wire.routes = vec![serde_json::from_value(route).unwrap()];
    match Table::build(&wire, None).unwrap().find("web", prefix) {
        Found::Site(site) => Arc::clone(site),
        other => panic!("no site: {other:?}"),
    }
}

fn get(target: &str) -> SiteRequest<'_> {
    SiteRequest { method: "GET", target, ..SiteRequest::default() }
}

fn show(answer: &SiteAnswer) -> String {
    match answer {
        SiteAnswer::Cold(_) => "cold\n".to_owned(),
        SiteAnswer::Trouble(trouble, lines) => {
            format!("{trouble:?}\n{}", String::from_utf8_lossy(lines.as_bytes()))
        }
        SiteAnswer::Ready(reply) => {
            let body = match &reply.body {
                Body::None => "(none)".to_owned(),
                Body::Bytes(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
                Body::File { offset, length, .. } => format!("(file, {length} from {offset})"),
            };
            format!("{}\n{}{body}\n", reply.status, String::from_utf8_lossy(reply.lines.as_bytes()))
        }
    }
    .replace("\r\n", "\n")
}

/// The answer from disk, then from memory; both must be the same.
fn ask(sites: &Sites, site: &Arc<Site>, request: &SiteRequest<'_>) -> String {
    let first = match sites.answer(site, request) {
        SiteAnswer::Cold(cold) => cold.answer(),
        answer => answer,
    };
    assert_eq!(show(&sites.answer(site, request)), show(&first), "{}", request.target);
    show(&first)
}

const ALL: &[&str] = &["br", "zstd", "gzip"];

/// A site with everything.
fn world(rules: &Value) -> (TempDir, Sites) {
    let dir = tempfile::tempdir().unwrap();
    let large = "0123456789".repeat(10_000);
    let files: [(&str, &str, &[&str]); 9] = [
        ("index.html", "<h1>home</h1>", ALL),
        ("about.html", "<h1>about</h1>", &[]),
        ("docs/index.html", "<h1>docs</h1>", &[]),
        ("docs/404.html", "<h1>no such doc</h1>", &[]),
        ("404.html", "<h1>nothing</h1>", &[]),
        ("assets/app-DiwrgTda.js", "let a;", ALL),
        ("large.bin", &large, &[]),
        ("feed", "odd", &[]),
        ("old.html", "<h1>old</h1>", &[]),
    ];
    publish(dir.path(), 'a', &files, rules);
    let sites = Sites::new(dir.path().to_owned());
    (dir, sites)
}

#[test]
fn clients_get_the_encoding_they_take() {
    let (_dir, sites) = world(&json!({}));
    let site = site("/", 'a', &json!({}));
    let mut page = String::new();
    let mut row = |label: &str, request: SiteRequest<'_>| {
        page.push_str(&format!(
            "## {} {} {label}\n{}\n",
            request.method,
            request.target,
            ask(&sites, &site, &request)
        ));
    };
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    row("", get("/"));
    row("br", SiteRequest { accept_encoding: Some("gzip, br"), ..get("/") });
    row("gzip", SiteRequest { accept_encoding: Some("gzip"), ..get("/assets/app-DiwrgTda.js") });
    row("br, HEAD", SiteRequest { method: "HEAD", accept_encoding: Some("br"), ..get("/") });
    row("br, nothing made", SiteRequest { accept_encoding: Some("br"), ..get("/about") });
    let plain = "\"abc00000000000000000000000000000\"";
    let br = "\"abc00000000000000000000000000000-br\"";
    row("the same, br", SiteRequest { accept_encoding: Some("br"), if_none_match: Some(br), ..get("/") });
    row(
        "other encoding",
        SiteRequest { accept_encoding: Some("br"), if_none_match: Some(plain), ..get("/") },
    );
    row("part of br", SiteRequest { accept_encoding: Some("br"), range: Some("bytes=0-1"), ..get("/") });
    let resume = SiteRequest { range: Some("bytes=0-1"), if_range: Some(br), ..get("/") };
    row("resume br as br", SiteRequest { accept_encoding: Some("br"), ..resume });
    row("resume br as plain", resume);
    row("resume by date", SiteRequest { range: Some("bytes=0-1"), if_range: Some(date), ..get("/") });
    row("since then", SiteRequest { if_modified_since: Some(date), ..get("/about") });
    let later = "Mon, 07 Nov 1994 08:49:37 GMT";
    row(
        "since later: after a rollback it is other bytes",
        SiteRequest { if_modified_since: Some(later), ..get("/about") },
    );
    let other = SiteRequest { if_none_match: Some("\"x\""), if_modified_since: Some(date), ..get("/about") };
    row("tags count before dates", other);
    row("large", get("/large.bin"));
    row("end of large", SiteRequest { range: Some("bytes=-7"), ..get("/large.bin") });
    row("beyond large", SiteRequest { range: Some("bytes=100000-"), ..get("/large.bin") });
    insta::assert_snapshot!(page);
}

fn rules() -> Value {
    let rule = |line: usize, from: &str, to: &str, status: u16, force: bool| json!({ "line": line, "from": from, "to": to, "status": status, "force": force });
    json!({
        "redirects": [
            rule(1, "/moved", "/about", 301, false),
            rule(2, "/blog/*", "/news/:splat", 302, false),
            rule(3, "/old", "/about", 302, true),
            rule(4, "/about", "/elsewhere", 302, false),
            rule(5, "/app/*", "/index.html", 200, false),
            rule(6, "/gone", "/docs/404.html", 404, false),
            rule(7, "/shop/*", "https://shop.example.org/:splat", 308, false),
            rule(8, "/lost", "/no-such-file", 200, false),
            rule(9, "/page", "/about", 200, false),
        ],
        "headers": [
            { "line": 1, "path": "/*", "changes": [
                { "set": ["X-Frame-Options", "DENY"] }, { "set": ["Vary", "Origin"] }, { "remove": "X-Content-Type-Options" },
            ] },
            { "line": 5, "path": "/assets/*", "changes": [{ "set": ["Cache-Control", "max-age=60"] }] },
            { "line": 7, "path": "/feed", "changes": [{ "set": ["Content-Type", "application/rss+xml"] }] },
            { "line": 9, "path": "/docs/*", "changes": [
                { "remove": "X-Frame-Options" }, { "set": ["Set-Cookie", "a=1"] }, { "set": ["Set-Cookie", "b=2"] },
            ] },
        ],
    })
}

#[test]
fn rules_of_the_user_are_obeyed() {
    let (_dir, sites) = world(&rules());
    let (root, below) = (site("/", 'a', &json!({ "spa": true })), site("/site", 'a', &json!({})));
    let mut page = String::new();
    for target in [
        "/moved",
        "/moved/?a=b",
        "/blog/2024/x%20y?p=1",
        "/blog",
        "/old",
        "/old.html",
        "/about",
        "/app/users/7",
        "/gone",
        "/shop/a?b=c",
        "/lost",
        "/page",
        "/feed",
        "/assets/app-DiwrgTda.js",
        "/docs/",
        "/docs/none.txt",
        "/none.txt",
        "/users/7",
        "/blog//evil.example",
        "/shop/%0d%0aSet-Cookie:%20x",
    ] {
        page.push_str(&format!("## {target}\n{}\n", ask(&sites, &root, &get(target))));
    }
    // A section with settings of its own is no folder of its own.
    let section = site("/docs", 'a', &json!({ "base": "/" }));
    for target in ["/docs/", "/docs/none.txt"] {
        assert_eq!(ask(&sites, &section, &get(target)), ask(&sites, &root, &get(target)));
    }
    for target in ["/site", "/site/moved", "/site/old", "/site/docs", "/site/app/x"] {
        page.push_str(&format!("## below /site: {target}\n{}\n", ask(&sites, &below, &get(target))));
    }
    insta::assert_snapshot!(page);
}

#[test]
fn pages_have_the_addresses_that_were_asked_for() {
    let (_dir, sites) = world(&json!({}));
    let mut page = String::new();
    for (clean_urls, trailing_slash) in
        [("serve", "auto"), ("redirect", "always"), ("redirect", "never"), ("off", "auto")]
    {
        let settings = json!({ "clean_urls": clean_urls, "trailing_slash": trailing_slash });
        let site = site("/", 'a', &settings);
        for target in
            ["/about", "/about/", "/about.html?q=1", "/docs", "/docs/", "/docs/index.html", "/index.html"]
        {
            let answer = ask(&sites, &site, &get(target));
            let location = answer.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap_or("");
            let status = answer.lines().next().unwrap();
            page.push_str(&format!("{clean_urls} {trailing_slash} {target} -> {status} {location}\n"));
        }
    }
    insta::assert_snapshot!(page);
}

#[test]
fn a_cdn_is_told_what_it_may_hold_and_what_belongs_together() {
    let (_dir, sites) = world(&json!({}));
    let tag = "dropit-production-web";
    let fastly =
        site("/", 'a', &json!({ "cdn": { "tags": "surrogate-key", "tag": tag, "hold_seconds": 86400 } }));
    let other = site("/", 'a', &json!({ "cdn": { "tags": "cache-tag", "tag": tag } }));
    let bunny = site("/", 'a', &json!({ "cdn": { "tags": "cdn-tag", "tag": tag } }));
    let none = site("/", 'a', &json!({}));
    let mut page = String::new();
    // The same files under three settings, again and again: none sees the lines of another.
    let sites_in_turn =
        [("fastly", &fastly), ("other", &other), ("bunny", &bunny), ("none", &none), ("fastly", &fastly)];
    for (name, site) in sites_in_turn {
        for target in ["/", "/assets/app-DiwrgTda.js"] {
            page.push_str(&format!("## {name} {target}\n{}\n", ask(&sites, site, &get(target))));
        }
    }
    insta::assert_snapshot!(page);
}

#[test]
fn parts_of_pages_that_are_still_open_are_served_and_pages_are_not() {
    let (dir, sites) = world(&json!({}));
    let files: [(&str, &str, &[&str]); 4] = [
        ("index.html", "<h1>before</h1>", &[]),
        ("gone.html", "<h1>gone</h1>", &[]),
        ("assets/chunk-AbCd1234.js", "old", ALL),
        ("assets/app-DiwrgTda.js", "older", &[]),
    ];
    publish(dir.path(), 'b', &files, &json!({}));
    let far = u64::MAX / 2;
    let within = site("/", 'a', &json!({ "earlier": [{ "digest": digest('b'), "until_ms": far }] }));
    let over = site("/", 'a', &json!({ "earlier": [{ "digest": digest('b'), "until_ms": 1000 }] }));
    let missing =
        json!([{ "digest": digest('c'), "until_ms": far }, { "digest": digest('b'), "until_ms": far }]);
    let missing = site("/", 'a', &json!({ "earlier": missing }));
    let first = |site: &Arc<Site>, target: &str| {
        let answer = ask(&sites, site, &SiteRequest { accept_encoding: Some("br"), ..get(target) });
        format!("{} {}", answer.lines().next().unwrap(), answer.lines().last().unwrap())
    };
    assert_eq!(first(&within, "/assets/chunk-AbCd1234.js"), "200 \"br of assets/chunk-AbCd1234.js\"");
    assert_eq!(
        first(&within, "/assets/app-DiwrgTda.js"),
        "200 \"br of assets/app-DiwrgTda.js\"",
        "live first"
    );
    assert_eq!(first(&within, "/gone.html"), "404 \"<h1>nothing</h1>\"");
    assert_eq!(first(&within, "/gone"), "404 \"<h1>nothing</h1>\"");
    assert_eq!(first(&over, "/assets/chunk-AbCd1234.js"), "404 \"<h1>nothing</h1>\"");
    // A folder that is gone takes nothing else with it.
    let answer = match sites.answer(&missing, &get("/assets/chunk-AbCd1234.js")) {
        SiteAnswer::Cold(cold) => show(&cold.answer()),
        answer => show(&answer),
    };
    assert!(answer.starts_with("200\n") && answer.ends_with("\"old\"\n"), "{answer}");
}

#[test]
fn a_prepared_release_answers_its_list_from_memory() {
    let (dir, sites) = world(&json!({}));
    publish(dir.path(), 'b', &[("index.html", "<h1>new</h1>", &[])], &json!({}));
    let before = site("/", 'a', &json!({}));
    let after = site("/", 'b', &json!({ "earlier": [{ "digest": digest('a'), "until_ms": 1 }] }));
    sites.prepare(&after);
    assert!(
        matches!(sites.answer(&after, &get("/none.txt")), SiteAnswer::Cold(_)),
        "nobody asked for the site yet"
    );
    ask(&sites, &before, &get("/"));
    sites.prepare(&after);
    assert_eq!(show(&sites.answer(&after, &get("/none.txt"))), "NoFile\n");
}

#[test]
fn a_document_that_is_not_ours_shows_nothing() {
    let (dir, sites) = world(&json!({}));
    let site = site("/", 'a', &json!({}));
    let path = dir.path().join(format!("{}.made", digest('a'))).join("site.json");
    let good = fs::read_to_string(&path).unwrap();
    for bad in [
        good.replace("\"version\":1", "\"version\":2"),
        good.replace("\"path\":\"index.html\"", "\"paths\":\"index.html\""),
        good.replace("\"sha256\":\"abc0", "\"sha256\":\"../x"),
        good[..good.len() / 2].to_owned(),
        String::new(),
    ] {
        assert_ne!(bad, good);
        fs::write(&path, bad).unwrap();
        let SiteAnswer::Cold(cold) = sites.answer(&site, &get("/")) else { panic!("is not in memory") };
        assert_eq!(show(&cold.answer()), "SiteUnreadable\n");
    }
    // A list that names what lies elsewhere finds nothing there: no file is opened outside of the folder.
    fs::write(dir.path().join("secret"), "0123456789123").unwrap();
    fs::write(&path, good.replace("\"path\":\"about.html\"", "\"path\":\"../secret\"")).unwrap();
    ask(&sites, &site, &get("/"));
    for target in ["/../secret", "/%2e%2e/secret", "/about"] {
        assert!(!ask(&sites, &site, &get(target)).contains("0123"), "{target}");
    }
    // A file that was changed under us is not sent in pieces that do not fit.
    fs::write(dir.path().join(digest('a')).join("feed"), "longer than it was").unwrap();
    let SiteAnswer::Cold(cold) = sites.answer(&site, &get("/feed")) else { panic!("is not in memory") };
    assert_eq!(show(&cold.answer()), "SiteUnreadable\n");
}
