//! Keys that `ssh-keygen` has made, and what looks like one.

use super::*;

const ED: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua";
const P256: &str = "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIOy1WJ7sTzyx9I9Nz+xtZCQC9NifPAvqOjo5dNq27WVN6IL5LQp1NZ+Q1Y2lwo1VZp1pv4i2qjZbjo9+SNaJMw=";
const P384: &str = "AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBLcDH03sLlKiQDaEVHbfbP06eTze6nBxAdaFBvxHALszPYAG2q1q/gCcK1fDtmmSR7NFj3wF4bn8SAnkSGBocyt7blUL96oZxHocX9OHw4invwCecVhao759B6wDq3+V4Q==";
const P521: &str = "AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAEsYgLDkWXsDQbgQxsnUX76wqnPqbAnvpRj1go2wk9wwz1cWL9+bqgdXPgMlelL9yV/pR8UEqhKC2Ztr2+5qGIFfADi/CRUv11pS7mXbgk8GFeF8sgWcBGkWAxF6wc5lV83K7siZmNNZOC3YMc8eY+1wO6EKJVOXHyykl9NawL4i/W7+A==";
const RSA: &str = "AAAAB3NzaC1yc2EAAAADAQABAAABgQDN9rut+eq38whP4klO77IatDkyiNjLCV2g02tHHLXBjGR28vom22uarRRrYonntwR6/36PvIUU24XL1B9F0ICE+RsiWMAjrFpu9GGjUy5lPIY+3o0Lly1Wb+/h78uqxdEFM5loY1D1VFdRTThtoIPLMSP5qUnTZigUiuUKbaeD3CJvoVRxlkS1TkFqzyDVhCn/S/tKZyZo1XuV4Y6txJ0+Ri/3ZuQKzpJLgoZ0uV6buWtUXbHHZ2bqetNA+zTeEzLW3oFcPpJZDAZYr8cnssmx79UzRr2I0lMDuMS2JsG+fvEqBwqeUXb7AZTxtcH81uvIVJQON10dzcpJkRYIu66+5tRBKgMM2NLhgK+IeOSM1CiBWIrttvhr331uAJ382JtztCY7wxOYZNJS/eVnY4mKy/IL36PSENfR4MnNZ4IFoSwlfOgjc2BwEpx0xHRYu7tqsGMYqXgQoU+EILIK12l1NrdmxgHc0jmPot8kxqsfLh4I6b/LR0Gcq4KE35xyQXk=";
const RSA_SMALL: &str = "AAAAB3NzaC1yc2EAAAADAQABAAABAQDG8PWh4RIdEaX8tlOx60frDfrr+G94TDPapKMwRA7/l1EnsBkwOedn2YDTe7nvcvuCCuxmAoBGJHqwymcvvvFNeXKEi+948jDJaax+bczU++1YUuafkNjXQse+UbfVi5GZiST47YN9Xm7bwfhB/SRXJrHddjcQ3OqIxcebWVSLJkPmzfIfBwX41MDUsIi6sNaX8TUVluBOCYpzchAnwF5qHopR9LRU1shoRTrWN5gayk1o0+vSnDc6xV01WqiqKw9Yrg7S8kB8umppcKKOY7gkfrYHg1oz5xYEytQD44OIEyPIwMyEAQU0Tai6/ZYYcgRYWnLsObd1ptWjoqyV18zn";
const SK_ED: &str =
    "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAAAABHNzaDo=";
const SK_P256: &str = "AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBBIOy1WJ7sTzyx9I9Nz+xtZCQC9NifPAvqOjo5dNq27WVN6IL5LQp1NZ+Q1Y2lwo1VZp1pv4i2qjZbjo9+SNaJMwAAAAEc3NoOg==";

fn parse(text: &str) -> Result<PublicKey, PublicKeyError> {
    text.parse()
}

fn refusal(text: &str) -> String {
    parse(text).expect_err("is no key").to_string()
}

/// A line of this algorithm with these parts.
fn line(name: &str, parts: &[&[u8]]) -> String {
    let mut blob = Vec::new();
    for part in parts {
        let length = u32::try_from(part.len()).expect("is short");
        blob.extend_from_slice(&length.to_be_bytes());
        blob.extend_from_slice(part);
    }
    format!("{name} {}", encode(&blob))
}

/// Base64, for tests only: slow and plain.
fn encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| (byte >> place) & 1)).collect();
    let digit = |six: &[u8]| {
        let value =
            (0..6).fold(0_usize, |value, at| value * 2 + usize::from(six.get(at).copied().unwrap_or(0)));
        char::from(ALPHABET[value])
    };
    let mut text: String = bits.chunks(6).map(digit).collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

#[test]
fn keys_of_every_kind_are_read_and_written_again() {
    for (algorithm, encoded) in [
        (Algorithm::Ed25519, ED),
        (Algorithm::EcdsaP256, P256),
        (Algorithm::EcdsaP384, P384),
        (Algorithm::EcdsaP521, P521),
        (Algorithm::Rsa, RSA),
        (Algorithm::SkEd25519, SK_ED),
        (Algorithm::SkEcdsaP256, SK_P256),
    ] {
        let plain = format!("{} {encoded}", algorithm.name());
        let key = parse(&format!("  {plain}\tada@laptop \n")).expect("is a key");
        assert_eq!((key.algorithm(), key.comment(), key.plain()), (algorithm, "ada@laptop", plain.clone()));
        assert_eq!(encode(key.blob()), encoded);
        assert_eq!(key.to_string(), format!("{plain} ada@laptop"));
        assert_eq!(parse(&key.to_string()), Ok(key));
        assert_eq!(parse(&plain).expect("is a key").to_string(), plain);
    }
}

#[test]
fn what_is_no_public_key_is_refused_with_its_reason() {
    let cut = format!("ssh-ed25519 {}", &ED[..ED.len() - 4]);
    for (text, says) in [
        ("", "there is no public key"),
        (" \n", "there is no public key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", "this is a private key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "this is a private key"),
        ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA", "is in another form"),
        ("ssh-dss AAAAB3NzaC1kc3M= ada", "DSA keys are too weak"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA ada", "certificates are not taken"),
        ("ssh-foo\u{1b} AAAA", "keys of `ssh-foo\\u{1b}` are not taken"),
        ("ssh-ed25519", "nothing follows the algorithm"),
        ("ssh-ed25519 AAAA!", "not base64"),
        ("ssh-ed25519 AAA", "not base64"),
        ("ssh-ed25519 AAAA", "cut off"),
        ("ssh-ed25519 //////8=", "cut off"),
        (cut.as_str(), "cut off"),
        (format!("ssh-rsa {ED}").as_str(), "another algorithm than its line says"),
        (format!("ssh-rsa {RSA_SMALL}").as_str(), "3072 to 16384 bits here, this one has 2048"),
        (format!("command=\"x\" ssh-ed25519 {ED} ada").as_str(), "without options before it"),
        (format!("no-pty,command=\"a b\" ssh-ed25519 {ED}").as_str(), "without options before it"),
        (format!("ssh-ed25519 {ED} a\nssh-ed25519 {ED} b").as_str(), "one public key at a time"),
        (format!("ssh-ed25519 {ED} {}", "x".repeat(TEXT_MAX)).as_str(), "longer than any key"),
    ] {
        let found = refusal(text);
        assert!(found.contains(says), "{text:?}: {found}");
    }
}

#[test]
fn bytes_that_lie_are_refused() {
    let ed = b"ssh-ed25519";
    let p256 = b"ecdsa-sha2-nistp256";
    let sk = b"sk-ssh-ed25519@openssh.com";
    let rsa = b"ssh-rsa";
    let point = [[4_u8].as_slice(), &[7_u8; 64]].concat();
    let modulus = [[0_u8, 0x80].as_slice(), &[1_u8; 383]].concat();
    let three = [3_u8];
    assert!(parse(&line("ssh-rsa", &[rsa, &three, &modulus])).is_ok());
    assert!(parse(&line("ecdsa-sha2-nistp256", &[p256, b"nistp256", &point])).is_ok());
    for (text, says) in [
        (line("ssh-ed25519", &[ed, &[7; 31]]), "has 32 bytes"),
        (line("ssh-ed25519", &[ed, &[7; 32], b""]), "more bytes follow"),
        (line("ecdsa-sha2-nistp256", &[p256, b"nistp384", &point]), "its curve"),
        (line("ecdsa-sha2-nistp256", &[p256, b"nistp256", &point[1..]]), "no point"),
        (line("ecdsa-sha2-nistp256", &[p256, b"nistp256", &[7; 65]]), "no point"),
        (line("sk-ssh-ed25519@openssh.com", &[sk, &[7; 32]]), "cut off"),
        (line("sk-ssh-ed25519@openssh.com", &[sk, &[7; 32], b"ssh:\n"]), "no plain text"),
        (line("ssh-rsa", &[rsa, &[4], &modulus]), "its exponent"),
        (line("ssh-rsa", &[rsa, &[1], &modulus]), "its exponent"),
        (line("ssh-rsa", &[rsa, &[], &modulus]), "one of its numbers"),
        (line("ssh-rsa", &[rsa, &[0, 3], &modulus]), "one of its numbers"),
        (line("ssh-rsa", &[rsa, &three, &[0x80; 384]]), "one of its numbers"),
        (line("ssh-rsa", &[rsa, &three, &[1; 384]]), "this one has 3065"),
        (line("ssh-rsa", &[rsa, &three, &[1; 4000]]), "this one has 31993"),
    ] {
        let found = refusal(&text);
        assert!(found.contains(says), "{says}: {found}");
    }
}

#[test]
fn comments_are_harmless_and_bounded() {
    let comment =
        |text: &str| parse(&format!("ssh-ed25519 {ED} {text}")).expect("is a key").comment().to_owned();
    assert_eq!(comment("Ada  Lovelace \u{1b}[31m \u{202e}\u{7f} é"), "Ada Lovelace [31m é");
    assert_eq!(comment(&"x ".repeat(200)).chars().count(), COMMENT_MAX - 1);
}

proptest::proptest! {
    #[test]
    fn nothing_panics(name in 0_usize..7, bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..90)) {
        let name = Algorithm::ALL[name].name();
        for text in [format!("{name} {}", encode(&bytes)), line(name, &[name.as_bytes(), &bytes])] {
            if let Ok(key) = parse(&text) {
                proptest::prop_assert_eq!(parse(&key.to_string()), Ok(key));
            }
        }
    }

    #[test]
    fn a_key_is_one_plain_line(text in ".{0,40}") {
        let key = parse(&format!("ssh-ed25519 {ED} {text}"));
        let Ok(key) = key else { return Ok(()) };
        let shown = key.to_string();
        proptest::prop_assert!(!shown.contains(char::is_control), "{shown:?}");
        proptest::prop_assert_eq!(parse(&shown), Ok(key));
    }
}
