//! Who removes what in a repository: one Havre. One that came back on another server says in each repository that it is the one; the old one, if
//! it is still alive, sees that and removes nothing there from then on. Judged in `havre_rescue::owner`. Tests: `tests/it/rebuild.rs`.

use havre_backup::{Entry, Repository, RepositoryError, Snapshot, Source};
use havre_reconcile::deployment::chain;
use havre_rescue::owner::{Claim, Owner, Verdict, judge};
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Name of the one file in the snapshot of a claim.
const FILE: &str = "owner.txt";

/// Makes sure that this Havre may remove something in a repository of which `listed` is in it; why not, in words.
pub(super) async fn check(
    world: &World,
    repository: &dyn Repository,
    listed: &[Snapshot],
) -> Result<(), String> {
    let ours = world.store.read(|view| view.find_recovery()).await.map_err(|error| chain(&error))?;
    let claims: Vec<Claim> = listed.iter().filter_map(claim_in).collect();
    match (judge(&claims, ours.as_ref()), ours) {
        (Verdict::Ours, _) | (Verdict::ToClaim, None) => Ok(()),
        (Verdict::ToClaim, Some(ours)) => claim(repository, &ours).await.map_err(|error| chain(&error)),
        (Verdict::Theirs { since }, _) => Err(format!(
            "another Havre came back out of this repository and uses it since {since}: this one removes nothing in it; give it another \
             target, or stop it"
        )),
    }
}

fn claim_in(snapshot: &Snapshot) -> Option<Claim> {
    let owner = snapshot.tags.iter().find_map(|tag| Owner::of_tag(tag.as_str()))?;
    Some(Claim { owner, at: snapshot.at })
}

/// Says in a repository whose it is.
///
/// # Errors
/// Those of the repository.
pub async fn claim(repository: &dyn Repository, ours: &Claim) -> Result<(), RepositoryError> {
    let text =
        format!("Since {} the Havre {} uses this repository, and no other one.\n", ours.at, ours.owner);
    let entry = Entry {
        name: FILE.parse().expect("our own names of files are names"),
        tags: [ours.owner.tag().parse().expect("hex digits are part of a tag")].into(),
        at: ours.at,
    };
    repository.store(&entry, Source::whole(text.into_bytes()), &CancellationToken::new()).await.map(drop)
}
