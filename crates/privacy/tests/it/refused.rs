//! Copies that are refused, and what is said: never a value, always where.

use havre_privacy::error::MaskError;
use havre_privacy::masker::Masker;
use insta::assert_snapshot;

use crate::{END, mask_chunks, masked, policy, refused, salt, table};

const COLUMNS: [(&str, &str); 2] = [("id", "bigint NOT NULL"), ("email", "text")];
const RULES: &str = "[tables.\"public.t\".columns]\nemail = \"email\"\n";

fn rules(lines: &str) -> String {
    format!("[tables.\"public.t\".columns]\n{lines}\n")
}

#[test]
fn dumps_that_are_not_whole() {
    let dump = table(&COLUMNS, &["1\tmarie@dropit.example", "2\tjose@dropit.example"]);
    assert!(mask_chunks(RULES, dump.as_bytes(), 10).is_ok());
    let cut = |until: &str| dump[..dump.find(until).expect("is there")].to_owned();
    assert_eq!(
        refused(RULES, &cut("jose")),
        "line 8 of the dump: the dump ends in the middle of the rows of `public.t`"
    );
    assert_eq!(
        refused(RULES, &cut("\\.")),
        "line 9 of the dump: the dump ends in the middle of the rows of `public.t`"
    );
    assert_eq!(
        refused(RULES, &cut("COPY")[..30]),
        "line 2 of the dump: the dump ends in the middle of a statement"
    );
    assert_eq!(
        refused(RULES, &cut(END)),
        "line 11 of the dump: the dump is not whole: what pg_dump writes at the end is missing"
    );
}

#[test]
fn rows_that_are_wrong() {
    let one = |row: &str| refused(RULES, &table(&COLUMNS, &["1\t\\N", row]));
    assert_eq!(
        one("1\ta\tb"),
        "line 8 of the dump, table `public.t`: the row has 3 values, but COPY names 2 columns"
    );
    assert_eq!(
        one(""),
        "line 8 of the dump, table `public.t`: the row has 1 values, but COPY names 2 columns"
    );
    assert_eq!(
        one("1\ta\\"),
        "line 8 of the dump, table `public.t`, column `email`: the value ends in the middle of an escape"
    );
    assert_eq!(
        one("1\ta\r"),
        "line 8 of the dump, table `public.t`: the row ends with a carriage return: the dump must have plain line ends"
    );
    let mut masker = Masker::new(policy(RULES), salt()).with_row_max(200);
    let dump = table(&COLUMNS, &["1\t\\N", &format!("2\t{}", "x".repeat(300))]);
    let error = masker.push(dump.as_bytes(), &mut Vec::new()).expect_err("is too long");
    assert_eq!(error.to_string(), "line 8 of the dump: a row has more than 200 bytes");
    assert_eq!(masker.push(b"", &mut Vec::new()), Err(error));
}

#[test]
fn values_that_cannot_be_masked() {
    let columns = [("id", "bigint"), ("profile", "jsonb"), ("born", "date")];
    let rules = rules("profile = { json = { \"/email\" = \"email\" } }\nborn = { dates_shifted = \"30d\" }");
    let one = |row: &str| refused(&rules, &table(&columns, &[row]));
    assert_eq!(
        one("1\t{\"email\": \t\\N"),
        "line 8 of the dump, table `public.t`, column `profile`: the value is not valid JSON"
    );
    let error = one("1\t{}\tsecret");
    assert!(
        error.starts_with("line 8 of the dump, table `public.t`, column `born`: the value is not a date"),
        "{error}"
    );
    assert!(!error.contains("secret"));
}

#[test]
fn texts_that_are_no_dump_we_read() {
    let start = "CREATE TABLE public.t (id bigint);\n";
    let one = |text: &str| refused("", &format!("{start}{text}\n{END}"));
    assert_eq!(
        one("INSERT INTO public.t VALUES (1);"),
        "line 2 of the dump: rows as INSERT are not read: dump without --inserts and --column-inserts"
    );
    assert_eq!(
        one("\\connect other"),
        "line 3 of the dump: `\\\\connect` is a command for psql that no copy has: dump without --create"
    );
    assert_eq!(
        one("COPY public.u (id) FROM stdin;\n1\n\\."),
        "line 2 of the dump: rows of `public.u` before its CREATE TABLE: dump structure and data together"
    );
    assert_eq!(
        one("COPY public.t (id) FROM '/etc/passwd';"),
        "line 2 of the dump: COPY is not of the form `COPY table (columns) FROM stdin;`, the only one that is read"
    );
    assert_eq!(one("SELECT 1 \\g"), "line 2 of the dump: a backslash outside of quotes, in a statement");
}

#[test]
fn large_objects_are_left_out_and_counted() {
    let dump = format!(
        "SELECT pg_catalog.lo_create('16400');\nALTER LARGE OBJECT 16400 OWNER TO shop;\nBEGIN;\n\
         SELECT pg_catalog.lo_open('16400', 131072);\nSELECT pg_catalog.lowrite(0, '\\x6d61726965');\n\
         SELECT pg_catalog.lo_close(0);\nCOMMIT;\n{END}"
    );
    let (copy, finished) = mask_chunks("", dump.as_bytes(), 20).expect("is taken");
    assert_eq!(finished.report.dropped, 5);
    let copy = String::from_utf8(copy).expect("is UTF-8");
    assert_eq!(copy.trim_start(), format!("BEGIN;\nCOMMIT;\n{END}"));
}

#[test]
fn what_looks_personal_must_be_declared() {
    let columns = [
        ("id", "bigint"),
        ("first_name", "text"),
        ("\"City\"", "text"),
        ("born", "date"),
        ("comment", "text"),
        ("profile", "jsonb"),
        ("email_verified", "boolean"),
    ];
    let rows = [
        "1\tMarie\tParis\t1984-02-29\tnothing\t{\"plan\": \"free\"}\tt",
        "2\tJos\u{e9}\tLisboa\t1990-12-01\twrite to jose@dropit.example\t{\"contact\": {\"phone\": \"1\"}}\tf",
    ];
    assert_snapshot!("undeclared", refused("", &table(&columns, &rows)));
    let declared = rules(
        "first_name = \"first_name\"\nCity = \"keep\"\nborn = \"null\"\ncomment = \"null\"\nprofile = \"keep\"",
    );
    masked(&declared, &table(&columns, &rows));
}

#[test]
fn nothing_comes_out_once_it_is_refused() {
    let mut masker = Masker::new(policy(""), salt());
    let mut out = Vec::new();
    masker
        .push(table(&COLUMNS, &["1\tmarie@dropit.example"]).as_bytes(), &mut out)
        .expect("is read to its end");
    assert!(masker.is_refused());
    assert!(!String::from_utf8(out.clone()).expect("is UTF-8").contains("marie"));
    assert!(matches!(masker.finish(&mut out), Err(MaskError::Undeclared(_))));
}

#[test]
fn rules_that_do_not_fit_the_database() {
    let columns = [
        ("id", "bigint NOT NULL"),
        ("email", "character varying(20)"),
        ("login", "text NOT NULL"),
        ("age", "integer"),
        ("tags", "text[]"),
    ];
    let text = "[tables.\"public.t\".columns]\nemial = \"email\"\nemail = \"email\"\nlogin = \"null\"\nage = \"name\"\n\
                tags = \"hash\"\n\n[tables.\"public.users\"]\nrows = \"none\"\n\n[tables.\"public.T\".columns]\nx = \"keep\"\n";
    assert_snapshot!("unfit", refused(text, &table(&columns, &[])));
}

#[test]
fn keys_and_references_must_hold() {
    let dump = format!(
        "CREATE TABLE public.u (id bigint NOT NULL, name text);\n\
         CREATE TABLE public.o (id bigint NOT NULL, u bigint, who text);\n\
         ALTER TABLE ONLY public.u ADD CONSTRAINT a UNIQUE (name);\n\
         CREATE UNIQUE INDEX b ON public.o USING btree (lower(who));\n\
         ALTER TABLE ONLY public.o ADD CONSTRAINT c FOREIGN KEY (u) REFERENCES public.u(id);\n{END}"
    );
    let text = "[tables.\"public.u\"]\nrows = { first = 10 }\n[tables.\"public.u\".columns]\nid = \"digits\"\nname = \"name\"\n\
                [tables.\"public.o\".columns]\nwho = { partial = { keep_last = 2 } }\n";
    assert_snapshot!("keys", refused(text, &dump));
    let good = "[tables.\"public.u\".columns]\nid = \"digits\"\nname = \"hash\"\n\
                [tables.\"public.o\"]\nrows = { hash_percent = 10 }\n[tables.\"public.o\".columns]\nu = \"digits\"\n";
    masked(good, &dump);
}

#[test]
fn rows_are_a_part_that_is_always_the_same() {
    let rows: Vec<String> = (0..1000).map(|number| format!("{number}\t\\N")).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let dump = table(&COLUMNS, &rows);
    let copied = |choice: &str| {
        let text = format!("[tables.\"public.t\"]\nrows = {choice}\n{RULES}");
        let (_, finished) = mask_chunks(&text, dump.as_bytes(), 1000).expect("is taken");
        finished.report.tables.values().next().expect("is there").copied
    };
    assert_eq!(copied("\"all\""), 1000);
    assert_eq!(copied("\"none\""), 0);
    assert_eq!(copied("{ first = 10 }"), 10);
    let tenth = copied("{ hash_percent = 10 }");
    assert!((50..200).contains(&tenth), "{tenth}");
    assert_eq!(tenth, copied("{ hash_percent = 10 }"));
}

#[test]
fn partitions_follow_their_table() {
    let dump = format!(
        "CREATE TABLE public.t (id bigint, email text)\nPARTITION BY RANGE (id);\n\
         CREATE TABLE public.t1 (id bigint, email text);\n\
         ALTER TABLE ONLY public.t ATTACH PARTITION public.t1 FOR VALUES FROM (1) TO (9);\n\
         COPY public.t1 (id, email) FROM stdin;\n1\tmarie@dropit.example\n\\.\n{END}"
    );
    assert!(!masked(RULES, &dump).contains("marie"));
    let error = refused("", &dump);
    assert!(error.contains("[tables.\"public.t\".columns]") && !error.contains("public.t1"), "{error}");
}
