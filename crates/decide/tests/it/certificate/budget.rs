//! The budget: each limit, when there is room again, and that no history ever exceeds one.

use havre_core::certificate::budget::{
    Ask, End, HOUR, Limits, ORDERS_WINDOW, Placed, WEEK, ask, registered_domains,
};
use havre_core::certificate::{Side, Stage};
use havre_core::time::Timestamp;
use proptest::prelude::*;

use crate::certificate::world::{at, names};

const SMALL: Limits = Limits { orders: 6, per_domain: 4, duplicates: 2, failed_validations: 3 };

fn placed(text: &str, seconds: i64, end: Option<End>) -> Placed {
    Placed {
        issuer: "own".parse().unwrap(),
        stage: Stage::Production,
        names: names(text),
        is_renewal: false,
        is_retry: false,
        at: at(seconds),
        end,
    }
}

fn issued(text: &str, seconds: i64) -> Placed {
    placed(text, seconds, Some(End::Issued { at: at(seconds) }))
}

fn failed(text: &str, seconds: i64) -> Placed {
    placed(text, seconds, Some(End::Failed { at: at(seconds), side: Side::Domain }))
}

fn asked(history: &[Placed], text: &str, is_renewal: bool, is_retry: bool, seconds: i64) -> String {
    let (issuer, names) = ("own".parse().unwrap(), names(text));
    let wish = Ask { issuer: &issuer, stage: Stage::Production, names: &names, is_renewal, is_retry };
    match ask(history, &SMALL, &wish, at(seconds)) {
        Ok(()) => "room".to_owned(),
        Err(full) => full.to_string(),
    }
}

#[test]
fn each_limit_says_when_there_is_room_again() {
    let mut lines = Vec::new();
    let many: Vec<Placed> = (0..6).map(|n| issued(&format!("a.d{n}.org"), n)).collect();
    lines.push(asked(&many, "a.d9.org", false, false, 100));
    lines.push(asked(&many, "a.d9.org", false, false, 3 * 3600));
    let retries: Vec<Placed> =
        (0..3).map(|n| Placed { is_retry: true, ..failed(&format!("a.d{n}.org"), n) }).collect();
    lines.push(asked(&retries, "a.d9.org", false, true, 100));
    lines.push(asked(&retries, "a.d9.org", false, false, 100));
    let below: Vec<Placed> = (0..4).map(|n| issued(&format!("h{n}.example.org"), n * 20_000)).collect();
    lines.push(asked(&below, "h9.example.org", false, false, 80_000));
    lines.push(asked(&below, "h9.example.org", true, false, 80_000));
    let same = [issued("a.example.org", 0), issued("a.example.org", 20_000)];
    lines.push(asked(&same, "a.example.org", true, false, 50_000));
    lines.push(asked(&same, "a.example.org b.example.org", false, false, 50_000));
    let broken: Vec<Placed> = (0..3).map(|n| failed("a.example.org", n * 100)).collect();
    lines.push(asked(&broken, "a.example.org", false, true, 400));
    lines.push(asked(&broken, "a.example.org", false, true, 3600 + 300));
    let lost = [placed("a.example.org", 0, None), placed("a.example.org", 1, None)];
    lines.push(asked(&lost, "a.example.org", false, false, 2));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn other_issuers_and_stages_count_for_themselves() {
    let other = |placed: Placed| {
        [
            Placed { stage: Stage::Rehearsal, ..placed.clone() },
            Placed { issuer: "other".parse().unwrap(), ..placed },
        ]
    };
    let history: Vec<Placed> = (0..50).flat_map(|n| other(failed("a.example.org", n))).collect();
    assert_eq!(asked(&history, "a.example.org", false, true, 100), "room");
}

#[test]
fn registered_domains_are_never_finer_than_they_are() {
    let domains = registered_domains(&names("a.b.example.org *.example.org x.example.co.uk localhost"));
    assert_eq!(domains, ["co.uk", "example.org", "localhost"]);
}

fn most_within(instants: &[Timestamp], window: std::time::Duration) -> usize {
    let inside =
        |from: &Timestamp| instants.iter().filter(|at| *at >= from && at.since(*from) < window).count();
    instants.iter().map(inside).max().unwrap_or(0)
}

proptest! {
    // Whatever is asked for, in whatever order, with clocks that jump back, ends that are never seen, and failures: what was
    // let through never exceeds a limit in any window.
    #[test]
    fn no_history_exceeds_the_budget(
        wishes in proptest::collection::vec((0_i64..40_000, 0_u8..6, any::<bool>(), any::<bool>(), 0_u8..3), 1..200),
    ) {
        let mut history: Vec<Placed> = Vec::new();
        let mut seconds = 0;
        for (pause, host, is_renewal, is_retry, end) in wishes {
            seconds += pause / 10;
            let text = format!("h{host}.example{}.org", host % 2);
            if asked(&history, &text, is_renewal, is_retry, seconds) != "room" {
                continue;
            }
            let end = match end {
                0 => None,
                1 => Some(End::Issued { at: at(seconds) }),
                _ => Some(End::Failed { at: at(seconds), side: Side::Domain }),
            };
            history.push(Placed { is_renewal, is_retry, ..placed(&text, seconds, end) });
        }
        let instants = |keep: &dyn Fn(&Placed) -> bool| -> Vec<Timestamp> {
            history.iter().filter(|placed| keep(placed)).map(|placed| placed.at).collect()
        };
        let has_failed = |placed: &Placed| matches!(placed.end, Some(End::Failed { .. }));
        prop_assert!(most_within(&instants(&|_| true), ORDERS_WINDOW) <= 6);
        prop_assert!(most_within(&instants(&|placed| placed.is_retry), ORDERS_WINDOW) <= 3);
        for host in 0..6 {
            let text = names(&format!("h{host}.example{}.org", host % 2));
            prop_assert!(most_within(&instants(&|placed| placed.names == text && has_failed(placed)), HOUR) <= 3);
            prop_assert!(most_within(&instants(&|placed| placed.names == text && !has_failed(placed)), WEEK) <= 2);
        }
        for domain in ["example0.org", "example1.org"] {
            let first = |placed: &Placed| {
                !placed.is_renewal && !has_failed(placed) && registered_domains(&placed.names).contains(&domain.to_owned())
            };
            prop_assert!(most_within(&instants(&first), WEEK) <= 4);
        }
    }
}
