//! What tasks get of secrets; and laws of the redactor: where a text is cut changes nothing, and no value survives.

use std::collections::BTreeMap;

use havre_core::name::EnvKey;
use havre_core::secret::Secret;
use havre_core::secret::dotenv::parse;
use havre_core::secret::variables::{derive_variables, secrets_of};
use havre_core::service::spec::TaskWork;
use havre_decide::secret::redact::Redactor;
use proptest::prelude::*;

use crate::sample;

fn key(name: &str) -> EnvKey {
    name.parse().expect("a name")
}

fn secretive() -> TaskWork {
    let env = [("PLAIN", "1"), ("URL", "x${secrets.B}y")];
    let env = env.map(|(name, value)| (key(name), value.to_owned())).into();
    TaskWork { secrets: [key("A")].into(), env, ..sample::work() }
}

#[test]
fn tasks_get_secrets_by_name_and_by_reference() {
    let work = secretive();
    assert_eq!(secrets_of(&work), [key("A"), key("B")].into());
    let mut values = BTreeMap::from([(key("A"), Secret::from("one")), (key("OTHER"), Secret::from("x"))]);
    assert_eq!(derive_variables(&work, &values), Err([key("B")].into()));
    values.insert(key("B"), Secret::from("two"));
    let variables = derive_variables(&work, &values).expect("nothing is missing");
    let found: Vec<(&str, Option<&str>)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.expose_text())).collect();
    assert_eq!(found, [("A", Some("one")), ("URL", Some("xtwoy"))]);
    assert_eq!(format!("{variables:?}"), "{EnvKey(\"A\"), EnvKey(\"URL\")}");
}

#[test]
fn a_specification_without_secrets_is_written_as_before() {
    let text = serde_json::to_string(&sample::work()).expect("JSON");
    assert!(!text.contains("secrets"), "{text}");
    let read: TaskWork = serde_json::from_str(&text).expect("the same form");
    assert_eq!(read, sample::work());
}

fn redactor(values: &[String]) -> Redactor {
    let mut redactor = Redactor::default();
    for (index, value) in values.iter().enumerate() {
        let name: EnvKey = format!("S{index}").parse().expect("a name");
        redactor.add(&name, &Secret::from(value.as_str()));
    }
    redactor
}

/// Texts of few letters, so that values overlap, with values in between.
fn text(values: Vec<String>) -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![prop::sample::select(values), "[ab%=\n]{0,12}"], 0..8)
        .prop_map(|pieces| pieces.concat())
}

fn world() -> impl Strategy<Value = (Vec<String>, String, Vec<usize>)> {
    let values = prop::collection::vec("[ab]{8,12}", 1..4);
    values.prop_flat_map(|values| {
        (Just(values.clone()), text(values), prop::collection::vec(0_usize..20, 0..20))
    })
}

proptest! {
    #[test]
    fn where_it_is_cut_changes_nothing_and_no_value_survives((values, text, cuts) in world()) {
        let redactor = redactor(&values);
        let whole = redactor.text(text.clone());
        let (mut stream, mut out) = (redactor.stream(), Vec::new());
        let mut rest = text.as_bytes();
        for cut in cuts {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            stream.push(piece, &mut out);
            rest = behind;
        }
        stream.push(rest, &mut out);
        stream.finish(&mut out);
        prop_assert_eq!(String::from_utf8(out).expect("is text"), whole.clone());
        for value in &values {
            prop_assert!(!whole.contains(value.as_str()), "{} in {}", value, whole);
        }
    }

    #[test]
    fn no_file_of_variables_panics(text in "(?s).{0,100}", lines in "([A-C]?=?[\"'#\\\\a \n]{0,6}){0,8}") {
        for text in [text, lines] {
            let _ = parse(&text).map_err(|problems| problems.len());
        }
    }

    #[test]
    fn text_without_values_stays(text in "[c-z \n]{0,200}") {
        prop_assert_eq!(redactor(&["abababab".to_owned()]).text(text.clone()), text);
    }
}
