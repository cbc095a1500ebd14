//! What requests came to, in numbers: counters and durations that many threads add to without waiting for each other. Who
//! asked, and when a request begins and ends, is known in the edge alone.

pub mod histogram;
pub mod series;
