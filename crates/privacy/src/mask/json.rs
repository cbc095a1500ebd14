//! Values inside of JSON: replaces those that a path names and leaves every other byte as it is; tells where something looks personal and no
//! path says what becomes of it. Tests: at the end.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use crate::dump::table::ColumnType;
use crate::mask::{JsonRule, JsonStep, Mask, Masked, Painter, Unmasked, digits};
use crate::personal;

/// Deepest nesting that is read; PostgreSQL itself allows more than anybody writes.
const DEPTH_MAX: usize = 128;
/// Most paths that are proposed for one column.
const FOUND_MAX: usize = 50;

const TEXT: ColumnType = ColumnType::Text { limit: None };

/// Paths that look personal and are not declared, each with the mask that is proposed.
pub(crate) type Found = BTreeMap<String, &'static str>;

/// Masks one document.
///
/// # Errors
/// It is not JSON, or a value in it cannot be masked.
pub(crate) fn mask(
    painter: &Painter,
    rules: &[JsonRule],
    text: &str,
    found: &mut Found,
) -> Result<String, Unmasked> {
    let _: IgnoredAny = serde_json::from_str(text).map_err(|_| Unmasked::NotJson)?;
    let mut visit = |path: &[JsonStep], raw: &str| match rules.iter().find(|rule| rule.steps == path) {
        Some(rule) => replace(painter, &rule.mask, raw),
        None => {
            let is_declared = rules.iter().any(|rule| path.starts_with(&rule.steps));
            if !is_declared && found.len() < FOUND_MAX {
                find(path, raw, found);
            }
            Ok(None)
        }
    };
    let mut walker = Walker {
        text,
        at: 0,
        path: Vec::new(),
        out: String::with_capacity(text.len()),
        muted: 0,
        visit: &mut visit,
    };
    walker.value()?;
    walker.space();
    Ok(walker.out)
}

/// What stands for a value; `None` when it stays.
fn replace(painter: &Painter, mask: &Mask, raw: &str) -> Result<Option<String>, Unmasked> {
    let first = raw.bytes().next().unwrap_or_default();
    match mask {
        Mask::Keep => return Ok(None),
        // NULL stays NULL whatever the mask.
        _ if first == b'n' => return Ok(None),
        Mask::Null => return Ok(Some("null".to_owned())),
        _ => {}
    }
    let text = match first {
        // What is no text has no form that could be kept.
        b'{' | b'[' | b't' | b'f' => return Ok(Some("null".to_owned())),
        b'"' => serde_json::from_str::<String>(raw).map_err(|_| Unmasked::NotJson)?,
        _ if matches!(mask, Mask::Digits) && !raw.contains(['e', 'E']) => {
            return Ok(Some(digits::digits(painter.salt(), raw)));
        }
        _ if matches!(mask, Mask::Digits | Mask::DatesShifted { .. }) => return Ok(Some("null".to_owned())),
        _ => raw.to_owned(),
    };
    match painter.paint(mask, &TEXT, text.as_bytes(), None)? {
        Masked::Null => Ok(Some("null".to_owned())),
        Masked::Same => Ok(None),
        Masked::Text(painted) => serde_json::to_string(&painted).map(Some).map_err(|_| Unmasked::NotJson),
    }
}

fn find(path: &[JsonStep], raw: &str, found: &mut Found) {
    if matches!(raw, "{" | "[" | "null" | "true" | "false" | "\"\"") {
        return;
    }
    let name = path.iter().rev().find_map(|step| match step {
        JsonStep::Key(key) => Some(key.as_str()),
        JsonStep::Element => None,
    });
    let proposal = match name.and_then(|name| personal::by_name(name, &TEXT)) {
        Some(proposal) => Some(proposal),
        None => personal::by_content(raw.trim_matches('"').as_bytes()).map(|content| content.proposal),
    };
    if let (Some(proposal), false) = (proposal, path.is_empty()) {
        found.insert(pointer(path), proposal);
    }
}

/// A path as `privacy.toml` writes it.
fn pointer(path: &[JsonStep]) -> String {
    let steps = path.iter().map(|step| match step {
        JsonStep::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        JsonStep::Element => "/*".to_owned(),
    });
    steps.collect()
}

type Visit<'w> = dyn FnMut(&[JsonStep], &str) -> Result<Option<String>, Unmasked> + 'w;

/// Goes through a document that is known to be valid, and writes it again.
struct Walker<'w, 'v> {
    text: &'w str,
    at: usize,
    path: Vec<JsonStep>,
    out: String,
    /// Inside of how many values that are replaced as a whole.
    muted: usize,
    visit: &'w mut Visit<'v>,
}

impl<'w> Walker<'w, '_> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.take(1);
        }
    }

    /// Writes so many bytes of ASCII as they are.
    fn take(&mut self, length: usize) {
        let text = self.text;
        self.out.push_str(&text[self.at..self.at + length]);
        self.at += length;
    }

    fn visit(&mut self, raw: &str) -> Result<Option<String>, Unmasked> {
        if self.muted > 0 {
            return Ok(None);
        }
        (self.visit)(&self.path, raw)
    }

    fn value(&mut self) -> Result<(), Unmasked> {
        if self.path.len() > DEPTH_MAX {
            return Err(Unmasked::DeepJson);
        }
        self.space();
        let raw = match self.peek() {
            b'{' => return self.whole("{"),
            b'[' => return self.whole("["),
            b'"' => self.string()?,
            _ => self.bare()?,
        };
        let replacement = self.visit(raw)?;
        self.out.push_str(replacement.as_deref().unwrap_or(raw));
        Ok(())
    }

    /// An object or a list, replaced or not.
    fn whole(&mut self, open: &str) -> Result<(), Unmasked> {
        let start = self.out.len();
        let replacement = self.visit(open)?;
        self.muted += usize::from(replacement.is_some());
        self.elements(open == "{")?;
        if let Some(replacement) = replacement {
            self.muted -= 1;
            self.out.truncate(start);
            self.out.push_str(&replacement);
        }
        Ok(())
    }

    fn elements(&mut self, is_object: bool) -> Result<(), Unmasked> {
        self.take(1);
        self.space();
        if matches!(self.peek(), b'}' | b']') {
            self.take(1);
            return Ok(());
        }
        loop {
            let mut step = JsonStep::Element;
            if is_object {
                self.space();
                let raw = self.string()?;
                self.out.push_str(raw);
                let key: String = serde_json::from_str(raw).map_err(|_| Unmasked::NotJson)?;
                step = JsonStep::Key(key);
                self.space();
                if self.peek() != b':' {
                    return Err(Unmasked::NotJson);
                }
                self.take(1);
            }
            self.path.push(step);
            self.value()?;
            self.path.pop();
            self.space();
            match self.peek() {
                b',' => self.take(1),
                b'}' | b']' => {
                    self.take(1);
                    return Ok(());
                }
                _ => return Err(Unmasked::NotJson),
            }
        }
    }

    /// A text with its quotes; writes nothing.
    fn string(&mut self) -> Result<&'w str, Unmasked> {
        let (text, start) = (self.text, self.at);
        if self.peek() != b'"' {
            return Err(Unmasked::NotJson);
        }
        self.at += 1;
        loop {
            match text.as_bytes().get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(Unmasked::NotJson),
            }
        }
        self.at += 1;
        text.get(start..self.at).ok_or(Unmasked::NotJson)
    }

    /// A number, `true`, `false` or `null`; writes nothing.
    fn bare(&mut self) -> Result<&'w str, Unmasked> {
        let (text, start) = (self.text, self.at);
        while matches!(self.peek(), b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.') {
            self.at += 1;
        }
        if self.at == start { Err(Unmasked::NotJson) } else { Ok(&text[start..self.at]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salt::Salt;
    use havre_core::secret::Secret;

    fn painter() -> Painter {
        Painter::new(Salt::new(&Secret::from("correct horse battery staple")).unwrap())
    }

    fn key(key: &str) -> JsonStep {
        JsonStep::Key(key.to_owned())
    }

    fn rule(steps: Vec<JsonStep>, mask: Mask) -> JsonRule {
        JsonRule { steps, mask }
    }

    fn masked(rules: &[JsonRule], text: &str) -> Result<(String, Vec<String>), Unmasked> {
        let mut found = Found::new();
        let masked = mask(&painter(), rules, text, &mut found)?;
        Ok((masked, found.into_iter().map(|(path, proposal)| format!("{path}={proposal}")).collect()))
    }

    #[test]
    fn only_what_a_path_names_changes() {
        let rules = [
            rule(vec![key("a"), key("b")], Mask::Null),
            rule(vec![key("c"), JsonStep::Element, key("d")], Mask::Constant("x\"y".to_owned())),
            rule(vec![key("e")], Mask::Null),
            rule(vec![key("f~/g")], Mask::Null),
        ];
        let text = r#" {"a" : {"b": "secret", "k": 1.50e3 }, "c":[{"d":"s"}, {"d":null},{}],"e":{"z":[1,2]}, "f~\/g":7} "#;
        let expected = r#" {"a" : {"b": null, "k": 1.50e3 }, "c":[{"d":"x\"y"}, {"d":null},{}],"e":null, "f~\/g":null} "#;
        assert_eq!(masked(&rules, text), Ok((expected.to_owned(), Vec::new())));
    }

    #[test]
    fn a_text_in_json_is_masked_like_one_in_a_column() {
        let rules = [rule(vec![key("email")], Mask::Email)];
        let Ok((found, _)) = masked(&rules, r#"{"email": "jos\u00e9@dropit.example"}"#) else {
            panic!("is JSON")
        };
        let Ok(Masked::Text(plain)) =
            painter().paint(&Mask::Email, &TEXT, "josé@dropit.example".as_bytes(), None)
        else {
            panic!("is text")
        };
        assert_eq!(found, format!("{{\"email\": \"{plain}\"}}"));
    }

    #[test]
    fn numbers_stay_numbers() {
        let rules = [rule(vec![JsonStep::Element], Mask::Digits)];
        let (found, _) = masked(&rules, "[123456, -0.25, 1e5, true]").unwrap();
        let parts: Vec<&str> = found.trim_matches(['[', ']']).split(", ").collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [6, 5, 4, 4]);
        assert!(parts[1].starts_with("-0.") && parts[2] == "null" && parts[3] == "null", "{found}");
    }

    #[test]
    fn what_looks_personal_is_found() {
        let text = r#"{"phone":"1","x":{"city":"Lyon","e":"marie@dropit.example"},"l":[{"email":"a"}],"email":null,"plan":"free"}"#;
        let (same, found) = masked(&[], text).unwrap();
        assert_eq!(same, text);
        assert_eq!(found, ["/l/*/email=email", "/phone=phone", "/x/city=hash", "/x/e=email"]);
        let rules = [rule(vec![key("x")], Mask::Keep), rule(vec![key("phone")], Mask::Null)];
        assert_eq!(masked(&rules, text).unwrap().1, ["/l/*/email=email"]);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for wrong in ["", "{", "{\"a\":1,}", "[1 2]", "nul", "\"a", "{\"a\" 1}", "[1]]"] {
            assert_eq!(masked(&[], wrong), Err(Unmasked::NotJson), "{wrong}");
        }
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(masked(&[], &deep), Err(Unmasked::DeepJson));
    }
}
