//! The client's half of HTTP/1.1, as strict as the edge under test has to be. No pool, no redirects, no retries.

pub(crate) mod answer;
mod chunk;
pub(crate) mod exchange;
