//! What looks personal: by the name of a column, in English, French and German, and by what stands in it. It errs on the side of asking:
//! who knows better writes `keep`. Tests: at the end.

use std::net::IpAddr;

use crate::dump::table::ColumnType;

/// Most bytes of a value that are looked at.
const CONTENT_MAX: usize = 4096;

/// What a word in a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Email,
    Name,
    FirstName,
    LastName,
    Phone,
    /// Where somebody lives.
    Place,
    Birth,
    /// A number that belongs to one person.
    Number,
    Network,
    Secret,
    /// A degree of latitude or longitude.
    Degree,
    /// Something else that is said of a person.
    Trait,
}

/// Words, each as one part of a name: `billing_email` has two.
const WORDS: [(&str, Meaning); 128] = [
    ("email", Meaning::Email),
    ("emails", Meaning::Email),
    ("mail", Meaning::Email),
    ("courriel", Meaning::Email),
    ("recipient", Meaning::Email),
    ("name", Meaning::Name),
    ("fullname", Meaning::Name),
    ("username", Meaning::Name),
    ("nickname", Meaning::Name),
    ("login", Meaning::Name),
    ("author", Meaning::Name),
    ("owner", Meaning::Name),
    ("contact", Meaning::Name),
    ("pseudo", Meaning::Name),
    ("firstname", Meaning::FirstName),
    ("forename", Meaning::FirstName),
    ("givenname", Meaning::FirstName),
    ("given", Meaning::FirstName),
    ("prenom", Meaning::FirstName),
    ("prénom", Meaning::FirstName),
    ("vorname", Meaning::FirstName),
    ("lastname", Meaning::LastName),
    ("surname", Meaning::LastName),
    ("familyname", Meaning::LastName),
    ("maiden", Meaning::LastName),
    ("nom", Meaning::LastName),
    ("nachname", Meaning::LastName),
    ("phone", Meaning::Phone),
    ("phones", Meaning::Phone),
    ("phonenumber", Meaning::Phone),
    ("telephone", Meaning::Phone),
    ("téléphone", Meaning::Phone),
    ("telefon", Meaning::Phone),
    ("tel", Meaning::Phone),
    ("mobile", Meaning::Phone),
    ("portable", Meaning::Phone),
    ("handy", Meaning::Phone),
    ("fax", Meaning::Phone),
    ("sms", Meaning::Phone),
    ("whatsapp", Meaning::Phone),
    ("address", Meaning::Place),
    ("addresses", Meaning::Place),
    ("adresse", Meaning::Place),
    ("street", Meaning::Place),
    ("rue", Meaning::Place),
    ("strasse", Meaning::Place),
    ("city", Meaning::Place),
    ("town", Meaning::Place),
    ("ville", Meaning::Place),
    ("commune", Meaning::Place),
    ("stadt", Meaning::Place),
    ("zip", Meaning::Place),
    ("zipcode", Meaning::Place),
    ("postcode", Meaning::Place),
    ("postal", Meaning::Place),
    ("postalcode", Meaning::Place),
    ("codepostal", Meaning::Place),
    ("cp", Meaning::Place),
    ("plz", Meaning::Place),
    ("birth", Meaning::Birth),
    ("birthday", Meaning::Birth),
    ("birthdate", Meaning::Birth),
    ("dateofbirth", Meaning::Birth),
    ("born", Meaning::Birth),
    ("dob", Meaning::Birth),
    ("naissance", Meaning::Birth),
    ("né", Meaning::Birth),
    ("geburt", Meaning::Birth),
    ("geburtsdatum", Meaning::Birth),
    ("geboren", Meaning::Birth),
    ("death", Meaning::Birth),
    ("deceased", Meaning::Birth),
    ("ssn", Meaning::Number),
    ("nir", Meaning::Number),
    ("nin", Meaning::Number),
    ("passport", Meaning::Number),
    ("passeport", Meaning::Number),
    ("cni", Meaning::Number),
    ("licence", Meaning::Number),
    ("permis", Meaning::Number),
    ("vat", Meaning::Number),
    ("tva", Meaning::Number),
    ("siret", Meaning::Number),
    ("siren", Meaning::Number),
    ("iban", Meaning::Number),
    ("bic", Meaning::Number),
    ("rib", Meaning::Number),
    ("card", Meaning::Number),
    ("carte", Meaning::Number),
    ("pan", Meaning::Number),
    ("cvv", Meaning::Number),
    ("cvc", Meaning::Number),
    ("plate", Meaning::Number),
    ("immatriculation", Meaning::Number),
    ("ip", Meaning::Network),
    ("ips", Meaning::Network),
    ("ipaddress", Meaning::Network),
    ("ipaddr", Meaning::Network),
    ("mac", Meaning::Network),
    ("useragent", Meaning::Network),
    ("password", Meaning::Secret),
    ("passwd", Meaning::Secret),
    ("pwd", Meaning::Secret),
    ("passe", Meaning::Secret),
    ("passwort", Meaning::Secret),
    ("token", Meaning::Secret),
    ("tokens", Meaning::Secret),
    ("secret", Meaning::Secret),
    ("secrets", Meaning::Secret),
    ("apikey", Meaning::Secret),
    ("otp", Meaning::Secret),
    ("totp", Meaning::Secret),
    ("session", Meaning::Secret),
    ("cookie", Meaning::Secret),
    ("credential", Meaning::Secret),
    ("credentials", Meaning::Secret),
    ("lat", Meaning::Degree),
    ("lon", Meaning::Degree),
    ("lng", Meaning::Degree),
    ("latitude", Meaning::Degree),
    ("longitude", Meaning::Degree),
    ("gender", Meaning::Trait),
    ("sex", Meaning::Trait),
    ("sexe", Meaning::Trait),
    ("civilite", Meaning::Trait),
    ("religion", Meaning::Trait),
    ("salary", Meaning::Trait),
    ("salaire", Meaning::Trait),
];

/// The mask to propose for a column of this name; `None` when the name says nothing of a person.
pub(crate) fn by_name(name: &str, kind: &ColumnType) -> Option<&'static str> {
    let words = words(name);
    let is_reference = words.last().is_some_and(|word| word == "id")
        && matches!(kind, ColumnType::Integer | ColumnType::Uuid);
    if is_reference {
        return None;
    }
    // `first_name` is more than `name`.
    let pair = |one: &str, two: &str| words.windows(2).any(|pair| pair[0] == one && pair[1] == two);
    if pair("first", "name") || pair("given", "name") {
        return propose(Meaning::FirstName, kind);
    }
    if pair("last", "name") || pair("family", "name") || pair("birth", "name") {
        return propose(Meaning::LastName, kind);
    }
    if pair("user", "agent") || pair("ip", "address") || pair("ip", "addr") {
        return propose(Meaning::Network, kind);
    }
    words.iter().find_map(|word| {
        let (_, meaning) = WORDS.iter().find(|(known, _)| known == word)?;
        propose(*meaning, kind)
    })
}

/// Parts of a name, in lower case: `userEmail2` is `user` and `email`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for character in name.chars() {
        let begins = !character.is_alphabetic() || (character.is_uppercase() && was_lower);
        if begins {
            words.push(String::new());
        }
        if let (true, Some(word)) = (character.is_alphabetic(), words.last_mut()) {
            word.extend(character.to_lowercase());
        }
        was_lower = character.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What suits the type. Of dates only those of a life are personal, of numbers only those that name somebody.
fn propose(meaning: Meaning, kind: &ColumnType) -> Option<&'static str> {
    match kind {
        ColumnType::Boolean => None,
        ColumnType::Date => (meaning == Meaning::Birth).then_some("{ dates_shifted = \"30d\" }"),
        ColumnType::Integer => matches!(
            meaning,
            Meaning::Phone
                | Meaning::Number
                | Meaning::Birth
                | Meaning::Network
                | Meaning::Trait
                | Meaning::Degree
        )
        .then_some("digits"),
        ColumnType::Number => {
            matches!(meaning, Meaning::Degree | Meaning::Number | Meaning::Phone | Meaning::Trait)
                .then_some("digits")
        }
        ColumnType::Address => Some("ip"),
        ColumnType::Uuid => (meaning == Meaning::Secret).then_some("hash"),
        ColumnType::Bytes => Some("hash"),
        ColumnType::Json | ColumnType::Array => Some("null"),
        ColumnType::Text { .. } | ColumnType::Other => Some(match meaning {
            Meaning::Email => "email",
            Meaning::Name => "name",
            Meaning::FirstName => "first_name",
            Meaning::LastName => "last_name",
            Meaning::Phone => "phone",
            Meaning::Number => "{ partial = { keep_last = 4 } }",
            Meaning::Place | Meaning::Secret | Meaning::Network => "hash",
            Meaning::Birth | Meaning::Degree | Meaning::Trait => "null",
        }),
    }
}

/// What a value gives away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    /// For people: `holds ...`.
    pub(crate) what: &'static str,
    pub(crate) proposal: &'static str,
}

/// What a value looks like, as it stands in the dump.
pub(crate) fn by_content(value: &[u8]) -> Option<Content> {
    let value = &value[..value.len().min(CONTENT_MAX)];
    if has_email(value) {
        return Some(Content { what: "an address of e-mail", proposal: "email" });
    }
    // The others are the whole value.
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= 48)?.trim();
    if is_iban(text) {
        return Some(Content { what: "an IBAN", proposal: "{ partial = { keep_last = 4 } }" });
    }
    if is_phone(text) {
        return Some(Content { what: "a number of the telephone", proposal: "phone" });
    }
    if is_card(text) {
        return Some(Content { what: "a number of a card", proposal: "{ partial = { keep_last = 4 } }" });
    }
    let is_address = text.contains(['.', ':']) && text.parse::<IpAddr>().is_ok();
    is_address.then_some(Content { what: "an address of the network", proposal: "ip" })
}

/// Something, `@`, and a domain with a dot.
fn has_email(value: &[u8]) -> bool {
    let is_local = |byte: u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(&byte) || byte >= 0x80;
    let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte) || byte >= 0x80;
    value.iter().enumerate().filter(|(_, byte)| **byte == b'@').any(|(at, _)| {
        let begins = at > 0 && is_local(value[at - 1]);
        let domain = value[at + 1..].split(|byte| !is_domain(*byte)).next().unwrap_or_default();
        let dot = domain.iter().position(|byte| *byte == b'.');
        begins && dot.is_some_and(|dot| dot > 0 && domain.len() >= dot + 3)
    })
}

/// Fifteen to 34 letters and digits that leave 1 when divided by 97 (ISO 13616).
fn is_iban(text: &str) -> bool {
    let bytes: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let is_shape = (15..=34).contains(&bytes.len())
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2..4].iter().all(u8::is_ascii_digit)
        && bytes.iter().all(u8::is_ascii_alphanumeric);
    if !is_shape {
        return false;
    }
    let (front, back) = bytes.split_at(4);
    let rest = back.iter().chain(front).try_fold(0_u32, |rest, byte| {
        let digit = char::from(*byte).to_digit(36)?;
        let shift = if digit < 10 { 10 } else { 100 };
        Some((rest * shift + digit) % 97)
    });
    rest == Some(1)
}

/// A plus, eight to fifteen digits, and what people write between them.
fn is_phone(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('+') else { return false };
    let digits = rest.bytes().filter(u8::is_ascii_digit).count();
    (8..=15).contains(&digits) && rest.bytes().all(|byte| byte.is_ascii_digit() || b" .-()/".contains(&byte))
}

/// Fifteen or sixteen digits whose sum is right (Luhn). One in ten numbers of that length is taken for one.
fn is_card(text: &str) -> bool {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ' || byte == b'-') {
        return false;
    }
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(10)).collect();
    if !(15..=16).contains(&digits.len()) || !(2..=6).contains(&digits[0]) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, *digit) {
            (0, digit) => digit,
            (_, digit) if digit < 5 => 2 * digit,
            (_, digit) => 2 * digit - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: ColumnType = ColumnType::Text { limit: None };

    #[test]
    fn names_are_read_by_their_words() {
        let rows = [
            ("email", Some("email")),
            ("billing_email", Some("email")),
            ("userEmail2", Some("email")),
            ("first_name", Some("first_name")),
            ("firstName", Some("first_name")),
            ("nom", Some("last_name")),
            ("date_de_naissance", Some("null")),
            ("code_postal", Some("hash")),
            ("mot_de_passe", Some("hash")),
            ("ip_address", Some("hash")),
            ("iban", Some("{ partial = { keep_last = 4 } }")),
            ("description", None),
            ("ship", None),
            ("nominal", None),
            ("plan", None),
            ("", None),
        ];
        for (name, expected) in rows {
            assert_eq!(by_name(name, &TEXT), expected, "{name}");
        }
    }

    #[test]
    fn the_type_counts() {
        assert_eq!(by_name("email_verified", &ColumnType::Boolean), None);
        assert_eq!(by_name("email_verified_at", &ColumnType::Date), None);
        assert_eq!(by_name("born", &ColumnType::Date), Some("{ dates_shifted = \"30d\" }"));
        assert_eq!(by_name("address_id", &ColumnType::Integer), None);
        assert_eq!(by_name("card_id", &ColumnType::Uuid), None);
        assert_eq!(by_name("phone", &ColumnType::Integer), Some("digits"));
        assert_eq!(by_name("last_ip", &ColumnType::Address), Some("ip"));
        assert_eq!(by_name("lat", &ColumnType::Number), Some("digits"));
    }

    #[test]
    fn contents_give_people_away() {
        let rows = [
            ("call marie@dropit.example today", Some("email")),
            ("@handle a@b x@y.z", None),
            ("GB82 WEST 1234 5698 7654 32", Some("{ partial = { keep_last = 4 } }")),
            ("GB82 WEST 1234 5698 7654 33", None),
            ("+33 6 12 34 56 78", Some("phone")),
            ("+1", None),
            ("4111 1111 1111 1111", Some("{ partial = { keep_last = 4 } }")),
            ("4111 1111 1111 1112", None),
            ("203.0.113.7", Some("ip")),
            ("2001:db8::1", Some("ip")),
            ("1.2.3", None),
            ("", None),
        ];
        for (value, expected) in rows {
            assert_eq!(by_content(value.as_bytes()).map(|content| content.proposal), expected, "{value}");
        }
    }
}
