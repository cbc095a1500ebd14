//! What to do about a pull request, and which previews go. Pure; decided once before its commit is fetched and once again with it, inside
//! of the transaction that records what follows. Tests at the end of the file.

use std::fmt;

use havre_core::preview::{Policy, Preview, PullNumber, State, Wish};
use havre_core::source::{BranchName, HeadAt};
use havre_core::time::Timestamp;

/// What follows from what was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Make a preview; these go for it.
    Start {
        /// Oldest first.
        make_room: Vec<PullNumber>,
    },
    /// Make the one there is of the newer commit.
    Update,
    /// The preview before is not gone yet; decide again when it is.
    Wait,
    /// Nothing.
    Ignore {
        /// Why.
        reason: Ignored,
    },
}

/// Why nothing follows. Its text is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// The base branch asks for no previews.
    Previews {
        /// Which.
        base: BranchName,
    },
    /// It comes from another repository.
    Fork {
        /// The branch whose policy forbids it.
        base: BranchName,
    },
    /// It comes from another repository, and its forge does not show its commits in this one.
    ForkOutOfReach,
    /// The preview is of this commit already.
    SameCommit,
    /// There is no preview to be closed.
    Nothing {
        /// Of which pull request.
        number: PullNumber,
    },
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Previews { base } => {
                write!(f, "havre.toml of the branch {base} has no [previews]: pull requests for it get none")
            }
            Self::Fork { base } => write!(
                f,
                "the pull request comes from a fork, and [previews] of the branch {base} does not say forks = true"
            ),
            Self::ForkOutOfReach => {
                f.write_str("the pull request comes from a fork, whose commits this forge does not show")
            }
            Self::SameCommit => f.write_str("the preview is of this commit already"),
            Self::Nothing { number } => write!(f, "there is no preview of pull request {number}"),
        }
    }
}

/// Decides about a pull request that was opened, opened again or pushed to, from every preview of its project. `policy` is that of the base
/// branch, never of the pull request: who may write the one may not write the other.
pub fn decide(wish: &Wish, rows: &[Preview], policy: Option<&Policy>) -> Decision {
    let ignore = |reason| Decision::Ignore { reason };
    let Some(policy) = policy else { return ignore(Ignored::Previews { base: wish.base.clone() }) };
    if wish.is_fork && !policy.forks {
        return ignore(Ignored::Fork { base: wish.base.clone() });
    }
    if wish.is_fork && matches!(wish.at, HeadAt::Branch { .. }) {
        return ignore(Ignored::ForkOutOfReach);
    }
    let Some(row) = rows.iter().find(|row| row.number == wish.number) else {
        return Decision::Start { make_room: room(rows, policy.max) };
    };
    match row.state {
        State::Open { .. } if wish.head.as_ref() == Some(&row.commit) => ignore(Ignored::SameCommit),
        State::Open { .. } => Decision::Update,
        State::Closing { .. } => Decision::Wait,
        State::Closed { .. } => Decision::Start { make_room: room(rows, policy.max) },
    }
}

/// Which previews go so that one more is at most the `max`-th: those nobody has pushed to for longest.
fn room(rows: &[Preview], max: u32) -> Vec<PullNumber> {
    let mut open: Vec<&Preview> = rows.iter().filter(|row| row.is_open()).collect();
    open.sort_by_key(|row| (row.pushed_at, row.number));
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let too_many = (open.len() + 1).saturating_sub(max);
    open.iter().take(too_many).map(|row| row.number).collect()
}

/// The preview to close of this pull request.
///
/// # Errors
/// There is none: there never was, or it goes already.
pub fn close(number: PullNumber, row: Option<&Preview>) -> Result<&Preview, Ignored> {
    row.filter(|row| row.is_open()).ok_or(Ignored::Nothing { number })
}

/// Previews to which nothing was pushed for as long as they may stay.
pub fn expired(rows: &[Preview], now: Timestamp) -> Vec<&Preview> {
    rows.iter().filter(|row| row.is_open() && row.expires_at() <= now).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use havre_core::preview::{CloseReason, TTL};

    const POLICY: Policy = Policy { forks: false, max: 2, ttl: TTL };
    const AT: Timestamp = Timestamp::from_millis(0);

    fn number(number: u64) -> PullNumber {
        PullNumber::try_from(number).expect("is a number")
    }

    fn wish(pull: u64, head: Option<char>) -> Wish {
        Wish {
            project: "shop".parse().expect("a name"),
            number: number(pull),
            head: head.map(|digit| digit.to_string().repeat(40).parse().expect("a commit")),
            branch: "feature/x".parse().expect("a branch"),
            base: "main".parse().expect("a branch"),
            at: HeadAt::Pull,
            is_fork: false,
        }
    }

    /// A preview of the commit `aaa...`, pushed to at that second.
    fn open(pull: u64, pushed: i64) -> Preview {
        Preview {
            project: "shop".parse().expect("a name"),
            number: number(pull),
            commit: "a".repeat(40).parse().expect("a commit"),
            branch: "feature/x".parse().expect("a branch"),
            base: "main".parse().expect("a branch"),
            base_commit: "b".repeat(40).parse().expect("a commit"),
            is_fork: false,
            state: State::Open { since: AT },
            pushed_at: Timestamp::from_millis(pushed * 1000),
            ttl: TTL,
        }
    }

    fn closing(pull: u64) -> Preview {
        Preview { state: State::Closing { since: AT, reason: CloseReason::Ended }, ..open(pull, 0) }
    }

    fn closed(pull: u64) -> Preview {
        Preview { state: State::Closed { at: AT, reason: CloseReason::Ended }, ..open(pull, 0) }
    }

    fn ignored(decision: Decision) -> String {
        match decision {
            Decision::Ignore { reason } => reason.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pull_request_starts_a_preview_and_a_push_moves_it() {
        let nobody_goes = Decision::Start { make_room: Vec::new() };
        assert_eq!(decide(&wish(7, Some('a')), &[], Some(&POLICY)), nobody_goes);
        assert_eq!(decide(&wish(7, Some('a')), &[closed(7)], Some(&POLICY)), nobody_goes, "opened again");
        assert_eq!(decide(&wish(7, Some('c')), &[open(7, 1)], Some(&POLICY)), Decision::Update);
        assert_eq!(decide(&wish(7, None), &[open(7, 1)], Some(&POLICY)), Decision::Update, "not known yet");
        assert_eq!(decide(&wish(7, Some('a')), &[closing(7)], Some(&POLICY)), Decision::Wait);
        assert_eq!(
            ignored(decide(&wish(7, Some('a')), &[open(7, 1)], Some(&POLICY))),
            "the preview is of this commit already"
        );
    }

    #[test]
    fn without_leave_of_the_base_branch_nothing_starts() {
        assert_eq!(
            ignored(decide(&wish(7, Some('a')), &[], None)),
            "havre.toml of the branch main has no [previews]: pull requests for it get none"
        );
        let fork = Wish { is_fork: true, ..wish(7, Some('a')) };
        assert_eq!(
            ignored(decide(&fork, &[], Some(&POLICY))),
            "the pull request comes from a fork, and [previews] of the branch main does not say forks = true"
        );
        assert_eq!(
            ignored(decide(&fork, &[open(7, 1)], Some(&POLICY))),
            "the pull request comes from a fork, and [previews] of the branch main does not say forks = true",
            "a policy that has become stricter holds for what is pushed from then on"
        );
        let open_house = Policy { forks: true, ..POLICY };
        assert_eq!(decide(&fork, &[], Some(&open_house)), Decision::Start { make_room: Vec::new() });
        let branch = HeadAt::Branch { branch: "main".parse().expect("a branch") };
        let elsewhere = Wish { at: branch, ..fork };
        assert_eq!(
            ignored(decide(&elsewhere, &[], Some(&open_house))),
            "the pull request comes from a fork, whose commits this forge does not show"
        );
    }

    #[test]
    fn the_one_nobody_pushed_to_makes_room() {
        let rows = [open(1, 30), open(2, 10), closed(3), closing(4)];
        let start =
            |numbers: &[u64]| Decision::Start { make_room: numbers.iter().map(|n| number(*n)).collect() };
        assert_eq!(decide(&wish(9, None), &rows, Some(&POLICY)), start(&[2]));
        assert_eq!(decide(&wish(9, None), &rows[..1], Some(&POLICY)), start(&[]));
        // The most was lowered meanwhile.
        assert_eq!(decide(&wish(9, None), &rows, Some(&Policy { max: 1, ..POLICY })), start(&[2, 1]));
        assert_eq!(decide(&wish(1, None), &rows, Some(&POLICY)), Decision::Update, "it has its place");
    }

    #[test]
    fn what_is_open_can_be_closed() {
        let row = open(7, 0);
        assert_eq!(close(number(7), Some(&row)), Ok(&row));
        for other in [Some(closing(7)), Some(closed(7)), None] {
            let reason = close(number(7), other.as_ref()).expect_err("there is nothing to close");
            assert_eq!(reason.to_string(), "there is no preview of pull request 7");
        }
    }

    #[test]
    fn without_a_push_a_preview_goes() {
        let rows = [open(1, 0), open(2, 100), closing(3), closed(4)];
        let goes = |seconds: i64| -> Vec<u64> {
            let now = Timestamp::from_millis(seconds * 1000);
            expired(&rows, now).iter().map(|row| row.number.into()).collect()
        };
        let week = 7 * 86_400;
        assert_eq!(goes(week - 1), Vec::<u64>::new());
        assert_eq!(goes(week), [1]);
        assert_eq!(goes(week + 100), [1, 2]);
    }
}
