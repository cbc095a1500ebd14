//! Which published sites are kept, and why: each one that is kept carries its reasons. Pure; who removes folders is the
//! `site` loop. Tests: `tests/it/site.rs`.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::artifact::Digest;
use havre_core::id::ReleaseId;
use havre_core::quantity::Span;
use havre_core::time::Timestamp;

/// The releases of one site, as rows say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRows {
    /// Users get this one.
    pub live: Option<ReleaseId>,
    /// Releases an open deployment wants, or would go back to.
    pub wanted: Vec<ReleaseId>,
    /// How long files of a release are served after it was live.
    pub keep_assets: Span,
    /// How many releases can be gone back to.
    pub releases_kept: u32,
    /// Every release of it.
    pub releases: Vec<ReleaseRow>,
}

/// One release of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRow {
    /// Which.
    pub id: ReleaseId,
    /// Its files.
    pub digest: Digest,
    /// When it stopped being live; `None` when it never was, is live, or when that is long ago.
    pub left_at: Option<Timestamp>,
    /// Its files were given up.
    pub is_removed: bool,
}

/// Why files are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Users get them.
    Live(ReleaseId),
    /// An open deployment wants them.
    Wanted(ReleaseId),
    /// Pages that were opened before the last switch still ask for them.
    Assets {
        /// Of which release.
        release: ReleaseId,
        /// Until then.
        until: Timestamp,
    },
    /// One of the newest releases, for a rollback.
    Newest(ReleaseId),
}

/// What to keep, to give up and to forget.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Folders that stay, with every reason.
    pub keep: BTreeMap<Digest, BTreeSet<Reason>>,
    /// Folders that go, and the releases that named them and are not marked yet.
    pub remove: BTreeMap<Digest, Vec<ReleaseId>>,
    /// Releases whose time after the switch is over: the route table need not name them any more.
    pub forget: Vec<ReleaseId>,
}

/// Chooses. `on_disk` was listed before the rows were read; while anything `is_building`, a folder no row knows may be
/// the one of that build, and stays.
pub fn plan(sites: &[SiteRows], on_disk: &BTreeSet<Digest>, is_building: bool, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut known: BTreeMap<&Digest, Vec<ReleaseId>> = BTreeMap::new();
    for site in sites {
        let mut newest: Vec<ReleaseId> = site.releases.iter().map(|release| release.id).collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        newest.truncate(usize::try_from(site.releases_kept).unwrap_or(usize::MAX));
        for release in &site.releases {
            let named = known.entry(&release.digest).or_default();
            if !release.is_removed {
                named.push(release.id);
            }
            let mut keep = |reason| plan.keep.entry(release.digest.clone()).or_default().insert(reason);
            if site.live == Some(release.id) {
                keep(Reason::Live(release.id));
            }
            if site.wanted.contains(&release.id) {
                keep(Reason::Wanted(release.id));
            }
            if newest.contains(&release.id) && !release.is_removed {
                keep(Reason::Newest(release.id));
            }
            if let Some(left_at) = release.left_at {
                let until = left_at.after(site.keep_assets.duration());
                if until > now {
                    keep(Reason::Assets { release: release.id, until });
                } else {
                    plan.forget.push(release.id);
                }
            }
        }
    }
    for (digest, releases) in known {
        if !plan.keep.contains_key(digest) && (!releases.is_empty() || on_disk.contains(digest)) {
            plan.remove.insert(digest.clone(), releases);
        }
    }
    let strangers = on_disk.iter().filter(|_| !is_building);
    for digest in strangers {
        if !plan.keep.contains_key(digest) {
            plan.remove.entry(digest.clone()).or_default();
        }
    }
    plan
}
