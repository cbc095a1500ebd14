//! Lengths of time and instants as people say them. Tests at the end of the file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use havre_core::time::Timestamp;

/// The present instant by this machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// `0.8s`, `12.3s`, `1m04s`, `2h05m`, `3d04h`.
pub(crate) fn length(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{}.{}s", seconds, length.subsec_millis() / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// `12s ago`; an instant ahead of our clock is `just now`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.since(at).as_secs();
    match seconds {
        0 => "just now".to_owned(),
        1..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m ago", seconds / 60),
        3600..86_400 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// Number of bytes with one decimal.
pub(crate) fn size(bytes: u64) -> String {
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
    fn lengths() {
        let shown =
            [0, 840, 12_340, 64_000, 7_500_000, 273_600_000].map(|ms| length(Duration::from_millis(ms)));
        assert_eq!(shown, ["0.0s", "0.8s", "12.3s", "1m04s", "2h05m", "3d04h"]);
    }

    #[test]
    fn instants() {
        let at = |ms| ago(Timestamp::from_millis(ms), Timestamp::from_millis(100_000_000));
        let shown = [100_000_900, 99_990_000, 99_000_000, 80_000_000, 0].map(at);
        assert_eq!(shown, ["just now", "10s ago", "16m ago", "5h ago", "1d ago"]);
    }

    #[test]
    fn sizes() {
        assert_eq!([512, 1536, 512 << 20, 1 << 31].map(size), ["512 B", "1.5 KB", "512.0 MB", "2.0 GB"]);
    }
}
