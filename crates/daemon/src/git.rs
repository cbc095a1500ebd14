//! Hands git's clients from the API to the source crate, and what is to be told back into git's answer; those of Git LFS as well.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use havre_core::artifact::Digest;
use havre_core::name::ProjectName;
use havre_core::source::RemoteUrl;
use havre_core::ssh_key::PublicKey;
use havre_decide::source::lfs::batch::{CONTENTS_MAX, FLOOR, PROJECT_MAX};
use havre_reconcile::pipeline::{FetchError, list_host_keys};
use havre_source::SourceError;
use havre_source::git::lfs::{LfsFolder, Room};
use havre_source::push::{Command, PushRules};
use havre_source::source::{Exchange as Request, Protocol, Service, Source};
use havre_source::tail::Tail;
use havre_web::git::gateway::{Content, Exchange, GitError, GitGateway, Measured, Pushed, Verb};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

/// Chunks between git and its client.
const CHUNKS: usize = 16;
/// Bytes of a content of Git LFS that are read at once.
const CHUNK: usize = 256 * 1024;
/// How much is taken with Git LFS.
const ROOM: Room = Room { contents: CONTENTS_MAX, project: PROJECT_MAX.as_bytes(), floor: FLOOR.as_bytes() };

/// The gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    source: Arc<dyn Source>,
    lfs: LfsFolder,
    /// Hosts may be asked at addresses that are not public.
    allow_private: bool,
}

impl Gateway {
    pub(crate) fn new(source: Arc<dyn Source>, lfs: LfsFolder, allow_private: bool) -> Self {
        Self { source, lfs, allow_private }
    }

    /// What really moved: git may have refused a part of what the client asked for.
    async fn moved(&self, project: &ProjectName, commands: Vec<Command>) -> Result<Vec<Pushed>, SourceError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let refs = self.source.list_refs(project).await?;
        let moved = commands.into_iter().filter_map(|command| {
            let commit = refs.get(&command.name).cloned();
            let is_branch = command.name.branch().is_some();
            // An annotated tag points to a tag, which leads to the commit.
            let is_done =
                if is_branch || command.new.is_none() { commit == command.new } else { commit.is_some() };
            is_done.then_some(Pushed { reference: command.name, commit })
        });
        Ok(moved.collect())
    }
}

#[async_trait]
impl GitGateway for Gateway {
    async fn advertise(
        &self,
        project: &ProjectName,
        verb: Verb,
        is_version_2: bool,
    ) -> Result<Bytes, GitError> {
        if verb == Verb::Push {
            self.source.ensure(project).await.map_err(refuse)?;
        }
        let protocol = is_version_2.then_some(Protocol::V2);
        self.source.advertise(project, service(verb), protocol).await.map_err(refuse)
    }

    async fn exchange(&self, exchange: Exchange) -> Result<(), GitError> {
        let Exchange { project, verb, is_version_2, protected, input, output, pushed, mut messages, cancel } =
            exchange;
        let (sender, mut answer) = mpsc::channel::<Bytes>(CHUNKS);
        let request = Request {
            service: service(verb),
            protocol: is_version_2.then_some(Protocol::V2),
            rules: PushRules { protected },
            input,
            output: sender,
        };
        let work = self.source.exchange(&project, request, cancel);
        if verb == Verb::Fetch {
            let pass = async {
                while let Some(chunk) = answer.recv().await {
                    if output.send(chunk).await.is_err() {
                        return;
                    }
                }
            };
            let (done, ()) = tokio::join!(work, pass);
            return done.map(drop).map_err(refuse);
        }
        let mut tail = Tail::new();
        let pass = async {
            while let Some(chunk) = answer.recv().await {
                // Git goes on when its client has left: what it has taken stays taken.
                let _ = output.send(tail.push(&chunk)).await;
            }
        };
        let (done, ()) = tokio::join!(work, pass);
        let done = done.map_err(refuse)?;
        let moved = self.moved(&project, done.commands).await.map_err(refuse)?;
        // Nobody to tell when the server stops; the next start finds the push.
        let _ = pushed.send(moved);
        while let Some(line) = messages.recv().await {
            if output.send(tail.message(&line)).await.is_err() {
                messages.close();
            }
        }
        let _ = output.send(tail.finish()).await;
        Ok(())
    }

    async fn measure(&self, project: &ProjectName) -> Result<Measured, GitError> {
        let measured = self.source.measure(project).await.map_err(refuse)?;
        Ok(Measured { bytes: measured.bytes, refs: measured.refs as u64 })
    }

    async fn host_keys(&self, url: &RemoteUrl) -> Result<Vec<PublicKey>, GitError> {
        // Whatever went wrong is about the host that somebody has named, and for that person to see.
        let refused = |error: FetchError| GitError::Refused(format!("{:#}", anyhow::Error::new(error)));
        list_host_keys(self.source.as_ref(), url, self.allow_private).await.map_err(refused)
    }

    async fn find_contents(
        &self,
        project: &ProjectName,
        oids: &[Digest],
    ) -> Result<Vec<Option<u64>>, GitError> {
        self.lfs.find(project, oids).await.map_err(refuse)
    }

    async fn content_room(&self, project: &ProjectName) -> Result<u64, GitError> {
        self.lfs.room(project, ROOM).await.map_err(refuse)
    }

    async fn take_content(
        &self,
        project: &ProjectName,
        content: (&Digest, u64),
        mut input: mpsc::Receiver<io::Result<Bytes>>,
    ) -> Result<(), GitError> {
        self.lfs.take(project, content, ROOM, &mut input).await.map_err(refuse)
    }

    async fn give_content(&self, project: &ProjectName, oid: &Digest) -> Result<Option<Content>, GitError> {
        let found = self.lfs.read(project, oid).await.map_err(refuse)?;
        let Some((file, bytes)) = found else { return Ok(None) };
        let (sender, chunks) = mpsc::channel(CHUNKS);
        tokio::spawn(give(file, sender));
        Ok(Some(Content { bytes, chunks }))
    }
}

/// Reads a file to its end, or until nobody listens.
async fn give(mut file: tokio::fs::File, sender: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = match file.read_buf(&mut chunk).await {
            Ok(0) => return,
            Ok(_) => Ok(chunk.freeze()),
            Err(error) => Err(error),
        };
        let is_over = read.is_err();
        if sender.send(read).await.is_err() || is_over {
            return;
        }
    }
}

const fn service(verb: Verb) -> Service {
    match verb {
        Verb::Fetch => Service::UploadPack,
        Verb::Push => Service::ReceivePack,
    }
}

fn refuse(error: SourceError) -> GitError {
    match error {
        SourceError::RepositoryMissing { repository } => GitError::Missing(repository),
        SourceError::NoSpace { .. } => GitError::NoSpace,
        error if error.is_permanent() => GitError::Refused(error.to_string()),
        error => GitError::Failed(format!("{:#}", anyhow::Error::new(error))),
    }
}
