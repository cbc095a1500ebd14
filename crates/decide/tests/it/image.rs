//! Which images are removed: tables, and laws over any rows.

use std::collections::BTreeSet;

use havre_core::artifact::Digest;
use havre_core::id::ReleaseId;
use havre_decide::image::retention::{ReleaseRow, ServiceRows, unneeded_images};
use proptest::prelude::*;

fn digest(letter: char) -> Digest {
    letter.to_string().repeat(64).parse().expect("is a digest")
}

fn images(letters: &str) -> BTreeSet<Digest> {
    letters.chars().map(digest).collect()
}

/// Releases from r1 on by the letters of their images; those of capital letters never succeeded.
fn service(letters: &str, live: i64) -> ServiceRows {
    let releases = letters.chars().zip(1..).map(|(letter, id)| ReleaseRow {
        id: ReleaseId::new(id),
        image: digest(letter.to_ascii_lowercase()),
        has_succeeded: letter.is_ascii_lowercase(),
        is_removed: false,
    });
    ServiceRows { live: Some(ReleaseId::new(live)), wanted: BTreeSet::new(), releases: releases.collect() }
}

/// Images that go, with their releases, as `a:1,2 b:`.
fn gone(services: &[ServiceRows], built: &str, is_building: bool, keep: usize) -> String {
    let unneeded = unneeded_images(services, &images(built), is_building, keep);
    let text = unneeded.iter().map(|(image, releases)| {
        let ids: Vec<String> = releases.iter().map(|id| id.row().to_string()).collect();
        format!("{}:{}", &image.hex()[..1], ids.join(","))
    });
    text.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_newest_stay_and_so_does_whatever_is_in_use() {
    assert_eq!(gone(&[service("abcd", 4)], "abcd", false, 2), "a:1 b:2");
    assert_eq!(gone(&[service("abcd", 1)], "abcd", false, 2), "b:2", "users get the first");
    let mut wanted = service("abcd", 4);
    wanted.wanted.insert(ReleaseId::new(2));
    assert_eq!(gone(&[wanted], "abcd", false, 2), "a:1", "a deployment goes back to the second");
    assert_eq!(gone(&[service("abcd", 4)], "cd", false, 2), "", "what is not there is not removed");
    assert_eq!(
        gone(&[service("abcd", 4), service("ef", 2)], "abcdef", false, 2),
        "a:1 b:2",
        "each by itself"
    );
}

#[test]
fn an_image_that_two_services_run_stays_while_one_needs_it() {
    // Promoted from the first to the second, which keeps it although the first has gone on.
    assert_eq!(gone(&[service("abcd", 4), service("a", 1)], "abcd", false, 2), "b:2");
    assert_eq!(
        gone(&[service("abcd", 4), service("aef", 3)], "abcdef", false, 2),
        "a:1,1 b:2",
        "then neither"
    );
    assert_eq!(gone(&[service("a", 1)], "abcd", false, 2), "b: c: d:", "its builder is gone");
}

#[test]
fn neither_restarts_nor_failures_take_away_what_there_is_to_go_back_to() {
    assert_eq!(gone(&[service("abccccccd", 9)], "abcd", false, 3), "a:1");
    assert_eq!(gone(&[service("abCDEF", 2)], "abcdef", false, 2), "c:3 d:4");
}

#[test]
fn what_no_row_knows_goes_only_while_nothing_is_built() {
    assert_eq!(gone(&[service("ab", 2)], "abf", true, 5), "");
    assert_eq!(gone(&[service("ab", 2)], "abf", false, 5), "f:");
    assert_eq!(gone(&[], "f", false, 5), "f:");
    // An old one that rows know is nobody's result.
    assert_eq!(gone(&[service("abc", 3)], "abc", true, 1), "a:1 b:2");
}

#[test]
fn what_was_recorded_and_not_done_is_done_later() {
    let mut rows = service("abc", 3);
    rows.releases[0].is_removed = true;
    assert_eq!(gone(std::slice::from_ref(&rows), "abc", false, 2), "a:", "its release is marked already");
    assert_eq!(gone(&[rows], "bc", false, 2), "");
}

fn any_service() -> impl Strategy<Value = ServiceRows> {
    let release = (proptest::char::range('a', 'f'), any::<bool>(), any::<bool>());
    let wanted = proptest::collection::btree_set((1_i64..12).prop_map(ReleaseId::new), 0..3);
    (proptest::collection::vec(release, 0..12), 1_i64..12, wanted).prop_map(|(releases, live, wanted)| {
        let rows = releases.into_iter().zip(1..).map(|((letter, has_succeeded, is_removed), id)| {
            ReleaseRow { id: ReleaseId::new(id), image: digest(letter), has_succeeded, is_removed }
        });
        ServiceRows { live: Some(ReleaseId::new(live)), wanted, releases: rows.collect() }
    })
}

proptest! {
    // Nothing is removed that was not built here, that users get, that is under way, or that is among the newest; and once it is
    // done there is nothing left to do.
    #[test]
    fn nothing_that_is_needed_is_removed(
        services in proptest::collection::vec(any_service(), 0..4),
        is_building in any::<bool>(),
        keep in 1_usize..4,
    ) {
        let built = images("abcdef");
        let unneeded = unneeded_images(&services, &built, is_building, keep);
        for service in &services {
            for release in &service.releases {
                let is_in_use = service.live == Some(release.id) || service.wanted.contains(&release.id);
                prop_assert!(!is_in_use || !unneeded.contains_key(&release.image));
            }
            let newest = service.releases.iter().rev().filter(|release| !release.is_removed);
            for release in newest.take(keep) {
                prop_assert!(!unneeded.contains_key(&release.image));
            }
        }
        let mut after = services;
        for release in after.iter_mut().flat_map(|service| &mut service.releases) {
            release.is_removed |= unneeded.get(&release.image).is_some_and(|ids| ids.contains(&release.id));
        }
        let left: BTreeSet<Digest> = built.into_iter().filter(|image| !unneeded.contains_key(image)).collect();
        let again = unneeded_images(&after, &left, is_building, keep);
        prop_assert!(again.is_empty(), "{again:?}");
    }
}
