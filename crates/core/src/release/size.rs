//! The size of what a release runs: when a growth is worth saying, and how sizes are said. Pure. Tests at the end of the file.

/// Growth against the release before from which on people are told, in percent: less than that is everyday work.
pub const GROWTH_NOTABLE: u64 = 20;

/// Whether people should hear that an artifact of `before` bytes has become one of `now` bytes.
pub fn is_notable(before: u64, now: u64) -> bool {
    u128::from(now) * 100 > u128::from(before) * u128::from(100 + GROWTH_NOTABLE)
}

/// Growth in whole percent, rounded down; 0 for what has not grown, and where there was nothing before.
pub fn grown_percent(before: u64, now: u64) -> u64 {
    let more = u128::from(now.saturating_sub(before)) * 100;
    let percent = more.checked_div(u128::from(before)).unwrap_or(0);
    u64::try_from(percent).unwrap_or(u64::MAX)
}

/// Number of bytes with one decimal, for people, such as `180.3 MB`; a unit is 1024 of the one before.
pub fn about(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)];
    for (name, unit) in UNITS {
        if bytes >= unit {
            return format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_more_is_not_yet_notable() {
        assert!(!is_notable(100, 100));
        assert!(!is_notable(100, 120));
        assert!(is_notable(100, 121));
        assert!(!is_notable(200, 100), "smaller is never bad news");
        assert!(is_notable(0, 1));
        assert!(!is_notable(0, 0));
        assert!(!is_notable(u64::MAX, u64::MAX));
    }

    #[test]
    fn percent() {
        let grown = [(100, 134), (3, 4), (100, 50), (0, 7), (1, u64::MAX)].map(|(a, b)| grown_percent(a, b));
        assert_eq!(grown, [34, 33, 0, 0, u64::MAX]);
    }

    #[test]
    fn sizes() {
        assert_eq!([512, 1536, 512 << 20, 1 << 31].map(about), ["512 B", "1.5 KB", "512.0 MB", "2.0 GB"]);
    }
}
