//! What the pushes of all senders have in common, made into an event in one place. Tests: `tests/it/payload.rs`.

use super::field::{self, Commit};
use super::{Event, PayloadError, Push};

/// Texts of a payload, not looked at yet.
pub(super) struct Parts<'p> {
    /// `refs/heads/main`.
    pub(super) reference: &'p str,
    /// Nothing, or zeros, when it is new.
    pub(super) before: Option<&'p str>,
    /// Zeros when it was removed.
    pub(super) after: &'p str,
    /// The commit a tag stands for, where `after` may be the tag itself.
    pub(super) commit: Option<&'p str>,
    pub(super) is_forced: Option<bool>,
    pub(super) repository: &'p str,
    pub(super) clone_url: Option<&'p str>,
    pub(super) head_message: Option<&'p str>,
    pub(super) author: Option<&'p str>,
    /// What the listed commits have changed; `None` where not all are listed.
    pub(super) changed_paths: Option<Vec<String>>,
    pub(super) pusher: Option<&'p str>,
}

impl<'p> Parts<'p> {
    /// Those that the newest commit says.
    pub(super) fn head(mut self, commit: Option<&'p Commit>) -> Self {
        if let Some(commit) = commit {
            self.head_message = commit.message.as_deref();
            self.author = commit.author.as_ref().and_then(|author| author.name.as_deref());
        }
        self
    }

    pub(super) fn event(self) -> Result<Event, PayloadError> {
        let reference = field::reference(self.reference)?;
        let before = self.before.map(field::commit).transpose()?.filter(|commit| !commit.is_zero());
        let is_tag = reference.tag().is_some();
        let mut after = field::commit(self.after)?;
        let is_deleted = after.is_zero();
        if is_tag && !is_deleted {
            let commit = self.commit.map(field::commit).transpose()?;
            after = commit.filter(|commit| !commit.is_zero()).unwrap_or(after);
        }
        // Of a new branch the sender compares with whatever it likes, of a forced push it leaves out what is gone.
        let is_plain = before.is_some() && !is_deleted && self.is_forced != Some(true);
        let push = Push {
            reference,
            before,
            after,
            is_deleted,
            is_forced: self.is_forced,
            repository: field::line(self.repository),
            clone_url: field::address(self.clone_url),
            head_message: field::message(self.head_message.unwrap_or_default()),
            author: field::optional_line(self.author),
            changed_paths: self.changed_paths.filter(|_| is_plain),
            pusher: field::optional_line(self.pusher),
        };
        Ok(if is_tag { Event::Tag(push) } else { Event::Push(push) })
    }
}
