//! What follows from the limits of registries: what serves when one wants fewer pulls, what it says is left, and when it is asked.
//! Pure; who asks is the loop `registry` of `reconcile`. Tests at the end of the file.

use std::fmt;

use havre_core::artifact::Digest;
use havre_core::quantity::Span;
use havre_core::time::Timestamp;

/// A registry is asked at most this often how many pulls are left.
pub const ASK_EVERY: Span = Span::seconds(6 * 3600);
/// And only while images of it are in use: pulled, or named by a build, within this time.
pub const USED_WITHIN: Span = Span::seconds(24 * 3600);
/// Below this share, in percent, few pulls are left.
pub const FEW_PERCENT: u64 = 20;

/// What a deployment does when a registry wants fewer pulls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnRateLimit {
    /// Goes on with the image that is here; the tag may have moved at the registry since.
    UsePresent(Digest),
    /// Fails and says when to try again: nothing of that name is here.
    Fail,
}

/// Decides it. `present` is the image of that very name on this machine.
pub fn on_rate_limit(present: Option<Digest>) -> OnRateLimit {
    present.map_or(OnRateLimit::Fail, OnRateLimit::UsePresent)
}

/// When to try again, for people: what the registry said, else how long it counts, where that is known.
pub fn when_again(retry_after: Option<Span>, window: Option<Span>) -> String {
    match (retry_after, window) {
        (Some(wait), _) => format!("try again in {wait}"),
        (None, Some(window)) => format!("a pull counts for {window}: try again after that at the latest"),
        (None, None) => "try again later".to_owned(),
    }
}

/// How many pulls a registry still gives us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullLimit {
    /// Pulls that are left.
    pub remaining: u64,
    /// Pulls in a window; more than zero.
    pub limit: u64,
    /// How long each pull counts; more than zero.
    pub window: Span,
}

impl PullLimit {
    /// Reads two headers of the form `100;w=21600`; `None` when they say anything else.
    pub fn parse(limit: &str, remaining: &str) -> Option<Self> {
        let (limit, window) = parse_count(limit)?;
        let (remaining, _) = parse_count(remaining)?;
        (limit > 0).then_some(Self { remaining: remaining.min(limit), limit, window })
    }

    /// Whether fewer than [`FEW_PERCENT`] are left.
    pub const fn is_low(&self) -> bool {
        self.remaining.saturating_mul(100) < self.limit.saturating_mul(FEW_PERCENT)
    }
}

impl fmt::Display for PullLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "remaining {} of {} ({})", self.remaining, self.limit, self.window)
    }
}

/// Most seconds of a window that are believed: 30 days.
const WINDOW_MAX: u64 = 30 * 86_400;

fn parse_count(text: &str) -> Option<(u64, Span)> {
    let (count, window) = text.trim().split_once(";w=")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(count) || !is_number(window) {
        return None;
    }
    let count = count.parse::<u32>().ok()?;
    let seconds = window.parse::<u64>().ok().filter(|seconds| (1..=WINDOW_MAX).contains(seconds))?;
    Some((u64::from(count), Span::seconds(seconds)))
}

/// Whether a registry is to be asked now. A time in the future counts as none: the clock was set back.
pub fn is_due(used_at: Timestamp, asked_at: Option<Timestamp>, now: Timestamp) -> bool {
    let is_used = now.since(used_at) <= USED_WITHIN.duration();
    let was_asked = |asked_at: Timestamp| asked_at <= now && now.since(asked_at) < ASK_EVERY.duration();
    is_used && !asked_at.is_some_and(was_asked)
}

/// Whether people should hear of it: few are left, and before that there were more, or nobody knew.
pub fn is_news(before: Option<&PullLimit>, after: &PullLimit) -> bool {
    after.is_low() && !before.is_some_and(PullLimit::is_low)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn limit(remaining: u64, limit: u64) -> PullLimit {
        PullLimit { remaining, limit, window: Span::seconds(6 * HOUR) }
    }

    #[test]
    fn what_is_here_serves_and_nothing_else() {
        let digest: Digest = "a".repeat(64).parse().expect("64 hex digits");
        assert_eq!(on_rate_limit(Some(digest.clone())), OnRateLimit::UsePresent(digest));
        assert_eq!(on_rate_limit(None), OnRateLimit::Fail);
    }

    #[test]
    fn people_hear_when_to_try_again() {
        let (wait, window) = (Some(Span::seconds(90)), Some(Span::seconds(6 * HOUR)));
        assert_eq!(when_again(wait, window), "try again in 90s");
        assert_eq!(when_again(None, window), "a pull counts for 6h: try again after that at the latest");
        assert_eq!(when_again(None, None), "try again later");
    }

    #[test]
    fn headers_are_read_or_left() {
        assert_eq!(PullLimit::parse("100;w=21600", "34;w=21600"), Some(limit(34, 100)));
        assert_eq!(PullLimit::parse(" 100;w=21600 ", "0;w=21600"), Some(limit(0, 100)));
        assert_eq!(PullLimit::parse("100;w=21600", "500;w=21600"), Some(limit(100, 100)));
        for wrong in [
            "",
            "100",
            "100;w=",
            ";w=1",
            "100;w=0",
            "-1;w=1",
            "+1;w=1",
            "1;w=99999999",
            "99999999999;w=1",
            "a;w=1",
        ] {
            assert_eq!(PullLimit::parse(wrong, "1;w=21600"), None, "{wrong:?}");
            assert_eq!(PullLimit::parse("100;w=21600", wrong), None, "{wrong:?}");
        }
        assert_eq!(PullLimit::parse("0;w=21600", "0;w=21600"), None, "no limit is none");
        assert_eq!(limit(34, 100).to_string(), "remaining 34 of 100 (6h)");
    }

    #[test]
    fn few_are_less_than_a_fifth() {
        assert!(limit(19, 100).is_low() && limit(0, 1).is_low());
        assert!(!limit(20, 100).is_low() && !limit(100, 100).is_low());
    }

    #[test]
    fn it_is_told_once() {
        let (low, high) = (limit(19, 100), limit(80, 100));
        assert!(is_news(None, &low) && is_news(Some(&high), &low));
        assert!(!is_news(Some(&low), &limit(3, 100)), "it was told already");
        assert!(!is_news(None, &high) && !is_news(Some(&low), &high));
    }

    #[test]
    fn a_registry_is_asked_rarely_and_only_in_use() {
        let at = |hours: i64| Timestamp::from_millis(hours * 3_600_000);
        assert!(is_due(at(0), None, at(1)), "never asked");
        assert!(!is_due(at(0), Some(at(1)), at(6)), "five hours are too few");
        assert!(is_due(at(0), Some(at(1)), at(7)));
        assert!(!is_due(at(0), Some(at(1)), at(25)), "not in use");
        assert!(is_due(at(0), Some(at(9)), at(1)), "the clock was set back");
    }
}
