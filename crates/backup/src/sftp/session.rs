//! Files of another machine over one session: many requests are on their way at once, their answers are sorted, and whatever a server says
//! is either what was asked or an error. Repeats nothing. Tests: `tests/it/sftp_failures.rs`, `tests/it/sftp_sabotage.rs`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::{Buf as _, Bytes, BytesMut};
use russh::keys::Algorithm;

use crate::fault::Fault;
use crate::sftp::Sftp;
use crate::sftp::packet::{
    self, Answer, Ask, Attributes, Entry, Extensions, Handle, PACKET_MAX, Room, Status, decode, decode_hello,
    decode_room,
};
use crate::sftp::ssh::{self, Link, NoLink};

/// Requests that are on their way at once. Their answers have room in the channel.
const AHEAD: usize = 32;
/// Bytes of one read or write: what every server takes.
const PIECE_BYTES: usize = 32 * 1024;
/// Folders that are open at once. Servers allow some hundred.
const FOLDERS_AT_ONCE: usize = 32;
/// Longest file that is read, in bytes. Packs of a repository of a terabyte have 64 MiB.
const FILE_MAX: u64 = 512 * 1024 * 1024;
/// Most entries of a list.
const ENTRIES_MAX: usize = 10_000_000;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trip {
    /// It stays so until a person changes something, or the file is not as it should be.
    Barred(Fault),
    /// The server said no, without a number that says why.
    Said(Status),
    /// It broke, or took too long.
    Broken(String),
}

impl From<NoLink> for Trip {
    fn from(no_link: NoLink) -> Self {
        match no_link {
            NoLink::Barred(fault) => Self::Barred(fault),
            NoLink::Broken(reason) => Self::Broken(reason),
        }
    }
}

/// Part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    offset: u64,
    length: u32,
}

/// An open session.
pub(super) struct Session {
    link: Link,
    /// What came and was not taken apart yet.
    came: BytesMut,
    next_id: u32,
    can: Extensions,
}

impl Session {
    /// Opens one; also returns the kind of the machine's key, where that is not the usual one.
    pub(super) async fn open(
        sftp: &Sftp,
        known: Option<Algorithm>,
    ) -> Result<(Self, Option<Algorithm>), Trip> {
        let (link, kind) = ssh::connect(sftp, known).await?;
        let mut session = Self { link, came: BytesMut::new(), next_id: 1, can: Extensions::default() };
        session.link.send(packet::hello()).await?;
        let hello = session.packet().await?;
        session.can = decode_hello(hello).map_err(not_sftp)?;
        Ok((session, kind))
    }

    /// Whether it is of no use any more.
    pub(super) fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// The next packet, without its length.
    async fn packet(&mut self) -> Result<Bytes, Trip> {
        loop {
            if let Some(length) = self.came.first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if !(1..=PACKET_MAX).contains(&length) {
                    return Err(not_sftp(format!("a packet has {length} bytes")));
                }
                if self.came.len() >= 4 + length {
                    self.came.advance(4);
                    return Ok(self.came.split_to(length).freeze());
                }
            }
            let bytes = self.link.receive().await?;
            self.came.extend_from_slice(&bytes);
        }
    }

    /// Asks all of it, some at once. `take` gets the answers with the places of their requests, in any order.
    async fn exchange(
        &mut self,
        asks: impl IntoIterator<Item = Ask>,
        mut take: impl FnMut(usize, Answer) -> Result<(), Trip>,
    ) -> Result<(), Trip> {
        let mut asks = asks.into_iter().enumerate();
        let mut open: BTreeMap<u32, usize> = BTreeMap::new();
        loop {
            while open.len() < AHEAD {
                let Some((place, ask)) = asks.next() else { break };
                let id = self.next_id;
                self.next_id = self.next_id.wrapping_add(1);
                let (head, besides) = ask.encode(id);
                self.link.send(head).await?;
                if let Some(bytes) = besides {
                    self.link.send(bytes).await?;
                }
                open.insert(id, place);
            }
            if open.is_empty() {
                return Ok(());
            }
            let (id, answer) = decode(self.packet().await?).map_err(not_sftp)?;
            let place = open.remove(&id);
            let place = place.ok_or_else(|| not_sftp("an answer is to what nobody asked".to_owned()))?;
            take(place, answer)?;
        }
    }

    /// Asks all of it; the answers are in the order of the requests.
    async fn all(&mut self, asks: Vec<Ask>) -> Result<Vec<Answer>, Trip> {
        let mut answers: Vec<Option<Answer>> = asks.iter().map(|_| None).collect();
        self.exchange(asks, |place, answer| {
            answers[place] = Some(answer);
            Ok(())
        })
        .await?;
        Ok(answers.into_iter().flatten().collect())
    }

    async fn one(&mut self, ask: Ask) -> Result<Answer, Trip> {
        let answer = self.all(vec![ask]).await?.pop();
        answer.ok_or_else(|| not_sftp("there is no answer".to_owned()))
    }

    async fn do_it(&mut self, ask: Ask) -> Result<(), Trip> {
        done(self.one(ask).await?)
    }

    async fn handle(&mut self, ask: Ask) -> Result<Handle, Trip> {
        handle_of(self.one(ask).await?)
    }

    /// What a path leads to; nothing where there is nothing.
    pub(super) async fn stat(&mut self, path: &str) -> Result<Option<Attributes>, Trip> {
        match attributes_of(self.one(Ask::Stat { path: path.to_owned() }).await?) {
            Ok(found) => Ok(Some(found)),
            Err(Trip::Said(status)) if status.is_missing() => Ok(None),
            Err(Trip::Said(status)) => Err(explain(&status, "look at", path, None)),
            Err(other) => Err(other),
        }
    }

    /// All of a file, or exactly a part of it; nothing where there is none.
    pub(super) async fn read(&mut self, path: &str, part: Option<(u64, u32)>) -> Result<Option<Bytes>, Trip> {
        let handle = match self.handle(Ask::Open { path: path.to_owned() }).await {
            Ok(handle) => handle,
            Err(Trip::Said(status)) if status.is_missing() => return Ok(None),
            Err(Trip::Said(status)) => return Err(explain(&status, "open", path, None)),
            Err(other) => return Err(other),
        };
        let bytes = match self.read_open(&handle, path, part).await {
            Err(Trip::Said(status)) => return Err(explain(&status, "read", path, None)),
            other => other?,
        };
        self.do_it(Ask::Close { handle }).await?;
        Ok(Some(bytes))
    }

    async fn read_open(
        &mut self,
        handle: &Handle,
        path: &str,
        part: Option<(u64, u32)>,
    ) -> Result<Bytes, Trip> {
        let (offset, length) = match part {
            Some((offset, length)) => (offset, u64::from(length)),
            None => {
                let found = attributes_of(self.one(Ask::Measure { handle: handle.clone() }).await?)?;
                let size = found.size;
                (0, size.ok_or_else(|| barred(format!("nobody says how long {path} is")))?)
            }
        };
        if length > FILE_MAX {
            return Err(barred(format!("{path} is longer than any file of a repository")));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        let mut wanted = spans(offset, length);
        while !wanted.is_empty() {
            wanted = self.read_spans(handle, &wanted, offset, &mut bytes).await?;
            if wanted.iter().any(|span| span.length == 0) {
                return Err(barred(format!("{path} is shorter than it was")));
            }
        }
        Ok(bytes.into())
    }

    /// Reads these parts into their places, which are counted from `begin`. Returns what of it is still missing: servers may give less than
    /// was asked for. A part without a length stands for the end of the file.
    async fn read_spans(
        &mut self,
        handle: &Handle,
        wanted: &[Span],
        begin: u64,
        into: &mut [u8],
    ) -> Result<Vec<Span>, Trip> {
        let asks = wanted.iter().map(|span| Ask::Read {
            handle: handle.clone(),
            offset: span.offset,
            length: span.length,
        });
        let mut missing = Vec::new();
        self.exchange(asks, |place, answer| {
            let span = wanted[place];
            let data = match answer {
                Answer::Data(data) => data,
                Answer::Status(status) if status.is_end() => Bytes::new(),
                Answer::Status(status) => return Err(said(status)),
                other => return Err(unexpected(&other)),
            };
            let count = u32::try_from(data.len()).unwrap_or(u32::MAX);
            if count > span.length {
                return Err(not_sftp("it gives more than was asked for".to_owned()));
            }
            let at = usize::try_from(span.offset - begin).unwrap_or_default();
            into[at..at + data.len()].copy_from_slice(&data);
            if count == 0 {
                missing.push(Span { length: 0, ..span });
            } else if count < span.length {
                missing.push(Span { offset: span.offset + u64::from(count), length: span.length - count });
            }
            Ok(())
        })
        .await?;
        Ok(missing)
    }

    /// Writes a file whole or not at all: under another name, to the disk where the server can, then renamed.
    pub(super) async fn write(
        &mut self,
        unfinished: &str,
        path: &str,
        content: &[Bytes],
    ) -> Result<(), Trip> {
        match self.write_beside(unfinished, path, content).await {
            Err(Trip::Said(status)) => {
                let room = self.room(unfinished).await;
                // A full disk gets its room back; where that fails too, the first failure is the one to tell.
                let _ = self.remove(unfinished).await;
                Err(explain(&status, "write", path, room))
            }
            other => other,
        }
    }

    async fn write_beside(&mut self, unfinished: &str, path: &str, content: &[Bytes]) -> Result<(), Trip> {
        let handle = self.handle(Ask::Create { path: unfinished.to_owned() }).await?;
        let refused = RefCell::new(None);
        let asks =
            pieces(content).map(|(offset, content)| Ask::Write { handle: handle.clone(), offset, content });
        // After a no there is no use in the rest.
        let asks = asks.take_while(|_| refused.borrow().is_none());
        self.exchange(asks, |_, answer| {
            if let Err(trip) = done(answer) {
                refused.borrow_mut().get_or_insert(trip);
            }
            Ok(())
        })
        .await?;
        if refused.borrow().is_none() && self.can.can_sync {
            let synced = self.do_it(Ask::Sync { handle: handle.clone() }).await;
            *refused.borrow_mut() = synced.err();
        }
        let closed = self.do_it(Ask::Close { handle }).await;
        if let Some(trip) = refused.into_inner() {
            return Err(trip);
        }
        // Some file systems say only here that there was no room.
        closed?;
        self.move_over(unfinished, path).await
    }

    /// Renames over what is there; where the server cannot, what is there goes first.
    async fn move_over(&mut self, from: &str, to: &str) -> Result<(), Trip> {
        let (from, to) = (from.to_owned(), to.to_owned());
        if self.can.can_replace {
            return self.do_it(Ask::Replace { from, to }).await;
        }
        let rename = Ask::Rename { from, to: to.clone() };
        match self.do_it(rename.clone()).await {
            Err(Trip::Said(status)) if status.is_failure() => {
                self.do_it(Ask::Remove { path: to }).await.map_err(|_| Trip::Said(status))?;
                self.do_it(rename).await
            }
            other => other,
        }
    }

    /// Moves a file to where no repository looks. One that an earlier try has moved is fine.
    pub(super) async fn set_aside(&mut self, from: &str, to: &str) -> Result<(), Trip> {
        let Err(trip) = self.move_over(from, to).await else { return Ok(()) };
        let Trip::Said(status) = trip else { return Err(trip) };
        if status.is_missing() && self.stat(to).await?.is_some() {
            return Ok(());
        }
        Err(explain(&status, "move", from, None))
    }

    /// Removes a file; says whether there was one.
    pub(super) async fn remove(&mut self, path: &str) -> Result<bool, Trip> {
        match self.do_it(Ask::Remove { path: path.to_owned() }).await {
            Ok(()) => Ok(true),
            Err(Trip::Said(status)) if status.is_missing() => Ok(false),
            Err(Trip::Said(status)) => Err(explain(&status, "remove", path, None)),
            Err(other) => Err(other),
        }
    }

    /// Makes folders; those that are there are fine.
    pub(super) async fn make_folders(&mut self, paths: &[String]) -> Result<(), Trip> {
        let asks = paths.iter().map(|path| Ask::MakeFolder { path: path.clone() }).collect();
        let answers = self.all(asks).await?;
        for (path, answer) in paths.iter().zip(answers) {
            let status = match done(answer) {
                Ok(()) => continue,
                Err(Trip::Said(status)) => status,
                Err(other) => return Err(other),
            };
            // Servers have no number that says so.
            if !self.stat(path).await?.is_some_and(|found| found.is_folder()) {
                let room = self.room(path).await;
                return Err(explain(&status, "make the folder", path, room));
            }
        }
        Ok(())
    }

    /// Makes a folder, and those it lies in.
    pub(super) async fn make_folder_within(&mut self, path: &str) -> Result<(), Trip> {
        let mut missing = Vec::new();
        let mut next = path;
        // Of what may not be looked at, somebody else has seen to it.
        while !next.is_empty() && matches!(self.stat(next).await, Ok(None)) {
            missing.push(next.to_owned());
            next = next.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        while let Some(path) = missing.pop() {
            self.make_folders(&[path]).await?;
        }
        Ok(())
    }

    /// Everything in these folders, in their order. A folder that is not there is an error.
    pub(super) async fn list(&mut self, folders: &[String]) -> Result<Vec<Vec<Entry>>, Trip> {
        let mut found = Vec::new();
        for some in folders.chunks(FOLDERS_AT_ONCE) {
            found.extend(self.list_some(some).await?);
            if found.iter().map(Vec::len).sum::<usize>() > ENTRIES_MAX {
                return Err(barred(format!("there are more than {ENTRIES_MAX} files")));
            }
        }
        Ok(found)
    }

    async fn list_some(&mut self, folders: &[String]) -> Result<Vec<Vec<Entry>>, Trip> {
        let asks = folders.iter().map(|path| Ask::OpenFolder { path: path.clone() }).collect();
        let mut handles = Vec::new();
        for (path, answer) in folders.iter().zip(self.all(asks).await?) {
            handles.push(handle_of(answer).map_err(|trip| explained(trip, "list", path))?);
        }
        let mut found: Vec<Vec<Entry>> = folders.iter().map(|_| Vec::new()).collect();
        let mut open: Vec<usize> = (0..folders.len()).collect();
        while !open.is_empty() {
            let asks = open.iter().map(|at| Ask::ReadFolder { handle: handles[*at].clone() }).collect();
            let answers = self.all(asks).await?;
            let mut further = Vec::new();
            for (at, answer) in open.into_iter().zip(answers) {
                match answer {
                    Answer::Entries(entries) => {
                        found[at].extend(entries);
                        further.push(at);
                    }
                    // The one way in which a list is whole.
                    Answer::Status(status) if status.is_end() => {}
                    Answer::Status(status) => return Err(explained(said(status), "list", &folders[at])),
                    other => return Err(unexpected(&other)),
                }
            }
            open = further;
        }
        let asks = handles.into_iter().map(|handle| Ask::Close { handle }).collect();
        for answer in self.all(asks).await? {
            done(answer)?;
        }
        Ok(found)
    }

    /// Room where this path lies, as far as the server says.
    async fn room(&mut self, path: &str) -> Option<Room> {
        if !self.can.can_tell_room {
            return None;
        }
        let folder = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        let answer = self.one(Ask::Room { path: folder.to_owned() }).await;
        let Ok(Answer::Extended(answer)) = answer else { return None };
        decode_room(answer).ok()
    }
}

fn barred(reason: String) -> Trip {
    Trip::Barred(Fault::Broken(reason))
}

/// A shell that greets people does this.
fn not_sftp(reason: String) -> Trip {
    barred(format!("it does not answer as SFTP does: {reason}. Does the shell of that user print something?"))
}

fn unexpected(answer: &Answer) -> Trip {
    let kind = match answer {
        Answer::Status(_) => "a status",
        Answer::Handle(_) => "a handle",
        Answer::Data(_) => "data",
        Answer::Entries(_) => "a list",
        Answer::Attributes(_) => "attributes",
        Answer::Extended(_) => "the answer of an extension",
    };
    not_sftp(format!("{kind} is no answer to this"))
}

/// A server that has lost what lies below it may have it again later.
fn said(status: Status) -> Trip {
    if status.is_lost() { Trip::Broken(status.to_string()) } else { Trip::Said(status) }
}

fn done(answer: Answer) -> Result<(), Trip> {
    match answer {
        Answer::Status(status) if status.is_fine() => Ok(()),
        Answer::Status(status) => Err(said(status)),
        other => Err(unexpected(&other)),
    }
}

fn handle_of(answer: Answer) -> Result<Handle, Trip> {
    match answer {
        Answer::Handle(handle) => Ok(handle),
        Answer::Status(status) => Err(said(status)),
        other => Err(unexpected(&other)),
    }
}

fn attributes_of(answer: Answer) -> Result<Attributes, Trip> {
    match answer {
        Answer::Attributes(found) => Ok(found),
        Answer::Status(status) => Err(said(status)),
        other => Err(unexpected(&other)),
    }
}

fn explained(trip: Trip, doing: &str, path: &str) -> Trip {
    match trip {
        Trip::Said(status) => explain(&status, doing, path, None),
        other @ (Trip::Barred(_) | Trip::Broken(_)) => other,
    }
}

/// What a no means for a person.
fn explain(status: &Status, doing: &str, path: &str, room: Option<Room>) -> Trip {
    if status.is_missing() {
        return barred(format!("could not {doing} {path}: it is not there, or its folder is not"));
    }
    if status.is_denied() {
        return Trip::Barred(Fault::Refused(format!("the user may not {doing} {path}: {status}")));
    }
    match room {
        Some(Room { is_read_only: true, .. }) => {
            barred(format!("could not {doing} {path}: the file system is read-only ({status})"))
        }
        Some(Room { bytes, files, .. }) if bytes < PIECE_BYTES as u64 || files == 0 => {
            let left = format!("{bytes} bytes and {files} files are left");
            barred(format!("could not {doing} {path}: there is no room, {left} ({status})"))
        }
        Some(_) | None => barred(format!("could not {doing} {path}: {status}")),
    }
}

/// That part of a file in pieces.
fn spans(offset: u64, length: u64) -> Vec<Span> {
    let end = offset.saturating_add(length);
    let mut found = Vec::new();
    let mut at = offset;
    while at < end {
        let length = u32::try_from((end - at).min(PIECE_BYTES as u64)).unwrap_or(u32::MAX);
        found.push(Span { offset: at, length });
        at += u64::from(length);
    }
    found
}

/// What is written in pieces, each with its place. Shares the bytes.
fn pieces(content: &[Bytes]) -> impl Iterator<Item = (u64, Bytes)> {
    let mut at = 0_u64;
    let mut parts = content.iter();
    let mut left = Bytes::new();
    std::iter::from_fn(move || {
        while left.is_empty() {
            left = parts.next()?.clone();
        }
        let piece = left.split_to(left.len().min(PIECE_BYTES));
        let begin = at;
        at += piece.len() as u64;
        Some((begin, piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u32) -> Status {
        let mut packet = vec![101, 0, 0, 0, 1];
        packet.extend_from_slice(&code.to_be_bytes());
        let Ok((_, Answer::Status(status))) = decode(packet.into()) else { panic!("is a status") };
        status
    }

    #[test]
    fn pieces_are_the_same_bytes_in_their_places() {
        let content = [vec![1; 3], Vec::new(), vec![2; PIECE_BYTES * 2 + 1], vec![3; PIECE_BYTES]];
        let content = content.map(Bytes::from);
        let mut whole = Vec::new();
        for (offset, piece) in pieces(&content) {
            assert_eq!(offset, whole.len() as u64);
            assert!((1..=PIECE_BYTES).contains(&piece.len()));
            whole.extend_from_slice(&piece);
        }
        assert!(whole == content.iter().flat_map(|one| one.to_vec()).collect::<Vec<u8>>());
        assert_eq!(pieces(&[]).count(), 0);
    }

    #[test]
    fn spans_cover_exactly_what_is_asked() {
        assert!(spans(7, 0).is_empty());
        for length in [1, PIECE_BYTES as u64, PIECE_BYTES as u64 + 1, 1_000_000] {
            let mut next = 7;
            for span in spans(7, length) {
                assert_eq!(span.offset, next);
                next += u64::from(span.length);
            }
            assert_eq!(next, 7 + length);
        }
    }

    #[test]
    fn a_no_says_who_can_help() {
        let said = |code: u32, room: Option<Room>| match explain(&status(code), "write", "/srv/a", room) {
            Trip::Barred(fault) => (matches!(fault, Fault::Refused(_)), fault.to_string()),
            other => panic!("{other:?}"),
        };
        let (is_refused, text) = said(3, None);
        assert!(is_refused && text.contains("may not write /srv/a"), "{text}");
        assert!(said(2, None).1.contains("it is not there"));
        assert_eq!(said(4, None), (false, "could not write /srv/a: status 4".to_owned()));
        let room = |bytes, files, is_read_only| Some(Room { bytes, files, is_read_only });
        assert!(said(4, room(0, 10, false)).1.contains("there is no room, 0 bytes"));
        assert!(said(4, room(1 << 30, 0, false)).1.contains("there is no room"));
        assert!(said(4, room(1 << 30, 10, true)).1.contains("read-only"));
        assert_eq!(said(4, room(1 << 30, 10, false)), said(4, None), "room was not the reason");
        assert!(matches!(super::said(status(7)), Trip::Broken(_)));
    }
}
