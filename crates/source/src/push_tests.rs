//! Tests of `push.rs`: what clients send, what rules refuse, what git shows.

use super::*;

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";
const ZERO: &str = "0000000000000000000000000000000000000000";
const CAPABILITIES: &str = "\0 report-status-v2 side-band-64k quiet object-format=sha1 agent=git/2.47.3";

fn line(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    pkt::encode(&mut out, text.as_bytes());
    out
}

fn request(lines: &[&str]) -> Vec<u8> {
    let mut bytes: Vec<u8> = lines.iter().flat_map(|text| line(text)).collect();
    bytes.extend_from_slice(FLUSH);
    bytes
}

fn read(bytes: &[u8]) -> Result<Head, PushError> {
    let mut reader = HeadReader::new();
    assert!(reader.push(bytes)?, "is whole");
    let (head, all) = reader.into_parts();
    assert_eq!(all, bytes, "git reads every byte again");
    Ok(head)
}

fn rules(protected: &[&str]) -> PushRules {
    PushRules { protected: protected.iter().map(|name| name.parse().expect("is a branch")).collect() }
}

#[test]
fn what_git_sends() {
    let mut bytes = request(&[
        &format!("shallow {OLD}"),
        &format!("{ZERO} {NEW} refs/heads/main{CAPABILITIES}"),
        &format!("{OLD} {ZERO} refs/tags/v1\n"),
    ]);
    bytes.extend_from_slice(b"PACK and whatever follows");
    let head = read(&bytes).expect("is a push");
    assert_eq!(head.capabilities, Capabilities { side_band: true, report_status: true, push_options: false });
    let commands = check(&head, &rules(&["release"])).expect("is allowed");
    assert_eq!(
        commands,
        [
            Command {
                old: None,
                new: Some(NEW.parse().expect("is an id")),
                name: "refs/heads/main".parse().expect("is a ref")
            },
            Command {
                old: Some(OLD.parse().expect("is an id")),
                new: None,
                name: "refs/tags/v1".parse().expect("is a ref")
            },
        ]
    );
    assert!(rules(&["main"]).protect_any(&commands) && !rules(&["v1"]).protect_any(&commands));
}

#[test]
fn a_probe_has_no_commands() {
    assert_eq!(read(b"0000"), Ok(Head::default()));
    let mut reader = HeadReader::new();
    assert_eq!(reader.push(b"000"), Ok(false));
    assert_eq!(reader.push(b"0"), Ok(true));
}

#[test]
fn options_follow_the_commands() {
    let mut bytes = request(&[&format!("{ZERO} {NEW} refs/heads/main\0push-options side-band-64k")]);
    bytes.extend(request(&["skip\n", "note=a b"]));
    bytes.extend_from_slice(b"PACK");
    assert_eq!(read(&bytes).expect("is a push").options, ["skip", "note=a b"]);
    // Not asked for: what follows is the pack.
    let bytes = request(&[&format!("{ZERO} {NEW} refs/heads/main\0no-push-options")]);
    assert_eq!(read(&bytes).expect("is a push").options, Vec::<String>::new());
    let mut bytes = request(&[&format!("{ZERO} {NEW} refs/heads/main\0push-options")]);
    bytes.extend(request(&["a\x1bb"]));
    assert!(matches!(read(&bytes), Err(PushError::Malformed { .. })));
}

#[test]
fn what_is_no_push() {
    let command = format!("{ZERO} {NEW} refs/heads/main");
    let upper = "A".repeat(40);
    let wrong = [
        b"GET / HTTP/1.1".to_vec(),
        b"0001".to_vec(),
        request(&["hello"]),
        request(&[&format!("{ZERO} {NEW}")]),
        request(&[&format!("{ZERO} short refs/heads/main")]),
        request(&[&format!("{ZERO} {upper} refs/heads/main")]),
        request(&["shallow x"]),
    ];
    for bytes in wrong {
        let found = HeadReader::new().push(&bytes);
        assert!(matches!(found, Err(PushError::Malformed { .. })), "{}: {found:?}", bytes.escape_ascii());
    }
    assert_eq!(read(&request(&["push-cert\0side-band-64k", &command])), Err(PushError::Signed));
}

#[test]
fn limits() {
    let many: Vec<String> =
        (0..=COMMANDS_MAX).map(|number| format!("{ZERO} {NEW} refs/heads/b{number}")).collect();
    let lines: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(read(&request(&lines[1..])).is_ok());
    let too_much = |found: Result<bool, PushError>| matches!(found, Err(PushError::TooMuch { .. }));
    assert!(too_much(HeadReader::new().push(&request(&lines))));
    let shallow = vec![format!("shallow {OLD}"); COMMANDS_MAX + 1];
    let lines: Vec<&str> = shallow.iter().map(String::as_str).collect();
    assert!(too_much(HeadReader::new().push(&request(&lines))));
    assert!(too_much(HeadReader::new().push(&request(&[&"x".repeat(LINE_MAX + 1)]))));
    let mut bytes = request(&[&format!("{ZERO} {NEW} refs/heads/main\0push-options")]);
    bytes.extend(request(&["x"; OPTIONS_MAX + 1]));
    assert!(too_much(HeadReader::new().push(&bytes)));
}

#[test]
fn rules_refuse() {
    let refused = |command: &str| {
        let head = read(&request(&[command])).expect("is a push");
        check(&head, &rules(&["main"])).expect_err("is refused").to_string()
    };
    let name = refused(&format!("{ZERO} {NEW} refs/heads/--upload-pack=x"));
    assert!(name.starts_with("`refs/heads/--upload-pack=x` cannot be pushed: Havre takes"), "{name}");
    for name in
        ["refs/notes/x", "HEAD", "refs/heads/a b", "refs/heads/é", "refs/heads/a..b", "refs/heads/a\nb"]
    {
        refused(&format!("{ZERO} {NEW} {name}"));
    }
    assert_eq!(
        refused(&format!("{OLD} {ZERO} refs/heads/main")),
        "branch main is protected and cannot be deleted; end its protection first (`havre repository unprotect main`)"
    );
    let head = read(&request(&[&format!("{OLD} {ZERO} refs/tags/main")])).expect("is a push");
    assert!(check(&head, &rules(&["main"])).is_ok(), "a tag is no branch");
}

#[test]
fn refusals_as_git_reads_them() {
    let head =
        read(&request(&[&format!("{ZERO} {NEW} refs/heads/a{CAPABILITIES}"), &format!("{ZERO} {NEW} HEAD")]))
            .expect("is a push");
    let answer = refuse(&head.updates, head.capabilities, "no\nway");
    assert_eq!(
        answer,
        b"000c\x02no way\n0045\x01000eunpack ok\n001bng refs/heads/a no way\n0013ng HEAD no way\n00000000"
    );
    let plain = Capabilities { side_band: false, report_status: true, push_options: false };
    assert_eq!(
        refuse(&head.updates[..1], plain, "no way"),
        b"000eunpack ok\n001bng refs/heads/a no way\n0000"
    );
    assert_eq!(refuse(&head.updates, Capabilities::default(), "no way"), b"");
}

#[test]
fn a_long_refusal_is_whole_frames() {
    let update = Update {
        old: ZERO.parse().expect("is an id"),
        new: NEW.parse().expect("is an id"),
        name: "x".repeat(200),
    };
    let capabilities = Capabilities { side_band: true, report_status: true, push_options: false };
    let answer = refuse(&vec![update; COMMANDS_MAX], capabilities, &"y".repeat(100_000));
    let mut at = 0;
    while let Some((_, length)) = pkt::decode(&answer[at..]).expect("is well formed") {
        at += length;
    }
    assert_eq!(at, answer.len());
}

proptest::proptest! {
    #[test]
    fn any_cut_reads_the_same(cuts in proptest::collection::vec(0_usize..400, 0..8)) {
        let mut bytes = request(&[
            &format!("{ZERO} {NEW} refs/heads/main\0push-options report-status"),
            &format!("{OLD} {NEW} refs/heads/other"),
        ]);
        bytes.extend(request(&["a", "b"]));
        let end = bytes.len();
        bytes.extend_from_slice(b"PACKxxxx");
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % bytes.len()).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let (mut reader, mut at, mut is_whole) = (HeadReader::new(), 0, false);
        for cut in cuts {
            if is_whole {
                break;
            }
            is_whole = reader.push(&bytes[at..cut]).expect("is a push");
            at = cut;
            proptest::prop_assert_eq!(is_whole, at >= end);
        }
        let (head, all) = reader.into_parts();
        proptest::prop_assert_eq!(&all[..], &bytes[..at]);
        proptest::prop_assert_eq!((head.updates.len(), head.options.len()), (2, 2));
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
        let mut reader = HeadReader::new();
        if let Ok(true) = reader.push(&bytes) {
            let (head, _) = reader.into_parts();
            let _ = check(&head, &PushRules::default());
        }
    }
}
