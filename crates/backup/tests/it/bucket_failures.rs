//! What a storage does once a year. Whatever it is: a request that can heal by being repeated is repeated, what a person must change is
//! named, no part of a list is taken for the whole, no secret is told, and no snapshot is listed that does not come out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use havre_backup::bucket::{Bucket, BucketLocation, Limits};
use havre_backup::restic::BucketRepository;
use havre_backup::{Repository, RepositoryError, Source};
use havre_core::secret::Secret;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::bucket_world::{BUCKET, BucketWorld, KEY, KEY_ID, QUICK, keys};
use crate::memory_storage::{Asked, Fail};
use crate::world::{PASSWORD, World, all, entry, noise, put};

/// Each request is made once.
const ONCE: Limits = Limits { tries: 1, ..QUICK };
const LARGE: usize = 3_000_000;

async fn made(limits: Limits) -> (BucketWorld, Arc<dyn Repository>) {
    let world = BucketWorld::with_limits(limits);
    let repository = world.repository();
    repository.init().await.expect("is made");
    (world, repository)
}

/// The same numbers for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("is small")
    }
}

fn refused(status: u16, code: &'static str) -> impl FnMut(&Asked) -> Option<Fail> + Send {
    move |_| Some(Fail::Say(status, code, Vec::new()))
}

#[tokio::test]
async fn what_heals_by_being_repeated_is_repeated() {
    let (world, repository) = made(QUICK).await;
    let bytes = noise(LARGE, 1);
    let fails = [
        Fail::Say(500, "InternalError", Vec::new()),
        Fail::Say(503, "SlowDown", vec![("retry-after", "0".to_owned())]),
        Fail::CutRequest(50),
        Fail::CutAnswer(50),
    ];
    for (second, fail) in (1_i64..).zip(fails) {
        // Every third request, so that no request fails four times.
        let plan = fail.clone();
        world.storage().fail(move |asked| (asked.number % 3 == 1).then(|| plan.clone()));
        let stored = put(&repository, second, &bytes).await.snapshot;
        let dump = repository.dump(&stored.id, &CancellationToken::new()).await.expect("is there");
        assert!(all(dump).await.expect("comes out") == bytes, "{fail:?}");
        assert!(world.storage().behave() > 10, "{fail:?}");
    }
    assert!(repository.check().await.expect("is checked").is_empty());
}

#[tokio::test]
async fn patience_ends() {
    let (world, repository) = made(QUICK).await;
    world.storage().fail(refused(503, "SlowDown"));
    let away = repository.list().await;
    let Err(RepositoryError::Away { reason, .. }) = &away else { panic!("is away: {away:?}") };
    assert_eq!(reason, "it says 503 SlowDown (tries: 4)");
    assert_eq!(world.storage().behave(), 4, "a bounded count");
    world.storage().fail(|_| Some(Fail::Wait(Duration::from_secs(60))));
    let silent = BucketWorld::at(
        &world.storage().endpoint(),
        "servers/one",
        Limits { connect: Duration::from_millis(200), idle: Duration::from_millis(200), tries: 2, ..QUICK },
    );
    let away = silent.repository().list().await;
    assert!(matches!(away, Err(RepositoryError::Away { .. })), "{away:?}");
    // Nobody listens there.
    let nobody = BucketWorld::at("http://127.0.0.1:1", "servers/one", ONCE).repository().open().await;
    assert!(matches!(nobody, Err(RepositoryError::Away { .. })), "{nobody:?}");
}

#[tokio::test]
async fn what_a_person_must_change_is_named_and_asked_once() {
    let (world, repository) = made(QUICK).await;
    let mut said = String::new();
    for (status, code, words) in [
        (403, "InvalidAccessKeyId", "does not know the id"),
        (403, "SignatureDoesNotMatch", "not that of this id"),
        (403, "AccessDenied", "may not do this"),
        (400, "ExpiredToken", "have expired"),
        (403, "ExpiredToken", "have expired"),
        (301, "PermanentRedirect", "another region"),
    ] {
        world.storage().fail(refused(status, code));
        let error = repository.open().await.expect_err("is refused");
        assert!(matches!(error, RepositoryError::CredentialsRefused { .. }), "{error:?}");
        assert!(error.to_string().contains(words) && error.to_string().contains(code), "{error}");
        assert_eq!(world.storage().behave(), 1, "{code} is not asked twice");
        said.push_str(&format!("{error} {error:?}"));
    }
    world.storage().fail(refused(404, "NoSuchBucket"));
    let error = repository.init().await.expect_err("has no bucket");
    assert!(matches!(error, RepositoryError::BucketMissing { .. }), "{error:?}");
    world.storage().behave();

    let behind = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(7200));
    for code in ["RequestTimeTooSkewed", "AccessDenied"] {
        let line = vec![("date", behind.clone())];
        world.storage().fail(move |_| Some(Fail::Say(403, code, line.clone())));
        let error = repository.open().await.expect_err("is refused");
        let RepositoryError::ClockOff { ahead_seconds: Some(ahead), .. } = error else { panic!("{error:?}") };
        assert!((7195..7260).contains(&ahead), "{ahead}");
    }
    for secret in [KEY_ID, KEY, PASSWORD, "X-Amz-"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn no_secret_is_told_by_a_storage_that_repeats_it() {
    let (world, repository) = made(ONCE).await;
    // What it was asked with is in the address, and in what some storages say about a wrong signature.
    world.storage().fail(|_| {
        let text = format!(
            "<Error><Code>Odd</Code><Message>{KEY_ID} {KEY} X-Amz-Signature=plantedsum</Message></Error>"
        );
        Some(Fail::Instead(409, text))
    });
    let mut said = format!("{:?}", keys());
    for error in [
        repository.open().await.err(),
        repository.list().await.err(),
        repository.prune(Duration::ZERO).await.err(),
        repository.init().await.err(),
    ] {
        said.push_str(&format!("{error:?} {}", error.as_ref().map(ToString::to_string).unwrap_or_default()));
    }
    said.push_str(&format!("{repository:?}"));
    for secret in [KEY, PASSWORD, "X-Amz-", "plantedsum"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn a_part_of_a_list_is_no_list() {
    let (world, repository) = made(ONCE).await;
    let mut kept = Vec::new();
    for second in 1..6_i64 {
        kept.push(put(&repository, second, &noise(700_000, second.unsigned_abs())).await.snapshot);
    }
    let forgotten = put(&repository, 9, &noise(700_000, 9)).await.snapshot;
    repository.forget(&[forgotten.id]).await.expect("is forgotten");
    let before: BTreeSet<String> = world.storage().keys().into_iter().collect();
    let ends = "<IsTruncated>true</IsTruncated></ListBucketResult>";
    let page = |rest: &str| {
        format!(
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{rest}</ListBucketResult>"
        )
    };
    let again = page("<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>");
    let mut fails: Vec<Fail> = (0..100).step_by(7).map(Fail::CutSilently).collect();
    fails.extend((0..100).step_by(7).map(Fail::CutAnswer));
    fails.extend([ends.to_owned(), page(""), again].map(|text| Fail::Instead(200, text)));
    for fail in fails {
        for only_further in [false, true] {
            let plan = fail.clone();
            world.storage().fail(move |asked| {
                (asked.key.is_empty() && (asked.is_further || !only_further)).then(|| plan.clone())
            });
            let pruned = repository.prune(Duration::ZERO).await;
            assert!(pruned.is_err(), "{fail:?} {pruned:?}");
            assert!(repository.list().await.is_err(), "{fail:?}");
            world.storage().behave();
        }
    }
    let after: BTreeSet<String> = world.storage().keys().into_iter().collect();
    assert_eq!(after, before, "nothing was removed or added");
    for snapshot in &kept {
        let verified = repository.verify(&snapshot.id, &CancellationToken::new()).await;
        assert_eq!(verified, Ok(snapshot.content.clone()));
    }
}

#[tokio::test]
async fn a_hundred_percents_of_a_request_and_of_an_answer() {
    let (world, repository) = made(ONCE).await;
    let never = CancellationToken::new();
    let bytes = noise(600_000, 1);
    let first = put(&repository, 1, &bytes).await.snapshot;
    for percent in (0..=100).step_by(4) {
        for is_answer in [false, true] {
            let cut = move || if is_answer { Fail::CutAnswer(percent) } else { Fail::CutRequest(percent) };
            // Whatever is put: the first pack of the run.
            world.storage().fail(move |asked| (asked.method == "PUT").then(cut));
            let next = noise(600_000, 2 + percent as u64);
            let lost = repository.store(&entry(2), Source::whole(next), &never).await;
            let is_whole = is_answer && percent == 100;
            assert_eq!(lost.is_ok(), is_whole, "put, {percent} % {is_answer}: {lost:?}");
            // Whatever is read: a part of a pack, where it is one.
            let read = move |asked: &Asked| (asked.method == "GET" && asked.key.contains("/data/")).then(cut);
            world.storage().fail(read);
            let verified = repository.verify(&first.id, &never).await;
            assert_eq!(verified.is_ok(), is_whole, "get, {percent} % {is_answer}: {verified:?}");
            world.storage().behave();
            if is_whole {
                continue;
            }
            assert_eq!(repository.list().await, Ok(vec![first.clone()]), "{percent} % {is_answer}");
        }
    }
    assert_eq!(repository.verify(&first.id, &never).await, Ok(first.content));
}

/// One or two cuts somewhere in a run, twenty-five times in one repository; how many of the runs failed.
async fn cuts(chance: &mut Chance) -> usize {
    let (world, repository) = made(ONCE).await;
    let never = CancellationToken::new();
    let mut failed = 0;
    for round in 0..25_i64 {
        let bytes = noise(50_000 + chance.below(700_000), chance.0);
        let (at, percent, is_answer) = (chance.below(40), chance.below(101), chance.below(2) == 0);
        // One cut of a kept connection is no failure; two of the same request are.
        let end = at + 1 + chance.below(2);
        world.storage().fail(move |asked| {
            let cut = if is_answer { Fail::CutAnswer(percent) } else { Fail::CutRequest(percent) };
            (at..end).contains(&asked.number).then_some(cut)
        });
        let stored = repository.store(&entry(round), Source::whole(bytes.clone()), &never).await;
        world.storage().behave();
        let place = format!("round {round}: request {at}, {percent} %, answer {is_answer}: {stored:?}");
        let listed = repository.list().await.expect("is listed");
        if let Ok(stored) = &stored {
            assert_eq!(listed, std::slice::from_ref(&stored.snapshot), "{place}");
        }
        failed += usize::from(stored.is_err());
        assert!(listed.len() <= 1, "{place}: {listed:?}");
        for snapshot in &listed {
            let dump = repository.dump(&snapshot.id, &never).await.expect("is there");
            assert!(all(dump).await.expect("comes out") == bytes, "{place}");
        }
        let ids: Vec<_> = listed.into_iter().map(|one| one.id).collect();
        repository.forget(&ids).await.expect("is forgotten");
    }
    assert!(repository.check().await.expect("is checked").is_empty());
    failed
}

#[tokio::test]
async fn two_hundred_cuts_and_no_snapshot_that_does_not_come_out() {
    let mut chance = Chance(0x5eed_5eed);
    let mut failed = 0;
    for _ in 0..8 {
        failed += cuts(&mut chance).await;
    }
    assert!(failed > 25, "{failed} of 200 runs met their cut");
}

#[tokio::test]
async fn what_is_stored_wrongly_is_seen_at_once() {
    let (world, repository) = made(QUICK).await;
    let never = CancellationToken::new();
    world.storage().fail(|asked| (asked.method == "PUT").then_some(Fail::Spoil));
    let spoiled = repository.store(&entry(1), Source::whole(noise(LARGE, 1)), &never).await;
    assert!(matches!(spoiled, Err(RepositoryError::Failed { .. })), "{spoiled:?}");
    world.storage().behave();
    assert!(repository.list().await.expect("is listed").is_empty());
}

#[tokio::test]
async fn storages_with_tags_that_are_no_sums_and_without_parts_are_fine() {
    let (world, repository) = made(QUICK).await;
    world.storage().tag_oddly();
    world.storage().give_all();
    let bytes = noise(LARGE, 1);
    let stored = put(&repository, 1, &bytes).await.snapshot;
    let dump = repository.dump(&stored.id, &CancellationToken::new()).await.expect("is there");
    assert!(all(dump).await.expect("comes out") == bytes);
    assert!(repository.check().await.expect("is checked").is_empty());
}

#[tokio::test]
async fn addresses_that_may_not_be_reached_are_not() {
    let world = BucketWorld::in_memory();
    let location = BucketLocation {
        endpoint: world.storage().endpoint(),
        bucket: BUCKET.to_owned(),
        region: "us-east-1".to_owned(),
        prefix: None,
        path_style: true,
    };
    let bucket = Bucket::new(&location, &keys()).expect("can be asked").with_limits(QUICK);
    let barred = bucket.reaching(|address| !address.is_loopback());
    let repository = BucketRepository::in_bucket(barred, Secret::from(PASSWORD), Handle::current());
    let error = repository.open().await.expect_err("is barred");
    assert!(error.to_string().contains("it is at 127.0.0.1, where nothing may be asked"), "{error}");
}
