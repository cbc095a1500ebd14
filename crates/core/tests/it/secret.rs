//! Laws of the redactor: where a text is cut changes nothing, and no value survives.

use havre_core::secret::Secret;
use havre_core::secret::redact::Redactor;
use proptest::prelude::*;

fn redactor(values: &[String]) -> Redactor {
    let mut redactor = Redactor::default();
    for (index, value) in values.iter().enumerate() {
        let name = format!("S{index}").parse().expect("a name");
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
    fn text_without_values_stays(text in "[c-z \n]{0,200}") {
        prop_assert_eq!(redactor(&["abababab".to_owned()]).text(text.clone()), text);
    }
}
