//! Tests of `inspect`: good material in every form, and each thing that can be wrong.

use proptest::prelude::*;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

use super::*;
use crate::issuer::{PretendIssuer, authority};
use crate::key::make_key;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn days(count: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + count * 86_400_000)
}

fn name(text: &str) -> CertificateName {
    text.parse().unwrap()
}

fn text(material: &Material) -> String {
    String::from_utf8(material.to_pem().expose().to_vec()).unwrap()
}

fn said(pem: &str) -> String {
    inspect(pem.as_bytes(), NOW).expect_err("something is wrong with it").to_string()
}

#[test]
fn a_good_chain_is_taken_in_any_order_and_comes_out_the_same() {
    let issuer = PretendIssuer::new("Pretended").unwrap();
    let made = issuer.issue(&[name("b.example.org"), name("*.example.org")], days(-1), days(89)).unwrap();
    let key = material::pem("PRIVATE KEY", made.key.expose());
    let leaf = made.chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let shuffled = format!("{}{}{key}{leaf}", issuer.root(), issuer.intermediate());
    let (one, two) =
        (inspect(text(&made).as_bytes(), NOW).unwrap(), inspect(shuffled.as_bytes(), NOW).unwrap());
    assert_eq!(one.material.digest(), two.material.digest());
    assert_eq!(one.material.digest(), made.digest(), "what an issuer sent is not rewritten");
    assert_eq!(one.names, [name("*.example.org"), name("b.example.org")]);
    assert_eq!(
        (one.key, one.signed_by.as_str(), one.is_self_signed),
        (KeyKind::P256, "Pretended intermediate", false)
    );
    assert_eq!((one.not_before, one.not_after), (days(-1), days(89)));
    assert_eq!(one.warnings, Vec::<String>::new());
    assert!(one.covers(&"api.example.org".parse().unwrap()) && !one.covers(&"example.org".parse().unwrap()));
    assert_eq!(one.renewal_id, renewal_id(&made.chain));
    let id = one.renewal_id.unwrap();
    assert!(id.split('.').count() == 2 && !id.contains(['=', '+', '/']), "{id}");
}

#[test]
fn each_thing_that_is_wrong_is_said() {
    let issuer = PretendIssuer::new("Pretended").unwrap();
    let stranger = PretendIssuer::new("Stranger").unwrap();
    let names = [name("api.example.org")];
    let good = issuer.issue(&names, days(-1), days(89)).unwrap();
    let (expired, early) =
        (issuer.issue(&names, days(-90), days(-1)).unwrap(), issuer.issue(&names, days(1), days(9)).unwrap());
    let other_key = Material { chain: good.chain.clone(), key: make_key().unwrap() };
    let authority = Material { chain: issuer.intermediate(), key: make_key().unwrap() };
    let lines = [
        said("hello"),
        said("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
        said(&good.chain),
        said(&material::pem("PRIVATE KEY", good.key.expose())),
        said(&format!("{}{}", text(&good), material::pem("PRIVATE KEY", other_key.key.expose()))),
        said(&format!("{}{}", good.chain, material::pem("PRIVATE KEY", b"hunter2"))),
        said(&format!("{}{}", good.chain, material::pem("EC PRIVATE KEY", b"hunter2"))),
        said(&format!("{}{}", good.chain, material::pem("ENCRYPTED PRIVATE KEY", b"hunter2"))),
        said(&format!("{}{}", text(&good), material::pem("CERTIFICATE", b"hunter2"))),
        said(&text(&other_key)),
        said(&text(&authority)),
        said(&text(&expired)),
        said(&text(&early)),
        said(&format!("{}{}", text(&good), stranger.intermediate())),
        said(&"-".repeat(300_000)),
    ];
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_signature_of_somebody_else_is_found() {
    // Same name, other keys.
    let (one, two) = (PretendIssuer::new("Pretended").unwrap(), PretendIssuer::new("Pretended").unwrap());
    let made = one.issue(&[name("api.example.org")], days(-1), days(89)).unwrap();
    let leaf = made.chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let mixed = Material { chain: format!("{leaf}{}", two.intermediate()), key: made.key };
    assert_eq!(
        said(&text(&mixed)),
        "the certificate of `api.example.org` says that `CN=Pretended intermediate` signed it, and its signature says otherwise"
    );
}

#[test]
fn an_intermediate_that_has_expired_is_found_below_a_leaf_that_has_not() {
    let pair = || KeyPair::generate().unwrap();
    let root = CertifiedIssuer::self_signed(authority("Old root"), pair()).unwrap();
    let mut below = authority("Old intermediate");
    below.not_before = crate::issuer::instant(days(-900).as_millis());
    below.not_after = crate::issuer::instant(days(-1).as_millis());
    let intermediate = CertifiedIssuer::signed_by(below, pair(), &root).unwrap();
    let key = pair();
    let mut leaf = CertificateParams::new(vec!["api.example.org".to_owned()]).unwrap();
    leaf.not_before = crate::issuer::instant(days(-2).as_millis());
    leaf.not_after = crate::issuer::instant(days(88).as_millis());
    let leaf = leaf.signed_by(&key, &intermediate).unwrap();
    assert_eq!(
        said(&format!("{}{}{}", leaf.pem(), intermediate.pem(), key.serialize_pem())),
        "the certificate of `CN=Old intermediate` has expired on 2027-01-14T08:00:00.000Z"
    );
}

#[test]
fn what_is_odd_and_not_wrong_is_a_warning() {
    let issuer = PretendIssuer::new("Pretended").unwrap();
    let made = issuer.issue(&[name("api.example.org")], days(-1), days(89)).unwrap();
    let leaf = made.chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap().to_owned();
    let alone = inspect(text(&Material { chain: leaf, key: made.key }).as_bytes(), NOW).unwrap();
    assert_eq!(alone.warnings.len(), 1, "{:?}", alone.warnings);
    assert!(alone.warnings[0].contains("fullchain"));
    let own = crate::challenge::placeholder(&[name("api.example.org")], NOW).unwrap();
    assert!(inspect(text(&own).as_bytes(), NOW).unwrap().is_self_signed);
}

#[test]
fn keys_of_every_usual_form_are_taken() {
    let params = |names: Vec<String>| {
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = crate::issuer::instant(days(-1).as_millis());
        params.not_after = crate::issuer::instant(days(1).as_millis());
        params
    };
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    for (pair, kind) in [(p384, KeyKind::P384), (rsa, KeyKind::Rsa(2048))] {
        let chain =
            params(vec!["a.example.org".into(), "192.0.2.1".into()]).self_signed(&pair).unwrap().pem();
        let seen = inspect((chain + &pair.serialize_pem()).as_bytes(), NOW).unwrap();
        assert_eq!((seen.key, seen.names.len()), (kind, 1));
        assert!(seen.warnings.iter().any(|warning| warning.contains("no host names")));
        // What comes out can be read again.
        assert_eq!(inspect(seen.material.to_pem().expose(), NOW).unwrap().key, kind);
    }
    // SEC1 and PKCS#1, as `openssl ecparam -genkey` and `openssl genrsa -traditional` write them.
    let sec1 = EC.to_owned() + &self_signed_with(EC_PKCS8, &params(vec!["a.example.org".into()]));
    assert_eq!(inspect(sec1.as_bytes(), NOW).unwrap().key, KeyKind::P256);
}

fn self_signed_with(pkcs8: &str, params: &CertificateParams) -> String {
    params.self_signed(&KeyPair::from_pem(pkcs8).unwrap()).unwrap().pem()
}

// One key in both forms, made for this test by `openssl ecparam -name prime256v1 -genkey`.
const EC: &str = include_str!("../../tests/it/ec-sec1.pem");
const EC_PKCS8: &str = include_str!("../../tests/it/ec-pkcs8.pem");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    // Whatever bytes are uploaded, the answer is a sentence.
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = inspect(&bytes, NOW);
        let wrapped = material::pem("CERTIFICATE", &bytes) + &material::pem("PRIVATE KEY", &bytes);
        prop_assert!(inspect(wrapped.as_bytes(), NOW).is_err());
    }

    // A good chain with one byte changed is refused or is still a chain that holds together; it never panics.
    #[test]
    fn a_flipped_byte_never_panics(place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let issuer = PretendIssuer::new("Pretended").unwrap();
        let made = issuer.issue(&[name("api.example.org")], days(-1), days(89)).unwrap();
        let mut der = leaf_der(&made.chain).unwrap();
        let place = place.index(der.len());
        der[place] ^= 1 << bit;
        let pem = material::pem("CERTIFICATE", &der) + &issuer.intermediate() + &material::pem("PRIVATE KEY", made.key.expose());
        prop_assert!(inspect(pem.as_bytes(), NOW).is_err(), "a signature covers every byte");
    }
}

#[test]
fn what_no_signature_covers_is_looked_at_too() {
    let issuer = PretendIssuer::new("Pretended").unwrap();
    // Signatures differ in length and in their last bits, and what a parser lets through differs with them: many are tried.
    for round in 0..32 {
        let made = issuer.issue(&[name("api.example.org")], days(-1), days(89)).unwrap();
        let good = leaf_der(&made.chain).unwrap();
        let behind = issuer.intermediate() + &material::pem("PRIVATE KEY", made.key.expose());
        let is_framing = |place: &usize| *place < 8 || (67..=88).contains(&(good.len() - place));
        for place in (0..good.len()).filter(is_framing) {
            for bit in 0..8 {
                let mut der = good.clone();
                der[place] ^= 1 << bit;
                let pem = material::pem("CERTIFICATE", &der) + &behind;
                let said = inspect(pem.as_bytes(), NOW);
                assert!(said.is_err(), "round {round}, byte {place} of {}, bit {bit}", good.len());
            }
        }
    }
}

#[test]
fn a_value_of_asn1_is_written_in_its_one_form() {
    assert_eq!(wrapped(0x30, &[]), [0x30, 0]);
    assert_eq!(wrapped(0x03, &[&[0], &[7; 126]])[..3], [0x03, 0x7f, 0]);
    assert_eq!(wrapped(0x03, &[&[9; 128]])[..4], [0x03, 0x81, 0x80, 9]);
    assert_eq!(wrapped(0x30, &[&[9; 256], &[8; 3]])[..5], [0x30, 0x82, 0x01, 0x03, 9]);
}
