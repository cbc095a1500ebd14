//! `privacy.toml`: what is understood, and the exact text of every refusal.

use havre_privacy::policy::{Policy, keys};
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::policy;

/// The problems of a text, as people see them.
fn refused(text: &str) -> String {
    Policy::parse(text).expect_err("must be refused").to_string()
}

#[test]
fn the_example_is_understood() {
    policy(include_str!("../../../../examples/privacy/privacy.toml"));
    policy("");
}

#[test]
fn every_problem_has_its_place() {
    let text = r#"
salt = "never here"

[tables.users.columns]
email = "email"

[tables."public.users"]
rows = "some"
colums = {}

[tables."public.a".columns]
one = "emial"
two = "sha256"
three = { dates_shifted = "12h" }
four = { dates_shifted = { by = "id" } }
five = { partial = {} }
six = { json = { "no/slash" = "hash", "/a" = { json = {} } } }
seven = { constant = 5 }
eight = { keep = true }
nine = 9

[tables."public.b"]
rows = { first = 0 }

[tables."public.c"]
rows = { first = 1, hash_percent = 10 }

[person]
key = "email"

[person.tables."public.users"]
by = "email"

[person.tables."public.orders"]
by = "user_id"
through = { table = "public.customers", column = "id" }
erase = "remove"
"#;
    assert_snapshot!("problems", refused(text));
    assert_snapshot!("syntax", refused("[tables\nx = 1"));
}

#[test]
fn masks_that_people_may_write() {
    for mask in keys::MASKS {
        policy(&format!("[tables.\"public.t\".columns]\na = \"{mask}\"\n"));
    }
    for mask in [
        "{ dates_shifted = \"1d\" }",
        "{ dates_shifted = { within = \"365d\", by = \"id\" } }",
        "{ partial = { keep_first = 2, keep_last = 4 } }",
        "{ constant = \"\" }",
        "{ json = { \"/a/*/b~1c\" = \"null\", \"/d\" = { partial = { keep_last = 1 } } } }",
    ] {
        policy(&format!("[tables.\"public.t\".columns]\na = {mask}\n"));
    }
}

#[test]
fn a_text_that_is_too_long_is_not_read() {
    let text = "#".repeat(2 * 1024 * 1024);
    assert!(refused(&text).starts_with("privacy.toml has 2097152 bytes"));
}

#[test]
fn every_key_is_documented() {
    let page = include_str!("../../../../docs/privacy-toml.md");
    let section = |title: &str| {
        let found = page.split("\n## ").find(|part| part.lines().next() == Some(title));
        found.unwrap_or_else(|| panic!("docs/privacy-toml.md has no section `{title}`"))
    };
    for keys in keys::TABLES {
        let title = if keys.table.is_empty() { "The file".to_owned() } else { format!("`{}`", keys.table) };
        let section = section(&title);
        for key in keys.known {
            assert!(section.contains(&format!("| `{key}` |")), "`{key}` is missing under {title}");
        }
        let rows = section.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, keys.known.len(), "{title} documents a key the parser does not have");
    }
    let section = section("Masks");
    for mask in keys::MASKS {
        assert!(section.contains(&format!("| `\"{mask}\"` |")), "`{mask}` is missing under Masks");
    }
    let rows = section.lines().filter(|line| line.starts_with("| `\"")).count();
    assert_eq!(rows, keys::MASKS.len(), "Masks documents one the parser does not have");
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        let _ = Policy::parse(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_toml_panics(lines in proptest::collection::vec(line(), 0..12)) {
        if let Err(error) = Policy::parse(&lines.join("\n")) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

/// Lines that are nearly right.
fn line() -> impl Strategy<Value = String> {
    let known: Vec<&str> = keys::TABLES.iter().flat_map(|keys| keys.known.iter().copied()).collect();
    let values = vec![
        "\"email\"",
        "\"null\"",
        "1",
        "{}",
        "[]",
        "[\"a\"]",
        "{ first = 3 }",
        "{ json = { \"/a\" = \"hash\" } }",
        "{ table = \"public.a\", column = \"b\" }",
    ];
    let pair = (prop::sample::select(known), prop::sample::select(values));
    prop_oneof![
        pair.prop_map(|(key, value)| format!("{key} = {value}")),
        prop::sample::select(vec![
            "[tables.\"public.a\"]",
            "[tables.\"public.a\".columns]",
            "[tables.b]",
            "[person]",
            "[person.tables.\"public.a\"]",
        ])
        .prop_map(str::to_owned),
    ]
}
