//! Reads `[services.<name>.tls]`. Tests: `tests/it/manifest.rs`.

use crate::problem::Code;
use crate::read::{Fields, Reader};
use crate::schema;
use crate::service::read_or;
use havre_core::name::{HostName, ServiceName};
use havre_core::service::spec::Protocol;
use havre_core::service::tls::{TlsSpec, Trust};

const HINT: &str = "add ca = \"\"\"...\"\"\" with the certificates in PEM that vouch for the program, or verify = false to take \
                    whatever certificate it has";

/// `None` where the protocol is one without TLS, or where there is a problem. Nothing is assumed: whom to trust must be
/// said, one way or the other.
pub(super) fn read(
    reader: &mut Reader<'_>,
    service: &Fields<'_>,
    name: &ServiceName,
    protocol: Protocol,
) -> Option<TlsSpec> {
    let spoken = protocol.as_str();
    let Some(value) = service.find("tls") else {
        if let Some(at) = service.find("protocol").filter(|_| protocol.is_tls()) {
            let message = format!("`{}` speaks {spoken} and has no `tls` to say whom to trust", service.path);
            let hint = "add tls = { ca = \"...\" } with the certificates in PEM that vouch for the program, or \
                        tls = { verify = false } to take whatever certificate it has";
            reader.report(Code::MissingKey, at.at(), message, hint);
        }
        return None;
    };
    if !protocol.is_tls() {
        let message = format!("`{}`: the service speaks {spoken}, which is without TLS", value.path);
        let hint = "add protocol = \"https\" or \"h2\", or remove `tls`; HTTPS for users is `https`";
        reader.report(Code::Conflict, value.key_at, message, hint);
        return None;
    }
    let fields = reader.table(&schema::TLS, &value)?;
    let host = read_or(reader, &fields, "name", HostName::from(name), |reader, value| reader.parsed(value));
    let verify = read_or(reader, &fields, "verify", true, Reader::boolean);
    let trust = match (fields.find("ca"), verify) {
        (Some(ca), true) => Trust::Ca { certificates: reader.parsed(&ca)? },
        (None, false) => Trust::Anyone,
        (Some(ca), false) => {
            let message = format!("`{}` has both `ca` and verify = false", value.path);
            reader.report(Code::Conflict, ca.key_at, message, "keep the one that is meant");
            return None;
        }
        (None, true) => {
            let message = format!("`{}` does not say whom to trust", value.path);
            reader.report(Code::MissingKey, value.at(), message, HINT);
            return None;
        }
    };
    Some(TlsSpec { name: host, trust })
}
