//! CAA records, whatever bytes a server answers: what is read can be shown and stored, and nobody but who is named may issue.
#![no_main]

use havre_core::dns::{CaaRecord, CaaSet};
use havre_core::name::CertificateName;
use havre_decide::dns::caa::check_caa;
use libfuzzer_sys::fuzz_target;

/// From `tag value`, with a `!` before it where it is critical.
fn record(line: &[u8]) -> CaaRecord {
    let (is_critical, line) = line.strip_prefix(b"!").map_or((false, line), |rest| (true, rest));
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (tag, value) = line.split_at(end);
    CaaRecord::new(is_critical, &String::from_utf8_lossy(tag), value.get(1..).unwrap_or_default())
}

fuzz_target!(|bytes: &[u8]| {
    // The name and the word for the issuer in the first line, a record in each further one.
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let Some((name, issuer)) = first.split_once(' ') else { return };
    let Ok(name) = name.parse::<CertificateName>() else { return };
    let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if !(1..=253).contains(&issuer.len()) || !issuer.bytes().all(is_domain) {
        return;
    }
    let records: Vec<CaaRecord> = lines.map(record).collect();
    for one in &records {
        assert!(!one.value.chars().any(char::is_control) && one.value.chars().count() <= 500);
        assert_eq!(&CaaRecord::new(one.is_critical, &one.tag, one.value.as_bytes()), one);
    }
    let at: havre_core::name::DnsName = "example.org".parse().expect("a name");
    let set = |records: Vec<CaaRecord>| CaaSet { at: at.clone(), records };
    let with = |extra: &[CaaRecord]| set(records.iter().chain(extra).cloned().collect());
    let ours = set(records.clone());
    let json = serde_json::to_string(&ours).expect("write");
    assert_eq!(serde_json::from_str::<CaaSet>(&json).expect("what is written is read"), ours);

    let may = |set: &CaaSet| check_caa(Some(set), &name, &[issuer.to_owned()]).is_ok();
    let is_allowed = may(&ours);
    assert_eq!(may(&set(records.iter().rev().cloned().collect())), is_allowed, "order means nothing");
    let is_strange = |one: &CaaRecord| {
        one.is_critical
            && !["issue", "issuewild", "iodef", "contactemail", "contactphone"].contains(&one.tag.as_str())
    };
    let named = ["issue", "issuewild"].map(|tag| CaaRecord::new(false, tag, issuer.as_bytes()));
    assert_eq!(
        may(&with(&named)),
        !records.iter().any(is_strange),
        "who is named may, unless a rule is unknown"
    );
    let nobody = ["issue", "issuewild"].map(|tag| CaaRecord::new(false, tag, b";"));
    assert!(is_allowed || !may(&with(&nobody)), "nobody is no permission");
    let speaks_of_us =
        |one: &CaaRecord| one.value.to_ascii_lowercase().contains(&issuer.to_ascii_lowercase());
    if may(&with(&nobody)) {
        assert!(records.iter().any(speaks_of_us), "permission out of nothing");
    }
    assert!(!may(&with(&[CaaRecord::new(true, "unknown", b"")])), "a rule nobody knows must be kept");
    assert_eq!(check_caa(Some(&ours), &name, &[]), Ok(()), "without a word for the issuer nothing is said");
});
