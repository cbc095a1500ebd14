//! Which sites are kept, and why.

use std::collections::BTreeSet;

use havre_core::artifact::Digest;
use havre_core::id::ReleaseId;
use havre_core::quantity::Span;
use havre_core::time::Timestamp;
use havre_decide::site::retention::{ReleaseRow, SiteRows, plan};
use proptest::prelude::*;

fn digest(letter: char) -> Digest {
    letter.to_string().repeat(64).parse().expect("64 hex digits")
}

fn minutes(count: i64) -> Timestamp {
    Timestamp::from_millis(count * 60_000)
}

fn site(rows: &[(i64, char, Option<i64>)], live: i64, releases_kept: u32) -> SiteRows {
    SiteRows {
        live: Some(ReleaseId::new(live)),
        wanted: Vec::new(),
        keep_assets: Span::seconds(3600),
        releases_kept,
        releases: rows
            .iter()
            .map(|(id, letter, left)| ReleaseRow {
                id: ReleaseId::new(*id),
                digest: digest(*letter),
                left_at: left.map(minutes),
                is_removed: false,
            })
            .collect(),
    }
}

#[test]
fn each_site_that_is_kept_has_its_reasons() {
    let site = site(
        &[
            (1, 'a', None),
            (2, 'b', Some(10)),
            (3, 'c', Some(80)),
            (4, 'd', None),
            (5, 'c', None),
            (6, 'e', None),
        ],
        4,
        2,
    );
    let on_disk: BTreeSet<Digest> = "abcdef".chars().map(digest).collect();
    let chosen = plan(std::slice::from_ref(&site), &on_disk, false, minutes(100));
    let mut page = String::new();
    for (digest, reasons) in &chosen.keep {
        page.push_str(&format!("keep {} {reasons:?}\n", digest.short()));
    }
    for (digest, releases) in &chosen.remove {
        page.push_str(&format!("remove {} {releases:?}\n", digest.short()));
    }
    page.push_str(&format!("forget {:?}\n", chosen.forget));
    insta::assert_snapshot!(page);
    // While a build is open, a folder no row knows stays.
    let building = plan(&[site], &on_disk, true, minutes(100));
    assert!(!building.remove.contains_key(&digest('f')));
    assert!(building.remove.contains_key(&digest('a')));
}

proptest! {
    /// The laws: never the live one, never a wanted one, never one within its time after the switch.
    #[test]
    fn what_is_needed_is_never_removed(
        letters in proptest::collection::vec("[a-f]", 1..12),
        left in proptest::collection::vec(proptest::option::of(0_i64..200), 12),
        live in 0_usize..12,
        wanted in 0_usize..12,
        kept in 0_u32..4,
        now in 0_i64..300,
    ) {
        let rows: Vec<(i64, char, Option<i64>)> = letters
            .iter()
            .enumerate()
            .map(|(index, letter)| (index as i64 + 1, letter.chars().next().unwrap(), left[index]))
            .collect();
        let mut site = site(&rows, (live % rows.len()) as i64 + 1, kept);
        site.wanted = vec![ReleaseId::new((wanted % rows.len()) as i64 + 1)];
        let on_disk: BTreeSet<Digest> = "abcdef".chars().map(digest).collect();
        let chosen = plan(std::slice::from_ref(&site), &on_disk, false, minutes(now));
        for release in &site.releases {
            let is_needed = site.live == Some(release.id)
                || site.wanted.contains(&release.id)
                || release.left_at.is_some_and(|left| now < left.as_millis() / 60_000 + 60);
            prop_assert!(!is_needed || !chosen.remove.contains_key(&release.digest));
            prop_assert!(!is_needed || !chosen.keep[&release.digest].is_empty());
        }
        for digest in &on_disk {
            prop_assert!(chosen.keep.contains_key(digest) != chosen.remove.contains_key(digest));
        }
    }
}
