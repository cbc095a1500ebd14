//! Facts of PostgreSQL and of MariaDB. Their answer is a JSON object in each line, which says in `is` what it is about; the statements that are asked
//! are in `postgres.sql` and `mariadb.sql`.

use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::statement::without_values;
use super::{LIST_MAX, NAME_MAX, bounded};

/// Most characters of a statement that are shown.
const STATEMENT_MAX: usize = 300;

/// What PostgreSQL or MariaDB says about itself and about the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlFacts {
    /// The version that runs.
    pub version: String,
    /// Bytes of the database.
    pub size_bytes: Option<u64>,
    /// The largest tables and indexes, the largest first.
    pub largest: Vec<Relation>,
    /// Most connections at once.
    pub connections_max: u64,
    /// Connections there are, by what they do.
    pub connections: Vec<Connections>,
    /// How often a block was found in memory, since the server last counted from zero.
    pub hits: u64,
    /// How often one had to be read.
    pub reads: u64,
    /// The transaction that has been open longest.
    pub oldest_transaction: Option<Transaction>,
    /// Statements of this database that took the most time together, without their values; absent where the server keeps no account of them.
    pub statements: Option<Vec<Statement>>,
    /// Statements that the server counts as slow. MariaDB only.
    pub slow: Option<u64>,
    /// Transactions that ended because two waited for each other. PostgreSQL only.
    pub deadlocks: Option<u64>,
    /// Tables with the most dead rows. PostgreSQL only.
    pub tables: Vec<Table>,
    /// How many transaction numbers ago the oldest one is that is still in use: at 2,147,483,647 no row can be written. PostgreSQL only.
    pub oldest_number: Option<u64>,
    /// What became of finished WAL; absent where none is handed out.
    pub archive: Option<Archive>,
    /// Whoever receives the WAL.
    pub standbys: Vec<Standby>,
    /// What keeps WAL for somebody.
    pub slots: Vec<Slot>,
}

impl SqlFacts {
    /// Connections there are.
    pub fn connected(&self) -> u64 {
        self.connections.iter().fold(0, |all, state| all.saturating_add(state.count))
    }
}

/// A table, or one of its indexes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// Which of them.
    pub kind: RelationKind,
    /// Its name; with its schema where that is not `public`, and in MariaDB with its table.
    pub name: String,
    /// Its bytes; of a table without its indexes.
    pub bytes: u64,
}

/// What has bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// Rows.
    Table,
    /// A way to rows.
    Index,
}

impl RelationKind {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Index => "index",
        }
    }
}

/// Connections that do the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// What they do, in the words of the server.
    pub state: String,
    /// How many.
    pub count: u64,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Whose it is.
    pub role: String,
    /// What its connection does, in the words of the server.
    pub state: String,
    /// How long it has been open.
    pub age_ms: u64,
}

/// A statement, all runs of it together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Without values and comments.
    pub text: String,
    /// How often it ran.
    pub calls: u64,
    /// Rows it found or changed.
    pub rows: u64,
    /// How long all runs took.
    pub total_us: u64,
}

impl Statement {
    /// How long one run takes.
    pub fn mean_us(&self) -> u64 {
        self.total_us / self.calls.max(1)
    }
}

/// What has stayed behind in one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name; with its schema where that is not `public`.
    pub name: String,
    /// Rows there are, as the server estimates.
    pub live: u64,
    /// Rows that are no more, whose place is not free yet.
    pub dead: u64,
    /// An estimate of that place.
    pub dead_bytes: u64,
    /// When it was last vacuumed, by anybody; absent where it never was.
    pub vacuumed_at: Option<Timestamp>,
    /// When it was last analyzed.
    pub analyzed_at: Option<Timestamp>,
}

/// What became of finished WAL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// Files that were handed out.
    pub files: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// When the last file was handed out.
    pub archived_at: Option<Timestamp>,
    /// When the last attempt failed.
    pub failed_at: Option<Timestamp>,
}

/// Who receives the WAL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// How it calls itself.
    pub name: String,
    /// What it does, in the words of the server.
    pub state: String,
    /// How far behind it is.
    pub behind_bytes: Option<u64>,
}

/// What keeps WAL for somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Whether somebody is there.
    pub is_active: bool,
    /// WAL that is kept.
    pub kept_bytes: Option<u64>,
}

/// A line of an answer.
#[derive(Debug, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Line {
    Size { bytes: u64 },
    Server(Server),
    Connections(Connections),
    Transaction(Transaction),
    Relation(Relation),
    Table(Table),
    Archive(Archive),
    Standby(Standby),
    Slot(Slot),
    Statement(Statement),
}

#[derive(Debug, Deserialize)]
struct Server {
    version: String,
    most: u64,
    hits: u64,
    reads: u64,
    #[serde(default)]
    deadlocks: Option<u64>,
    #[serde(default)]
    oldest_number: Option<u64>,
    #[serde(default)]
    slow: Option<u64>,
    has_statements: bool,
}

/// Facts, where the server said who it is; and what could not be read.
pub(super) fn read(answer: &str) -> (Option<SqlFacts>, Vec<String>) {
    let (mut facts, mut is_known, mut unread) = (SqlFacts::default(), false, 0_u32);
    let mut statements = Vec::new();
    for line in answer.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match serde_json::from_str::<Line>(line) {
            Ok(Line::Server(server)) => {
                is_known = true;
                take_server(&mut facts, server);
            }
            Ok(Line::Statement(one)) => {
                let text = bounded(&without_values(&one.text), STATEMENT_MAX);
                add(&mut statements, Statement { text, ..one });
            }
            Ok(line) => take(&mut facts, line),
            Err(_) => unread += 1,
        }
    }
    facts.largest.sort_by_key(|one| std::cmp::Reverse(one.bytes));
    facts.largest.truncate(LIST_MAX);
    if let Some(kept) = &mut facts.statements {
        *kept = statements;
    }
    let missing = if unread == 0 { Vec::new() } else { vec![format!("{unread} lines of its answer")] };
    (is_known.then_some(facts), missing)
}

fn take_server(facts: &mut SqlFacts, server: Server) {
    facts.version = bounded(&server.version, NAME_MAX);
    facts.connections_max = server.most;
    (facts.hits, facts.reads) = (server.hits, server.reads);
    (facts.deadlocks, facts.oldest_number, facts.slow) =
        (server.deadlocks, server.oldest_number, server.slow);
    facts.statements = server.has_statements.then(Vec::new);
}

fn take(facts: &mut SqlFacts, line: Line) {
    let name = |text: &str| bounded(text, NAME_MAX);
    match line {
        Line::Size { bytes } => facts.size_bytes = Some(bytes),
        Line::Connections(one) => add(&mut facts.connections, Connections { state: name(&one.state), ..one }),
        Line::Transaction(one) => {
            let (role, state) = (name(&one.role), name(&one.state));
            facts.oldest_transaction = Some(Transaction { role, state, ..one });
        }
        // Tables and indexes come one after the other.
        Line::Relation(one) if facts.largest.len() < 2 * LIST_MAX => {
            facts.largest.push(Relation { name: name(&one.name), ..one });
        }
        Line::Table(one) => add(&mut facts.tables, Table { name: name(&one.name), ..one }),
        Line::Archive(one) => facts.archive = Some(one),
        Line::Standby(one) => {
            let (called, state) = (name(&one.name), name(&one.state));
            add(&mut facts.standbys, Standby { name: called, state, ..one });
        }
        Line::Slot(one) => add(&mut facts.slots, Slot { name: name(&one.name), ..one }),
        Line::Relation(_) | Line::Server(_) | Line::Statement(_) => {}
    }
}

fn add<T>(list: &mut Vec<T>, one: T) {
    if list.len() < LIST_MAX {
        list.push(one);
    }
}
