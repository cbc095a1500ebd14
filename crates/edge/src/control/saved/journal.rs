//! `changes.jsonl`: what has changed since the table was saved whole, one change on each line, so that a change of one
//! route among ten thousand does not write them all. Tests: at the end of the file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use havre_api::route_change::RouteChange;
use havre_api::route_table::RouteTable;

const CHANGES: &str = "changes.jsonl";

/// From this length on the table should be saved whole.
const LONG: u64 = 1024 * 1024;
/// What waits for a disk that can be written again; more is given up, and a restart serves an older table until control
/// answers.
const MOST_UNSAVED: usize = 8 * 1024 * 1024;

/// The file and what is not in it yet.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Length of the file up to the end of its last whole line, once that is known.
    good: Option<u64>,
    unsaved: Vec<u8>,
}

impl Journal {
    pub(super) fn within(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panic would leave is what a failed write leaves.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a change behind the others. True: there are many.
    pub(super) fn append(&self, change: &RouteChange) -> io::Result<bool> {
        let mut state = self.lock();
        if state.unsaved.len() > MOST_UNSAVED {
            state.unsaved.clear();
        }
        serde_json::to_writer(&mut state.unsaved, change)?;
        state.unsaved.push(b'\n');
        let path = self.folder.join(CHANGES);
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)?;
        let good = match state.good {
            Some(good) => good,
            None => whole_lines(&mut file)?.len() as u64,
        };
        // What an attempt before this one has left, or a crash.
        file.set_len(good)?;
        file.write_all_at(&state.unsaved, good)?;
        file.sync_data()?;
        if good == 0 {
            File::open(&self.folder)?.sync_all()?;
        }
        let length = good + state.unsaved.len() as u64;
        state.good = Some(length);
        state.unsaved.clear();
        Ok(length > LONG)
    }

    /// Brings a saved table up to date. A line that is cut or builds on something else ends it: what stands before it was
    /// in use once.
    pub(super) fn replay(&self, table: &mut RouteTable) -> io::Result<()> {
        let text = match File::open(self.folder.join(CHANGES)) {
            Ok(mut file) => whole_lines(&mut file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(change) = serde_json::from_slice::<RouteChange>(line) else { break };
            // Older than the table: it was saved whole, and then there was a crash.
            if change.generation > table.generation && !change.apply(table) {
                break;
            }
        }
        Ok(())
    }

    /// Begins anew: the table is saved whole, or lost.
    pub(super) fn forget(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.unsaved.clear();
        state.good = None;
        match std::fs::remove_file(self.folder.join(CHANGES)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => {
                state.good = Some(0);
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
        let journal = Journal::within(folder.path());
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
        journal.forget().unwrap();
        journal.forget().unwrap();
        assert_eq!(replayed(folder.path(), 3), 3);
        journal.append(&change(3)).unwrap();
        assert_eq!(replayed(folder.path(), 3), 4);
    }

    #[test]
    fn what_a_disk_did_not_take_is_written_with_the_next_change() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::within(folder.path());
        let path = folder.path().join(CHANGES);
        std::fs::create_dir(&path).unwrap();
        assert!(journal.append(&change(3)).is_err());
        std::fs::remove_dir(&path).unwrap();
        journal.append(&change(4)).unwrap();
        assert_eq!(replayed(folder.path(), 3), 5);
    }

    #[test]
    fn many_changes_ask_to_be_folded() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::within(folder.path());
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
