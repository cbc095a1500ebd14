//! Redis and Valkey: a snapshot goes onto the volume of a server that keeps nothing, is looked at there, and is read by the next server when it
//! starts. What is said, and what an answer means, is in `havre_rescue::keys`. Tests: `tests/it/restore_redis.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use havre_core::backup::Content;
use havre_rescue::keys::{self, Settled};
use havre_rescue::load::{self, Format, first_line};
use havre_rescue::producer::{reason, redis_ask};
use havre_rescue::proof::{Failure, Findings, Keys};

use super::copy::{self, Said, Server, Source, loader};
use crate::world::World;

/// Pause between looks at a server that writes what it shall keep.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Puts a snapshot where the next server reads it; what it holds. Nothing of one that is damaged is left where a server looks.
pub(super) async fn fill(
    world: &World,
    server: &Server,
    source: Source<'_>,
) -> Result<(Content, Keys), Failure> {
    let Source { manifest, first, dump } = source;
    if load::format(&first) != Format::Rdb {
        let reason = "the snapshot is not one of Redis or Valkey".to_owned();
        return Err(Failure::Unsupported { reason });
    }
    let kind = server.spec.engine;
    let session = copy::exec(world, server, keys::arrive(), BTreeMap::new()).await;
    let session = session.map_err(|error| loader(&error))?;
    let content = copy::feed(server, session, "dd", (first, dump), None).await?;
    if content != manifest.content {
        return Err(Failure::StreamDiffers { expected: manifest.content.clone(), found: content });
    }
    let said = say(world, server, keys::digest()).await?;
    keys::judge_digest(said.code, &said.output, &content)?;
    let said = say(world, server, keys::inspect(kind)).await?;
    let found = keys::judge_inspection(kind, said.code, &said.output)?;
    must(world, server, keys::put_in_place()).await?;
    Ok((content, found))
}

/// What is in the server.
pub(super) async fn count(world: &World, server: &Server) -> Result<Findings, Failure> {
    let said = say(world, server, redis_ask(server.spec.engine)).await?;
    keys::findings(server.spec.engine, &said.output)
}

/// Makes the server what its specification says, and waits until whatever it shall keep is on its disk. Done again, it changes nothing.
pub(super) async fn settle(world: &World, server: &Server) -> Result<(), Failure> {
    let spec = &server.spec;
    for words in keys::settle(spec) {
        let what = words.get(3).cloned().unwrap_or_default();
        let said = say(world, server, words).await?;
        // The client ends with 0 whatever was answered.
        if said.output.trim() != "OK" {
            let why = first_line(&said.output, said.code);
            return Err(Failure::Loader { reason: format!("its server does not take `{what}`: {why}") });
        }
    }
    loop {
        let said = say(world, server, redis_ask(spec.engine)).await?;
        match keys::settled(spec, &said.output) {
            Settled::Yes => break,
            Settled::NotYet => world.clock.sleep(LOOK_AGAIN).await,
            Settled::Failed => {
                let reason = "its server could not write the log of its writes (appendonly)".to_owned();
                return Err(Failure::Loader { reason });
            }
        }
    }
    if keys::is_discarded(spec) {
        must(world, server, keys::discard()).await?;
    }
    Ok(())
}

async fn say(world: &World, server: &Server, words: Vec<String>) -> Result<Said, Failure> {
    copy::talk(world, server, words, None, BTreeMap::new()).await.map_err(|error| loader(&error))
}

/// Runs a program that must end with 0.
async fn must(world: &World, server: &Server, words: Vec<String>) -> Result<(), Failure> {
    let program = words.first().cloned().unwrap_or_default();
    let said = say(world, server, words).await?;
    if said.code == 0 {
        return Ok(());
    }
    Err(Failure::Loader { reason: reason(&program, said.code, &said.errors) })
}
