//! Takes stock of everything that is saved: which copies there are and how old, against its policy, and what is missing in sentences.
//! Nothing is green by default: no target, a target that is named and not there, or one that cannot be used is a gap. Tests at the end
//! of the file.

use std::collections::BTreeMap;

use havre_core::backup::account::{self, Account, Holding, Kind};
use havre_core::backup::policy::BackupPolicy;
use havre_core::backup::target::{BackupTarget, TargetState};
use havre_core::name::TargetName;
use havre_core::time::Timestamp;

/// What the live data lies on. A folder on the same disk says so by the same name.
pub const LIVE_MEDIUM: &str = "disk";
/// What the live data is called among the copies; no target may have this name.
pub const LIVE: &str = "live";

/// Whether a target may have this name.
pub fn is_reserved(name: &TargetName) -> bool {
    name.as_str() == LIVE
}

/// What there is of one thing, and what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stock {
    /// Copies and ages, the live data first.
    pub account: Account,
    /// What is missing, in sentences; empty means that the policy is met.
    pub gaps: Vec<String>,
}

/// The live data itself.
fn live() -> Holding {
    let target = account::Target {
        name: LIVE.parse().expect("a label"),
        kind: Kind::Live,
        medium: LIVE_MEDIUM.parse().expect("a label"),
        is_offsite: false,
    };
    Holding { target, newest_verified: None }
}

/// Takes stock of one thing. `newest` is when the run of its newest backup that restores began, by target. Targets its policy does not
/// name do not count, whatever lies there.
pub fn take_stock(
    policy: &BackupPolicy,
    targets: &[BackupTarget],
    newest: &BTreeMap<TargetName, Timestamp>,
    now: Timestamp,
) -> Stock {
    let mut holdings = vec![live()];
    for target in targets.iter().filter(|target| policy.goes_to(&target.spec.name)) {
        let newest_verified = newest.get(&target.spec.name).copied();
        holdings.push(Holding { target: target.account(), newest_verified });
    }
    let promise = account::Policy::three_two_one(policy.rpo_target());
    let account = account::account(&promise, &holdings, now);
    let mut gaps = Vec::new();
    if targets.is_empty() {
        gaps.push("there is no backup target".to_owned());
    }
    for name in policy.missing_targets(targets) {
        gaps.push(format!("{name}: its policy names this target, and there is none of this name"));
    }
    gaps.extend(account.gaps.iter().map(ToString::to_string));
    Stock { account, gaps }
}

/// What is missing of the targets themselves.
pub fn target_gaps(targets: &[BackupTarget]) -> Vec<String> {
    let mut gaps = Vec::new();
    for target in targets {
        let name = &target.spec.name;
        if let TargetState::Failed { reason } = &target.state {
            gaps.push(format!("{name} cannot be used: {reason}"));
        }
        if target.repository.is_some() && target.kit_shown_at.is_none() {
            gaps.push(format!(
                "{name}: nobody has its recovery kit, and without this machine nothing there can be read"
            ));
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use havre_core::backup::target::TargetSpec;

    const HOUR: i64 = 3_600_000;
    const NOW: Timestamp = Timestamp::from_millis(1_763_978_400_000);

    fn target(name: &str, medium: &str, is_offsite: bool) -> BackupTarget {
        let spec: TargetSpec = serde_json::from_value(serde_json::json!({
            "name": name, "medium": medium, "is_offsite": is_offsite,
            "location": { "kind": "folder", "path": format!("/mnt/{name}") },
        }))
        .expect("is a target");
        BackupTarget {
            spec,
            repository: Some("b".repeat(64).parse().expect("an id")),
            has_credential: false,
            state: TargetState::Ready,
            kit_shown_at: Some(NOW),
            created_at: NOW,
        }
    }

    fn newest(ages: &[(&str, i64)]) -> BTreeMap<TargetName, Timestamp> {
        let at = |hours: i64| Timestamp::from_millis(NOW.as_millis() - hours * HOUR);
        ages.iter().map(|(name, hours)| (name.parse().expect("a name"), at(*hours))).collect()
    }

    #[test]
    fn two_targets_of_which_one_is_elsewhere_are_enough() {
        let targets = [target("disk-two", "disk-two", false), target("bucket", "bucket", true)];
        let policy = BackupPolicy::of_postgres();
        let stock = take_stock(&policy, &targets, &newest(&[("disk-two", 3), ("bucket", 24)]), NOW);
        assert_eq!((stock.gaps, stock.account.copies.len()), (Vec::new(), 3));
        let late = take_stock(&policy, &targets, &newest(&[("disk-two", 3), ("bucket", 26)]), NOW);
        assert_eq!(
            late.gaps,
            [
                "copies: 2 of 3, the live data included",
                "off-site: 0 of 1; a fire or a lost account here would take every copy",
                "bucket: its newest verified snapshot is 1 d 2 h old and does not count",
            ]
        );
    }

    #[test]
    fn without_targets_nothing_is_green() {
        let gaps = take_stock(&BackupPolicy::of_platform(), &[], &BTreeMap::new(), NOW).gaps;
        assert_eq!(gaps.first().map(String::as_str), Some("there is no backup target"));
        assert!(gaps.len() > 1, "{gaps:?}");
    }

    #[test]
    fn what_the_policy_does_not_name_does_not_count() {
        let policy = BackupPolicy {
            targets: ["disk-two", "gone"].map(|name| name.parse::<TargetName>().expect("a name")).into(),
            ..BackupPolicy::of_postgres()
        };
        let targets = [target("disk-two", "disk-two", false), target("bucket", "bucket", true)];
        let stock = take_stock(&policy, &targets, &newest(&[("disk-two", 1), ("bucket", 1)]), NOW);
        assert_eq!(stock.account.copies.len(), 2);
        assert_eq!(stock.gaps[0], "gone: its policy names this target, and there is none of this name");
    }

    #[test]
    fn targets_have_gaps_of_their_own() {
        let mut lost = target("bucket", "bucket", true);
        lost.kit_shown_at = None;
        lost.state = TargetState::Failed { reason: "access denied".to_owned() };
        assert_eq!(
            target_gaps(&[target("disk-two", "disk-two", false), lost]),
            [
                "bucket cannot be used: access denied",
                "bucket: nobody has its recovery kit, and without this machine nothing there can be read",
            ]
        );
        assert!(
            is_reserved(&"live".parse().expect("a name")) && !is_reserved(&"bucket".parse().expect("a name"))
        );
    }
}
