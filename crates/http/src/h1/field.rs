//! Which header names mean something to the edge. Names that an application behind a CGI-like gateway would read
//! as one of them (`X_Forwarded_For`) count as the edge's own and are dropped. Tests at the end of the file.

/// Meaning of a header name to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Field {
    /// None: passed on.
    Other,
    /// `Host`.
    Host,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Connection`.
    Connection,
    /// `Upgrade`.
    Upgrade,
    /// `Expect`.
    Expect,
    /// `X-Request-Id`.
    RequestId,
    /// `Havre-Probe`.
    Probe,
    /// Dropped: hop-by-hop, or only the edge may say it.
    Dropped,
    /// `traceparent`.
    Traceparent,
    /// `tracestate`.
    Tracestate,
    /// `Accept`.
    Accept,
    /// `If-None-Match`.
    IfNoneMatch,
    /// `Range`.
    Range,
    /// `If-Range`.
    IfRange,
    /// `Accept-Encoding`.
    AcceptEncoding,
    /// `If-Modified-Since`.
    IfModifiedSince,
}

/// Special names in lower case, by length so that most names are compared with two or three others only.
const NAMES: &[&[(&str, Field)]] = &[
    &[],
    &[],
    &[("te", Field::Dropped)],
    &[],
    &[("host", Field::Host)],
    &[("range", Field::Range), ("proxy", Field::Dropped)],
    &[("accept", Field::Accept), ("expect", Field::Expect)],
    &[("upgrade", Field::Upgrade), ("trailer", Field::Dropped)],
    &[("if-range", Field::IfRange)],
    &[("forwarded", Field::Dropped), ("x-real-ip", Field::Dropped)],
    &[("connection", Field::Connection), ("keep-alive", Field::Dropped), ("tracestate", Field::Tracestate)],
    &[("havre-probe", Field::Probe), ("havre-error", Field::Dropped), ("traceparent", Field::Traceparent)],
    &[("x-request-id", Field::RequestId)],
    &[("if-none-match", Field::IfNoneMatch), ("havre-release", Field::Dropped)],
    &[("content-length", Field::ContentLength)],
    &[("accept-encoding", Field::AcceptEncoding)],
    &[("proxy-connection", Field::Dropped)],
    &[("transfer-encoding", Field::TransferEncoding), ("if-modified-since", Field::IfModifiedSince)],
    &[],
    &[("proxy-authorization", Field::Dropped)],
];

impl Field {
    /// The meaning of `name`, in any case.
    pub fn of(name: &str) -> Self {
        let name = name.as_bytes();
        for (special, field) in NAMES.get(name.len()).copied().unwrap_or_default() {
            if is_same(name, special.as_bytes()) {
                return if name.contains(&b'_') { Self::Dropped } else { *field };
            }
        }
        if name.len() > 12 && is_same(&name[..12], b"x-forwarded-") {
            return Self::Dropped;
        }
        Self::Other
    }

    /// Whether lines of this meaning go to the other side as they came.
    pub(super) fn is_passed_on(self) -> bool {
        matches!(
            self,
            Self::Other
                | Self::Accept
                | Self::AcceptEncoding
                | Self::IfModifiedSince
                | Self::IfNoneMatch
                | Self::Range
                | Self::IfRange
                | Self::Traceparent
                | Self::Tracestate
        )
    }
}

fn is_same(name: &[u8], lower: &[u8]) -> bool {
    name.iter().zip(lower).all(|(byte, wanted)| {
        let byte = if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        byte == *wanted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_name_stands_in_the_list_of_its_length() {
        for (length, names) in NAMES.iter().enumerate() {
            for (name, field) in *names {
                assert_eq!(name.len(), length, "{name}");
                assert_eq!(Field::of(&name.to_uppercase()), *field, "{name}");
            }
        }
    }

    #[test]
    fn names_that_look_like_the_edges_own_are_dropped() {
        for name in ["X-Forwarded-For", "x_forwarded_for", "X-FORWARDED-PORT", "Content_Length", "x_real_ip"]
        {
            assert_eq!(Field::of(name), Field::Dropped, "{name}");
        }
        for name in ["X-Forwarded", "Accept-Language", "X_Custom", "Cookie", "x-forwarded-"] {
            assert_eq!(Field::of(name), Field::Other, "{name}");
        }
    }
}
