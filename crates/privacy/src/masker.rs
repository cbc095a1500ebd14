//! Masks a dump while it streams through: holds one statement or one row at a time, and passes on byte by byte what no rule is about.
//!
//! What comes out counts only once [`Masker::finish`] has said so: that a key is unique, who refers to whom, and that the dump is whole
//! stands at the end of a dump. A dump without rows (`--schema-only`) gives all answers about rules beforehand. Tests: `tests/it`.

use std::collections::BTreeMap;

use crate::check;
use crate::dump::split::{End, Splitter};
use crate::dump::statement::{self, Statement};
use crate::dump::table::Tables;
use crate::error::{MaskError, Undeclared};
use crate::leak::Leak;
use crate::mask::Painter;
use crate::name::TableName;
use crate::policy::Policy;
use crate::policy::problem::PolicyError;
use crate::row::{Block, Tools};
use crate::salt::Salt;

/// Most bytes of one row or one statement.
pub const ROW_MAX: usize = 64 * 1024 * 1024;

/// What stands at the end of every whole dump.
const TRAILER: &[u8] = b"PostgreSQL database dump complete";

/// Rows of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowCount {
    /// That were in the dump.
    pub seen: u64,
    /// That are in the copy.
    pub copied: u64,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Of every table with rows in the dump.
    pub tables: BTreeMap<TableName, RowCount>,
    /// Statements about large objects, which no copy has.
    pub dropped: u64,
}

/// A copy that is whole.
#[derive(Debug)]
pub struct Finished {
    /// What was done.
    pub report: Report,
    /// What was remembered for the leak test, where it was asked for.
    pub leak: Option<Leak>,
}

/// Masks one dump.
#[derive(Debug)]
pub struct Masker {
    policy: Policy,
    painter: Painter,
    tables: Tables,
    splitter: Splitter,
    /// The statement or row that has begun.
    pending: Vec<u8>,
    /// The row that is being written.
    written: Vec<u8>,
    /// Rows are being read.
    block: Option<Block>,
    /// The rest of the line behind `COPY` is still to come.
    is_opening: bool,
    line: u64,
    row_max: usize,
    is_checked: bool,
    /// What stands at the end has been seen.
    is_whole: bool,
    undeclared: Undeclared,
    leak: Option<Leak>,
    report: Report,
    failed: Option<MaskError>,
}

impl Masker {
    /// Masks by these rules under this salt.
    pub fn new(policy: Policy, salt: Salt) -> Self {
        Self {
            policy,
            painter: Painter::new(salt),
            tables: Tables::default(),
            splitter: Splitter::new(),
            pending: Vec::new(),
            written: Vec::new(),
            block: None,
            is_opening: false,
            line: 1,
            row_max: ROW_MAX,
            is_checked: false,
            is_whole: false,
            undeclared: Undeclared::default(),
            leak: None,
            report: Report::default(),
            failed: None,
        }
    }

    /// Remembers originals for the leak test.
    #[must_use]
    pub fn with_leak(mut self, leak: Leak) -> Self {
        self.leak = Some(leak);
        self
    }

    /// Refuses longer rows and statements than these, in bytes; never more than [`ROW_MAX`].
    #[must_use]
    pub fn with_row_max(mut self, row_max: usize) -> Self {
        self.row_max = row_max.min(ROW_MAX);
        self
    }

    /// Whether the copy will be refused at its end whatever follows: something personal is not declared. Nothing more comes out; who reads
    /// on gets the whole list.
    pub fn is_refused(&self) -> bool {
        !self.undeclared.is_empty()
    }

    /// Takes the next bytes of the dump and appends what they become. The same bytes give the same, whatever the chunks.
    ///
    /// # Errors
    /// The copy is refused. Every further call says the same.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.take(chunk, out);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    /// The dump has ended.
    ///
    /// # Errors
    /// The copy is refused.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Finished, MaskError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if let Some(block) = &self.block {
            return Err(self.dump(format!("the dump ends in the middle of the rows of `{}`", block.table)));
        }
        if self.splitter.is_inside() {
            return Err(self.dump("the dump ends in the middle of a statement"));
        }
        let pending = std::mem::take(&mut self.pending);
        self.note_trailer(&pending);
        if !self.is_whole {
            let what = "the dump is not whole: what pg_dump writes at the end is missing";
            return Err(self.dump(what));
        }
        self.check()?;
        if !self.undeclared.is_empty() {
            return Err(MaskError::Undeclared(self.undeclared));
        }
        out.extend_from_slice(&pending);
        Ok(Finished { report: self.report, leak: self.leak })
    }

    fn take(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let used = match self.block {
                Some(_) => self.take_row(rest, out)?,
                None => self.take_statement(rest, out)?,
            };
            rest = &rest[used..];
        }
        Ok(())
    }

    fn take_statement(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Result<usize, MaskError> {
        for (at, byte) in rest.iter().enumerate() {
            if self.pending.len() >= self.row_max {
                return Err(self.dump(format!("a statement has more than {} bytes", self.row_max)));
            }
            self.pending.push(*byte);
            self.line += u64::from(*byte == b'\n');
            let end = match self.splitter.push(*byte) {
                Ok(None) => continue,
                Ok(Some(end)) => end,
                Err(what) => return Err(self.dump(what)),
            };
            let piece = std::mem::take(&mut self.pending);
            match end {
                End::Command => self.command(&piece, out)?,
                End::Statement => self.statement(&piece, out)?,
            }
            if self.block.is_some() {
                return Ok(at + 1);
            }
        }
        Ok(rest.len())
    }

    fn take_row(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Result<usize, MaskError> {
        if self.is_opening {
            if !rest.starts_with(b"\n") {
                return Err(self.dump("rows do not begin on a line of their own"));
            }
            self.is_opening = false;
            self.line += 1;
            self.emit(b"\n", out);
            return Ok(1);
        }
        let end = rest.iter().position(|byte| *byte == b'\n');
        let part = &rest[..end.unwrap_or(rest.len())];
        if self.pending.len() + part.len() > self.row_max {
            return Err(self.dump(format!("a row has more than {} bytes", self.row_max)));
        }
        let Some(end) = end else {
            self.pending.extend_from_slice(part);
            return Ok(rest.len());
        };
        if self.pending.is_empty() {
            self.row(part, out)?;
        } else {
            let mut row = std::mem::take(&mut self.pending);
            row.extend_from_slice(part);
            self.row(&row, out)?;
        }
        self.line += 1;
        Ok(end + 1)
    }

    fn row(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        let Some(mut block) = self.block.take() else { return Ok(()) };
        if row == b"\\." {
            let count = RowCount { seen: block.seen, copied: block.copied };
            self.report.tables.insert(block.table, count);
            self.emit(b"\\.\n", out);
            return Ok(());
        }
        let mut written = std::mem::take(&mut self.written);
        written.clear();
        let mut tools =
            Tools { painter: &self.painter, undeclared: &mut self.undeclared, leak: self.leak.as_mut() };
        match block.write(row, &mut written, &mut tools) {
            Ok(true) => {
                written.push(b'\n');
                self.emit(&written, out);
            }
            Ok(false) => {}
            Err(error) => {
                let (column, what) = (error.column, error.what);
                return Err(MaskError::Row { line: self.line, table: block.table, column, what });
            }
        }
        self.written = written;
        self.block = Some(block);
        Ok(())
    }

    /// A line for psql. Those that pg_dump writes protect psql; all others would make it do something else.
    fn command(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        self.note_trailer(piece);
        let line = piece.trim_ascii_end();
        let start = line.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let word = line[start..].split(u8::is_ascii_whitespace).next().unwrap_or_default();
        if word != b"\\restrict" && word != b"\\unrestrict" {
            let shown: String = String::from_utf8_lossy(word).chars().take(40).collect();
            let what = format!(
                "`{}` is a command for psql that no copy has: dump without --create",
                shown.escape_debug()
            );
            return Err(self.dump(what));
        }
        self.emit(piece, out);
        Ok(())
    }

    fn statement(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        let read = match statement::read(piece) {
            Ok(read) => read,
            Err(what) => return Err(self.dump(what)),
        };
        match read {
            Statement::CreateTable { name, table } => {
                self.tables.0.insert(name, table);
            }
            Statement::AttachPartition { parent, child } => {
                self.tables.0.entry(child).or_default().parent = Some(parent);
            }
            Statement::AddKey { table, key } => self.tables.0.entry(table).or_default().keys.push(key),
            Statement::AddForeign { table, foreign } => {
                self.tables.0.entry(table).or_default().foreign.push(foreign);
            }
            Statement::Copy { table, columns } => self.open(table, columns)?,
            Statement::Insert => {
                return Err(
                    self.dump("rows as INSERT are not read: dump without --inserts and --column-inserts")
                );
            }
            Statement::LargeObject => {
                self.report.dropped += 1;
                return Ok(());
            }
            Statement::Other => {}
        }
        self.emit(piece, out);
        Ok(())
    }

    /// Rows of a table follow.
    fn open(&mut self, table: TableName, columns: Vec<String>) -> Result<(), MaskError> {
        if !self.is_checked {
            self.check()?;
        }
        let Some(known) = self.tables.get(&table) else {
            let what = format!("rows of `{table}` before its CREATE TABLE: dump structure and data together");
            return Err(self.dump(what));
        };
        let columns = if columns.is_empty() {
            let stored = known.columns.iter().filter(|column| !column.is_generated);
            stored.map(|column| column.name.clone()).collect()
        } else {
            columns
        };
        let mut block = Block::new(&self.policy, &self.tables, table, &columns, self.leak.as_mut());
        block.find_undeclared(&mut self.undeclared);
        self.block = Some(block);
        self.is_opening = true;
        Ok(())
    }

    /// Compares rules and tables, as far as they have been read.
    fn check(&mut self) -> Result<(), MaskError> {
        let is_first = !std::mem::replace(&mut self.is_checked, true);
        let problems = check::check(&self.policy, &self.tables);
        if !problems.is_empty() {
            return Err(MaskError::Policy(PolicyError::new(problems)));
        }
        if is_first {
            check::find_undeclared(&self.policy, &self.tables, &mut self.undeclared);
        }
        Ok(())
    }

    fn note_trailer(&mut self, comments: &[u8]) {
        self.is_whole |= comments.windows(TRAILER.len()).any(|window| window == TRAILER);
    }

    fn emit(&self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.undeclared.is_empty() {
            out.extend_from_slice(bytes);
        }
    }

    fn dump(&self, what: impl Into<String>) -> MaskError {
        MaskError::Dump { line: self.line, what: what.into() }
    }
}
