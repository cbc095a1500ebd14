//! PostgreSQL: `pg_restore` reads a snapshot in one transaction while the server runs. Who owns something in it is made before, and gets in
//! nowhere. What is said, and what an answer means, is in `havre_rescue::load`.

use std::collections::BTreeMap;

use havre_core::backup::{Content, What};
use havre_core::database::role::{RoleName, postgres_owners};
use havre_core::name::{DatabaseName, EnvKey};
use havre_engine::error::EngineError;
use havre_reconcile::deployment::chain;
use havre_rescue::load;
use havre_rescue::producer::{postgres_count, postgres_session};
use havre_rescue::proof::{Assertion, Failure, Findings, Structure};
use havre_store::{StoreError, View};

use super::copy::{self, Server, Source, loader, unreadable};
use crate::world::World;

/// Puts a snapshot into a server: all of it, or nothing.
pub(super) async fn fill(world: &World, server: &Server, source: Source<'_>) -> Result<Content, Failure> {
    let Source { manifest, first, dump } = source;
    let words = copy::loader_words(server, &first)?;
    make_owners(world, server, &manifest.what).await?;
    let program = words[0].clone();
    let session = copy::exec(world, server, words, BTreeMap::new()).await;
    let session = session.map_err(|error| loader(&error))?;
    copy::feed(server, session, &program, (first, dump), None).await
}

/// Whoever owns something in the snapshot is there, and nobody of them gets in.
async fn make_owners(world: &World, server: &Server, what: &What) -> Result<(), Failure> {
    let what = what.clone();
    let roles = world.store.read(move |view| roles(view, &what)).await;
    let roles = roles.map_err(|error| Failure::Unreadable { reason: chain(&error) })?;
    copy::make_owner(world, server, postgres_session(&server.spec.name), postgres_owners(&roles)).await
}

/// Roles of the database that was saved, as far as it is there.
fn roles(view: &View<'_>, what: &What) -> Result<Vec<RoleName>, StoreError> {
    let What::Database { project, environment, database } = what else { return Ok(Vec::new()) };
    let Ok(name) = database.as_str().parse::<DatabaseName>() else { return Ok(Vec::new()) };
    let Some(row) = view.find_database(project, environment, &name)? else { return Ok(Vec::new()) };
    let mut roles: Vec<RoleName> =
        view.list_database_roles(row.id)?.into_iter().map(|role| role.name).collect();
    // Those it had on the server that is gone.
    let lost = view.find_lost_database(row.environment, &name)?;
    roles.extend(lost.into_iter().flat_map(|lost| lost.roles));
    roles.sort();
    roles.dedup();
    Ok(roles)
}

/// What is in the server; of one that is thrown away also its structure, and what users want to be true.
pub(super) async fn look(
    world: &World,
    server: &Server,
    assertions: Option<&[String]>,
) -> Result<Findings, Failure> {
    let mut findings =
        copy::count(world, server, postgres_session(&server.spec.name), postgres_count()).await?;
    let Some(assertions) = assertions else { return Ok(findings) };
    for sql in assertions {
        findings.assertions.push(ask(world, server, sql).await.map_err(|error| unreadable(&error))?);
    }
    // The last one: it makes an extension.
    findings.structure = inspect(world, server).await.map_err(|error| unreadable(&error))?;
    Ok(findings)
}

/// Whether something is true that users want to be true.
async fn ask(world: &World, server: &Server, sql: &str) -> Result<Assertion, EngineError> {
    let options: EnvKey = "PGOPTIONS".parse().expect("is a name");
    let env = BTreeMap::from([(options, load::assertion_options())]);
    let said = copy::talk(world, server, load::assertion(&server.spec.name, sql), None, env).await?;
    let text = if said.code == 0 { &said.output } else { &said.errors };
    Ok(load::judge_assertion(server.spec.engine, sql, said.code, text))
}

/// Whether the structure is sound.
async fn inspect(world: &World, server: &Server) -> Result<Structure, EngineError> {
    let words = load::structure(&server.spec.name);
    let said = copy::talk(world, server, words, None, BTreeMap::new()).await?;
    let text = if said.output.trim().is_empty() { &said.errors } else { &said.output };
    Ok(load::judge_structure(said.code, text))
}
