//! Which images nobody needs. Pure; who removes them is the `image` loop. Tests: `tests/it/image.rs`.
//!
//! Releases are counted by their images: a restart and a change of configuration make a release with the image of the one
//! before, and ten restarts must not take away what there is to go back to. Those that succeeded are counted by themselves
//! as well, so that ten that failed do not either.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::artifact::Digest;
use havre_core::id::ReleaseId;

/// The releases of one service, as rows say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceRows {
    /// Users get this one.
    pub live: Option<ReleaseId>,
    /// Releases an open deployment wants or would go back to, and those of tasks that are not gone.
    pub wanted: BTreeSet<ReleaseId>,
    /// Every release of it that runs an image.
    pub releases: Vec<ReleaseRow>,
}

/// One release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRow {
    /// Which.
    pub id: ReleaseId,
    /// What it runs.
    pub image: Digest,
    /// A deployment of it has succeeded.
    pub has_succeeded: bool,
    /// Its image was given up.
    pub is_removed: bool,
}

/// The images among `built` that no service needs, each with the releases that named it and are not marked yet. `keep` is
/// how many images of each service can be gone back to. `built` was listed before the rows were read; while anything
/// `is_building`, an image no row knows may be the one of that build, and stays.
pub fn unneeded_images(
    services: &[ServiceRows],
    built: &BTreeSet<Digest>,
    is_building: bool,
    keep: usize,
) -> BTreeMap<Digest, Vec<ReleaseId>> {
    let mut needed: BTreeSet<&Digest> = BTreeSet::new();
    let mut named: BTreeMap<&Digest, Vec<&ReleaseRow>> = BTreeMap::new();
    for service in services {
        needed.extend(needed_images(service, keep));
        for release in &service.releases {
            named.entry(&release.image).or_default().push(release);
        }
    }
    let mut unneeded = BTreeMap::new();
    for image in built.iter().filter(|image| !needed.contains(image)) {
        let releases = named.get(image);
        if releases.is_none() && is_building {
            continue;
        }
        let marked_now = releases.into_iter().flatten().filter(|release| !release.is_removed);
        unneeded.insert(image.clone(), marked_now.map(|release| release.id).collect());
    }
    unneeded
}

/// What one service needs: for its users, for what is under way, and for going back.
fn needed_images(service: &ServiceRows, keep: usize) -> BTreeSet<&Digest> {
    let is_in_use = |id: ReleaseId| service.live == Some(id) || service.wanted.contains(&id);
    let in_use = service.releases.iter().filter(|release| is_in_use(release.id));
    let mut needed: BTreeSet<&Digest> = in_use.map(|release| &release.image).collect();
    let mut there: Vec<&ReleaseRow> = service.releases.iter().filter(|release| !release.is_removed).collect();
    there.sort_unstable_by_key(|release| std::cmp::Reverse(release.id));
    needed.extend(first_images(there.iter().copied(), keep));
    needed.extend(first_images(there.iter().copied().filter(|release| release.has_succeeded), keep));
    needed
}

/// The first so many different images.
fn first_images<'r>(releases: impl Iterator<Item = &'r ReleaseRow>, most: usize) -> BTreeSet<&'r Digest> {
    let mut images = BTreeSet::new();
    for release in releases {
        if images.len() >= most {
            break;
        }
        images.insert(&release.image);
    }
    images
}
