//! Answers the edge has itself: pages about trouble, and files of static sites. Tests: `tests/it/own_answers.rs`.

use std::fs::File;
use std::sync::Arc;

use super::buffer::Buffer;
use super::clock::{Lane, Pace};
use super::receive::COPY_MOST;
use super::text::{self, Ask};
use super::wire::Wire;
use super::{After, Connection, DRAIN_MOST};
use crate::site::{Body, Site, SiteAnswer};
use crate::stream::Stream;
use havre_http::h1::Framing;
use havre_http::page::{self, Trouble};
use havre_http::policy::{AnswerView, Reply};

/// An answer of the edge's own.
#[derive(Debug)]
pub(super) enum Own {
    /// About trouble.
    Page(Trouble),
    /// To the same address over HTTPS.
    Redirect(Box<str>),
    /// To a certificate authority.
    Challenge(Box<str>),
    /// From the policy of the route.
    Policy(Reply),
    /// From a site.
    Site(Arc<Site>, SiteAnswer),
}

/// A body to send behind a head.
enum Content<'c> {
    Bytes(&'c [u8]),
    File(&'c File, u64, u64),
}

impl<'c> Content<'c> {
    /// As it is sent best over a connection that is plain, or not.
    fn of(body: &'c Body, is_plain: bool) -> Self {
        match body {
            Body::None => Self::Bytes(b""),
            Body::Bytes(bytes) => Self::Bytes(bytes),
            Body::File { copy: Some(bytes), .. } if !is_plain => Self::Bytes(bytes),
            Body::File { file, offset, length, .. } => Self::File(file, *offset, *length),
        }
    }
}

/// What an answer about trouble says beyond the trouble.
#[derive(Default)]
struct More<'m> {
    /// Header lines with their ends, or nothing.
    lines: &'m [u8],
    release: &'m str,
}

/// Head lines of one answer; see [`Connection::send_own`].
struct Head<'h> {
    status: u16,
    /// Lines with their ends.
    lines: &'h [u8],
    length: Option<u64>,
    release: &'h str,
}

impl Connection {
    /// Answers, and reads away a body that nobody wants if it is short.
    pub(super) async fn reply(&mut self, ask: &Ask, own: Own, buffer: &mut Buffer) -> After {
        let left = match ask.framing {
            Framing::Empty => Some(0),
            Framing::Length(length) if length <= DRAIN_MOST && !ask.expects_continue => Some(length),
            _ => None,
        };
        let keep_alive = ask.keep_alive && left.is_some() && !self.worker.stopping.get();
        let is_sent = match own {
            Own::Page(trouble) => self.send_page(ask, trouble, keep_alive).await,
            Own::Redirect(location) => self.send_redirect(ask, &location, keep_alive).await,
            Own::Challenge(answer) => self.send_challenge(ask, answer.as_bytes(), keep_alive).await,
            Own::Policy(reply) => self.send_reply(ask, &reply, keep_alive).await,
            Own::Site(site, answer) => {
                // Boxed: only the first request for a file waits for the disk.
                let answer = match answer {
                    SiteAnswer::Cold(_) => Box::pin(answer.settled()).await,
                    answer => answer,
                };
                self.send_site(ask, &site, answer, keep_alive).await
            }
        };
        match left {
            _ if !is_sent => After::Close,
            Some(0) if keep_alive => After::Next,
            Some(0) if buffer.is_empty() => After::Close,
            Some(left) if keep_alive && self.drain(left, buffer).await => After::Next,
            Some(_) if keep_alive => After::Close,
            _ => After::Linger,
        }
    }

    /// Sends a page about `trouble`; false when the client does not take it.
    pub(super) async fn send_page(&mut self, ask: &Ask, trouble: Trouble, keep_alive: bool) -> bool {
        self.send_trouble(ask, trouble, &More::default(), keep_alive).await
    }

    /// Sends what a policy answers itself.
    async fn send_reply(&mut self, ask: &Ask, reply: &Reply, keep_alive: bool) -> bool {
        let mut lines = String::new();
        for (name, value) in reply.lines() {
            lines.extend([name, ": ", value, "\r\n"]);
        }
        match reply {
            Reply::Trouble(trouble, _) => {
                self.send_trouble(ask, *trouble, &More { lines: lines.as_bytes(), release: "" }, keep_alive)
                    .await
            }
            Reply::Plain(status, _) => {
                let length = (*status != 204).then_some(0);
                let head = Head { status: *status, lines: lines.as_bytes(), length, release: "" };
                self.send_own(ask, &head, Content::Bytes(b""), keep_alive).await
            }
        }
    }

    /// Sends the page of the route in place of what the upstream answered with `status`.
    pub(super) async fn send_instead(&mut self, ask: &Ask, status: u16, keep_alive: bool) -> bool {
        let pass = ask.pass.clone();
        let Some(page) = pass.as_ref().and_then(|pass| pass.replaces(status)) else { return false };
        let lines = b"Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n";
        let head = Head { status, lines, length: Some(page.as_str().len() as u64), release: "" };
        self.send_own(ask, &head, Content::Bytes(page.as_str().as_bytes()), keep_alive).await
    }

    async fn send_trouble(&mut self, ask: &Ask, trouble: Trouble, more: &More<'_>, keep_alive: bool) -> bool {
        self.because(trouble.code());
        let own_page = ask.pass.as_ref().filter(|_| ask.as_page);
        let body = match own_page.and_then(|pass| pass.policy().page(trouble)) {
            Some(page) => page.to_string(),
            None => page::body(trouble, ask.id.as_str(), ask.as_page),
        };
        let kind = if ask.as_page { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
        let mut lines = format!(
            "Content-Type: {kind}\r\nCache-Control: no-store\r\nHavre-Error: {}\r\n{}",
            trouble.code(),
            trouble.extra_lines()
        )
        .into_bytes();
        lines.extend_from_slice(more.lines);
        let head = Head {
            status: trouble.status(),
            lines: &lines,
            length: Some(body.len() as u64),
            release: more.release,
        };
        self.send_own(ask, &head, Content::Bytes(body.as_bytes()), keep_alive).await
    }

    /// 308, so that forms are sent again as they are.
    async fn send_redirect(&mut self, ask: &Ask, location: &str, keep_alive: bool) -> bool {
        let lines = format!("Location: {location}\r\n");
        let head = Head { status: 308, lines: lines.as_bytes(), length: Some(0), release: "" };
        self.send_own(ask, &head, Content::Bytes(b""), keep_alive).await
    }

    async fn send_challenge(&mut self, ask: &Ask, answer: &[u8], keep_alive: bool) -> bool {
        let lines = b"Content-Type: application/octet-stream\r\nCache-Control: no-store\r\n";
        let head = Head { status: 200, lines, length: Some(answer.len() as u64), release: "" };
        self.send_own(ask, &head, Content::Bytes(answer), keep_alive).await
    }

    async fn send_site(&mut self, ask: &Ask, site: &Site, answer: SiteAnswer, keep_alive: bool) -> bool {
        let release = site.release.as_str();
        match answer {
            SiteAnswer::Ready(reply) => {
                let lines = reply.lines.as_bytes();
                let head = Head { status: reply.status, lines, length: reply.body.length(), release };
                let content = Content::of(&reply.body, matches!(self.stream, Stream::Plain(_)));
                self.send_own(ask, &head, content, keep_alive).await
            }
            // Settled before; a second wait would have no end.
            SiteAnswer::Cold(_) => self.send_page(ask, Trouble::SiteUnreadable, keep_alive).await,
            SiteAnswer::Trouble(trouble, lines) => {
                let more = More { lines: lines.as_bytes(), release };
                self.send_trouble(ask, trouble, &more, keep_alive).await
            }
        }
    }

    async fn send_own(&mut self, ask: &Ask, head: &Head<'_>, content: Content<'_>, keep_alive: bool) -> bool {
        let mut out = self.worker.memory.head();
        text::status_line(&mut out, head.status, page::reason(head.status));
        match &ask.pass {
            None => out.extend_from_slice(head.lines),
            Some(pass) => {
                let edits = pass.edit(&AnswerView::own(head.status));
                text::lines_without(&mut out, head.lines, |name| edits.drops(name));
                text::edit_lines(&mut out, &edits);
            }
        }
        if let Some(length) = head.length {
            out.extend_from_slice(b"Content-Length: ");
            text::number(&mut out, length);
            out.extend_from_slice(b"\r\n");
        }
        text::closing_lines(&mut out, ask, head.release, keep_alive, &self.worker.desk.http_date());
        out.extend_from_slice(b"\r\n");
        let limits = &self.worker.shared.limits;
        let mut pace = Pace::of(limits.body_period.duration(), limits.body_progress.as_bytes());
        let wire = Wire { clock: &self.worker.clock, watch: &self.watch, lane: Lane::Outward };
        let (_, mut to) = self.stream.split();
        let sent = match content {
            Content::Bytes(body) if ask.is_head || body.len() <= COPY_MOST => {
                if !ask.is_head {
                    out.extend_from_slice(body);
                }
                wire.send(&mut to, [&out], &mut pace).await
            }
            Content::Bytes(body) => wire.send(&mut to, [&out, body], &mut pace).await,
            Content::File(..) if ask.is_head => wire.send(&mut to, [&out], &mut pace).await,
            Content::File(file, offset, length) => match wire.hold(&mut to, &out, &mut pace).await {
                Ok(()) => wire.send_file(&mut to, file, (offset, length), &mut pace).await,
                sent => sent,
            },
        };
        self.worker.memory.give_back_head(out);
        if let Some(entry) = &mut self.entry {
            entry.status = head.status;
            match &sent {
                Ok(()) if !ask.is_head => entry.sent = head.length.unwrap_or(0),
                Ok(()) => {}
                Err(_) => entry.reason = "client-gone",
            }
        }
        sent.is_ok()
    }
}
