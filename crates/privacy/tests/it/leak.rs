//! The leak test over whole copies.

use havre_privacy::leak::{Found, Leak};
use havre_privacy::masker::Masker;

use crate::{policy, salt};

const DUMP: &str = include_str!("../../../../examples/privacy/dump.sql");

/// Masks the example by these rules and searches the copy.
fn search(rules: &str) -> Vec<Found> {
    let mut masker = Masker::new(policy(rules), salt()).with_leak(Leak::new(salt(), 1000));
    let mut out = Vec::new();
    masker.push(DUMP.as_bytes(), &mut out).expect("is taken");
    let leak = masker.finish(&mut out).expect("is taken").leak.expect("was asked for");
    assert!(leak.remembered() > 0);
    let mut search = leak.search();
    for chunk in out.chunks(50) {
        search.push(chunk);
    }
    search.finish()
}

#[test]
fn the_example_has_no_leak() {
    assert_eq!(search(include_str!("../../../../examples/privacy/privacy.toml")), Vec::<Found>::new());
}

#[test]
fn a_value_that_stands_elsewhere_is_found() {
    let rules = include_str!("../../../../examples/privacy/privacy.toml");
    // The log names the address of the network that users hide.
    let rules = rules
        .replace("rows = \"none\"", "rows = \"all\"\n[tables.\"public.audit_log\".columns]\nwhat = \"keep\"");
    let found = search(&rules);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].table.to_string(), found[0].column.as_str()),
        ("public.users".to_owned(), "last_ip")
    );
    assert_eq!(found[0].shown, "2*** (11 characters)");
    let line = DUMP.lines().position(|line| line.contains("login from")).expect("is there") + 1;
    assert_eq!(found[0].line, u64::try_from(line).expect("is small"));
}
