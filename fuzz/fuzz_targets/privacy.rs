//! Masked copies: rules and a dump in any chunks become the same copy or the same refusal, and no value that was planted in a masked column
//! comes out.
#![no_main]

use havre_core::secret::Secret;
use havre_privacy::masker::Masker;
use havre_privacy::policy::Policy;
use havre_privacy::salt::Salt;
use libfuzzer_sys::fuzz_target;

const RULES: &str = r#"
[tables."public.users".columns]
email = "email"
name = "name"
phone = "phone"
born = { dates_shifted = { within = "30d", by = "id" } }
notes = "null"
iban = { partial = { keep_last = 4 } }
profile = { json = { "/address/city" = "hash" } }
"#;

/// A table whose rows are all masked.
const HEAD: &str =
    "CREATE TABLE public.users (\n    secret text\n);\nCOPY public.users (secret) FROM stdin;\n";
const FOOT: &str = "\\.\n-- PostgreSQL database dump complete\n";
const HASHED: &str = "[tables.\"public.users\".columns]\nsecret = \"hash\"\n";

/// The copy, or why there is none.
fn copy(policy: &Policy, dump: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let salt = Salt::new(&Secret::from("correct horse battery staple")).expect("is long enough");
    let mut masker = Masker::new(policy.clone(), salt).with_row_max(1 << 20);
    let mut out = Vec::new();
    for chunk in dump.chunks(size) {
        masker.push(chunk, &mut out).map_err(|error| error.to_string())?;
    }
    masker.finish(&mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

fuzz_target!(|bytes: &[u8]| {
    let [size, rest @ ..] = bytes else { return };
    let size = usize::from(*size) + 1;
    let text = String::from_utf8_lossy(rest);
    let _ = Policy::parse(&text).map_err(|error| error.to_string());
    let policy = Policy::parse(RULES).expect("is right");
    assert_eq!(copy(&policy, rest, size), copy(&policy, rest, usize::MAX));

    // The same bytes as rows of a masked column.
    let policy = Policy::parse(HASHED).expect("is right");
    let mut dump = HEAD.as_bytes().to_vec();
    let rows: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').filter(|row| *row != b"\\.").collect();
    for row in &rows {
        dump.extend_from_slice(row);
        dump.push(b'\n');
    }
    dump.extend_from_slice(FOOT.as_bytes());
    if let Ok(copy) = copy(&policy, &dump, size) {
        let body = &copy[HEAD.len()..copy.len() - FOOT.len()];
        for (row, masked) in rows.iter().zip(body.split(|byte| *byte == b'\n')) {
            let stays = row.is_empty() || **row == *b"\\N";
            assert!(stays || (masked.len() == 32 && masked != *row));
        }
    }
});
