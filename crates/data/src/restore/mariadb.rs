//! MariaDB: its client reads a snapshot while the server runs, up to the first statement that fails. Whom the snapshot names as the one who made
//! something is made right before that goes in, and gets in nowhere. What is said, and what an answer means, is in
//! `havre_rescue::mariadb`.

use std::collections::BTreeMap;

use havre_core::backup::Content;
use havre_decide::database::mariadb::{error, owner, session};
use havre_engine::error::EngineError;
use havre_rescue::ledger::Owners;
use havre_rescue::proof::{Assertion, Failure, Findings, Structure};
use havre_rescue::{load, mariadb as saved};

use super::copy::{self, Server, Source, loader, unreadable};
use crate::world::World;

/// Puts a snapshot into a server. What is in one in which it did not end is thrown away.
pub(super) async fn fill(world: &World, server: &Server, source: Source<'_>) -> Result<Content, Failure> {
    let Source { manifest: _, first, dump } = source;
    let words = copy::loader_words(server, &first)?;
    let program = words[0].clone();
    let started = copy::exec(world, server, words, BTreeMap::new()).await;
    let started = started.map_err(|error| loader(&error))?;
    let guests = Guests { world, server, owners: Owners::default() };
    copy::feed(server, started, &program, (first, dump), Some(guests)).await
}

/// Makes whoever made something in a snapshot be there before the snapshot says so: a view of a view is not made without them.
pub(super) struct Guests<'a> {
    world: &'a World,
    server: &'a Server,
    owners: Owners,
}

impl Guests<'_> {
    /// Makes those be there whom these bytes name.
    pub(super) async fn welcome(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        for role in self.owners.read(bytes) {
            let sql = owner(&self.server.spec.name, &role);
            copy::make_owner(self.world, self.server, session(None), sql).await?;
        }
        Ok(())
    }
}

/// What is in the server; of one that is thrown away also its structure, and what users want to be true.
pub(super) async fn look(
    world: &World,
    server: &Server,
    assertions: Option<&[String]>,
) -> Result<Findings, Failure> {
    let name = &server.spec.name;
    let mut findings = copy::count(world, server, session(Some(name)), saved::count(name)).await?;
    let Some(assertions) = assertions else { return Ok(findings) };
    for sql in assertions {
        findings.assertions.push(ask(world, server, sql).await.map_err(|error| unreadable(&error))?);
    }
    findings.structure = inspect(world, server).await.map_err(|error| unreadable(&error))?;
    Ok(findings)
}

/// Whether something is true that users want to be true.
async fn ask(world: &World, server: &Server, sql: &str) -> Result<Assertion, EngineError> {
    let words = session(Some(&server.spec.name));
    let said = copy::talk(world, server, words, Some(saved::assertion(sql)), BTreeMap::new()).await?;
    let text = if said.code == 0 { said.output } else { error(&said.errors) };
    Ok(load::judge_assertion(server.spec.engine, sql, said.code, &text))
}

/// Whether the structure is sound.
async fn inspect(world: &World, server: &Server) -> Result<Structure, EngineError> {
    let words = saved::structure(&server.spec.name);
    let said = copy::talk(world, server, words, None, BTreeMap::new()).await?;
    let text = if said.output.trim().is_empty() { &said.errors } else { &said.output };
    Ok(saved::judge_structure(said.code, text))
}
