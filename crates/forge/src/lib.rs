//! What forges are told, and what they answer: GitHub, GitLab, Gitea and Forgejo, Bitbucket Cloud. From a repository, a commit and a
//! status to one HTTP call; from the answer to what follows. The same for the one comment of a pull request.
//!
//! A crate of its own because it enforces a ban: no I/O, no async, no clock, no store, and no token: a [`call::Call`] says only where
//! the token goes, so nothing in here can show one. Who calls is `havre-reconcile`. Tests: `tests/it`, with the whole call of each
//! forge, and at the end of files.

pub mod answer;
pub mod call;
pub mod comment;
pub mod repository;
pub mod status;

mod text;
