//! HTTP/2 to clients, and to the applications that ask for it. The framing, HPACK and flow control are the `h2` crate's; what a
//! request means is judged by the same engine as HTTP/1.1: a stream is written down as an HTTP/1.1 head (`request`), passes the strict parser, the
//! routes and the pools like any other, and the answer's head is turned into frames again (`havre_http::h2`). So every rule
//! and every setting holds for both protocols, and nothing can be said in one that the other would read differently.
//!
//! `serve` keeps one connection and its deadlines, `stream` makes a stream look like a connection to the data path,
//! `ledger` counts what a connection costs against what it brings. The other way, `upward` makes a stream to an
//! application look like a connection and `links` keeps the connections they share. It knows no TLS: whoever made
//! a connection and agreed on HTTP/2 hands it over. Tests: `tests/it/h2_*.rs`.

mod ledger;
mod links;
mod request;
mod serve;
mod stream;
mod upward;

pub(crate) use links::Links;
pub use request::write as head_of;
pub(crate) use serve::serve;
pub(crate) use stream::H2Stream;
pub(crate) use upward::Upward;

/// Streams a client may have open at once.
const MOST_STREAMS: u32 = 100;
/// Largest header list, as RFC 9113 counts it: 32 bytes for each field besides its name and value.
const HEADER_LIST: u32 = 16 * 1024;
/// What a client may send on one stream, and on all of them, before it is read. The second is the most memory a
/// connection holds for it; 512 KB in a round trip of 100 ms are 5 MB a second.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// The same of an application that answers. Its connection carries many clients' requests, so there is room for all
/// streams at once: a client that is slow to take its answer must not hold up those of others.
const ANSWER_WINDOW: u32 = 64 * 1024;
const ANSWERS_WINDOW: u32 = ANSWER_WINDOW * MOST_STREAMS;
/// What waits on one stream for a client that does not take it: 6.4 MB with all its streams, until it is cut.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that were reset by the client before anybody looked at them.
const MOST_PENDING_RESETS: usize = 20;
/// Streams that were ended for errors of the client, over the life of a connection.
const MOST_ERRORS: usize = 64;
