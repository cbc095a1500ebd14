//! `havre-bench edge-routes --site`: two sites that take turns at one host, and whether an answer is of one of them alone.
//! It changes no routes. Tests: at the end of the file.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use crate::http::answer::{Answer, Wanted};
use crate::http::exchange::{Exchange, get};

/// Names of the two releases that take turns, be they sites or services.
pub(super) const RELEASES: [&str; 2] = ["r1", "r2"];
/// What of an answer tells its release.
pub(super) const WANTED: Wanted = Wanted { release: true, body: 64 * 1024, upgrade: false };

/// Files of each site beside its page, so that its list of files has some length.
const PARTS: usize = 200;
/// Lines of the page: more than one segment, so that it could be cut and mixed.
const PAGE_LINES: usize = 1000;
const PART_LINES: usize = 40;
/// Longest silence of a connection.
const QUIET: Duration = Duration::from_secs(5);
/// Pause between two looks while others make the load.
const PAUSE: Duration = Duration::from_millis(1);

/// Writes the files of both sites into folders of their own. Every line of every file says of which release it is, and how
/// many there are.
///
/// # Errors
/// The disk is full.
pub(super) fn write(folder: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let folders = RELEASES.map(|release| folder.join(format!("www-{release}")));
    for (release, www) in RELEASES.iter().zip(&folders) {
        fs::create_dir(www).context("make the folder of a site")?;
        // The other is what the load asks every host for.
        for name in ["index.html", "200"] {
            fs::write(www.join(name), text(release, PAGE_LINES))?;
        }
        for number in 0..PARTS {
            fs::write(www.join(format!("part-{number}.txt")), text(release, PART_LINES))?;
        }
    }
    Ok(folders)
}

/// Path of one of the other files.
pub(super) fn part(number: usize) -> String {
    format!("/part-{}.txt", number % PARTS)
}

fn text(release: &str, lines: usize) -> String {
    format!("<p> {release} {lines}\n").repeat(lines)
}

/// The release that the head of an answer and all of its body name; none where they contradict each other or something is
/// missing.
pub(super) fn release_of(answer: &Answer) -> Option<&str> {
    let release = answer.release.as_deref()?;
    let body = std::str::from_utf8(&answer.body).ok()?;
    let line = format!("<p> {release} {}", body.lines().count());
    let is_whole = answer.status == 200
        && answer.body_bytes == answer.body.len() as u64
        && !body.is_empty()
        && body.lines().all(|found| found == line);
    is_whole.then_some(release)
}

/// One switch as seen by somebody who asks again once the last answer is complete.
#[derive(Debug)]
pub(super) struct Switch {
    before: &'static str,
    after: &'static str,
    has_begun: bool,
    /// Answers that are of neither release alone, or of the old one after one of the new.
    pub(super) torn: u64,
}

impl Switch {
    /// From one release to another.
    pub(super) fn between([before, after]: [&'static str; 2]) -> Self {
        Self { before, after, has_begun: false, torn: 0 }
    }

    /// Takes the release of an answer; whether it is the new one.
    pub(super) fn take(&mut self, seen: Option<&str>) -> bool {
        let is_new = seen == Some(self.after);
        let is_old = seen == Some(self.before) && !self.has_begun;
        self.has_begun |= is_new;
        self.torn += u64::from(!is_new && !is_old);
        is_new
    }
}

/// What one connection has seen while others made the load.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) answers: u64,
    /// Those that are of no release alone.
    pub(super) torn: u64,
}

/// Looks at the page of `host` again and again until told that it is over.
pub(super) fn watch(
    target: SocketAddr,
    host: &str,
    is_over: Arc<AtomicBool>,
) -> JoinHandle<anyhow::Result<Watched>> {
    let request = get(host, "/", "");
    std::thread::spawn(move || {
        let mut exchange = Exchange::connect(target, QUIET)?;
        let mut watched = Watched::default();
        while !is_over.load(Ordering::Relaxed) {
            let answer = exchange.ask(&request, WANTED, |_| {})?;
            watched.answers += 1;
            watched.torn += u64::from(release_of(&answer).is_none());
            std::thread::sleep(PAUSE);
        }
        Ok(watched)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(release: &str, body: &str) -> Answer {
        Answer {
            status: 200,
            release: Some(release.into()),
            body_bytes: body.len() as u64,
            body: body.into(),
            ..Answer::default()
        }
    }

    #[test]
    fn an_answer_is_of_the_release_that_its_head_and_all_of_its_body_name() {
        let [old, new] = RELEASES.map(|release| text(release, 4));
        assert_eq!(release_of(&answer("r1", &old)), Some("r1"));
        assert_eq!(release_of(&answer("r2", &new)), Some("r2"));
        let (first, second) = old.split_at(old.len() / 2);
        let mixed = format!("{first}{}", new.split_at(new.len() / 2).1);
        for (release, body) in [("r2", old.as_str()), ("r1", mixed.as_str()), ("r1", second), ("r1", "")] {
            assert_eq!(release_of(&answer(release, body)), None, "{release} {body:?}");
        }
        let silent = Answer { release: None, ..answer("r1", &old) };
        let longer = Answer { body_bytes: 1000, ..answer("r1", &old) };
        let missing = Answer { status: 404, ..answer("r1", &old) };
        for answer in [silent, longer, missing] {
            assert_eq!(release_of(&answer), None, "{answer:?}");
        }
    }

    #[test]
    fn after_the_new_release_the_old_one_must_not_come_back() {
        let mut switch = Switch::between(RELEASES);
        let seen = [Some("r1"), Some("r1"), Some("r2"), Some("r2")].map(|seen| switch.take(seen));
        assert_eq!((seen, switch.torn), ([false, false, true, true], 0));
        let seen = [Some("r1"), Some("r3"), None, Some("r2")].map(|seen| switch.take(seen));
        assert_eq!((seen, switch.torn), ([false, false, false, true], 3));
    }
}
