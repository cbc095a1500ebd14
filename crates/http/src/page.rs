//! The edge's own answers to people: what happened, in plain words, as a small page or as text. It writes to no
//! connection and decides no status. Tests at the end of the file.

use std::fmt::Write as _;

use crate::h1::Refusal;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The request breaks a rule.
    Refused(Refusal),
    /// No route names the host.
    UnknownHost,
    /// The connection was made for another host.
    Misdirected,
    /// Routes name the host, none of them the path.
    UnknownPath,
    /// No live task is healthy.
    NoTask,
    /// Connections to every task tried were refused.
    Unreachable,
    /// The task's certificate is not what the service trusts, or its handshake failed otherwise.
    UpstreamTls,
    /// Connecting took too long.
    ConnectTimeout,
    /// The task closed the connection without an answer.
    NoAnswer,
    /// The task's answer breaks a rule of HTTP.
    BadAnswer,
    /// The task did not answer in time.
    AnswerTimeout,
    /// This edge has no room for more.
    Busy,
    /// Every task has as many requests as it may, and as many wait as may.
    QueueFull,
    /// Every task had as many requests as it may for as long as one waits.
    QueueTimeout,
    /// A file that is not there.
    NoFile,
    /// A method a site does not know.
    SiteMethod,
    /// The files of a site cannot be read.
    SiteUnreadable,
    /// A range beyond the end of a file.
    Range,
    /// The client's address is not among those that are served.
    Forbidden,
    /// Name and password are asked for.
    Unauthorized,
    /// The client asks too often.
    TooOften,
    /// The service is in maintenance.
    Maintenance,
}

impl Trouble {
    /// Status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::UnknownHost | Self::Misdirected => 421,
            Self::UnknownPath | Self::NoFile => 404,
            Self::NoTask | Self::Busy | Self::QueueFull | Self::QueueTimeout => 503,
            Self::Unreachable | Self::UpstreamTls | Self::NoAnswer | Self::BadAnswer => 502,
            Self::ConnectTimeout | Self::AnswerTimeout => 504,
            Self::SiteMethod => 405,
            Self::SiteUnreadable => 500,
            Self::Range => 416,
            Self::Forbidden => 403,
            Self::Unauthorized => 401,
            Self::TooOften => 429,
            Self::Maintenance => 503,
        }
    }

    /// Stable code for the `Havre-Error` header.
    pub fn code(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::UnknownHost => "unknown-host",
            Self::Misdirected => "misdirected",
            Self::UnknownPath => "unknown-path",
            Self::NoTask => "no-healthy-task",
            Self::Unreachable => "unreachable",
            Self::UpstreamTls => "upstream-tls",
            Self::ConnectTimeout => "connect-timeout",
            Self::NoAnswer => "no-answer",
            Self::BadAnswer => "bad-answer",
            Self::AnswerTimeout => "answer-timeout",
            Self::Busy => "busy",
            Self::QueueFull => "queue-full",
            Self::QueueTimeout => "queue-timeout",
            Self::NoFile => "no-such-file",
            Self::SiteMethod => "method-not-allowed",
            Self::SiteUnreadable => "site-unreadable",
            Self::Range => "no-such-range",
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::TooOften => "too-many-requests",
            Self::Maintenance => "maintenance",
        }
    }

    /// Lines this answer needs besides the usual ones, each with its end.
    pub fn extra_lines(self) -> &'static str {
        match self {
            Self::NoTask | Self::Busy | Self::QueueFull | Self::QueueTimeout => "Retry-After: 2\r\n",
            Self::SiteMethod => "Allow: GET, HEAD\r\n",
            Self::Refused(Refusal::MethodNotServed) => {
                "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
            }
            _ => "",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Refused(_) => "This request was refused",
            Self::UnknownHost => "No site or service is known here under this name.",
            Self::Misdirected => "This connection was made for another name. Please open a new one.",
            Self::UnknownPath => "Nothing is published at this address.",
            Self::NoTask => "This service has no healthy task at the moment. Please try again shortly.",
            Self::Unreachable => "The service could not be reached. Please try again shortly.",
            Self::UpstreamTls => "The service could not be reached securely.",
            Self::ConnectTimeout => "The service could not be reached in time. Please try again shortly.",
            Self::NoAnswer => "The service ended the connection without an answer.",
            Self::BadAnswer => "The service gave an answer that is not valid HTTP.",
            Self::AnswerTimeout => "The service did not answer in time.",
            Self::Busy => "There is more to do here than fits at the moment. Please try again shortly.",
            Self::QueueFull | Self::QueueTimeout => {
                "This service has more requests than it can take. Please try again shortly."
            }
            Self::NoFile => "There is no such page.",
            Self::SiteMethod => "Only GET and HEAD are served here.",
            Self::SiteUnreadable => "The files of this site cannot be read.",
            Self::Range => "The file has no such range.",
            Self::Forbidden => "This address is not served from where you are.",
            Self::Unauthorized => "A name and a password are needed here.",
            Self::TooOften => "Too many requests came from here. Please wait a little.",
            Self::Maintenance => "This service is being worked on. Please come back in a few minutes.",
        }
    }
}

/// Name of a status.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Answer",
    }
}

/// The body of an answer about `trouble`, as a page or as text. The request id is safe by its grammar; nothing
/// else of the request is repeated.
pub fn body(trouble: Trouble, request_id: &str, as_page: bool) -> String {
    let status = trouble.status();
    let name = reason(status);
    let mut sentence = trouble.sentence().to_owned();
    if let Trouble::Refused(refusal) = trouble {
        let _ = write!(sentence, ": {refusal}.");
    }
    if as_page {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{status} {name}</title>\n\
             <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:20vh auto;padding:0 1rem}}\
             small{{color:#666}}</style>\n\
             <h1>{status} {name}</h1>\n<p>{sentence}</p>\n<p><small>Request {request_id}</small></p>\n</html>\n"
        )
    } else {
        format!("{status} {name}\n{sentence}\nRequest {request_id}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_happened_in_plain_words() {
        assert_eq!(
            body(Trouble::Refused(Refusal::TwoHosts), "abc", false),
            "400 Bad Request\nThis request was refused: there is more than one Host header.\nRequest abc\n"
        );
        let page = body(Trouble::NoTask, "abc", true);
        assert!(page.starts_with("<!doctype html>"), "{page}");
        assert!(page.contains("<h1>503 Service Unavailable</h1>"), "{page}");
    }
}
