//! What holds for any table and any bytes: escapes turn around, chunks do not matter, the same input gives the same copy, and no original of
//! a masked column is left.

use havre_privacy::dump::copy::{escape, unescape};
use proptest::prelude::*;

use crate::{END, mask_chunks, table};

const RULES: &str = r#"
[tables."public.t".columns]
mail = "email"
who = "name"
code = "hash"
number = "digits"
note = "null"
iban = { partial = { keep_last = 2 } }
profile = { json = { "/a" = "hash", "/l/*" = "email" } }
"#;

const COLUMNS: [(&str, &str); 8] = [
    ("id", "bigint"),
    ("mail", "text"),
    ("who", "text"),
    ("code", "text"),
    ("number", "text"),
    ("note", "text"),
    ("iban", "text"),
    ("profile", "jsonb"),
];

/// A value that is in no list and no other value by chance.
fn original() -> impl Strategy<Value = String> {
    "[qxzé'\\\\\\t\\n]{3}[a-z ]{0,8}[qxz]{8}"
}

/// A row and its originals.
#[derive(Debug, Clone)]
struct Row {
    line: String,
    originals: Vec<String>,
}

fn field(text: &str) -> String {
    let mut out = Vec::new();
    escape(text.as_bytes(), &mut out);
    String::from_utf8(out).expect("only ASCII is escaped")
}

fn row() -> impl Strategy<Value = Row> {
    let texts = proptest::collection::vec(original(), 7);
    (any::<u32>(), texts, "[1-9][0-9]{19}", any::<bool>()).prop_map(|(id, texts, number, is_null)| {
        let json = format!(
            "{{\"a\": {}, \"l\": [{}], \"k\": {id}}}",
            serde_json_text(&texts[5]),
            serde_json_text(&texts[6])
        );
        let code = if is_null { "\\N".to_owned() } else { field(&texts[2]) };
        let values = [
            id.to_string(),
            field(&texts[0]),
            field(&texts[1]),
            code,
            number.clone(),
            field(&texts[3]),
            field(&texts[4]),
            field(&json),
        ];
        let mut originals: Vec<String> = texts.iter().map(|text| field(text)).collect();
        originals.push(number);
        Row { line: values.join("\t"), originals }
    })
}

/// A text of JSON; of these alphabets only quotes, backslashes and line ends need an escape.
fn serde_json_text(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t");
    format!("\"{escaped}\"")
}

fn dump(rows: &[Row]) -> String {
    let lines: Vec<&str> = rows.iter().map(|row| row.line.as_str()).collect();
    table(&COLUMNS, &lines)
}

proptest! {
    #[test]
    fn escapes_turn_around(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut field = Vec::new();
        escape(&value, &mut field);
        prop_assert!(!field.contains(&b'\n') && !field.contains(&b'\t') && !field.contains(&b'\r'));
        prop_assert_eq!(unescape(&field).unwrap().unwrap().into_owned(), value);
    }

    #[test]
    fn no_field_panics(field in proptest::collection::vec(any::<u8>(), 0..50)) {
        let _ = unescape(&field);
    }

    #[test]
    fn chunks_do_not_matter(rows in proptest::collection::vec(row(), 0..6), size in 1_usize..300) {
        let dump = dump(&rows);
        let (whole, _) = mask_chunks(RULES, dump.as_bytes(), usize::MAX).unwrap();
        let (parts, _) = mask_chunks(RULES, dump.as_bytes(), size).unwrap();
        prop_assert_eq!(&whole, &parts);
        let (again, _) = mask_chunks(RULES, dump.as_bytes(), size).unwrap();
        prop_assert_eq!(whole, again);
    }

    #[test]
    fn no_original_is_left(rows in proptest::collection::vec(row(), 1..6)) {
        let dump = dump(&rows);
        let (copy, finished) = mask_chunks(RULES, dump.as_bytes(), 1 << 16).unwrap();
        let copy = String::from_utf8(copy).unwrap();
        for original in rows.iter().flat_map(|row| &row.originals) {
            prop_assert!(!copy.contains(original.as_str()), "{} is in {}", original, copy);
        }
        let count = finished.report.tables.values().next().copied().unwrap();
        prop_assert_eq!(count.copied, u64::try_from(rows.len()).unwrap());
        // As many rows, each with as many values.
        let tabs = |text: &str| text.lines().map(|line| line.matches('\t').count()).collect::<Vec<_>>();
        prop_assert_eq!(tabs(&copy), tabs(&dump));
    }

    #[test]
    fn bytes_no_rule_is_about_pass(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut value = Vec::new();
        escape(&bytes, &mut value);
        let mut dump = b"CREATE TABLE public.t (\n    a bytea\n);\nCOPY public.t (a) FROM stdin;\n".to_vec();
        dump.extend_from_slice(&value);
        dump.extend_from_slice(b"\n\\.\n");
        dump.extend_from_slice(END.as_bytes());
        let (copy, _) = mask_chunks("", &dump, 7).unwrap();
        prop_assert_eq!(copy, dump);
    }

    #[test]
    fn no_text_panics(dump in proptest::collection::vec(any::<u8>(), 0..300), size in 1_usize..50) {
        let _ = mask_chunks(RULES, &dump, size);
    }

    #[test]
    fn no_lines_panic(lines in proptest::collection::vec(line(), 0..20), size in 1_usize..50) {
        let whole = mask_chunks(RULES, lines.join("\n").as_bytes(), usize::MAX).map(|(copy, _)| copy);
        let parts = mask_chunks(RULES, lines.join("\n").as_bytes(), size).map(|(copy, _)| copy);
        prop_assert_eq!(whole, parts);
    }
}

/// Lines that are nearly a dump.
fn line() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "CREATE TABLE public.t (id bigint, mail text, who text, code text, number text, note text, iban text, profile jsonb);",
        "CREATE TABLE public.u (email text);",
        "COPY public.t (id, mail) FROM stdin;",
        "COPY public.t FROM stdin;",
        "COPY public.u (email) FROM stdin;",
        "1\tmarie@dropit.example",
        "1\ta\tb\tc\t1\td\te\t{}",
        "marie@dropit.example\\",
        "\\.",
        "\\N",
        "",
        "ALTER TABLE ONLY public.t ADD CONSTRAINT k UNIQUE (who);",
        "ALTER TABLE ONLY public.t ADD CONSTRAINT f FOREIGN KEY (mail) REFERENCES public.u(email);",
        "SELECT 'a;",
        "$$",
        "-- PostgreSQL database dump complete",
        "/*",
        "*/",
        "\\restrict x",
        ";",
    ])
}
