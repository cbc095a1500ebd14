//! The head of a push: which refs it wants to change, before git sees a byte of it; whether the rules allow that; and a
//! refusal that the person who pushes can read. Pure. It reads what receive-pack reads, in the same way, because a
//! difference would be a way around the rules (gitprotocol-pack(5), "Reference Update Request"). Does not look at objects.
//! Tests at the end of the file.

use havre_core::source::{BranchName, CommitId, RefName};

use crate::error::show;
use crate::pkt::{self, Band, FLUSH, Pkt};

/// Most refs one push may change.
pub const COMMANDS_MAX: usize = 1_000;
/// Most options of one push (`git push -o`).
pub const OPTIONS_MAX: usize = 100;
/// Most bytes before the pack.
pub const HEAD_MAX: usize = 1024 * 1024;
/// Longest line of the head. The first one carries the capabilities.
const LINE_MAX: usize = 4096;
/// Longest reason behind a ref, in characters; the whole one is in the message above.
const REASON_MAX: usize = 300;

/// What is wrong with a push, as the person who pushes reads it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It is not what `git push` sends.
    #[error("this is not a push as git sends it: {reason}; is the address right, and git 2.20 or newer?")]
    Malformed {
        /// What was found.
        reason: String,
    },
    /// It is too long.
    #[error("this push has {what}; push in several steps")]
    TooMuch {
        /// Of what, with the limit.
        what: String,
    },
    /// It is signed.
    #[error("signed pushes are not supported; push without `--signed` (signed commits and tags are fine)")]
    Signed,
    /// A ref is outside of what we take.
    #[error("{name} cannot be pushed: {reason}; rename it (`git branch -m`), or push other refs only")]
    Name {
        /// The ref, escaped.
        name: String,
        /// The grammar in words.
        reason: String,
    },
    /// A protected branch would be removed.
    #[error(
        "branch {branch} is protected and cannot be deleted; end its protection first (`havre repository unprotect {branch}`)"
    )]
    ProtectedDelete {
        /// The branch.
        branch: BranchName,
    },
}

/// One change of a ref as the client wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What the client believes it is now; zero when it believes there is none.
    pub old: CommitId,
    /// What it shall be; zero to remove it.
    pub new: CommitId,
    /// Its name, whatever that is.
    pub name: String,
}

/// What the client can do, as far as it matters here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It reads bands, and so messages (`side-band-64k`).
    pub side_band: bool,
    /// It wants to know what became of each ref (`report-status`, `report-status-v2`).
    pub report_status: bool,
    /// It sends options (`push-options`).
    pub push_options: bool,
}

/// Everything before the pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The changes in the order they were sent; none for a client that only asks whether it may speak.
    pub updates: Vec<Update>,
    /// What the client can do.
    pub capabilities: Capabilities,
    /// What was given with `git push -o`, in order.
    pub options: Vec<String>,
}

/// One change of a branch or tag that the rules allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What the client believes it is now; `None` when it believes there is none.
    pub old: Option<CommitId>,
    /// What it shall be; `None` to remove it. The id of the tag itself for an annotated tag.
    pub new: Option<CommitId>,
    /// The branch or tag.
    pub name: RefName,
}

/// What a push may not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushRules {
    /// Branches that may be neither removed nor rewritten.
    pub protected: Vec<BranchName>,
}

impl PushRules {
    /// Whether one of the commands changes a protected branch. Git then refuses every rewriting of a branch in this push,
    /// because it knows one rule for all; before the objects are here nobody can tell a rewriting from a step forward.
    pub fn protect_any(&self, commands: &[Command]) -> bool {
        commands.iter().any(|command| self.protects(&command.name).is_some())
    }

    fn protects(&self, name: &RefName) -> Option<BranchName> {
        name.branch().filter(|branch| self.protected.contains(branch))
    }
}

/// Reads the head of a push from pieces of any size.
#[derive(Debug, Default)]
pub struct HeadReader {
    bytes: Vec<u8>,
    at: usize,
    head: Head,
    shallow: usize,
    is_past_commands: bool,
}

impl HeadReader {
    /// Before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes in; whether the head is whole. After that no more may be given.
    ///
    /// # Errors
    /// [`PushError`] when it is no head of a push, a signed one, or too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result<bool, PushError> {
        self.bytes.extend_from_slice(bytes);
        loop {
            let found = pkt::decode(&self.bytes[self.at..]).map_err(|error| malformed(error.to_string()))?;
            let Some((pkt, length)) = found else { break };
            match pkt {
                Pkt::Flush if self.is_past_commands => {
                    self.at += length;
                    return Ok(true);
                }
                Pkt::Flush => {
                    self.is_past_commands = true;
                    self.at += length;
                    // Git reads options only where it has read commands.
                    if self.head.updates.is_empty() || !self.head.capabilities.push_options {
                        return Ok(true);
                    }
                }
                Pkt::Data(line) if line.len() > LINE_MAX => {
                    return Err(too_much(format!("a line of more than {LINE_MAX} bytes")));
                }
                Pkt::Data(line) if self.is_past_commands => read_option(&mut self.head, line)?,
                Pkt::Data(line) => read_command(&mut self.head, &mut self.shallow, line)?,
                Pkt::Delimiter | Pkt::ResponseEnd => {
                    return Err(malformed("a frame of protocol 2 among its commands"));
                }
            }
            if let Pkt::Data(_) = pkt {
                self.at += length;
            }
        }
        if self.bytes.len() > HEAD_MAX {
            return Err(too_much(format!("more than {HEAD_MAX} bytes of commands")));
        }
        Ok(false)
    }

    /// What was read, and every byte that was given, for git to read again.
    pub fn into_parts(self) -> (Head, Vec<u8>) {
        (self.head, self.bytes)
    }
}

fn malformed(reason: impl Into<String>) -> PushError {
    PushError::Malformed { reason: reason.into() }
}

fn too_much(what: String) -> PushError {
    PushError::TooMuch { what }
}

/// `<old> <new> <name>`, the first time with capabilities behind a zero byte; or `shallow <commit>`, before all of them.
fn read_command(head: &mut Head, shallow: &mut usize, line: &[u8]) -> Result<(), PushError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut halves = line.splitn(2, |byte| *byte == 0);
    let command = halves.next().unwrap_or_default();
    if let Some(capabilities) = halves.next() {
        read_capabilities(&mut head.capabilities, capabilities);
    }
    if command == b"push-cert" {
        return Err(PushError::Signed);
    }
    if let Some(id) = command.strip_prefix(b"shallow ") {
        *shallow += 1;
        if *shallow > COMMANDS_MAX {
            return Err(too_much(format!("a history that is cut off in more than {COMMANDS_MAX} places")));
        }
        return read_id(id).map(drop);
    }
    let mut parts = command.splitn(3, |byte| *byte == b' ');
    let (Some(old), Some(new), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(malformed(format!("{} is no change of a ref", show(command))));
    };
    let name = String::from_utf8_lossy(name).into_owned();
    head.updates.push(Update { old: read_id(old)?, new: read_id(new)?, name });
    if head.updates.len() > COMMANDS_MAX {
        return Err(too_much(format!("more than {COMMANDS_MAX} branches and tags")));
    }
    Ok(())
}

fn read_id(text: &[u8]) -> Result<CommitId, PushError> {
    let id = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    id.ok_or_else(|| malformed(format!("{} is no object id", show(text))))
}

fn read_capabilities(capabilities: &mut Capabilities, text: &[u8]) {
    for word in text.split(|byte| matches!(byte, b' ' | b'\n')) {
        match word {
            b"side-band-64k" => capabilities.side_band = true,
            b"report-status" | b"report-status-v2" => capabilities.report_status = true,
            b"push-options" => capabilities.push_options = true,
            _ => {}
        }
    }
}

fn read_option(head: &mut Head, line: &[u8]) -> Result<(), PushError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let text = std::str::from_utf8(line).ok().filter(|text| !text.chars().any(char::is_control));
    let text = text.ok_or_else(|| malformed(format!("the option {} is no plain text", show(line))))?;
    head.options.push(text.to_owned());
    if head.options.len() > OPTIONS_MAX {
        return Err(too_much(format!("more than {OPTIONS_MAX} options")));
    }
    Ok(())
}

/// The commands, if each of them names a branch or tag we take and none removes a protected branch. That a protected branch
/// is not rewritten is git's to see ([`PushRules::protect_any`]).
///
/// # Errors
/// [`PushError::Name`] or [`PushError::ProtectedDelete`], for the first command that is refused.
pub fn check(head: &Head, rules: &PushRules) -> Result<Vec<Command>, PushError> {
    let mut commands = Vec::with_capacity(head.updates.len());
    for update in &head.updates {
        let name: RefName = update.name.parse().map_err(|_| PushError::Name {
            name: show(update.name.as_bytes()),
            reason: "Havre takes refs/heads/ and refs/tags/ with names of A-Z, a-z, 0-9, . _ - + @ # = and /, at most \
                     200 characters, as `git check-ref-format` allows them"
                .to_owned(),
        })?;
        let present = |id: &CommitId| (!id.is_zero()).then(|| id.clone());
        let (old, new) = (present(&update.old), present(&update.new));
        if new.is_none()
            && let Some(branch) = rules.protects(&name)
        {
            return Err(PushError::ProtectedDelete { branch });
        }
        commands.push(Command { old, new, name });
    }
    Ok(commands)
}

/// The answer that refuses a push as a whole: git shows `remote: <reason>` and `! [remote rejected] main -> main
/// (<reason>)` for each ref (tried with git 2.47; an `ERR` line in this place is `protocol error: bad band`). Empty for a
/// client that wants neither, as git's own answer is.
pub fn refuse(updates: &[Update], capabilities: Capabilities, reason: &str) -> Vec<u8> {
    let reason = one_line(reason);
    let short: String = reason.chars().take(REASON_MAX).collect();
    let mut report = Vec::new();
    // `unpack ok`, because anything else is shown as an error of its own, before the reason.
    pkt::encode(&mut report, b"unpack ok\n");
    for update in updates {
        pkt::encode(&mut report, format!("ng {} {short}\n", one_line(&update.name)).as_bytes());
    }
    report.extend_from_slice(FLUSH);
    let mut answer = Vec::new();
    match (capabilities.side_band, capabilities.report_status) {
        (true, report_status) => {
            pkt::encode_band(&mut answer, Band::Progress, format!("{reason}\n").as_bytes());
            if report_status {
                pkt::encode_band(&mut answer, Band::Data, &report);
            }
            answer.extend_from_slice(FLUSH);
        }
        (false, true) => answer = report,
        (false, false) => {}
    }
    answer
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
#[path = "push_tests.rs"]
mod tests;
