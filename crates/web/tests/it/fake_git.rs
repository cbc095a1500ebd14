//! Stands in for git: answers with what it was asked, moves the branches it was told to, and keeps contents of Git LFS as they come.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use havre_core::artifact::Digest;
use havre_core::name::ProjectName;
use havre_core::source::{BranchName, RemoteUrl};
use havre_core::ssh_key::PublicKey;
use havre_web::git::gateway::{Content, Exchange, GitError, GitGateway, Measured, Pushed, Verb};
use tokio::sync::mpsc;

#[derive(Debug, Default)]
pub(crate) struct FakeGit {
    /// What the next push moves.
    pub(crate) moves: Mutex<Vec<Pushed>>,
    /// Branches that were protected in each push.
    pub(crate) protected: Mutex<Vec<Vec<BranchName>>>,
    /// Keys every host shows.
    pub(crate) host_keys: Mutex<Vec<PublicKey>>,
    /// Contents of Git LFS, by project and name.
    pub(crate) contents: Mutex<BTreeMap<(String, String), Vec<u8>>>,
    /// Error of the next call.
    pub(crate) fail: Mutex<Option<GitError>>,
}

#[async_trait]
impl GitGateway for FakeGit {
    async fn advertise(
        &self,
        project: &ProjectName,
        verb: Verb,
        is_version_2: bool,
    ) -> Result<Bytes, GitError> {
        if let Some(error) = self.fail.lock().expect("no holder panics").take() {
            return Err(error);
        }
        Ok(format!("{} of {project}, version 2: {is_version_2}", verb.name()).into())
    }

    async fn exchange(&self, mut exchange: Exchange) -> Result<(), GitError> {
        let mut received = 0;
        while let Some(chunk) = exchange.input.recv().await {
            received += chunk.map_err(|error| GitError::Failed(error.to_string()))?.len();
        }
        let head = format!("{} of {} took {received} bytes\n", exchange.verb.name(), exchange.project);
        let _ = exchange.output.send(head.into()).await;
        if exchange.verb == Verb::Push {
            self.protected.lock().expect("no holder panics").push(exchange.protected);
            let moves = std::mem::take(&mut *self.moves.lock().expect("no holder panics"));
            let _ = exchange.pushed.send(moves);
            while let Some(line) = exchange.messages.recv().await {
                let _ = exchange.output.send(format!("{line}\n").into()).await;
            }
        }
        Ok(())
    }

    async fn measure(&self, _project: &ProjectName) -> Result<Measured, GitError> {
        match self.fail.lock().expect("no holder panics").take() {
            Some(error) => Err(error),
            None => Ok(Measured { bytes: 4096, refs: 2 }),
        }
    }

    async fn host_keys(&self, _url: &RemoteUrl) -> Result<Vec<PublicKey>, GitError> {
        match self.fail.lock().expect("no holder panics").take() {
            Some(error) => Err(error),
            None => Ok(self.host_keys.lock().expect("no holder panics").clone()),
        }
    }
    async fn find_contents(
        &self,
        project: &ProjectName,
        oids: &[Digest],
    ) -> Result<Vec<Option<u64>>, GitError> {
        let contents = self.contents.lock().expect("no holder panics");
        let find = |oid: &Digest| Some(contents.get(&key(project, oid))?.len() as u64);
        Ok(oids.iter().map(find).collect())
    }

    async fn content_room(&self, _project: &ProjectName) -> Result<u64, GitError> {
        Ok(100)
    }

    async fn take_content(
        &self,
        project: &ProjectName,
        (oid, bytes): (&Digest, u64),
        mut input: mpsc::Receiver<io::Result<Bytes>>,
    ) -> Result<(), GitError> {
        if let Some(error) = self.fail.lock().expect("no holder panics").take() {
            return Err(error);
        }
        let mut content = Vec::new();
        while let Some(chunk) = input.recv().await {
            content.extend_from_slice(&chunk.map_err(|error| GitError::Failed(error.to_string()))?);
        }
        assert_eq!(content.len() as u64, bytes, "it is said how many bytes come");
        self.contents.lock().expect("no holder panics").insert(key(project, oid), content);
        Ok(())
    }

    async fn give_content(&self, project: &ProjectName, oid: &Digest) -> Result<Option<Content>, GitError> {
        let found = self.contents.lock().expect("no holder panics").get(&key(project, oid)).cloned();
        let Some(content) = found else { return Ok(None) };
        let (sender, chunks) = mpsc::channel(1);
        let bytes = content.len() as u64;
        sender.try_send(Ok(content.into())).expect("the channel is new and has room");
        Ok(Some(Content { bytes, chunks }))
    }
}

fn key(project: &ProjectName, oid: &Digest) -> (String, String) {
    (project.to_string(), oid.hex().to_owned())
}
