//! What the server of a database says about itself: how large it is, who is connected, what is slow, what has stayed behind. `question` is what its
//! own client is told inside of its task, `read` makes facts of the answer, and [`hint`] says in sentences what is wrong with them.
//! Tests: `tests/it/database/insight.rs`, against answers of real servers; against running ones `daemon/tests/it/insight.rs`.
//!
//! Nothing in the facts is a value that somebody has stored: statements come without their values, and commands of Redis without arguments.

pub mod hint;
pub mod redis;
pub mod sql;
pub mod statement;

use havre_core::database::spec::{DatabaseSpec, Kind};
use serde::{Deserialize, Serialize};

use self::redis::RedisFacts;
use self::sql::SqlFacts;
use super::mariadb;
use crate::copy::command::{ask, failure};

/// Most entries of each list.
pub const LIST_MAX: usize = 10;
/// Most characters of a name that is shown: of a table with its schema.
const NAME_MAX: usize = 130;

const POSTGRES: &str = include_str!("postgres.sql");
const MARIADB: &str = include_str!("mariadb.sql");
const REDIS: &str = include_str!("redis.txt");

/// What one server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Facts {
    /// PostgreSQL, or MariaDB, which has less to say.
    Sql(Box<SqlFacts>),
    /// Redis or Valkey.
    Redis(RedisFacts),
}

/// A program inside of the task, and what it is told on its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The program with its arguments.
    pub words: Vec<String>,
    /// What it reads: of closed names only.
    pub input: String,
}

/// What was understood of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Facts.
    pub facts: Facts,
    /// What could not be told, for people; empty where all of it was.
    pub missing: Vec<String>,
}

/// What is asked of a server, as its superuser. A part that fails leaves the others alone.
pub fn question(spec: &DatabaseSpec) -> Question {
    let name = spec.name.as_str();
    match spec.engine {
        Kind::Postgres => Question { words: ask(name), input: POSTGRES.to_owned() },
        Kind::Mariadb => {
            // Without a database of its own: what it asks is not counted among the statements of this one.
            let mut words = mariadb::session(None);
            words.push("--force".to_owned());
            Question { words, input: MARIADB.replace(":database", &format!("'{name}'")) }
        }
        Kind::Redis => Question { words: vec!["redis-cli".to_owned()], input: REDIS.to_owned() },
        Kind::Valkey => Question { words: vec!["valkey-cli".to_owned()], input: REDIS.to_owned() },
    }
}

/// Facts out of what the client wrote: on its standard output, and on its standard error.
///
/// # Errors
/// Where it says nothing about the server: why, for people.
pub fn read(engine: Kind, answer: &str, errors: &str) -> Result<Reading, String> {
    let (facts, mut missing) = match engine {
        Kind::Postgres | Kind::Mariadb => {
            let (facts, missing) = sql::read(answer);
            (facts.map(|facts| Facts::Sql(Box::new(facts))), missing)
        }
        Kind::Redis | Kind::Valkey => {
            let (facts, missing) = redis::read(answer);
            (facts.map(Facts::Redis), missing)
        }
    };
    // What a client of MariaDB says may hold a part of the statement.
    let said = match engine {
        Kind::Mariadb => mariadb::error(errors),
        Kind::Postgres | Kind::Redis | Kind::Valkey => errors.to_owned(),
    };
    if !said.trim().is_empty() {
        missing.push(failure(&said, 0));
    }
    match facts {
        Some(facts) => Ok(Reading { facts, missing }),
        None if missing.is_empty() => Err("its client said nothing".to_owned()),
        None => Err(missing.join("; ")),
    }
}

/// Text of a server in one bounded line.
fn bounded(text: &str, most: usize) -> String {
    let mut line: String = text.chars().filter(|letter| !letter.is_control()).take(most).collect();
    if text.chars().count() > most {
        line.push('…');
    }
    line
}
