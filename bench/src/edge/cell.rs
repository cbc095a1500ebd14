//! What is measured: one cell is one kind of work on every proxy that can do it, with the floor the edge has to keep.
//! Tests: at the end of the file.

use crate::load::Pace;

/// How the requests of a cell are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Work {
    /// `GET` over kept connections.
    Get {
        path: &'static str,
        /// Bytes of each body as sent.
        body: Body,
        is_secure: bool,
        connections: usize,
        pace: Pace,
    },
    /// A new TLS connection for each request.
    Handshake {
        /// Continue an earlier session.
        is_resumed: bool,
    },
    /// `GET` over HTTP/2 with TLS, 8 connections with 32 streams each, by h2load.
    Http2,
    /// `POST` of so many bytes over 4 kept connections.
    Upload { bytes: usize },
    /// `GET` of 200 B from one of so many hosts, each time another; asked of edges that were made with them.
    Hosts { count: usize },
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Bytes(u64),
    /// The precompressed form, which peers and we make alike; its length is read from the first answer.
    Brotli,
}

/// What a ratio is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    /// CPU time for one good answer; less is better.
    Cpu,
    /// Good answers per second; more is better.
    PerSecond,
    /// Latency that 99 of 100 answers keep; less is better.
    P99,
}

/// Whom the ratio is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rival {
    /// The better of nginx and HAProxy in the same round.
    Best,
    Nginx,
    /// The edge itself with ten hosts.
    TenHosts,
}

/// What the edge must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Floor {
    pub(super) figure: Figure,
    pub(super) rival: Rival,
    pub(super) limit: f64,
}

/// One kind of measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    /// For people, and for `--cells`.
    pub(super) name: &'static str,
    pub(super) work: Work,
    /// Under SCHED_RR, so that other programs do not show in it.
    pub(super) is_realtime: bool,
    pub(super) floor: Floor,
}

const fn floor(figure: Figure, rival: Rival, limit: f64) -> Floor {
    Floor { figure, rival, limit }
}

const fn get(
    name: &'static str,
    (path, bytes): (&'static str, u64),
    is_secure: bool,
    (connections, floor): (usize, Floor),
) -> Cell {
    let work = Work::Get { path, body: Body::Bytes(bytes), is_secure, connections, pace: Pace::Closed };
    Cell { name, work, is_realtime: false, floor }
}

const KB: u64 = 1024;
const MB: u64 = 1024 * KB;
const STATIC: Floor = floor(Figure::PerSecond, Rival::Nginx, 1.0);
const fn brotli(is_secure: bool) -> Work {
    Work::Get { path: "/text.js", body: Body::Brotli, is_secure, connections: 64, pace: Pace::Closed }
}
const STEADY: Work = Work::Get {
    path: "/200",
    body: Body::Bytes(200),
    is_secure: false,
    connections: 64,
    pace: Pace::Open { per_second: 3000.0 },
};

/// All cells, in the order of the report.
pub(super) const CELLS: [Cell; 20] = [
    get("200 B", ("/200", 200), false, (64, floor(Figure::Cpu, Rival::Best, 0.90))),
    get("10 KB", ("/10240", 10 * KB), false, (64, floor(Figure::Cpu, Rival::Best, 0.85))),
    Cell {
        name: "200 B at 3000/s",
        work: STEADY,
        is_realtime: true,
        floor: floor(Figure::P99, Rival::Best, 1.1),
    },
    get("TLS 200 B", ("/200", 200), true, (64, floor(Figure::Cpu, Rival::Best, 0.90))),
    Cell {
        name: "TLS full handshake",
        work: Work::Handshake { is_resumed: false },
        is_realtime: false,
        floor: floor(Figure::Cpu, Rival::Best, 0.60),
    },
    Cell {
        name: "TLS resumed handshake",
        work: Work::Handshake { is_resumed: true },
        is_realtime: false,
        floor: floor(Figure::Cpu, Rival::Best, 0.60),
    },
    Cell {
        name: "HTTP/2 200 B",
        work: Work::Http2,
        is_realtime: false,
        floor: floor(Figure::Cpu, Rival::Nginx, 0.80),
    },
    get("static 1 KB", ("/1k.bin", KB), false, (64, STATIC)),
    Cell { name: "static brotli", work: brotli(false), is_realtime: false, floor: STATIC },
    get("static 100 KB", ("/100k.bin", 100 * KB), false, (64, STATIC)),
    get("static 10 MB", ("/10m.bin", 10 * MB), false, (8, STATIC)),
    get("TLS static 1 KB", ("/1k.bin", KB), true, (64, STATIC)),
    Cell { name: "TLS static brotli", work: brotli(true), is_realtime: false, floor: STATIC },
    get("TLS static 100 KB", ("/100k.bin", 100 * KB), true, (64, STATIC)),
    get("TLS static 10 MB", ("/10m.bin", 10 * MB), true, (8, STATIC)),
    get("64 MB down", ("/67108864", 64 * MB), false, (4, floor(Figure::Cpu, Rival::Nginx, 0.40))),
    get("TLS 64 MB down", ("/67108864", 64 * MB), true, (4, floor(Figure::Cpu, Rival::Best, 1.0))),
    Cell {
        name: "64 MB up",
        work: Work::Upload { bytes: 64 * 1024 * 1024 },
        is_realtime: false,
        floor: floor(Figure::Cpu, Rival::Best, 0.40),
    },
    Cell {
        name: "10 hosts",
        work: Work::Hosts { count: 10 },
        is_realtime: false,
        floor: floor(Figure::Cpu, Rival::TenHosts, 1.0),
    },
    Cell {
        name: "10000 hosts",
        work: Work::Hosts { count: 10_000 },
        is_realtime: false,
        floor: floor(Figure::Cpu, Rival::TenHosts, 1.3),
    },
];

impl Work {
    /// Whether files are asked for, which only some proxies can serve.
    pub(super) fn needs_files(self) -> bool {
        matches!(self, Self::Get { path, .. } if path.contains('.'))
    }

    /// How many hosts the proxy was made with, where that matters.
    pub(super) fn hosts(self) -> Option<usize> {
        match self {
            Self::Hosts { count } => Some(count),
            _ => None,
        }
    }
}

/// The cells that `names` asks for, all when it is empty.
///
/// # Errors
/// A name that is no cell's; the message lists them.
pub(super) fn choose(names: &[String]) -> anyhow::Result<Vec<Cell>> {
    let known = || CELLS.map(|cell| cell.name).join(", ");
    for name in names {
        anyhow::ensure!(
            CELLS.iter().any(|cell| cell.name == name),
            "no cell {name:?}; there are: {}",
            known()
        );
    }
    let is_wanted = |cell: &&Cell| names.is_empty() || names.iter().any(|name| name == cell.name);
    Ok(CELLS.iter().filter(is_wanted).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_chosen_by_name() {
        assert_eq!(choose(&[]).unwrap().len(), CELLS.len());
        let chosen = choose(&["10 KB".to_owned()]).unwrap();
        assert_eq!(chosen.iter().map(|cell| cell.name).collect::<Vec<_>>(), ["10 KB"]);
        assert!(
            choose(&["11 KB".to_owned()])
                .unwrap_err()
                .to_string()
                .starts_with("no cell \"11 KB\"; there are: 200 B,")
        );
        let names: std::collections::BTreeSet<_> = CELLS.iter().map(|cell| cell.name).collect();
        assert_eq!(names.len(), CELLS.len(), "each name is one cell's");
    }
}
