//! When a certificate is renewed: when its issuer says so (ARI, RFC 9773), else when a third of its life is left. Spread over
//! certificates by id, so that what was issued together is not renewed together. Tests at the end of the file.

use crate::certificate::backoff::spread;
use havre_core::certificate::Current;
use havre_core::id::CertificateId;
use havre_core::quantity::Span;
use havre_core::time::Timestamp;

/// Pause between two questions where the issuer names none, and the bounds of what it may name.
pub const ASK_EVERY: Span = Span::seconds(6 * 3600);
const ASK_LEAST: Span = Span::seconds(60);
const ASK_MOST: Span = Span::seconds(24 * 3600);

/// When to ask again, because windows move when certificates must be replaced early: after an answer that wants `retry_after`.
pub fn ask_again_at(now: Timestamp, retry_after: Option<Span>) -> Timestamp {
    let pause = retry_after.unwrap_or(ASK_EVERY).clamp(ASK_LEAST, ASK_MOST);
    now.after(pause.duration())
}

/// When the certificate is renewed. Never after the last tenth of its life has begun, whatever an issuer says.
pub fn renew_at(id: CertificateId, current: &Current) -> Timestamp {
    let (from, to) = (current.not_before.as_millis(), current.not_after.as_millis());
    let life = u64::try_from(to.saturating_sub(from)).unwrap_or(0);
    let back =
        |length: u64| Timestamp::from_millis(to.saturating_sub(i64::try_from(length).unwrap_or(i64::MAX)));
    let third = back(life / 3 + spread(id, 0, life / 30));
    let Some(window) = &current.window else { return third };
    let width = u64::try_from(window.end.as_millis().saturating_sub(window.start.as_millis())).unwrap_or(0);
    let chosen = window.start.after(std::time::Duration::from_millis(spread(id, 1, width)));
    chosen.min(back(life / 10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use havre_core::certificate::Window;

    const DAY: i64 = 86_400_000;

    fn current(days: i64, window: Option<(i64, i64)>) -> Current {
        Current {
            digest: "ab".repeat(32).parse().unwrap(),
            names: vec!["a.example.org".parse().unwrap()],
            signed_by: "test".to_owned(),
            issuer: None,
            serial: String::new(),
            not_before: Timestamp::from_millis(0),
            not_after: Timestamp::from_millis(days * DAY),
            since: Timestamp::from_millis(0),
            window: window.map(|(start, end)| Window {
                start: Timestamp::from_millis(start * DAY),
                end: Timestamp::from_millis(end * DAY),
            }),
            ask_again_at: Timestamp::default(),
        }
    }

    fn days(current: &Current) -> Vec<f64> {
        let day = |id| renew_at(CertificateId::new(id), current).as_millis() as f64 / DAY as f64;
        (1..200).map(day).collect()
    }

    #[test]
    fn a_third_of_the_life_is_left_long_or_short() {
        assert!(days(&current(90, None)).iter().all(|day| (57.0..=60.0).contains(day)));
        assert!(days(&current(6, None)).iter().all(|day| (3.8..=4.0).contains(day)));
    }

    #[test]
    fn inside_the_window_of_the_issuer_and_spread_over_it() {
        let chosen = days(&current(90, Some((50, 52))));
        assert!(chosen.iter().all(|day| (50.0..=52.0).contains(day)));
        let least = chosen.iter().copied().fold(f64::MAX, f64::min);
        let most = chosen.iter().copied().fold(0.0, f64::max);
        assert!(most - least > 1.5, "from {least} to {most} only");
        // A window of the past means now; one beyond the end is not believed.
        assert!(days(&current(90, Some((-3, -1)))).iter().all(|day| *day < 0.0));
        assert!(days(&current(90, Some((95, 99)))).iter().all(|day| *day <= 81.0));
    }

    #[test]
    fn issuers_cannot_make_us_ask_all_the_time_or_never() {
        let now = Timestamp::from_millis(0);
        let pause = |retry: Option<Span>| ask_again_at(now, retry).as_millis() / 1000;
        assert_eq!(pause(None), 21_600);
        assert_eq!(pause(Some(Span::seconds(1))), 60);
        assert_eq!(pause(Some(Span::seconds(10_000_000))), 86_400);
    }
}
