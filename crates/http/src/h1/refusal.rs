//! Why a request is refused: the status, a stable code and plain words for each reason. After any of them the
//! connection is closed, because where the next request starts is no longer certain.

/// A reason to refuse a request. Answers of upstreams that break the same rules become 502.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A line ended with a line feed alone.
    #[error("a line ends with a bare line feed")]
    BareLineFeed,
    /// No valid head: obs-fold, NUL, a space before a colon, a bad byte.
    #[error("the head is not valid HTTP")]
    Syntax,
    /// Not a method name.
    #[error("the method is not valid")]
    Method,
    /// `CONNECT` or `TRACE`.
    #[error("this method is not served here")]
    MethodNotServed,
    /// Not a target this server can route.
    #[error("the request target is not valid")]
    Target,
    /// Not HTTP/1.0 or HTTP/1.1.
    #[error("only HTTP/1.1 and HTTP/1.0 are spoken here")]
    Version,
    /// Too many header lines.
    #[error("the head has too many lines")]
    ManyLines,
    /// Head too long.
    #[error("the head is too long")]
    LongHead,
    /// Request line too long.
    #[error("the request line is too long")]
    LongTarget,
    /// HTTP/1.1 without `Host`.
    #[error("the Host header is missing")]
    NoHost,
    /// More than one `Host`.
    #[error("there is more than one Host header")]
    TwoHosts,
    /// `Host` is no host name and port.
    #[error("the Host header is not valid")]
    Host,
    /// The target names another host than `Host`.
    #[error("the Host header and the request target name different hosts")]
    HostMismatch,
    /// `Content-Length` and `Transfer-Encoding` together.
    #[error("there are both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// More than one `Content-Length`.
    #[error("there is more than one Content-Length header")]
    TwoLengths,
    /// `Content-Length` is no number.
    #[error("the Content-Length header is not valid")]
    Length,
    /// More than one `Transfer-Encoding`.
    #[error("there is more than one Transfer-Encoding header")]
    TwoEncodings,
    /// `Transfer-Encoding` other than `chunked`.
    #[error("the Transfer-Encoding header is not exactly `chunked`")]
    Encoding,
    /// `Transfer-Encoding` in HTTP/1.0.
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    EncodingOn10,
    /// `Connection` names too many headers.
    #[error("the Connection header names too many headers")]
    ConnectionNames,
    /// `Expect` other than `100-continue`.
    #[error("the Expect header asks for something unknown")]
    Expectation,
    /// Bad chunk size, end, extension or trailer.
    #[error("the chunks of the body are not valid")]
    Chunk,
    /// Body over the limit of the service.
    #[error("the body is larger than this service allows")]
    BodyTooLarge,
    /// The head did not end in time.
    #[error("the head did not arrive in time")]
    HeadTimeout,
    /// The body came too slowly.
    #[error("the body did not arrive in time")]
    BodyTimeout,
}

impl Refusal {
    /// Status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::MethodNotServed => 405,
            Self::HeadTimeout | Self::BodyTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::LongTarget => 414,
            Self::Expectation => 417,
            Self::ManyLines | Self::LongHead => 431,
            Self::Encoding => 501,
            Self::Version => 505,
            _ => 400,
        }
    }

    /// Stable code for the `Havre-Error` header.
    pub fn code(self) -> &'static str {
        match self {
            Self::BareLineFeed => "bare-line-feed",
            Self::Syntax => "bad-head",
            Self::Method => "bad-method",
            Self::MethodNotServed => "method-not-served",
            Self::Target => "bad-target",
            Self::Version => "bad-version",
            Self::ManyLines => "too-many-header-lines",
            Self::LongHead => "head-too-long",
            Self::LongTarget => "request-line-too-long",
            Self::NoHost => "no-host",
            Self::TwoHosts => "two-hosts",
            Self::Host => "bad-host",
            Self::HostMismatch => "host-mismatch",
            Self::LengthAndEncoding => "length-and-encoding",
            Self::TwoLengths => "two-lengths",
            Self::Length => "bad-length",
            Self::TwoEncodings => "two-encodings",
            Self::Encoding => "bad-encoding",
            Self::EncodingOn10 => "encoding-on-http10",
            Self::ConnectionNames => "too-many-connection-names",
            Self::Expectation => "unknown-expectation",
            Self::Chunk => "bad-chunk",
            Self::BodyTooLarge => "body-too-large",
            Self::HeadTimeout => "head-timeout",
            Self::BodyTimeout => "body-timeout",
        }
    }
}
