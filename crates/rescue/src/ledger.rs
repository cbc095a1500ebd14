//! Reads a dump of `mariadb-dump` while it passes, and counts what is written in it: rows of each table, whether its last line came, and whom
//! it names as an owner. Numbers are those of the dump itself, of its own snapshot, without a lock on the server and without reading a table
//! twice. Nothing of it is kept but names and numbers. Tests at the end of the file; with a real dump in `daemon/tests/it/mariadb.rs`.
//!
//! What it relies on: a statement begins at the beginning of a line; in a text between quotes each quote and each backslash has a backslash
//! before it, since the program sets `sql_mode` of its own; bodies of routines stand between `DELIMITER ;;` and `DELIMITER ;`.

use std::collections::{BTreeMap, BTreeSet};

use crate::producer::TABLES_MAX;
use havre_core::database::role::RoleName;

/// Longest beginning of a line that is looked at: a name of 64 characters, twice its bytes, and the columns of a wide table.
const LINE_MAX: usize = 128 * 1024;
/// Bytes of the end that are kept: its last line is shorter.
const TAIL: usize = 64;
/// What the last line says.
const END: &str = "-- Dump completed";
/// What stands before the name of an owner.
const OWNER: &[u8] = b"DEFINER=`";
/// Longest owner: a name of a role, and the host behind it.
const OWNER_MAX: usize = 160;
/// Most owners that are told: a text in a table may look like one.
const OWNERS_MAX: usize = 500;

/// Where the reader is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    /// Outside of everything; the line so far is kept.
    Line,
    /// Between two `DELIMITER`.
    Body,
    /// In the rows of a table, this deep in brackets.
    Rows { table: String, count: u64, depth: u32, text: Text },
}

/// Whether what is read stands between quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    Escaped,
}

/// What was read of a dump so far.
#[derive(Debug)]
pub struct Ledger {
    at: At,
    line: Vec<u8>,
    rows: BTreeMap<String, u64>,
    tail: Vec<u8>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { at: At::Line, line: Vec::new(), rows: BTreeMap::new(), tail: Vec::new() }
    }
}

impl Ledger {
    /// Reads on.
    pub fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.step(*byte);
        }
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
    }

    fn step(&mut self, byte: u8) {
        let At::Rows { count, depth, text, .. } = &mut self.at else {
            self.step_line(byte);
            return;
        };
        match (*text, byte) {
            (Text::Outside, b'\'') => *text = Text::Inside,
            (Text::Outside, b'(') => {
                *count += u64::from(*depth == 0);
                *depth = depth.saturating_add(1);
            }
            (Text::Outside, b')') => *depth = depth.saturating_sub(1),
            (Text::Outside, b';') if *depth == 0 => self.end_rows(),
            (Text::Inside, b'\\') => *text = Text::Escaped,
            (Text::Inside, b'\'') => *text = Text::Outside,
            (Text::Escaped, _) => *text = Text::Inside,
            (Text::Outside | Text::Inside, _) => {}
        }
    }

    fn end_rows(&mut self) {
        if let At::Rows { table, count, .. } = std::mem::replace(&mut self.at, At::Line) {
            self.add(table, count);
        }
    }

    /// Of more tables than are counted one is kept, which says so.
    fn add(&mut self, table: String, count: u64) {
        if self.rows.len() <= TABLES_MAX {
            *self.rows.entry(table).or_default() += count;
        }
    }

    fn step_line(&mut self, byte: u8) {
        if byte == b'\n' {
            self.end_line();
            return;
        }
        if self.line.len() < LINE_MAX {
            self.line.push(byte);
        }
        // The rows begin behind this word: some versions write all of them in the same line.
        if byte == b'S'
            && self.at == At::Line
            && let Some(table) = parse_insert(&self.line)
        {
            self.at = At::Rows { table, count: 0, depth: 0, text: Text::Outside };
            self.line.clear();
        }
    }

    fn end_line(&mut self) {
        match self.at {
            At::Line if self.line == b"DELIMITER ;;" => self.at = At::Body,
            At::Line => {
                if let Some(table) = parse_create(&self.line) {
                    self.add(table, 0);
                }
            }
            At::Body if self.line == b"DELIMITER ;" => self.at = At::Line,
            At::Body | At::Rows { .. } => {}
        }
        self.line.clear();
    }

    /// Whether the last line came, with nothing behind it.
    pub fn is_complete(&self) -> bool {
        let tail = String::from_utf8_lossy(&self.tail);
        let is_last = tail.ends_with('\n') && tail.lines().last().is_some_and(|line| line.starts_with(END));
        is_last && self.at == At::Line
    }

    /// Rows of each table; of too many tables none.
    pub fn rows(self) -> BTreeMap<String, u64> {
        if self.rows.len() > TABLES_MAX { BTreeMap::new() } else { self.rows }
    }
}

/// The table of a line such as ``INSERT INTO `t` VALUES`` or ``INSERT INTO `t` (`a`, `b`) VALUES``.
fn parse_insert(line: &[u8]) -> Option<String> {
    let rest = line.strip_prefix(b"INSERT INTO ")?;
    let (table, rest) = parse_name(rest)?;
    let Some(mut columns) = rest.strip_prefix(b" (") else { return (rest == b" VALUES").then_some(table) };
    loop {
        columns = parse_name(columns)?.1;
        match columns.strip_prefix(b", ") {
            Some(more) => columns = more,
            None => return (columns == b") VALUES").then_some(table),
        }
    }
}

/// The table of a line such as ``CREATE TABLE `t` (``.
fn parse_create(line: &[u8]) -> Option<String> {
    let (table, rest) = parse_name(line.strip_prefix(b"CREATE TABLE ")?)?;
    rest.starts_with(b" (").then_some(table)
}

/// A name between backticks, of which one in the name is written twice, and what is behind it.
fn parse_name(text: &[u8]) -> Option<(String, &[u8])> {
    let mut rest = text.strip_prefix(b"`")?;
    let mut name = Vec::new();
    loop {
        let (first, more) = rest.split_first()?;
        rest = more;
        if *first != b'`' {
            name.push(*first);
            continue;
        }
        match rest.strip_prefix(b"`") {
            Some(more) => {
                name.push(b'`');
                rest = more;
            }
            None => return Some((String::from_utf8(name).ok()?, rest)),
        }
    }
}

/// Finds whom a dump names as the one who made something, while it goes into a server that does not know them.
#[derive(Debug, Default)]
pub struct Owners {
    part: Vec<u8>,
    known: BTreeSet<String>,
}

impl Owners {
    /// Those in these bytes, and in what came right before them, that were not named before. Only roles of ours are: nobody else makes
    /// anything as somebody else.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<RoleName> {
        self.part.extend_from_slice(bytes);
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(at) = find(&self.part[from..]) {
            let name = &self.part[from + at + OWNER.len()..];
            let Some(end) = name.iter().take(OWNER_MAX).position(|byte| *byte == b'`') else {
                if name.len() < OWNER_MAX {
                    // The rest of it comes.
                    self.part.drain(..from + at);
                    return found;
                }
                from += at + OWNER.len();
                continue;
            };
            let role = std::str::from_utf8(&name[..end]).ok().and_then(|text| text.parse::<RoleName>().ok());
            found.extend(role.filter(|role| self.is_new(role)));
            from += at + OWNER.len() + end;
        }
        let keep = self.part.len().saturating_sub(OWNER.len() - 1).max(from.min(self.part.len()));
        self.part.drain(..keep);
        found
    }

    fn is_new(&mut self, role: &RoleName) -> bool {
        self.known.len() < OWNERS_MAX && self.known.insert(role.to_string())
    }
}

/// Where the next owner begins.
fn find(bytes: &[u8]) -> Option<usize> {
    bytes.windows(OWNER.len()).position(|window| window[0] == OWNER[0] && window == OWNER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As `mariadb-dump` 10.11 wrote it, without what says nothing.
    const DUMP: &str = "/*M!999999\\- enable the sandbox mode */ \n\
        -- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)\n\
        CREATE TABLE `empty` (\n  `a` int(11) DEFAULT NULL\n) ENGINE=InnoDB COMMENT='x\\nCREATE TABLE `fake` (';\n\
        LOCK TABLES `empty` WRITE;\nUNLOCK TABLES;\n\
        DELIMITER ;;\n\
        /*!50003 CREATE*/ /*!50017 DEFINER=`api_a`@`%`*/ /*!50003 TRIGGER tr BEFORE INSERT ON empty FOR EACH ROW\n\
        BEGIN\nINSERT INTO `notes` VALUES (1,2,3);\nEND */;;\n\
        DELIMITER ;\n\
        CREATE TABLE `notes` (\n  `id` int(11) NOT NULL AUTO_INCREMENT\n);\n\
        INSERT INTO `notes` VALUES\n(1,'a\\'(),;\\\\',0x00FF,NULL),\n(2,'INSERT INTO `x` VALUES (',0x,-1.5e10),\n(3,'''(',0x0A,0);\n\
        CREATE TABLE `odd ``(name) VALUES` (\n  `b VALUES (` text\n);\n\
        INSERT INTO `odd ``(name) VALUES` VALUES\n('('),\n(NULL);\n\
        INSERT INTO `odd ``(name) VALUES` VALUES\n(';\\n');\n\
        CREATE TABLE `some` (\n  `a` int(11)\n);\n\
        INSERT INTO `some` (`a`, `b ``)`) VALUES (1),(2);\n\
        /*!50001 CREATE VIEW `many` AS SELECT\n NULL AS `n` */;\n\
        /*!50013 DEFINER=`web_b`@`%` SQL SECURITY DEFINER */\n\n\
        -- Dump completed\n";

    fn read(text: &str, piece: usize) -> Ledger {
        let mut ledger = Ledger::default();
        text.as_bytes().chunks(piece).for_each(|bytes| ledger.read(bytes));
        ledger
    }

    #[test]
    fn rows_are_those_that_are_written() {
        for piece in [1, 2, 7, 64, 100_000] {
            let ledger = read(DUMP, piece);
            assert!(ledger.is_complete());
            let rows: Vec<String> =
                ledger.rows().into_iter().map(|(table, count)| format!("{table}={count}")).collect();
            assert_eq!(rows, ["empty=0", "notes=3", "odd `(name) VALUES=3", "some=2"]);
        }
    }

    #[test]
    fn only_a_whole_dump_is_complete() {
        for end in (0..DUMP.len()).filter(|end| DUMP.is_char_boundary(*end)) {
            assert!(!read(&DUMP[..end], 4096).is_complete(), "of {end} bytes");
        }
        assert!(!read(&format!("{DUMP}x\n"), 4096).is_complete());
        let with_date = DUMP.replace("completed\n", "completed on 2026-11-27 10:00:00\n");
        assert!(read(&with_date, 4096).is_complete());
    }

    #[test]
    fn of_too_many_tables_none_is_counted() {
        let text: String =
            (0..=TABLES_MAX).map(|number| format!("CREATE TABLE `t{number}` (\n);\n")).collect();
        assert!(read(&text, 4096).rows().is_empty());
    }

    #[test]
    fn owners_are_found_once_wherever_the_text_is_cut() {
        let text = format!(
            "{DUMP}{DUMP}DEFINER=`root`@`localhost` DEFINER=`a'b_a`@`%` DEFINER=`{}`",
            "x".repeat(500)
        );
        for piece in [1, 3, 9, 10, 64, 100_000] {
            let mut owners = Owners::default();
            let found = text.as_bytes().chunks(piece).flat_map(|bytes| owners.read(bytes));
            let names: Vec<String> = found.map(|role| role.to_string()).collect();
            assert_eq!(names, ["api_a", "web_b"], "in pieces of {piece}");
        }
    }

    /// A value as it stands in a dump.
    fn written(value: &str) -> String {
        let mut text = String::from("'");
        for c in value.chars() {
            match c {
                '\'' => text.push_str("\\'"),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text + "'"
    }

    proptest! {
        #[test]
        fn no_text_in_a_row_is_taken_for_a_row(
            tables in prop::collection::btree_map("[a-z`( ]{1,8}", prop::collection::vec("[a'\\\\(),;\n`V]{0,12}", 0..6), 1..5),
            piece in 1_usize..40,
            is_one_line in any::<bool>(),
        ) {
            let (begin, between) = if is_one_line { (" ", ",") } else { ("\n", ",\n") };
            let mut text = String::new();
            for (table, values) in &tables {
                let name = format!("`{}`", table.replace('`', "``"));
                text += &format!("CREATE TABLE {name} (\n  `a` text\n);\n");
                if !values.is_empty() {
                    let rows: Vec<String> = values.iter().map(|value| format!("(1,{},NULL)", written(value))).collect();
                    text += &format!("INSERT INTO {name} VALUES{begin}{};\n", rows.join(between));
                }
            }
            text += "\n-- Dump completed\n";
            let ledger = read(&text, piece);
            prop_assert!(ledger.is_complete());
            let expected: BTreeMap<String, u64> =
                tables.into_iter().map(|(table, values)| (table, values.len() as u64)).collect();
            prop_assert_eq!(ledger.rows(), expected);
        }
    }
}
