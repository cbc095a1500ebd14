//! Tests of masked copies: what `privacy.toml` may say, what becomes of a dump, and what is refused.

mod golden;
mod leak;
mod person;
mod policy;
mod property;
mod refused;

use havre_core::secret::Secret;
use havre_privacy::error::MaskError;
use havre_privacy::masker::{Finished, Masker};
use havre_privacy::policy::Policy;
use havre_privacy::salt::Salt;

/// What a whole dump ends with.
const END: &str = "--\n-- PostgreSQL database dump complete\n--\n\n";

fn salt() -> Salt {
    Salt::new(&Secret::from("correct horse battery staple")).expect("is long enough")
}

fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap_or_else(|error| panic!("must be understood:\n{error}"))
}

/// A dump by these rules, in chunks of this size.
fn mask_chunks(rules: &str, dump: &[u8], size: usize) -> Result<(Vec<u8>, Finished), MaskError> {
    let mut masker = Masker::new(policy(rules), salt());
    let mut out = Vec::new();
    for chunk in dump.chunks(size) {
        masker.push(chunk, &mut out)?;
    }
    let finished = masker.finish(&mut out)?;
    Ok((out, finished))
}

/// The masked text of a dump that is taken.
fn masked(rules: &str, dump: &str) -> String {
    match mask_chunks(rules, dump.as_bytes(), 1 << 16) {
        Ok((out, _)) => String::from_utf8(out).expect("is UTF-8"),
        Err(error) => panic!("must be taken: {error}"),
    }
}

/// Why a dump is refused.
fn refused(rules: &str, dump: &str) -> String {
    match mask_chunks(rules, dump.as_bytes(), 1 << 16) {
        Ok(_) => panic!("must be refused"),
        Err(error) => error.to_string(),
    }
}

/// A table `public.t` with these columns and rows, as pg_dump writes it.
fn table(columns: &[(&str, &str)], rows: &[&str]) -> String {
    let types: Vec<String> = columns.iter().map(|(name, kind)| format!("    {name} {kind}")).collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    format!(
        "CREATE TABLE public.t (\n{}\n);\n\nCOPY public.t ({}) FROM stdin;\n{rows}\\.\n\n{END}",
        types.join(",\n"),
        names.join(", ")
    )
}
