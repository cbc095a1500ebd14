//! One request as the edge accounts for it, whatever protocol it came by. The protocol's code opens an [`Entry`] when
//! a request has begun, fills in what it learns, and drops it when the last byte of the answer is gone, or the client
//! is: dropping counts it and writes its line, exactly once, however the request ended.
//! It decides nothing about the request. Tests: `tests/it/access_log.rs`.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::settings::Mode;
use super::{Account, line};
use crate::proxy::RequestId;
use crate::upstream::{InFlight, Upstream};
use havre_http::account::series::{Counters, Ending, Series};
use havre_http::date;

/// A block of lines is handed to the writer when it is this long, and at every tick of the worker.
const BLOCK: usize = 32 * 1024;
/// Room in a block for the longest line beyond [`BLOCK`].
const BLOCK_ROOM: usize = 36 * 1024;
/// Most unused records a worker keeps.
const SPARE: usize = 64;

/// The words of a request line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<'w> {
    pub(crate) method: &'w str,
    pub(crate) host: &'w str,
    /// Path and query.
    pub(crate) target: &'w str,
}

/// What is known of one request.
#[derive(Debug)]
pub(crate) struct Record {
    started: Instant,
    /// Status of the answer; 0 while there is none.
    pub(crate) status: u16,
    /// Times it was sent again.
    pub(crate) retries: u8,
    /// `http/1.1`, `h2`.
    pub(crate) protocol: &'static str,
    /// Stable code where the edge answered itself (`Havre-Error`), or why there is no whole answer.
    pub(crate) reason: &'static str,
    /// Bytes of its body.
    pub(crate) received: u64,
    /// Bytes of the answer's body.
    pub(crate) sent: u64,
    /// Who counts it: a service or a site, and the release that answered.
    pub(crate) series: Option<Arc<Series>>,
    /// Who else counts it: its route, where its service has others.
    pub(crate) route: Option<Arc<Counters>>,
    /// The task that answered, or was asked last.
    pub(crate) upstream: Option<Arc<Upstream>>,
    id: Option<RequestId>,
    words: Vec<u8>,
    client: [u8; 40],
    client_length: u8,
}

impl Record {
    /// An empty record; in a box, because records are kept and used again.
    fn boxed() -> Box<Self> {
        Box::new(Self {
            started: Instant::now(),
            status: 0,
            retries: 0,
            protocol: "",
            reason: "",
            received: 0,
            sent: 0,
            series: None,
            route: None,
            upstream: None,
            id: None,
            words: Vec::with_capacity(256),
            client: [0; 40],
            client_length: 0,
        })
    }

    pub(super) fn words(&self) -> &[u8] {
        &self.words
    }

    pub(super) fn client(&self) -> &[u8] {
        &self.client[..usize::from(self.client_length)]
    }

    pub(super) fn id(&self) -> &str {
        self.id.as_ref().map_or("", RequestId::as_str)
    }

    /// Its id.
    pub(crate) fn set_id(&mut self, id: RequestId) {
        self.id = Some(id);
    }

    /// The task it is sent to, which counts it from here on.
    pub(crate) fn answers(&mut self, in_flight: &InFlight) {
        let upstream = in_flight.share();
        self.series = Some(Arc::clone(&upstream.series));
        self.upstream = Some(upstream);
    }

    fn set_client(&mut self, address: Option<IpAddr>) {
        let mut room = &mut self.client[..];
        let before = room.len();
        let written = address.is_some_and(|address| write!(room, "{address}").is_ok());
        let length = if written { before - room.len() } else { 0 };
        self.client_length = u8::try_from(length).unwrap_or(0);
    }

    fn clear(&mut self) {
        (self.status, self.retries, self.received, self.sent) = (0, 0, 0, 0);
        (self.reason, self.id, self.client_length) = ("", None, 0);
        (self.series, self.route, self.upstream) = (None, None, None);
        self.words.clear();
    }
}

/// One worker's part of the accounting; never leaves its thread.
#[derive(Debug)]
pub(crate) struct Desk {
    account: Arc<Account>,
    worker: usize,
    #[expect(clippy::vec_box, reason = "an entry holds the box; moving records in and out would copy them")]
    spare: RefCell<Vec<Box<Record>>>,
    block: RefCell<Vec<u8>>,
    lines: Cell<u64>,
    turn: Cell<u32>,
    wall: Cell<Wall>,
}

/// The wall clock at one moment of the steady one.
#[derive(Debug, Clone, Copy)]
struct Wall {
    at: Instant,
    millis: u64,
    /// Text of the second of `text_of`.
    text: [u8; date::SECOND_LENGTH],
    text_of: u64,
    http: [u8; date::HTTP_LENGTH],
}

impl Wall {
    fn now() -> Self {
        let millis =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let millis = u64::try_from(millis).unwrap_or(0);
        let second = millis / 1000;
        Self {
            at: Instant::now(),
            millis,
            text: date::second(second),
            text_of: second,
            http: date::http(second),
        }
    }
}

impl Desk {
    pub(crate) fn new(account: Arc<Account>, worker: usize) -> Self {
        Self {
            account,
            worker,
            spare: RefCell::default(),
            block: RefCell::default(),
            lines: Cell::new(0),
            turn: Cell::new(0),
            wall: Cell::new(Wall::now()),
        }
    }

    /// Opens an entry: the request has begun.
    pub(crate) fn open(self: &Rc<Self>, protocol: &'static str, client: IpAddr) -> Entry {
        let spare = self.spare.borrow_mut().pop();
        let mut record = match spare {
            Some(mut record) => {
                record.started = Instant::now();
                record
            }
            None => Record::boxed(),
        };
        record.protocol = protocol;
        if self.account.log.mode != Mode::Off {
            record.set_client(self.account.log.client.keep(client));
        }
        Entry { desk: Rc::clone(self), record: Some(record) }
    }

    /// The present date for the `Date` header, at most a tick old.
    pub(crate) fn http_date(&self) -> [u8; date::HTTP_LENGTH] {
        self.wall.get().http
    }

    /// Once a tick: hands over the lines so far and looks at the wall clock, which may have been set.
    pub(crate) fn tick(&self) {
        self.wall.set(Wall::now());
        self.hand_over();
    }

    fn hand_over(&self) {
        let mut block = self.block.borrow_mut();
        let lines = self.lines.take();
        if block.is_empty() {
            return;
        }
        match &self.account.sink {
            Some(sink) => {
                let full = std::mem::replace(&mut *block, Vec::with_capacity(BLOCK_ROOM));
                sink.send(full, lines);
            }
            None => block.clear(),
        }
    }

    fn is_kept(&self, record: &Record) -> bool {
        let log = &self.account.log;
        let is_error = record.status == 0 || record.status >= 500;
        match log.mode {
            Mode::Off => false,
            Mode::Full => true,
            Mode::Errors => is_error,
            Mode::Sampled if is_error => true,
            Mode::Sampled => {
                let turn = self.turn.get() + 1;
                self.turn.set(if turn >= log.one_in { 0 } else { turn });
                turn >= log.one_in
            }
        }
    }

    fn close(&self, record: &mut Record) {
        let micros = u64::try_from(record.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(series) = &record.series {
            let (status, received, sent) = (record.status, record.received, record.sent);
            let ending = Ending { status, micros, received, sent };
            series.count(self.worker, ending);
            if let Some(route) = &record.route {
                route.of(&series.release).count(self.worker, ending);
            }
        }
        if self.is_kept(record) {
            self.write(record, micros);
        }
    }

    fn write(&self, record: &Record, micros: u64) {
        let mut wall = self.wall.get();
        let since = record.started.checked_duration_since(wall.at).map_or_else(
            || -i128::try_from(wall.at.duration_since(record.started).as_millis()).unwrap_or(0),
            |since| i128::try_from(since.as_millis()).unwrap_or(0),
        );
        let millis = u64::try_from(i128::from(wall.millis) + since).unwrap_or(0);
        if millis / 1000 != wall.text_of {
            wall.text_of = millis / 1000;
            wall.text = date::second(wall.text_of);
            self.wall.set(wall);
        }
        let milli = u16::try_from(millis % 1000).unwrap_or(0);
        let mut block = self.block.borrow_mut();
        line::write(&mut block, self.account.log.format, (&wall.text, milli), record, micros);
        self.lines.set(self.lines.get() + 1);
        let is_full = block.len() >= BLOCK;
        drop(block);
        if is_full {
            self.hand_over();
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// An open record. See the file's head.
#[derive(Debug)]
pub(crate) struct Entry {
    desk: Rc<Desk>,
    /// Present until it is dropped.
    record: Option<Box<Record>>,
}

impl Entry {
    /// Keeps what the log may keep of the request line.
    pub(crate) fn name(&mut self, words: Words<'_>) {
        let log = &self.desk.account.log;
        if log.mode != Mode::Off
            && let Some(record) = &mut self.record
        {
            record.words.clear();
            line::words(&mut record.words, log.format, words, log.query);
        }
    }
}

impl Deref for Entry {
    type Target = Record;

    fn deref(&self) -> &Record {
        self.record.as_ref().expect("the record leaves only in drop")
    }
}

impl DerefMut for Entry {
    fn deref_mut(&mut self) -> &mut Record {
        self.record.as_mut().expect("the record leaves only in drop")
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        self.desk.close(&mut record);
        let mut spare = self.desk.spare.borrow_mut();
        if spare.len() < SPARE {
            record.clear();
            spare.push(record);
        }
    }
}
