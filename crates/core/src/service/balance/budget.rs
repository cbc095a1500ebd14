//! How many requests may be sent twice: a share of all requests, and a few whatever their number. It says nothing
//! about which may be (`proxy::exchange`). Pure. Tests at the end of the file.
//!
//! A try after a refused connection is not counted: no upstream has seen the request, so none does work twice, and a
//! service that loses one of two tasks must be able to send half of its requests to the other.

/// Length of a window in milliseconds.
const WINDOW: u64 = 10_000;
/// Retries a window allows whatever the number of requests.
const FLOOR: u64 = 10;

/// Retries of one service.
#[derive(Debug, Default)]
pub struct Budget {
    started: u64,
    /// Requests when the window started.
    base: u64,
    spent: u64,
}

impl Budget {
    /// Whether one more retry fits now, which spends it. `requests` only grows; `percent` 0 allows none.
    pub fn permit(&mut self, now: u64, requests: u64, percent: u32) -> bool {
        if now.saturating_sub(self.started) >= WINDOW || requests < self.base {
            *self = Self { started: now, base: requests, spent: 0 };
        }
        let allowed = FLOOR + (requests - self.base) * u64::from(percent) / 100;
        let fits = percent > 0 && self.spent < allowed;
        self.spent += u64::from(fits);
        fits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the order of requests and retries, what is permitted in one window stays within the share.
        #[test]
        fn no_window_gets_more_than_its_share(
            steps in proptest::collection::vec((0_u64..2000, 0_u64..50, 0_u32..40), 1..60),
            percent in 0_u32..=100,
        ) {
            let mut budget = Budget::default();
            let (mut now, mut requests) = (0, 0);
            let (mut window, mut base, mut permitted) = (0, 0, 0);
            for (passed, new, tries) in steps {
                now += passed;
                requests += new;
                for _ in 0..tries {
                    if now - window >= WINDOW {
                        (window, base, permitted) = (now, requests, 0);
                    }
                    permitted += u64::from(budget.permit(now, requests, percent));
                    prop_assert!(permitted <= FLOOR + (requests - base) * u64::from(percent) / 100);
                    prop_assert!(percent > 0 || permitted == 0);
                }
            }
        }
    }

    #[test]
    fn a_quiet_service_still_gets_its_few() {
        let mut budget = Budget::default();
        let permitted = (0..100).filter(|_| budget.permit(5, 1, 10)).count();
        assert_eq!(permitted, 10);
        assert!(budget.permit(5 + WINDOW, 1, 10));
    }
}
