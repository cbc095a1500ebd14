//! Figures of many rounds put together: a ratio is taken only inside a round, then the median of the ratios. Pure. Tests at the
//! end of the file.

use serde::Serialize;

/// Median and quartiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

/// Of `values`, none when there are none; between two values the one in the middle of them is taken.
pub(super) fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = |share: f64| {
        let place = share * last as f64;
        let (below, above) = (place.floor() as usize, place.ceil() as usize);
        sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
    };
    Some(Spread { median: at(0.5), lower: at(0.25), upper: at(0.75) })
}

/// `values[round]` divided by `base[round]`; rounds where the base is zero are left out.
pub(super) fn ratios(values: &[f64], base: &[f64]) -> Vec<f64> {
    values.iter().zip(base).filter(|(_, base)| **base > 0.0).map(|(value, base)| value / base).collect()
}

/// The better of two, round by round; one of them alone where the other has no figures.
pub(super) fn best(one: &[f64], other: &[f64], is_more_better: bool) -> Vec<f64> {
    if one.is_empty() || other.is_empty() {
        return [one, other].concat();
    }
    let better = |(one, other): (&f64, &f64)| if is_more_better { one.max(*other) } else { one.min(*other) };
    one.iter().zip(other).map(better).collect()
}

/// Order of `count` proxies in a round, so that none is always the first or always after the same one.
pub(super) fn order(count: usize, round: usize) -> Vec<usize> {
    let turned = (0..count).map(|place| (place + round) % count);
    if round / count % 2 == 1 { turned.rev().collect() } else { turned.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles() {
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[2.0]), Some(Spread { median: 2.0, lower: 2.0, upper: 2.0 }));
        assert_eq!(spread(&[5.0, 1.0, 3.0, 2.0, 4.0]), Some(Spread { median: 3.0, lower: 2.0, upper: 4.0 }));
        assert_eq!(spread(&[1.0, 2.0]), Some(Spread { median: 1.5, lower: 1.25, upper: 1.75 }));
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        assert_eq!(ratios(&[2.0, 9.0, 1.0], &[4.0, 3.0, 0.0]), [0.5, 3.0]);
    }

    #[test]
    fn the_better_one_is_taken_in_each_round() {
        assert_eq!(best(&[1.0, 4.0], &[2.0, 3.0], false), [1.0, 3.0]);
        assert_eq!(best(&[1.0, 4.0], &[2.0, 3.0], true), [2.0, 4.0]);
        assert_eq!(best(&[1.0, 4.0], &[], true), [1.0, 4.0]);
    }

    #[test]
    fn every_proxy_is_at_every_place() {
        let orders: Vec<_> = (0..6).map(|round| order(3, round)).collect();
        assert_eq!(
            orders,
            [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0], [0, 2, 1], [1, 0, 2]].map(|order| order.to_vec())
        );
    }
}
