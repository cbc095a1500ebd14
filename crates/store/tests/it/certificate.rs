//! Certificates, material and orders: each write with its event, budgets in the transaction, what is forgotten.

use havre_core::certificate::budget::{End, Limits};
use havre_core::certificate::challenge::{ChallengeKind, Proof};
use havre_core::certificate::{Attempt, Certificate, Current, Source, Stage, State};
use havre_core::name::{CertificateName, IssuerName};
use havre_core::secret::Secret;
use havre_decide::certificate::conclude::{Outcome, conclude};
use havre_store::certificate::OrderRequest;
use havre_store::{Material, StoreError, Tx};

use crate::world::{World, at};

fn names(text: &str) -> Vec<CertificateName> {
    text.split(' ').map(|name| name.parse().unwrap()).collect()
}

fn material(digit: &str) -> Material {
    Material {
        digest: digit.repeat(64).parse().unwrap(),
        chain: format!("chain {digit}"),
        key: Secret::from("planted-private-key"),
    }
}

fn current(digit: &str, text: &str, days: i64) -> Current {
    Current {
        digest: digit.repeat(64).parse().unwrap(),
        names: names(text),
        signed_by: "R11".to_owned(),
        issuer: None,
        serial: "01".to_owned(),
        not_before: at(0),
        not_after: at(days * 86_400),
        since: at(0),
        window: None,
        ask_again_at: at(0),
    }
}

fn place(tx: &mut Tx<'_>, row: &Certificate, most: u32) -> Result<bool, StoreError> {
    let issuer: IssuerName = "own".parse().unwrap();
    let attempt = Attempt { issuer, stage: Stage::Production, challenge: ChallengeKind::Http01 };
    let limits = Limits { orders: most, ..Limits::OTHER };
    let request = OrderRequest { attempt, is_renewal: false, is_retry: false, limits };
    Ok(tx.place_order(row, &request, &Secret::from("planted-order-key"))?.is_ok())
}

#[tokio::test]
async fn wanted_rows_come_stay_and_are_wanted_no_more() {
    let world = World::new();
    let (a, b) = (names("a.example.org"), names("b.example.org"));
    let both = vec![a.clone(), b.clone()];
    world.write(0, move |tx| tx.want_certificates(&both)).await;
    let only = vec![b.clone()];
    world
        .write(1, {
            let only = only.clone();
            move |tx| tx.want_certificates(&only)
        })
        .await;
    world.write(2, move |tx| tx.want_certificates(&only)).await;
    world.write(3, move |tx| tx.want_certificates(&[a, b])).await;
    let rows = world.store.read(|view| view.list_certificates()).await.unwrap();
    assert!(rows.iter().all(|row| row.is_wanted && row.source == Source::Automatic));
    assert_eq!(
        world.story().await,
        [
            "certificate c1 is wanted for a.example.org",
            "certificate c2 is wanted for b.example.org",
            "certificate c1 is wanted by no service any more",
            "certificate c1 is wanted for a.example.org",
        ]
    );
}

#[tokio::test]
async fn an_order_is_recorded_with_its_key_and_the_budget_is_asked_in_the_same_transaction() {
    let world = World::new();
    let sets = vec![names("a.example.org"), names("b.example.org")];
    world.write(0, move |tx| tx.want_certificates(&sets)).await;
    let rows = world.store.read(|view| view.list_certificates()).await.unwrap();
    let [a, b] = [rows[0].clone(), rows[1].clone()];
    assert!(
        world
            .write(1, {
                let a = a.clone();
                move |tx| place(tx, &a, 1)
            })
            .await
    );
    assert!(!world.write(2, move |tx| place(tx, &b, 1)).await, "the budget has no room");
    // The row has moved on: whoever planned from the old one is told.
    let stale = world.try_write(3, move |tx| place(tx, &a, 9)).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");

    let world = world.reopen();
    let row = world.store.read(|view| view.get_certificate(rows_id())).await.unwrap();
    let State::Ordering { order, .. } = row.state else { panic!("{row:?}") };
    let key = world.store.read(move |view| view.order_key(order)).await.unwrap();
    assert_eq!(key.expose(), b"planted-order-key");

    let row = world.store.read(|view| view.get_certificate(rows_id())).await.unwrap();
    let issued = Current { issuer: Some("own".parse().unwrap()), ..current("c", "a.example.org", 90) };
    let conclusion = conclude(&row, Outcome::Issued { current: Box::new(issued) }, at(4));
    world.write(4, move |tx| tx.conclude_certificate(conclusion, &[material("c")])).await;
    let gone = world.store.read(move |view| view.order_key(order)).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "the key moved to the material: {gone:?}");
    let kept = world.store.read(|view| view.find_material(&material("c").digest)).await.unwrap().unwrap();
    assert_eq!((kept.chain.as_str(), kept.key.expose()), ("chain c", b"planted-private-key".as_slice()));
    let history = world.store.read(|view| view.list_orders(at(0))).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].end, Some(End::Issued { at: at(4) }));
}

fn rows_id() -> havre_core::id::CertificateId {
    havre_core::id::CertificateId::new(1)
}

#[tokio::test]
async fn an_upload_takes_the_place_of_the_one_before_and_old_keys_go_after_a_day() {
    let world = World::new();
    let first =
        world.write(0, |tx| tx.upload_certificate(current("a", "a.example.org", 30), &material("a"))).await;
    let second =
        world.write(9, |tx| tx.upload_certificate(current("b", "a.example.org", 60), &material("b"))).await;
    assert_eq!(first, second);
    let has = async |digit: &'static str| {
        world.store.read(move |view| view.find_chain(&material(digit).digest)).await.unwrap().is_some()
    };
    assert!(has("a").await && has("b").await, "an edge may still fetch the one before");
    let row = world.store.read(move |view| view.get_certificate(first)).await.unwrap();
    let conclusion = conclude(&row, Outcome::Cleared, at(90_000));
    world.write(90_000, move |tx| tx.conclude_certificate(conclusion, &[])).await;
    assert!(!has("a").await && has("b").await);
    world.write(90_001, move |tx| tx.remove_certificate(first)).await;
    assert!(!has("b").await);
}

#[tokio::test]
async fn what_a_trial_presents_is_kept_until_its_state_is_left() {
    let world = World::new();
    world.write(0, |tx| tx.want_certificates(&[names("a.example.org")])).await;
    let row = async || world.store.read(|view| view.get_certificate(rows_id())).await.unwrap();
    let is_kept =
        async || world.store.read(|view| view.find_material(&material("d").digest)).await.unwrap().is_some();
    for is_ordered in [false, true] {
        let resting = row().await;
        let asking = State::Asking { since: at(1), trial: Vec::new() };
        world.write(1, move |tx| tx.set_certificate_state(&resting, asking)).await;
        let proof = Proof::Handshake { host: "a.example.org".parse().unwrap(), digest: material("d").digest };
        let made = conclude(&row().await, Outcome::TrialMade { proofs: vec![proof] }, at(2));
        world.write(2, move |tx| tx.conclude_certificate(made, &[material("d")])).await;
        assert!(is_kept().await);
        let tried = row().await;
        if is_ordered {
            assert!(world.write(3, move |tx| place(tx, &tried, 9)).await);
        } else {
            let rest = State::Resting { since: at(3) };
            world.write(3, move |tx| tx.set_certificate_state(&tried, rest)).await;
        }
        assert!(!is_kept().await, "ordered: {is_ordered}");
    }
}

#[tokio::test]
async fn no_key_is_readable_in_the_file() {
    let world = World::new();
    world.write(0, |tx| tx.upload_certificate(current("a", "a.example.org", 30), &material("a"))).await;
    world.write(1, |tx| tx.want_certificates(&[names("b.example.org")])).await;
    let row = world.store.read(|view| view.list_certificates()).await.unwrap().pop().unwrap();
    world.write(2, move |tx| place(tx, &row, 9)).await;
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"planted"), "a planted secret is in the file");
    }
}
