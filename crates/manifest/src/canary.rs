//! Reads `canary` of a service. Tests: `tests/it/manifest.rs`.

use crate::problem::Code;
use crate::read::{Reader, Value};
use crate::schema;
use crate::service::read_or;
use havre_core::quantity::Span;
use havre_core::service::spec::{CanarySpec, VolumeSpec};

/// More than half is no canary.
const PERCENT_MAX: u8 = 50;
/// Long enough to notice what happens once in some thousand requests.
const HOLD: Span = Span::seconds(600);
const HOLD_MAX: Span = Span::seconds(24 * 3600);

/// `None` where it is left out or has a problem.
pub(super) fn read(
    reader: &mut Reader<'_>,
    value: Option<Value<'_>>,
    volumes: &[VolumeSpec],
) -> Option<CanarySpec> {
    let value = value?;
    let fields = reader.table(&schema::CANARY, &value)?;
    let Some(percent) = fields.find("percent") else {
        let message = format!("`{}` has no `percent`", value.path);
        reader.report(Code::MissingKey, value.at(), message, "add percent = 10");
        return None;
    };
    if !volumes.is_empty() {
        let message = format!("`{}`: a service with a volume has one release at a time", value.path);
        reader.report(Code::Conflict, value.key_at.clone(), message, "leave out `canary` or `volumes`");
        return None;
    }
    let percent = reader.integer(&percent, 1..=u32::from(PERCENT_MAX))?;
    let hold = read_or(reader, &fields, "for", HOLD, |reader, value| {
        reader.span(value, Span::seconds(1)..=HOLD_MAX)
    });
    Some(CanarySpec { percent: u8::try_from(percent).ok()?, hold })
}
