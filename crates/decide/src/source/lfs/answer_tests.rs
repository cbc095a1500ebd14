//! Tests of `answer.rs`: what is read of an answer, and what is never called.

use serde_json::json;

use super::*;

fn remote() -> RemoteUrl {
    "https://git.example.org/acme/shop.git".parse().expect("is an address")
}

fn pointer(digit: char, size: u64) -> Pointer {
    let oid = digit.to_string().repeat(64);
    let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n");
    Pointer::parse(text.as_bytes()).expect("is one")
}

/// What a server says about the content of `1`s with 5 bytes.
fn object(more: Value) -> Value {
    let mut object = json!({ "oid": "1".repeat(64), "size": 5 });
    object.as_object_mut().expect("is one").extend(more.as_object().expect("is one").clone());
    object
}

fn offer(href: &str) -> Value {
    object(json!({ "actions": { "download": { "href": href } } }))
}

fn with_headers(headers: Value) -> Value {
    object(json!({ "actions": { "download": { "href": "https://s.example.org/1", "header": headers } } }))
}

fn read(objects: Value) -> Result<Vec<Download>, LfsError> {
    let body = json!({ "transfer": "basic", "objects": objects, "hash_algo": "sha256" }).to_string();
    parse(&remote(), &[pointer('1', 5)], body.as_bytes())
}

/// Why the only content that was asked for does not come.
fn refused(object: Value) -> String {
    match read(json!([object])) {
        Err(LfsError::Object { oid, reason }) => {
            assert_eq!(oid.hex(), "1".repeat(64));
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_content_gets_its_place_in_the_order_asked() {
    let href = |digit: char| format!("https://{digit}.example.org/{digit}?X-Amz-Signature=planted");
    let object = |digit: char| {
        json!({
            "oid": digit.to_string().repeat(64), "size": 5, "authenticated": true, "unknown": [{}],
            "actions": { "download": { "href": href(digit), "expires_in": 3600, "expires_at": "2026-01-01T00:00:00Z" } },
        })
    };
    let body = json!({ "objects": [object('3'), object('1'), object('2')] }).to_string();
    let wanted = [pointer('1', 5), pointer('2', 5), pointer('3', 5)];
    let read = parse(&remote(), &wanted, body.as_bytes()).expect("is an answer");
    let urls: Vec<String> = read.iter().map(|download| download.url().to_string()).collect();
    assert_eq!(urls, ['1', '2', '3'].map(href));
    assert_eq!(format!("{read:?}").matches("planted").count(), 0, "a signature is as good as a password");
}

#[test]
fn header_lines_come_along() {
    let headers = json!({ "Authorization": "Basic cGxhbnRlZA==", "X-Amz-Date": "now and then" });
    let read = read(json!([with_headers(headers)])).expect("is an answer");
    let headers: Vec<(&str, &[u8])> = read[0].headers().map(|(name, value)| (name, value.expose())).collect();
    assert_eq!(
        headers,
        [("authorization", &b"Basic cGxhbnRlZA=="[..]), ("x-amz-date", &b"now and then"[..])]
    );
    assert!(!format!("{read:?}").contains("cGxhbnRlZA"));
}

#[test]
fn the_token_goes_to_the_server_of_the_remote_repository_only() {
    let own = "https://git.example.org:443/acme/shop.git/lfs/1";
    let action = |href: &str, more: Value| {
        let mut action = json!({ "href": href });
        action.as_object_mut().expect("is one").extend(more.as_object().expect("is one").clone());
        object(json!({ "actions": { "download": action } }))
    };
    let none = || json!({});
    for (object, expected) in [
        (action(own, none()), true),
        (action(own, json!({ "header": { "Accept": "*/*" } })), true),
        (action(own, json!({ "header": { "authorization": "Bearer x" } })), false),
        (action("https://git.example.org:8443/1", none()), false),
        (action("https://git.example.org.evil.org/1", none()), false),
        (action("https://storage.example.org/1", none()), false),
    ] {
        let read = read(json!([object])).expect("is an answer");
        assert_eq!(read[0].wants_token(), expected, "{object}");
    }
    let known = object(json!({ "authenticated": true, "actions": { "download": { "href": own } } }));
    assert!(!read(json!([known])).expect("is an answer")[0].wants_token());
}

#[test]
fn what_is_not_offered_says_why() {
    let error = |code: i64| object(json!({ "error": { "code": code, "message": "Object\ndoes not exist" } }));
    for (object, words) in [
        (error(404), "does not have it (Object does not exist): push it there"),
        (error(410), "does not have it"),
        (error(403), "does not show it to this token"),
        (error(422), "does not give it (422: Object does not exist)"),
        (object(json!({ "error": {} })), "does not give it ()"),
        (object(json!({})), "does not say where it is"),
        (object(json!({ "actions": {} })), "does not say where it is"),
        (
            object(json!({ "actions": { "upload": { "href": "https://a.org/" } } })),
            "does not say where it is",
        ),
        (object(json!({ "size": 6 })), "says that it has 6 bytes, and the pointer 5"),
    ] {
        let reason = refused(object);
        assert!(reason.contains(words), "{reason}");
    }
    assert!(
        matches!(read(json!([])), Err(LfsError::Object { reason, .. }) if reason.contains("says nothing"))
    );
}

#[test]
fn what_is_no_address_is_not_called() {
    let long = format!("https://a.org/{}", "a".repeat(8192));
    for href in [
        "",
        "/etc/passwd",
        "file:///etc/passwd",
        "//a.org/1",
        "ftp://a.org/1",
        "https://ada:pw@a.org/1",
        "https://a.org/\r\nx: y",
        "https://2130706433/1",
        "https://a.org/#1",
        long.as_str(),
    ] {
        assert!(refused(offer(href)).contains("names an address for it that is none"), "{href:?}");
    }
    let reason = refused(offer("http://a.org/1?X-Amz-Signature=planted"));
    assert_eq!(reason, "a.org would give it over http://, and the remote repository is an https:// address");
    let plain: RemoteUrl = "http://git.example.org/shop.git".parse().expect("is an address");
    let body = json!({ "objects": [offer("http://a.org/1")] }).to_string();
    assert!(parse(&plain, &[pointer('1', 5)], body.as_bytes()).is_ok());
    let signed = format!("https://a.org/1?X-Amz-Security-Token={}", "a".repeat(2000));
    assert!(read(json!([offer(&signed)])).is_ok());
}

#[test]
fn header_lines_that_are_not_theirs_are_refused() {
    let many: BTreeMap<String, String> =
        (0..=HEADERS_MAX).map(|number| (format!("x-{number}"), String::new())).collect();
    for (headers, words) in [
        (json!({ "Host": "10.0.0.1" }), "the header host"),
        (json!({ "Transfer-Encoding": "chunked" }), "the header transfer-encoding"),
        (json!({ "Content-Length": "9" }), "the header content-length"),
        (json!({ "Proxy-Authorization": "x" }), "the header proxy-authorization"),
        (json!({ "x": "a\r\ny: b" }), "that is none"),
        (json!({ "x": "a\u{7f}" }), "that is none"),
        (json!({ "x y": "a" }), "that is none"),
        (json!({ "": "a" }), "that is none"),
        (json!({ "x": "a".repeat(8193) }), "that is none"),
        (json!({ "Accept": "a", "accept": "b" }), "the header accept to be sent for it twice"),
        (json!(many), "more than 16 header lines"),
    ] {
        let reason = refused(with_headers(headers));
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn what_is_no_answer_is_refused() {
    let deep = format!("{{\"objects\":{}{}}}", "[".repeat(20), "]".repeat(20));
    let text = format!("{{\"objects\":[],\"note\":\"{}\\\"[\"}}", "[".repeat(20));
    let long = format!("{{\"objects\":[{}]}}", " ".repeat(ANSWER_MAX));
    let own = offer("https://a.org/1");
    let twice = json!({ "objects": [own, own] }).to_string();
    let other = json!({ "objects": [{ "oid": "2".repeat(64), "size": 5 }] }).to_string();
    let prefixed = json!({ "objects": [{ "oid": format!("sha256:{}", "1".repeat(64)) }] }).to_string();
    for (body, words) in [
        ("", "EOF"),
        ("<html>", "expected value"),
        ("[]", "invalid"),
        ("{}", "missing field `objects`"),
        ("{\"objects\":[{}]}", "missing field `oid`"),
        ("{\"objects\":[{\"oid\":1}]}", "invalid type"),
        ("{\"objects\":[],\"transfer\":\"tus\"}", "it wants the transfer `tus`"),
        ("{\"objects\":[],\"hash_algo\":\"sha512\"}", "something else than SHA-256"),
        (deep.as_str(), "nested deeper than 16"),
        (long.as_str(), "more than 2097152 bytes"),
        (twice.as_str(), "2 contents where 1 were asked for"),
        (other.as_str(), "a content that was not asked for"),
        (prefixed.as_str(), "a content that was not asked for"),
    ] {
        let error = parse(&remote(), &[pointer('1', 5)], body.as_bytes()).expect_err("is none");
        assert!(matches!(error, LfsError::Refused(_)), "{error:?}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
    let error = parse(&remote(), &[pointer('1', 5), pointer('2', 5)], twice.as_bytes()).expect_err("is none");
    assert!(error.to_string().contains("a content twice"), "{error}");
    // Brackets in a text are no depth.
    let error = parse(&remote(), &[pointer('1', 5)], text.as_bytes()).expect_err("offers nothing");
    assert!(matches!(error, LfsError::Object { .. }), "{error:?}");
}

#[test]
fn a_status_says_whether_to_come_again() {
    let body = b"{\"message\":\"This repository is over its\\ndata quota\"}";
    assert_eq!(check_status(200, b"anything"), Ok(()));
    assert_eq!(check_download(200), Ok(()));
    for status in [408, 429, 500, 502, 503] {
        assert!(matches!(check_status(status, b""), Err(LfsError::Away(_))), "{status}");
        assert!(matches!(check_download(status), Err(LfsError::Away(_))), "{status}");
    }
    for (status, words) in [
        (301, "a redirect, which is not followed"),
        (401, "havre remote set URL --token-stdin"),
        (403, "(status 403: This repository is over its data quota)"),
        (404, "has no Git LFS for this repository"),
        (422, "does not take the question"),
        (501, "has no Git LFS for this repository"),
        (507, "its storage is full"),
        (509, "bandwidth"),
    ] {
        let error = check_status(status, body).expect_err("is none");
        assert!(matches!(error, LfsError::Refused(_)), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
    for status in [204, 206, 301, 401, 403, 404, 410, 416, 507] {
        assert!(matches!(check_download(status), Err(LfsError::Refused(_))), "{status}");
    }
    assert!(!check_status(403, b"<html>").expect_err("is none").to_string().contains("html"));
}

#[test]
fn redirects_lead_to_addresses_of_the_same_kind() {
    let from: OutwardUrl = "https://git.example.org:8443/a/1?x".parse().expect("is an address");
    let lead = |location: &str| redirect(&remote(), &from, Some(location));
    for (location, expected) in [
        ("https://s.example.org/1?sig=a", "https://s.example.org/1?sig=a"),
        ("/b/1?y", "https://git.example.org:8443/b/1?y"),
    ] {
        assert_eq!(lead(location).expect("is an address").to_string(), expected);
    }
    for location in
        ["", "1", "//s.example.org/1", "http://s.example.org/1", "file:///x", "https://a@s.org/", "/a b"]
    {
        assert!(matches!(lead(location), Err(LfsError::Refused(_))), "{location}");
    }
    assert!(redirect(&remote(), &from, None).is_err());
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200), status in 100_u16..600) {
        let _ = parse(&remote(), &[pointer('1', 5)], &body);
        let _ = check_status(status, &body);
    }

    #[test]
    fn what_is_offered_is_an_address_of_the_same_kind_or_better(
        href in "(https?|file|//)(://)?[a-z0-9.@:\\[\\]-]{0,12}[/?#]?[ -~]{0,8}",
        name in "[A-Za-z-]{0,20}",
        value in "[ -~\r\n]{0,12}",
    ) {
        let headers = BTreeMap::from([(name, value)]);
        let object = object(json!({ "actions": { "download": { "href": href, "header": headers } } }));
        let Ok(read) = read(json!([object])) else { return Ok(()) };
        proptest::prop_assert_eq!(read.len(), 1);
        let url = read[0].url();
        proptest::prop_assert!(!url.is_plain() && url.to_string() == href && !url.authority().contains('@'));
        proptest::prop_assert!(!read[0].wants_token() || url.host() == "git.example.org");
        for (name, value) in read[0].headers() {
            proptest::prop_assert!(name != "host" && !value.expose().contains(&b'\n'));
        }
    }

    #[test]
    fn a_cut_answer_is_none(at in 0_usize..200) {
        let body = json!({ "objects": [offer("https://a.org/1")] }).to_string();
        proptest::prop_assume!(at < body.len());
        proptest::prop_assert!(parse(&remote(), &[pointer('1', 5)], &body.as_bytes()[..at]).is_err());
    }

    #[test]
    fn depth_is_what_json_says(text in "[\\[\\]\"\\\\a]{0,40}") {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            fn depth(value: &Value) -> usize {
                value.as_array().map_or(0, |list| 1 + list.iter().map(depth).max().unwrap_or(0))
            }
            proptest::prop_assert_eq!(is_deep(text.as_bytes()), depth(&value) > DEPTH_MAX);
        }
    }
}
