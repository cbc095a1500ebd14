//! `changes.jsonl`: what has changed since the table was saved whole, one change on each line, so that a change of one
//! route among ten thousand does not write them all. Tests: at the end of the file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use havre_api::route_change::RouteChange;
use havre_api::route_table::RouteTable;

const CHANGES: &str = "changes.jsonl";

/// From this length on the table should be saved whole.
const LONG: u64 = 1024 * 1024;

/// The file.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    /// Its length up to the end of the last line that counts, once that is known.
    good: Option<u64>,
}

impl Journal {
    pub(super) fn within(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), good: None }
    }

    /// Writes a change behind the others. True: there are many.
    ///
    /// # Errors
    /// The disk is full, or what stood there is gone: nothing can be built on the file then.
    pub(super) fn append(&mut self, change: &RouteChange) -> io::Result<bool> {
        let mut line = serde_json::to_vec(change)?;
        line.push(b'\n');
        let path = self.folder.join(CHANGES);
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)?;
        let good = match self.good.take() {
            Some(good) if good > file.metadata()?.len() => {
                return Err(io::Error::other(format!("{CHANGES} has lost lines")));
            }
            Some(good) => good,
            None => whole_lines(&mut file)?.len() as u64,
        };
        // What an attempt before this one has left, or a crash.
        file.set_len(good)?;
        file.write_all_at(&line, good)?;
        file.sync_data()?;
        if good == 0 {
            File::open(&self.folder)?.sync_all()?;
        }
        let length = good + line.len() as u64;
        self.good = Some(length);
        Ok(length > LONG)
    }

    /// Brings a saved table up to date. A line that is cut or builds on something else ends it: what stands before it was
    /// in use once, and the next change goes in its place.
    pub(super) fn replay(&mut self, table: &mut RouteTable) -> io::Result<()> {
        self.good = None;
        let text = match File::open(self.folder.join(CHANGES)) {
            Ok(mut file) => whole_lines(&mut file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let (version, from) = (table.version, table.generation);
        // All of them at once: each by itself would go through the whole table.
        let mut all = RouteChange { version, from, generation: from, ..RouteChange::default() };
        let mut good = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let Ok(change) = serde_json::from_slice::<RouteChange>(line) else { break };
            // Older than the table: it was saved whole, and then there was a crash.
            if change.generation > all.generation && !all.join(change) {
                break;
            }
            good += line.len() as u64;
        }
        if all.generation > from {
            all.apply(table);
        }
        self.good = Some(good);
        Ok(())
    }

    /// Begins anew: the table is saved whole, or lost.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        self.good = None;
        match std::fs::remove_file(self.folder.join(CHANGES)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => {
                self.good = Some(0);
                Ok(())
            }
        }
    }
}

/// What the file holds up to the end of its last line.
fn whole_lines(file: &mut File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(16 * LONG).read_to_end(&mut text)?;
    text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use havre_api::route_table::{Challenge, ROUTE_TABLE_VERSION};

    use super::*;

    fn table(generation: u64) -> RouteTable {
        RouteTable { version: ROUTE_TABLE_VERSION, generation, ..RouteTable::default() }
    }

    fn change(from: u64) -> RouteChange {
        let text = from.to_string();
        let challenge = Challenge { host: "a.example".to_owned(), token: text.clone(), answer: text };
        let challenges = Some(vec![challenge]);
        RouteChange {
            version: ROUTE_TABLE_VERSION,
            from,
            generation: from + 1,
            challenges,
            ..Default::default()
        }
    }

    fn replayed(folder: &Path, from: u64) -> u64 {
        let mut table = table(from);
        Journal::within(folder).replay(&mut table).unwrap();
        table.generation
    }

    #[test]
    fn changes_are_replayed_as_far_as_they_hold_together() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(replayed(folder.path(), 3), 3, "no file");
        let mut journal = Journal::within(folder.path());
        for from in 3..6 {
            assert!(!journal.append(&change(from)).unwrap());
        }
        let seen = [2, 3, 4, 6, 7].map(|from| replayed(folder.path(), from));
        assert_eq!(seen, [2, 6, 6, 6, 7], "older ones are left out, and nothing is built on a gap");
        // Another process goes on, and the power fails in the middle of a line.
        let path = folder.path().join(CHANGES);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [whole.as_slice(), b"{\"version\":2,\"fro"].concat()).unwrap();
        assert_eq!(replayed(folder.path(), 3), 6);
        Journal::within(folder.path()).append(&change(6)).unwrap();
        assert_eq!(replayed(folder.path(), 3), 7);
        // A line that says something else ends it too.
        std::fs::write(&path, [whole.as_slice(), b"{}\n"].concat()).unwrap();
        assert_eq!(replayed(folder.path(), 3), 6);
        // Who has read it up to there goes on there.
        let mut reader = Journal::within(folder.path());
        reader.replay(&mut table(3)).unwrap();
        reader.append(&change(6)).unwrap();
        assert_eq!(replayed(folder.path(), 3), 7);
        journal.forget().unwrap();
        journal.forget().unwrap();
        assert_eq!(replayed(folder.path(), 3), 3);
        journal.append(&change(3)).unwrap();
        assert_eq!(replayed(folder.path(), 3), 4);
    }

    #[test]
    fn a_change_that_stands_there_twice_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        for from in [3, 3, 4] {
            // Each is another process.
            Journal::within(folder.path()).append(&change(from)).unwrap();
        }
        assert_eq!(replayed(folder.path(), 3), 5);
    }

    #[test]
    fn nothing_is_written_behind_lines_that_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::within(folder.path());
        journal.append(&change(3)).unwrap();
        std::fs::remove_file(folder.path().join(CHANGES)).unwrap();
        journal.append(&change(4)).unwrap_err();
        assert_eq!(replayed(folder.path(), 3), 3);
    }

    #[test]
    fn many_changes_ask_to_be_folded() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::within(folder.path());
        let answer = "x".repeat(64 * 1024);
        let long = |from| {
            let mut change = change(from);
            change.challenges.as_mut().unwrap()[0].answer.clone_from(&answer);
            change
        };
        let folds: Vec<bool> = (1..=17).map(|from| journal.append(&long(from)).unwrap()).collect();
        assert_eq!(folds.iter().position(|is_long| *is_long), Some(15));
    }
}
