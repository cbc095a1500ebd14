//! The example, whole: what a realistic dump becomes.

use insta::assert_snapshot;

use crate::{mask_chunks, masked};

const RULES: &str = include_str!("../../../../examples/privacy/privacy.toml");
const DUMP: &str = include_str!("../../../../examples/privacy/dump.sql");

#[test]
fn the_example() {
    let copy = masked(RULES, DUMP);
    for original in [
        "marie.curie",
        "jose@",
        "o'brien",
        "Sk\u{142}odowska",
        "Quintanilha",
        "O'Brien",
        "12 34 56 78",
        "1984-02-29",
        "likes",
        "FR7630006000011234567890189",
        "3f0c9a7be1d24c55",
        "203.0.113.7",
        "2001:db8::1",
        "\tpro\t",
        "\"Paris\"",
        "Saint-Denis",
        "pierre@",
        "4111 1111",
        "login from",
    ] {
        assert!(!copy.contains(original), "{original} is in the copy");
    }
    for kept in
        ["\tParis\t", "\"country\": \"FR\"", "\"theme\": \"dark\"", "\t***********************0189\t", "10."]
    {
        assert!(copy.contains(kept), "{kept} is not in the copy");
    }
    assert_snapshot!("example", copy);
}

#[test]
fn what_no_rule_is_about_passes_byte_by_byte() {
    let copy = masked(RULES, DUMP);
    // Everything but rows.
    let frame = |text: &str| {
        let mut is_row = false;
        let lines = text.lines().filter(|line| {
            let was_row = is_row;
            is_row = line.starts_with("COPY public.") || (is_row && *line != "\\.");
            !was_row || !is_row
        });
        lines.map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!(frame(&copy), frame(DUMP));
}

#[test]
fn the_same_value_is_the_same_everywhere() {
    let copy = masked(RULES, DUMP);
    let of = |table: &str, row: usize, column: usize| {
        let start = copy.find(&format!("\nCOPY public.{table} ")).expect("is there");
        let line = copy[start..].lines().nth(row + 1).expect("is there");
        line.split('\t').nth(column).expect("is there").to_owned()
    };
    assert_eq!(of("users", 1, 1), of("orders", 1, 1));
    assert_eq!(of("users", 1, 1), of("orders", 3, 1));
    assert_eq!(of("users", 2, 1), of("orders", 2, 1));
    assert_ne!(of("users", 1, 1), of("users", 2, 1));
}

#[test]
fn the_report_counts_rows() {
    let (_, finished) = mask_chunks(RULES, DUMP.as_bytes(), 100).expect("is taken");
    let counts: Vec<String> = finished
        .report
        .tables
        .iter()
        .map(|(table, count)| format!("{table} {}/{}", count.copied, count.seen))
        .collect();
    assert_eq!(counts, ["public.audit_log 0/2", "public.orders 3/3", "public.users 3/3"]);
    assert_eq!(finished.report.dropped, 0);
}
