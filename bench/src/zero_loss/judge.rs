//! Which answers came from a release that could not be live. Pure. Tests at the end of the file.

use std::time::Instant;

use super::traffic::{Record, Records};

/// One release made live, or the one that was live before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) release: String,
    /// The command that makes it live began; before that it may not answer.
    pub(super) began: Instant,
    /// The command ended well; requests begun after that must not be answered by an earlier release.
    pub(super) ended: Instant,
}

/// What was wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// Answers of a release that was not live at any moment between start and end of the request.
    pub(super) wrong: u64,
    /// Good answers that named no release.
    pub(super) unnamed: u64,
    /// The first few wrong ones, for people.
    pub(super) examples: Vec<String>,
    /// For each window but the first: seconds from the begin of the command to the first answer of its release.
    pub(super) first_answers: Vec<Option<Instant>>,
}

const MAX_EXAMPLES: usize = 5;

/// Judges every record. `windows` are in the order of time, the first is what was live at the start.
///
/// A release may answer from the begin of the command that makes it live to the end of the command that replaces it, so
/// between two commands exactly one may.
pub(super) fn judge(records: &mut Records, windows: &[Window]) -> Judgement {
    let names: Vec<u16> = windows.iter().map(|window| records.index(&window.release)).collect();
    let mut judgement = Judgement::default();
    for record in &records.list {
        let Some(release) = record.release else {
            judgement.unnamed += 1;
            continue;
        };
        if !is_possible(record, release, (windows, &names)) {
            judgement.wrong += 1;
            if judgement.examples.len() < MAX_EXAMPLES {
                judgement.examples.push(example(record, &records.names[usize::from(release)], windows));
            }
        }
    }
    judgement.first_answers = (1..windows.len())
        .map(|index| {
            let is_first_of = |record: &&Record| {
                record.release == Some(names[index]) && record.ended >= windows[index].began
            };
            records.list.iter().filter(is_first_of).map(|record| record.ended).min()
        })
        .collect();
    judgement
}

fn is_possible(record: &Record, release: u16, (windows, names): (&[Window], &[u16])) -> bool {
    (0..windows.len()).any(|index| {
        let is_not_over = windows.get(index + 1).is_none_or(|next| record.started <= next.ended);
        names[index] == release && is_not_over && (index == 0 || record.ended >= windows[index].began)
    })
}

fn example(record: &Record, release: &str, windows: &[Window]) -> String {
    let last = windows.iter().rposition(|window| window.ended <= record.started).unwrap_or(0);
    let window = &windows[last];
    let after = record.started.saturating_duration_since(window.ended);
    format!(
        "begun {:.3} s after deploy {last} had made {} live, answered by {release}",
        after.as_secs_f64(),
        window.release
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// r1 is live; r2 is deployed from second 10 to 20, r3 from 30 to 40, and r1 again from 50 to 60.
    fn verdict(start: u64, end: u64, release: &str) -> (u64, Vec<String>) {
        let zero = Instant::now();
        let at = |second| zero + Duration::from_secs(second);
        let window = |release: &str, began, ended| Window {
            release: release.into(),
            began: at(began),
            ended: at(ended),
        };
        let windows = [window("r1", 0, 0), window("r2", 10, 20), window("r3", 30, 40), window("r1", 50, 60)];
        let mut records = Records::default();
        let release = records.index(release);
        records.list.push(Record { started: at(start), ended: at(end), release: Some(release) });
        let judgement = judge(&mut records, &windows);
        (judgement.wrong, judgement.examples)
    }

    #[test]
    fn an_answer_is_right_when_its_release_could_be_live_during_the_request() {
        let right =
            [(1, 2, "r1"), (12, 13, "r1"), (12, 13, "r2"), (21, 22, "r2"), (9, 11, "r2"), (35, 36, "r2")];
        let late = [(19, 45, "r1"), (39, 45, "r2"), (55, 56, "r1"), (70, 71, "r1"), (55, 56, "r3")];
        for (start, end, release) in right.into_iter().chain(late) {
            assert_eq!(verdict(start, end, release), (0, vec![]), "{start}..{end} {release}");
        }
    }

    #[test]
    fn an_answer_of_an_old_a_future_or_an_unknown_release_is_wrong() {
        let wrong =
            [(21, 22, "r1"), (35, 36, "r1"), (8, 9, "r2"), (21, 29, "r3"), (61, 62, "r3"), (12, 13, "r9")];
        for (start, end, release) in wrong {
            assert_eq!(verdict(start, end, release).0, 1, "{start}..{end} {release}");
        }
        let (_, examples) = verdict(21, 22, "r1");
        assert_eq!(examples, ["begun 1.000 s after deploy 1 had made r2 live, answered by r1"]);
    }

    #[test]
    fn an_answer_without_a_release_is_counted_by_itself() {
        let now = Instant::now();
        let mut records = Records::default();
        records.list.push(Record { started: now, ended: now, release: None });
        let windows = [Window { release: "r1".into(), began: now, ended: now }];
        let judgement = judge(&mut records, &windows);
        assert_eq!(judgement, Judgement { unnamed: 1, ..Judgement::default() });
    }
}
