//! Laws over whole histories in a simulated world: broken domains never burn what a good one needs.

use havre_core::certificate::budget::{End, Placed};
use havre_core::certificate::issuer::PRESETS;
use havre_core::certificate::{Side, Stage, State};
use proptest::prelude::*;

use crate::certificate::world::{DAY, Domain, World};

fn hundred_and_one(broken: Domain, good_at: usize) -> World {
    let mut domains = vec![broken; 101];
    domains[good_at] = Domain::Good;
    World::new(&domains)
}

#[test]
fn a_hundred_broken_domains_never_delay_a_good_one() {
    for broken in [Domain::Elsewhere, Domain::Unreachable] {
        for good_at in [0, 50, 100] {
            let mut world = hundred_and_one(broken, good_at);
            world.settle();
            // At once: no time has passed.
            assert!(world.rows[good_at].0.current.is_some(), "{broken:?}: {:?}", world.rows[good_at]);
            // Production heard of nobody but the good one.
            assert_eq!(world.orders(Stage::Production), 1, "{broken:?}");
        }
    }
}

#[test]
fn a_good_one_that_comes_late_is_served_at_once() {
    let mut world = hundred_and_one(Domain::Unreachable, 100);
    let late = world.rows.pop().unwrap();
    for _ in 0..200 {
        world.pass(300);
    }
    world.rows.push(late);
    world.settle();
    assert!(world.rows[100].0.current.is_some());
}

#[test]
fn a_week_of_broken_domains_stays_small_and_away_from_production() {
    let mut world = hundred_and_one(Domain::Unreachable, 100);
    for _ in 0..7 * 24 {
        world.pass(3600);
    }
    assert_eq!(world.orders(Stage::Production), 1);
    for (row, _) in &world.rows[..100] {
        let own = world.history.iter().filter(|placed| placed.names == row.names).count();
        assert!((8..=20).contains(&own), "{own} orders for {:?}", row.names);
    }
}

#[test]
fn a_domain_that_is_repaired_rehearses_and_is_served() {
    let mut world = World::new(&[Domain::Unreachable]);
    world.settle();
    assert_eq!((world.orders(Stage::Production), world.orders(Stage::Rehearsal)), (1, 0));
    world.pass(120);
    assert_eq!((world.orders(Stage::Production), world.orders(Stage::Rehearsal)), (1, 1));
    world.rows[0].1 = Domain::Good;
    world.pass(600);
    assert_eq!((world.issued(Stage::Production), world.issued(Stage::Rehearsal)), (1, 1));
    assert_eq!(world.rows[0].0.record.failures, 0);
}

#[test]
fn an_issuer_that_is_down_for_a_day_is_asked_a_few_times_and_then_serves() {
    let mut world = World::new(&[Domain::Good]);
    world.down = vec![Stage::Production, Stage::Rehearsal];
    for _ in 0..24 * 6 {
        world.pass(600);
    }
    assert!((5..=8).contains(&world.history.len()), "{} orders in a day", world.history.len());
    world.down.clear();
    world.pass(25 * 3600);
    assert!(world.rows[0].0.current.is_some());
}

#[test]
fn certificates_are_renewed_for_years_short_lived_ones_too() {
    for days in [6, 90] {
        let mut world = World::new(&[Domain::Good, Domain::Good]);
        world.days = days;
        world.settle();
        for _ in 0..days * 10 {
            world.pass(DAY);
            for (row, _) in &world.rows {
                assert!(row.current.as_ref().is_some_and(|current| current.is_valid(world.now)));
            }
        }
        let renewals = world.issued(Stage::Production);
        assert!((24..=36).contains(&renewals), "{renewals} in {days} x 10 days");
    }
}

fn any_domain() -> impl Strategy<Value = Domain> {
    prop_oneof![Just(Domain::Good), Just(Domain::Elsewhere), Just(Domain::Unreachable)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    // Domains that break and are repaired at will, issuers that come and go, clocks that jump: no plan breaks a law (the world
    // checks each), a valid certificate is never lost or made worse, production is never asked by one whose last attempt
    // failed on its side without a rehearsal in between.
    #[test]
    fn no_history_breaks_a_law(
        domains in proptest::collection::vec(any_domain(), 1..8),
        turns in proptest::collection::vec((0_i64..200_000, any::<proptest::sample::Index>(), any_domain(), 0_u8..8), 1..60),
    ) {
        let mut world = World::new(&domains);
        for (pause, which, domain, down) in turns {
            let index = which.index(world.rows.len());
            world.rows[index].1 = domain;
            world.down = match down {
                0 => vec![Stage::Production],
                1 => vec![Stage::Rehearsal],
                2 => vec![Stage::Production, Stage::Rehearsal],
                _ => Vec::new(),
            };
            let before: Vec<_> = world.rows.iter().map(|(row, _)| row.current.clone()).collect();
            world.pass(pause);
            for (before, (row, _)) in before.iter().zip(&world.rows) {
                let Some(before) = before else { continue };
                let now = row.current.as_ref().expect("what is served stays");
                prop_assert!(now.not_after >= before.not_after);
            }
        }
        for (row, _) in &world.rows {
            let own: Vec<&Placed> = world.history.iter().filter(|placed| placed.names == row.names).collect();
            for pair in own.windows(2) {
                let has_failed = matches!(pair[0].end, Some(End::Failed { side: Side::Domain, .. }));
                prop_assert!(!has_failed || pair[1].stage == Stage::Rehearsal, "{pair:?}");
            }
            prop_assert!(!matches!(row.state, State::Ordering { .. }), "orders end: {row:?}");
        }
    }
}

#[test]
fn what_we_keep_to_is_below_what_is_published() {
    let limits = PRESETS[0].limits;
    assert!(
        limits.orders < 300
            && limits.per_domain < 50
            && limits.duplicates < 5
            && limits.failed_validations < 5
    );
}
