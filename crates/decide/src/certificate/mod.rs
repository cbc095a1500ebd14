//! When a certificate is ordered, from whom, and why it still waits: `plan` says what to do next, `conclude` what the result of a step
//! means, `check` holds the laws. Tests: `tests/it/certificate`.

pub mod backoff;
pub mod check;
pub mod conclude;
pub mod plan;
pub mod renewal;
pub mod seen;
pub mod serve;
pub mod wanted;
