//! Rules files of sites: tables of lines and what they mean or why they are refused, laws of patterns and locations,
//! documents that go to JSON and back.

use havre_site::document::{Document, Encoding, FileEntry, Made};
use havre_site::headers::{self, Change};
use havre_site::pattern::Pattern;
use havre_site::redirects::{self, Outcome};
use proptest::prelude::*;

/// No path is a file.
fn none(_: &str) -> bool {
    false
}

fn refused(text: &str) -> String {
    redirects::parse(text, |path| path == "/index.html").expect_err(text).to_string()
}

#[test]
fn wrong_lines_of_redirects_are_refused_with_their_number() {
    let rows = [
        "/a",
        "\n# fine\n/ok /there\na /b",
        "/a b",
        "/a //evil.example/",
        "/a /b 299",
        "/a /b 301 Country=de",
        "/store id=:id /blog/:id 301",
        "/api/* https://api.example.org/:splat 200",
        "/* https://:splat/ 301",
        "/:host/* https://:host.example.org/:splat 301",
        "http://blog.example.org/* /blog/:splat",
        "/a/*/b /c",
        "/*/* /c",
        "/:x/:x /c",
        "/a/:1 /c",
        "/a /b/:slug",
        "/a /b%zz 200",
        "/a /b?x=1 200",
        "/a /b\\c",
        "/a\u{7}b /c",
        "/a /a",
        "/blog /blog/ 301",
        "/one /two\n/two /three\n/three /one",
        "/* /home/:splat",
        "/old/* /new/:splat\n/new/* /old/:splat",
        "/a/:x /b\n/a/* /a",
        "/a/:x /b/:x\n/b/1 /a/1",
        "/index.html /index.html 301!",
    ];
    let page: String = rows.iter().map(|row| format!("{row:?}\n    {}\n", refused(row))).collect();
    insta::assert_snapshot!(page);
}

#[test]
fn rules_lead_where_they_say() {
    let text = "\
/home            /
/blog/*          /news/:splat         302
/u/:id/edit      /users/:id?edit=1#top
/shop/*          https://shop.example.org/:splat 308
/port            https://example.org:8443/x
/caf\u{e9}       /kaffee-\u{e4}       307   # a comment
/app/*           /index.html          200
/gone/*          /404.html            404
/forced          /index.html          200!
/wide/*          /:splat
";
    let rules = redirects::parse(text, |path| path == "/index.html").unwrap();
    let asks = [
        ("/home", None),
        ("/home", Some("a=b")),
        ("/blog", None),
        ("/blog/2024/x y", None),
        ("/blog/a\r\nb", None),
        ("/u/7/edit", Some("z=1")),
        ("/u//edit", None),
        ("/shop/a/b", Some("q=1")),
        ("/port", None),
        ("/caf\u{e9}", None),
        ("/app/users/7", None),
        ("/gone/x", None),
        ("/forced", None),
        ("/wide//evil.example", None),
        ("/wide/x", Some("bad\r\nquery")),
        ("/nothing", None),
    ];
    let mut page = String::new();
    for (path, query) in asks {
        let found = rules.iter().find_map(|rule| Some((rule.line, rule.force, rule.apply(path, query)?)));
        page.push_str(&format!("{path:?} {query:?} -> {found:?}\n"));
    }
    insta::assert_snapshot!(page);
}

#[test]
fn a_rule_that_gives_way_to_a_file_is_no_loop() {
    for fine in [
        "/* /index.html 301",
        "/* /index.html 200",
        "/old/* /new/:splat\n/new/x /old/y\n/old/y /end",
        "/a /b\n/b https://example.org/a",
        "/a /b 301\n/b /a 200",
    ] {
        redirects::parse(fine, |path| path == "/index.html").expect(fine);
    }
}

#[test]
fn too_many_rules_are_refused() {
    let many: String = (0..2001).map(|n| format!("/a{n} /b{n}\n")).collect();
    assert_eq!(refused(&many), "_redirects:2001: there are more than 2000 rules");
    let wide: String = (0..201).map(|n| format!("/a{n}/* /b{n}/:splat\n")).collect();
    let message = "_redirects:201: there are more than 200 rules with a placeholder or *";
    assert_eq!(refused(&wide), message);
    let most: String = (0..1800)
        .map(|n| format!("/a{n} /b{n}\n"))
        .chain((0..200).map(|n| format!("/c{n}/* /d{n}/:splat\n")))
        .collect();
    assert_eq!(redirects::parse(&most, none).unwrap().len(), 2000);
}

#[test]
fn wrong_lines_of_headers_are_refused_with_their_number() {
    let rows = [
        "X-A: b",
        "  X-A: b",
        "/*\n  X-A",
        "/*\n  X-A:",
        "/*\n  X A: b",
        "/*\n  X-A: b\u{e9}",
        "/*\n  X-A: a\u{0}b",
        "/*\n  Content-Length: 5",
        "/*\n  Transfer-Encoding: chunked",
        "/*\n  Havre-Release: r1",
        "/*\n  Basic-Auth: a:b",
        "/*",
        "https://example.org/*\n  X-A: b",
        "/a*b*c\n  X-A: b",
        "/a?b\n  X-A: b",
    ];
    let page: String =
        rows.iter().map(|row| format!("{row:?}\n    {}\n", headers::parse(row).unwrap_err())).collect();
    insta::assert_snapshot!(page);
}

#[test]
fn headers_apply_to_the_paths_they_name() {
    let text = "# comment\n/*\n  X-Frame-Options: DENY\n\tLink: </a.css>; rel=preload\r\n/*.js\n  ! X-Frame-Options\n\
                /en/:page\n  Content-Language: en\n";
    let rules = headers::parse(text).unwrap();
    let mut page = String::new();
    for path in ["/", "/a.js", "/deep/a.js", "/en/about", "/en/about/x", "/en"] {
        let changes: Vec<&Change> = rules
            .iter()
            .filter(|rule| rule.path.matches(path).is_some())
            .flat_map(|rule| &rule.changes)
            .collect();
        page.push_str(&format!("{path} {changes:?}\n"));
    }
    insta::assert_snapshot!(page);
}

#[test]
fn a_document_is_the_same_after_json() {
    let document = Document {
        version: 1,
        files: vec![FileEntry {
            path: "a/b.js".to_owned(),
            size: 1000,
            sha256: "ab".repeat(32),
            made: vec![Made { encoding: Encoding::Br, size: 300 }],
        }],
        headers: headers::parse("/*\n  X-A: b\n  ! X-C").unwrap(),
        redirects: redirects::parse("/a/* /b/:splat 302\n/c /d 200!", none).unwrap(),
    };
    let json = serde_json::to_string(&document).unwrap();
    insta::assert_snapshot!(json);
    assert_eq!(serde_json::from_str::<Document>(&json).unwrap(), document);
    for (from, to) in
        [("\"b\"", "\"b\\r\\nc\""), ("/b/:splat", "//b"), ("302", "600"), ("X-A", "Content-Length")]
    {
        let bad = json.replacen(from, to, 1);
        assert_ne!(bad, json, "{from}");
        assert!(serde_json::from_str::<Document>(&bad).is_err(), "{bad}");
    }
}

/// Pieces of rules that people and attackers write.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(":x".to_owned()),
        Just("*".to_owned()),
        Just(":splat".to_owned()),
        Just("..".to_owned()),
        Just("%2f".to_owned()),
        Just("%0d%0a".to_owned()),
        Just(String::new()),
        Just("https://example.org".to_owned()),
        Just("\\".to_owned()),
        "[a-c]{1,2}",
        "\\PC{0,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Whatever rules say and clients ask, a location is one header line and stays on the host the rule names.
    #[test]
    fn a_location_is_one_line_and_never_another_host(
        from in proptest::collection::vec(piece(), 1..4),
        to in proptest::collection::vec(piece(), 1..4),
        path in proptest::collection::vec(prop_oneof!["[a-c]{0,2}", "\\PC{0,3}", Just("\r\n".to_owned())], 0..5),
        query in proptest::option::of("\\PC{0,8}"),
    ) {
        let line = format!("/{} /{} 302", from.join("/"), to.join("/"));
        let Ok(rules) = redirects::parse(&line, none) else { return Ok(()) };
        let path = format!("/{}", path.join("/"));
        for rule in &rules {
            if let Some(Outcome::Redirect { location, .. }) = rule.apply(&path, query.as_deref()) {
                prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{location:?}");
                prop_assert!(location.starts_with('/') && !location.starts_with("//"), "{location:?}");
            }
        }
    }

    /// Any text is rules or an error that names a line of the text; never a panic.
    #[test]
    fn any_text_is_rules_or_an_error_with_a_line(text in "([/:*! #a-c\\n\\r\\t.]|\\PC){0,60}") {
        let lines = text.split('\n').count();
        if let Err(error) = redirects::parse(&text, none) {
            prop_assert!((1..=lines).contains(&error.line), "{error}");
        }
        if let Err(error) = headers::parse(&text) {
            prop_assert!((1..=lines).contains(&error.line), "{error}");
        }
    }

    /// Rules that were let in end for every path a browser can start from within the same few names.
    #[test]
    fn accepted_chains_of_two_rules_end(
        rules in proptest::collection::vec(("/[ab](/:x|/\\*|/[ab])?", "/[ab](/[ab])?"), 1..4),
        path in "/[ab](/[ab]){0,2}",
    ) {
        let text: String = rules.iter().map(|(from, to)| format!("{from} {to}\n")).collect();
        let Ok(rules) = redirects::parse(&text, none) else { return Ok(()) };
        let mut path = path;
        for _ in 0..30 {
            match rules.iter().find_map(|rule| rule.apply(&path, None)) {
                Some(Outcome::Redirect { location, .. }) => path = location,
                _ => return Ok(()),
            }
        }
        prop_assert!(false, "{text} never ends at {path}");
    }

    /// What a pattern found, put back into its place, is the path again.
    #[test]
    fn a_pattern_matches_its_own_path(a in "[a-z]{1,5}", b in "[a-z/]{0,8}") {
        let pattern = Pattern::parse("/x/:a/y/*", false).unwrap();
        let path = format!("/x/{a}/y/{b}");
        prop_assert!(pattern.matches(&path).is_some());
        let longer = format!("/z{path}");
        prop_assert!(pattern.matches(&longer).is_none());
    }
}
