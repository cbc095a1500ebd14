//! Reads `[services.<name>.balance]`. Tests: `tests/it/manifest.rs`.

use crate::read::{Reader, Value};
use crate::schema;
use crate::service::read_or;
use havre_core::quantity::Span;
use havre_core::service::balance::BalanceSpec;

/// Most requests in flight for one task: far above what one program serves at once.
const IN_FLIGHT_MAX: u32 = 100_000;
/// Most requests in line: each holds a connection of its user.
const QUEUE_MAX: u32 = 10_000;

/// The defaults where it is left out.
pub(super) fn read(reader: &mut Reader<'_>, value: Option<Value<'_>>) -> BalanceSpec {
    let default = BalanceSpec::default();
    let Some(value) = value else { return default };
    let Some(fields) = reader.table(&schema::BALANCE, &value) else { return default };
    let mut count = |key, default, most| {
        read_or(reader, &fields, key, default, |reader, value| reader.integer(value, 0..=most))
    };
    let max_in_flight = count("max_in_flight", default.max_in_flight, IN_FLIGHT_MAX);
    let queue = count("queue", default.queue, QUEUE_MAX);
    let eject_after = count("eject_after", default.eject_after, 1000);
    let retry_percent = count("retry_percent", default.retry_percent, 100);
    let mut span = |key, default, most| {
        read_or(reader, &fields, key, default, |reader, value| reader.span(value, Span::seconds(0)..=most))
    };
    let queue_wait = span("queue_wait", default.queue_wait, Span::seconds(60));
    let slow_start = span("slow_start", default.slow_start, Span::seconds(3600));
    BalanceSpec { max_in_flight, queue, queue_wait, slow_start, eject_after, retry_percent }
}
