//! Schedules: what is understood, the place of every refusal, and what follows where a clock is put forward or back.

use std::collections::BTreeSet;

use havre_schedule::{Schedule, Zone};
use proptest::prelude::*;

fn schedule(text: &str) -> Schedule {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn millis(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("an instant").as_millisecond()
}

/// The next instants of a schedule as UTC.
fn next(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let zone: Zone = zone.parse().expect("a name");
    let instants = schedule(text).occurrences(&zone, millis(after)).take(count);
    instants.map(|at| jiff::Timestamp::from_millisecond(at).expect("in range").to_string()).collect()
}

#[test]
fn fields_are_minute_hour_day_month_and_weekday() {
    assert_eq!(
        next("0 3 * * *", "UTC", "2026-11-24T10:00:00.500Z", 2),
        ["2026-11-25T03:00:00Z", "2026-11-26T03:00:00Z"]
    );
    assert_eq!(
        next("*/20 8-9 * * MON-FRI", "UTC", "2026-02-06T09:20:00Z", 3),
        ["2026-02-06T09:40:00Z", "2026-02-09T08:00:00Z", "2026-02-09T08:20:00Z"]
    );
    assert_eq!(
        next("0 8 * * SAT-SUN", "UTC", "2026-02-02T00:00:00Z", 3),
        ["2026-02-07T08:00:00Z", "2026-02-08T08:00:00Z", "2026-02-14T08:00:00Z"]
    );
    assert_eq!(
        next("30 4 1 jan,jul *", "UTC", "2026-01-01T04:30:00Z", 2),
        ["2026-07-01T04:30:00Z", "2027-01-01T04:30:00Z"]
    );
    assert_eq!(next("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1), ["2028-02-29T00:00:00Z"]);
    assert_eq!(
        next("@daily", "Europe/Paris", "2026-06-01T12:00:00Z", 2),
        ["2026-06-01T22:00:00Z", "2026-06-02T22:00:00Z"]
    );
}

/// As cron has always done: a star limits nothing, and of two limits one is enough.
#[test]
fn a_day_of_the_month_and_a_weekday_are_alternatives() {
    assert_eq!(
        next("0 0 13 * 5", "UTC", "2026-02-10T00:00:00Z", 4),
        ["2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z", "2026-02-27T00:00:00Z", "2026-03-06T00:00:00Z"]
    );
    assert_eq!(
        next("0 0 13 * */1", "UTC", "2026-02-10T00:00:00Z", 2),
        next("0 0 13 * *", "UTC", "2026-02-10T00:00:00Z", 2)
    );
}

#[test]
fn what_falls_into_a_skipped_hour() {
    // On this day clocks in Paris go from 2:00 to 3:00, at 1:00 UTC. A fixed time runs as soon as there is one again.
    assert_eq!(
        next("30 2 * * *", "Europe/Paris", "2025-03-29T00:00:00Z", 3),
        ["2025-03-29T01:30:00Z", "2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z"]
    );
    // What repeats within the hour goes on without it.
    assert_eq!(
        next("*/15 * * * *", "Europe/Paris", "2025-03-30T00:30:00Z", 3),
        ["2025-03-30T00:45:00Z", "2025-03-30T01:00:00Z", "2025-03-30T01:15:00Z"]
    );
}

#[test]
fn what_falls_into_a_repeated_hour() {
    // On this day clocks in Paris go from 3:00 back to 2:00, at 1:00 UTC. A fixed time runs once.
    assert_eq!(
        next("30 2 * * *", "Europe/Paris", "2025-10-25T12:00:00Z", 2),
        ["2025-10-26T00:30:00Z", "2025-10-27T01:30:00Z"]
    );
    assert_eq!(next("30 2 * * *", "Europe/Paris", "2025-10-26T01:10:00Z", 1), ["2025-10-27T01:30:00Z"]);
    // What repeats within the hour runs in both.
    assert_eq!(
        next("*/30 * * * *", "Europe/Paris", "2025-10-25T23:45:00Z", 5),
        [
            "2025-10-26T00:00:00Z",
            "2025-10-26T00:30:00Z",
            "2025-10-26T01:00:00Z",
            "2025-10-26T01:30:00Z",
            "2025-10-26T02:00:00Z",
        ]
    );
}

#[test]
fn what_is_no_schedule_says_where_and_why() {
    let cases = [
        ("", 0..0, "it has 0 fields, not 5"),
        ("0 3 * *", 0..7, "it has 4 fields, not 5"),
        ("0 0 3 * * *", 0..11, "it has 6 fields, not 5"),
        ("60 * * * *", 0..2, "60 is no minute: they go from 0 to 59"),
        ("0  24 * * *", 3..5, "24 is no hour: they go from 0 to 23"),
        ("0 0 0 * *", 4..5, "0 is no day of the month: they go from 1 to 31"),
        ("0 0 * 13 *", 6..8, "13 is no month: they go from 1 to 12"),
        ("0 0 * * 1,8", 10..11, "8 is no day of the week: they go from 0 to 7"),
        ("0 0 * * MO", 8..10, "`MO` is no day of the week"),
        ("0 0 L * *", 4..5, "`L` is no day of the month"),
        ("0 0 * * 1#2", 8..11, "`1#2` is no day of the week"),
        ("1,,2 * * * *", 2..2, "`` is no minute"),
        ("*/0 * * * *", 0..3, "`0` is no step of the minute: they go from 1 to 59"),
        ("*/90 * * * *", 0..4, "`90` is no step of the minute: they go from 1 to 59"),
        ("5/10 * * * *", 0..4, "a step needs a range"),
        ("10-5 * * * *", 0..4, "`10-5` ends before it begins"),
        ("0 0 30 2 *", 4..6, "none of its months has such a day, so it would never run"),
        ("0 0 31 4,6 *", 4..6, "none of its months has such a day, so it would never run"),
        ("@reboot", 0..7, "there is no such name"),
    ];
    for (text, at, message) in cases {
        let error = text.parse::<Schedule>().expect_err("must be refused");
        assert_eq!((error.at.clone(), error.message.as_str()), (at, message), "{text}");
        assert_eq!(error.to_string(), format!("`{text}` is not a schedule: {message}"));
    }
    let long = "1,".repeat(200);
    assert_eq!(long.parse::<Schedule>().expect_err("too long").message, "it has more than 200 bytes");
}

#[test]
fn texts_survive_their_way_through_json() {
    let read: Schedule = serde_json::from_str("\"  0 3   * * mon \"").expect("a schedule");
    assert_eq!(serde_json::to_string(&read).expect("JSON"), "\"0 3 * * mon\"");
    assert_eq!(schedule("@Daily").to_string(), "@daily");
    assert!(serde_json::from_str::<Schedule>("\"0 3\"").is_err());
    let zone: Zone = serde_json::from_str("\"America/Argentina/Buenos_Aires\"").expect("a zone");
    assert!(zone.is_known() && !zone.is_utc());
    for wrong in ["", "Europe/Paris;", "1", "../etc/passwd", "Europe\\Paris", &"a".repeat(65)] {
        assert!(wrong.parse::<Zone>().is_err(), "{wrong:?} must not parse");
    }
}

#[test]
fn zones_come_from_the_database_that_is_compiled_in() {
    let zone = |name: &str| name.parse::<Zone>().expect("a name");
    assert!(zone("UTC").is_known() && zone("Europe/Paris").is_known());
    assert!(!zone("Europe/Pariss").is_known());
    assert_eq!(zone("europe/pariss").nearest().as_deref(), Some("Europe/Paris"));
    assert_eq!(zone("Mars/Olympus").nearest(), None);
    // A zone that nobody knows any more runs nothing, and breaks nothing.
    assert_eq!(schedule("* * * * *").occurrences(&zone("Mars/Olympus"), 0).next(), None);
}

/// A field of cron within these bounds.
fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
    let value = least..=most;
    prop_oneof![
        Just("*".to_owned()),
        value.clone().prop_map(|one| one.to_string()),
        (1..=most).prop_map(|step| format!("*/{step}")),
        (value.clone(), value.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        (value.clone(), value.clone(), 1..=most).prop_map(|(a, b, step)| format!(
            "{}-{}/{step}",
            a.min(b),
            a.max(b)
        )),
        proptest::collection::vec(value, 1..4).prop_map(|all| {
            let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
            texts.join(",")
        }),
    ]
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,40}") {
        let _ = text.parse::<Schedule>().map_err(|error| error.to_string());
    }

    /// What our grammar takes, the library behind it takes too, and time goes forward.
    #[test]
    fn every_schedule_runs(
        minute in field(0, 59),
        hour in field(0, 23),
        day in field(1, 28),
        month in field(1, 12),
        weekday in field(0, 7),
        start in 1_700_000_000_000_i64..1_900_000_000_000,
    ) {
        let text = format!("{minute} {hour} {day} {month} {weekday}");
        let parsed = match text.parse::<Schedule>() {
            Ok(parsed) => parsed,
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let zone: Zone = "Europe/Paris".parse().expect("a name");
        let instants: Vec<i64> = parsed.occurrences(&zone, start).take(4).collect();
        prop_assert_eq!(instants.len(), 4, "{}", text);
        prop_assert!(instants[0] > start && instants.windows(2).all(|two| two[0] < two[1]), "{}: {:?}", text, instants);
        prop_assert!(instants.iter().all(|at| at % 60_000 == 0), "{}: {:?}", text, instants);
    }

    /// Against a model that looks at every minute.
    #[test]
    fn minutes_and_hours_are_those_that_are_named(
        minutes in proptest::collection::btree_set(0_i64..60, 1..5),
        hours in proptest::collection::btree_set(0_i64..24, 1..4),
        start in 28_000_000_i64..29_000_000,
    ) {
        let list = |values: &BTreeSet<i64>| {
            let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
            texts.join(",")
        };
        let text = format!("{} {} * * *", list(&minutes), list(&hours));
        let found: Vec<i64> = schedule(&text).occurrences(&Zone::default(), start * 60_000).take(6).collect();
        let is_named = |minute: &i64| minutes.contains(&(minute % 60)) && hours.contains(&(minute / 60 % 24));
        let expected: Vec<i64> = (start + 1..).filter(is_named).take(6).map(|minute| minute * 60_000).collect();
        prop_assert_eq!(found, expected, "{}", text);
    }
}
