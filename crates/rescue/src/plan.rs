//! What is saved now, and what later. Pure: duties with their past in, choices out. A duty is one thing that should be saved to one
//! target again and again. One run at a time for each target, few over all; what somebody asked for goes first. There is no chance in
//! it: when a duty is due follows from its name, so that a hundred of them do not begin together and a restart changes nothing.
//! The past is that of rows in the order they were written, never of clocks: one that jumps makes each duty due once at most.
//! Tests at the end of the file.

use std::collections::BTreeSet;

use havre_core::backup::What;
use havre_core::backup::age::CLOCK_STEP;
use havre_core::name::TargetName;
use havre_core::quantity::Span;
use havre_core::time::Timestamp;

/// Runs at once over all targets: each reads a database, and packs what it reads.
pub const AT_ONCE: usize = 2;
/// Pause after the first failure; each further one doubles it.
pub const PAUSE_FIRST: Span = Span::seconds(60);
/// Longest pause after failures, and the pause after a run that somebody stopped.
pub const PAUSE_MAX: Span = Span::seconds(3600);
/// Time between two prunes of one repository, and how long what was marked stays before it is removed.
pub const PRUNE_EVERY: Span = Span::seconds(86_400);
/// Most of the time by which a run begins early, so that it ends before its promise is broken; and as much again by its name.
const LEAD_MAX: Span = Span::seconds(900);
/// The same, as a part of the promise.
const LEAD_PART: u64 = 20;

/// One thing that should be saved to one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duty {
    /// What.
    pub what: What,
    /// Where.
    pub target: TargetName,
    /// Most time between two runs.
    pub every: Span,
    /// When the newest of its good runs began.
    pub good_at: Option<Timestamp>,
    /// What came after that one and was not good.
    pub trouble: Option<Trouble>,
}

/// Runs that were not good, since the newest good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// How many, at least 1.
    pub count: u32,
    /// When the newest of them ended.
    pub at: Timestamp,
    /// Whether somebody stopped that one.
    pub is_cancelled: bool,
}

/// A run that somebody asked for and that has not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What.
    pub what: What,
    /// Where.
    pub target: TargetName,
}

/// What there is to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// All duties.
    pub duties: Vec<Duty>,
    /// What somebody asked for, oldest first.
    pub asked: Vec<Asked>,
    /// Targets at which something is under way.
    pub busy: BTreeSet<TargetName>,
    /// Targets that could not be used when they were last looked at: what is due waits until they can, since each try would only be one
    /// more run that failed; what somebody asked for is tried.
    pub unusable: BTreeSet<TargetName>,
    /// Runs under way.
    pub running: usize,
}

/// Why a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked for it: the first of [`Seen::asked`] with this thing and target.
    Asked,
    /// It is due.
    Due,
}

/// A run that begins now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What.
    pub what: What,
    /// Where.
    pub target: TargetName,
    /// Why.
    pub cause: Cause,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// These begin, each at a target of its own.
    pub begin: Vec<Choice>,
    /// When the next duty is due that is not yet. What is due and has no place is looked at when a run ends.
    pub look_again_at: Option<Timestamp>,
}

/// Chooses.
pub fn plan(seen: &Seen, now: Timestamp) -> Plan {
    let mut due: Vec<(Timestamp, &Duty)> = Vec::new();
    let mut look_again_at: Option<Timestamp> = None;
    for duty in seen.duties.iter().filter(|duty| !seen.unusable.contains(&duty.target)) {
        let at = due_at(duty, now);
        if at <= now {
            due.push((at, duty));
        } else {
            look_again_at = Some(look_again_at.map_or(at, |other| other.min(at)));
        }
    }
    // Longest overdue first, so that one that fails again and again never holds another one up.
    due.sort_by_key(|(at, duty)| (*at, hash(&duty.what, &duty.target)));
    let asked = seen.asked.iter().map(|asked| (&asked.what, &asked.target, Cause::Asked));
    let due = due.into_iter().map(|(_, duty)| (&duty.what, &duty.target, Cause::Due));

    let mut busy = seen.busy.clone();
    let mut begin = Vec::new();
    for (what, target, cause) in asked.chain(due) {
        if seen.running + begin.len() >= AT_ONCE {
            break;
        }
        if busy.insert(target.clone()) {
            begin.push(Choice { what: what.clone(), target: target.clone(), cause });
        }
    }
    Plan { begin, look_again_at }
}

/// When a duty is next due, for people; `now` for one that is.
pub fn next_run(duty: &Duty, now: Timestamp) -> Timestamp {
    due_at(duty, now).max(now)
}

/// Whether a repository is to be pruned: a day after the last time, or after its target was set.
pub fn is_prune_due(last: Option<Timestamp>, set_at: Timestamp, now: Timestamp) -> bool {
    after(last.unwrap_or(set_at), PRUNE_EVERY, now) <= now
}

/// When a duty is due. One that was never tried has been due for ever.
fn due_at(duty: &Duty, now: Timestamp) -> Timestamp {
    let usual = match duty.good_at {
        None => Timestamp::from_millis(i64::MIN),
        Some(at) => {
            after(at, Span::millis(duty.every.as_millis().saturating_sub(lead(duty).as_millis())), now)
        }
    };
    match duty.trouble {
        None => usual,
        // Whoever stopped it does not want it back at once, nor later than it would have come anyway.
        Some(trouble) if trouble.is_cancelled => usual.max(after(trouble.at, pause(duty, u32::MAX), now)),
        Some(trouble) => after(trouble.at, pause(duty, trouble.count), now),
    }
}

/// That long after an instant of a row; at once where the row is from a future that is not near.
fn after(at: Timestamp, length: Span, now: Timestamp) -> Timestamp {
    if at > now.after(CLOCK_STEP.duration()) { now } else { at.after(length.duration()) }
}

/// The pause after so many failures: never longer than the duty may wait at all.
fn pause(duty: &Duty, failures: u32) -> Span {
    let doubled = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    let pause = PAUSE_FIRST.as_millis().saturating_mul(doubled);
    Span::millis(pause.min(PAUSE_MAX.as_millis()).min(duty.every.as_millis()))
}

/// How much earlier than promised a run begins: by a share that leaves it time to end, and by as much again at most, as its name says.
fn lead(duty: &Duty) -> Span {
    let part = (duty.every.as_millis() / LEAD_PART).min(LEAD_MAX.as_millis());
    let by_name = if part == 0 { 0 } else { hash(&duty.what, &duty.target) % part };
    Span::millis(part + by_name)
}

/// FNV-1a of the two names: spread well enough, and the same on every machine and in every version.
fn hash(what: &What, target: &TargetName) -> u64 {
    let text = format!("{what} to {target}");
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_763_978_400_000);
    const DAY: Span = Span::seconds(86_400);

    fn database(name: &str) -> What {
        What::Database {
            project: "shop".parse().expect("a name"),
            environment: "production".parse().expect("a name"),
            database: name.parse().expect("a name"),
        }
    }

    fn target(name: &str) -> TargetName {
        name.parse().expect("a name")
    }

    fn duty(name: &str, at: &str) -> Duty {
        Duty { what: database(name), target: target(at), every: DAY, good_at: None, trouble: None }
    }

    fn before(span: Span) -> Timestamp {
        Timestamp::from_millis(NOW.as_millis() - i64::try_from(span.as_millis()).expect("is short"))
    }

    fn begun(seen: &Seen, now: Timestamp) -> Vec<String> {
        plan(seen, now)
            .begin
            .iter()
            .map(|one| format!("{:?} {} to {}", one.cause, one.what, one.target))
            .collect()
    }

    #[test]
    fn what_was_never_saved_is_due_and_targets_take_turns() {
        let seen = Seen {
            duties: vec![duty("a", "disk"), duty("a", "bucket"), duty("b", "disk"), duty("b", "other")],
            ..Seen::default()
        };
        let plan = plan(&seen, NOW);
        assert_eq!(plan.begin.len(), AT_ONCE);
        assert_ne!(plan.begin[0].target, plan.begin[1].target);
        let full = Seen { running: AT_ONCE, ..seen.clone() };
        assert!(begun(&full, NOW).is_empty());
        let looked_at = Seen { busy: BTreeSet::from([target("disk"), target("bucket")]), ..seen };
        assert_eq!(begun(&looked_at, NOW), ["Due database shop/production/b to other"]);
    }

    #[test]
    fn at_a_target_that_cannot_be_used_only_what_was_asked_for_is_tried() {
        let mut seen = Seen {
            duties: vec![duty("a", "disk"), duty("a", "bucket")],
            unusable: BTreeSet::from([target("disk")]),
            ..Seen::default()
        };
        assert_eq!(begun(&seen, NOW), ["Due database shop/production/a to bucket"]);
        seen.asked = vec![Asked { what: database("b"), target: target("disk") }];
        assert_eq!(begun(&seen, NOW).len(), 2);
    }

    #[test]
    fn a_run_begins_a_little_before_its_promise_is_broken() {
        let mut names = BTreeSet::new();
        for number in 0..50 {
            let mut one = duty(&format!("db{number}"), "disk");
            one.good_at = Some(NOW);
            let wait = next_run(&one, NOW).since(NOW);
            assert!(wait <= Span::seconds(86_400 - 900).duration(), "{wait:?}");
            assert!(wait > Span::seconds(86_400 - 1800).duration(), "{wait:?}");
            names.insert(wait);
        }
        assert!(names.len() > 40, "they do not begin together: {names:?}");
    }

    #[test]
    fn what_was_asked_for_goes_first() {
        let mut failing = duty("a", "disk");
        failing.trouble = Some(Trouble { count: 9, at: NOW, is_cancelled: false });
        let seen = Seen {
            duties: vec![duty("b", "disk"), failing],
            asked: vec![Asked { what: database("a"), target: target("disk") }],
            ..Seen::default()
        };
        assert_eq!(begun(&seen, NOW), ["Asked database shop/production/a to disk"]);
    }

    #[test]
    fn failures_wait_longer_and_longer() {
        let mut one = duty("a", "disk");
        let mut waits = Vec::new();
        for count in [1, 2, 3, 6, 7, 8, u32::MAX] {
            one.trouble = Some(Trouble { count, at: NOW, is_cancelled: false });
            waits.push(next_run(&one, NOW).since(NOW).as_secs() / 60);
        }
        assert_eq!(waits, [1, 2, 4, 32, 60, 60, 60]);
        one.trouble = Some(Trouble { count: 1, at: NOW, is_cancelled: true });
        assert_eq!(next_run(&one, NOW), NOW.after(PAUSE_MAX.duration()));
        one.every = Span::seconds(300);
        one.trouble = Some(Trouble { count: 9, at: NOW, is_cancelled: false });
        assert_eq!(next_run(&one, NOW), NOW.after(Span::seconds(300).duration()));
    }

    #[test]
    fn a_repository_is_pruned_once_a_day() {
        let day_ago = before(DAY);
        assert!(is_prune_due(None, day_ago, NOW) && is_prune_due(Some(day_ago), day_ago, NOW));
        assert!(!is_prune_due(None, NOW, NOW) && !is_prune_due(Some(NOW), day_ago, NOW));
        assert!(is_prune_due(Some(NOW.after(DAY.duration())), day_ago, NOW), "a clock was wrong");
    }

    #[test]
    fn a_stopped_run_changes_nothing_about_the_next_usual_one() {
        let mut one = duty("a", "disk");
        one.good_at = Some(before(Span::seconds(60)));
        let usual = next_run(&one, NOW);
        one.trouble = Some(Trouble { count: 1, at: NOW, is_cancelled: true });
        assert_eq!(next_run(&one, NOW), usual);
    }

    #[test]
    fn rows_of_a_wrong_clock_hold_nothing_up() {
        let mut one = duty("a", "disk");
        one.good_at = Some(NOW.after(Span::seconds(86_400 * 300).duration()));
        assert_eq!(next_run(&one, NOW), NOW);
        one.trouble = Some(Trouble { count: 3, at: one.good_at.expect("is set"), is_cancelled: false });
        assert_eq!(next_run(&one, NOW), NOW);
        // A small step back is waited for.
        one.good_at = Some(NOW.after(Span::seconds(600).duration()));
        one.trouble = None;
        assert!(next_run(&one, NOW) > NOW);
    }

    /// Minutes that pass, runs that end, and a clock that jumps.
    #[derive(Debug, Clone)]
    enum Move {
        Pass(u16),
        Jump(i32),
        End(bool),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            6 => (1_u16..600).prop_map(Move::Pass),
            1 => (-500_000_i32..500_000).prop_map(Move::Jump),
            6 => any::<bool>().prop_map(Move::End),
        ];
        prop::collection::vec(one, 1..80)
    }

    fn moved(now: Timestamp, minutes: i64) -> Timestamp {
        Timestamp::from_millis(now.as_millis() + minutes * 60_000)
    }

    /// Four duties at three targets, with what runs and how often each began.
    struct Sim {
        seen: Seen,
        running: Vec<(usize, Timestamp)>,
        begun: [u32; 4],
    }

    impl Sim {
        fn new() -> Self {
            let duties = vec![duty("a", "disk"), duty("b", "disk"), duty("a", "bucket"), duty("b", "other")];
            Self { seen: Seen { duties, ..Seen::default() }, running: Vec::new(), begun: [0; 4] }
        }

        fn begin(&mut self, now: Timestamp) {
            for choice in plan(&self.seen, now).begin {
                let same = |duty: &Duty| duty.what == choice.what && duty.target == choice.target;
                let at = self.seen.duties.iter().position(same).expect("is a duty");
                assert!(self.seen.busy.insert(choice.target), "two runs at one target");
                self.running.push((at, now));
                self.begun[at] += 1;
            }
            self.seen.running = self.running.len();
            assert!(self.running.len() <= AT_ONCE);
        }

        fn end(&mut self, is_good: bool, now: Timestamp) {
            let Some((at, began)) = self.running.pop() else { return };
            self.seen.running = self.running.len();
            let duty = &mut self.seen.duties[at];
            self.seen.busy.remove(&duty.target);
            if is_good {
                (duty.good_at, duty.trouble) = (Some(began), None);
            } else {
                let count = duty.trouble.map_or(0, |trouble| trouble.count) + 1;
                duty.trouble = Some(Trouble { count, at: now, is_cancelled: false });
            }
        }
    }

    proptest! {
        #[test]
        fn no_clock_floods_or_starves(moves in moves()) {
            let (mut sim, mut now) = (Sim::new(), NOW);
            let (mut passed, mut jumps, mut failures) = (0_u32, 0_u32, 0_u32);
            for one in moves {
                match one {
                    Move::Pass(minutes) => {
                        now = moved(now, i64::from(minutes));
                        passed += u32::from(minutes);
                    }
                    Move::Jump(minutes) => {
                        now = moved(now, i64::from(minutes));
                        jumps += 1;
                    }
                    Move::End(is_good) => {
                        failures += u32::from(!is_good);
                        sim.end(is_good, now);
                    }
                }
                sim.begin(now);
            }
            // A day less half an hour is the shortest time between two good ones.
            let most = 1 + passed / (1440 - 30) + jumps + failures;
            prop_assert!(sim.begun.iter().all(|count| *count <= most), "{:?} of {most}", sim.begun);

            // From wherever it stands: with runs that end well, each duty runs within its promise and two hours.
            let before = sim.begun;
            for _ in 0..(1440 + 120) / 10 {
                now = moved(now, 10);
                sim.begin(now);
                sim.end(true, now);
                sim.end(true, now);
            }
            prop_assert!(sim.begun.iter().zip(before).all(|(after, before)| *after > before), "{:?} {before:?}", sim.begun);
        }
    }
}
