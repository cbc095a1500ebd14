//! The statements that export and erase what belongs to a person, and that no value leaves its quotes.

use havre_privacy::person::{PersonError, PersonStatement};
use proptest::prelude::*;

use crate::policy;

const RULES: &str = include_str!("../../../../examples/privacy/privacy.toml");

fn shown(statements: &[PersonStatement]) -> Vec<&str> {
    statements.iter().map(|statement| statement.sql.as_str()).collect()
}

#[test]
fn the_example() {
    let policy = policy(RULES);
    let person = policy.person().expect("is there");
    assert_eq!(person.key(), "email");
    let export = person.export("o'brien@dropit.example").expect("is a value");
    assert_eq!(
        shown(&export),
        [
            "COPY (SELECT \"id\", \"email\", \"name\", \"phone\", \"born\", \"profile\" FROM \"public\".\"users\" \
             WHERE \"email\" = 'o''brien@dropit.example') TO STDOUT WITH (FORMAT csv, HEADER);",
            "COPY (SELECT * FROM \"public\".\"orders\" WHERE \"customer_email\" = 'o''brien@dropit.example') \
             TO STDOUT WITH (FORMAT csv, HEADER);",
            "COPY (SELECT * FROM \"public\".\"audit_log\" WHERE \"user_id\" IN (SELECT \"id\" FROM \
             \"public\".\"users\" WHERE \"email\" = 'o''brien@dropit.example')) TO STDOUT WITH (FORMAT csv, HEADER);",
        ]
    );
    let erasure = person.erasure("a\\b").expect("is a value");
    assert_eq!(
        shown(&erasure),
        [
            "DELETE FROM \"public\".\"audit_log\" WHERE \"user_id\" IN (SELECT \"id\" FROM \"public\".\"users\" \
             WHERE \"email\" =  E'a\\\\b');",
            "DELETE FROM \"public\".\"users\" WHERE \"email\" =  E'a\\\\b';",
            "UPDATE \"public\".\"orders\" SET \"city\" = NULL WHERE \"customer_email\" =  E'a\\\\b';",
        ]
    );
    assert_eq!(format!("{:?}", erasure[1]), "PersonStatement(public.users)");
}

#[test]
fn values_nobody_has_are_refused() {
    let policy = policy(RULES);
    let person = policy.person().expect("is there");
    assert_eq!(person.export("").map(|found| found.len()), Err(PersonError::Empty));
    assert_eq!(person.erasure("a\0").map(|found| found.len()), Err(PersonError::Zero));
    assert_eq!(person.erasure(&"a".repeat(1001)).map(|found| found.len()), Err(PersonError::Long));
}

/// What a literal stands for and what follows it, read as PostgreSQL does.
fn read_literal(sql: &str) -> Option<(String, &str)> {
    let (escapes, rest) = match sql.strip_prefix(" E'") {
        Some(rest) => (true, rest),
        None => (false, sql.strip_prefix('\'')?),
    };
    let mut text = String::new();
    let mut characters = rest.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
                text.push('\'');
            }
            '\'' => return Some((text, &rest[at + 1..])),
            '\\' if escapes => text.push(characters.next()?.1),
            other => text.push(other),
        }
    }
    None
}

proptest! {
    #[test]
    fn no_value_leaves_its_quotes(value in "(?s)['\"\\\\;\\-$a-zé\n\r\t/*]{1,60}|(?s).{1,60}") {
        prop_assume!(!value.contains('\0'));
        let policy = policy(RULES);
        let person = policy.person().unwrap();
        for statement in person.erasure(&value).unwrap() {
            let (_, after) = statement.sql.split_once("email\" = ").unwrap();
            let (read, rest) = read_literal(after).unwrap();
            prop_assert_eq!(read, value.clone());
            prop_assert!(matches!(rest, ";" | ");"), "{}", rest);
        }
    }

    #[test]
    fn no_name_leaves_its_quotes(name in "[a-z\"; .]{1,20}") {
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!(
            "[person]\nkey = \"k\"\n[person.tables.\"public.t\"]\nby = \"{quoted}\"\nerase = \"delete\"\n"
        );
        let policy = policy(&text);
        let sql = policy.person().unwrap().erasure("x").unwrap().remove(0).sql;
        let inner = sql.strip_prefix("DELETE FROM \"public\".\"t\" WHERE \"").unwrap();
        let inner = inner.strip_suffix("\" = 'x';").unwrap();
        prop_assert_eq!(inner.replace("\"\"", ""), name.replace('"', ""));
        prop_assert!(inner.matches('"').count() == 2 * name.matches('"').count());
    }
}
