//! Follows builds and deployments to their end and says what happens. Leaving changes nothing on the server.
//! Tests: `tests/it/follow.rs`.

use std::time::{Duration, Instant};

use havre_api::build::BuildLogLine;
use havre_core::id::BuildId;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::deployment::feed::{self, Told};
use crate::deployment::screen::{Row, Screen, failure_text, state_line, waiting_line};
use crate::deployment::track::{End, News, Track};
use crate::exit::{CliError, Exit};
use crate::http::Client;
use crate::invocation::Scope;
use crate::output;

/// Pause between two frames on a terminal.
const FRAME: Duration = Duration::from_millis(100);
/// Pause between looks at what it waits for, on a terminal.
const LOOK: Duration = Duration::from_secs(1);
/// Silence after which a plain line says what it waits for.
const PLAIN: Duration = Duration::from_secs(15);
/// Wait for the last lines of a build's log once the build has ended.
const LOG_TAIL: Duration = Duration::from_secs(2);
/// Things told that wait to be shown.
const QUEUE: usize = 256;

/// One service that is followed, with what only showing needs.
struct Followed {
    row: Row,
    began: Instant,
    entered: Instant,
    spoke: Instant,
    /// The log of its build has not ended.
    has_log: bool,
}

/// How it ended, for `--json`.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    service: &'a str,
    build: Option<BuildId>,
    deployment: Option<havre_core::id::DeploymentId>,
    release: Option<havre_core::id::ReleaseId>,
    #[serde(flatten)]
    end: &'a Option<End>,
}

/// Follows until everything has ended. Exit code 0 only when everything succeeded.
pub(crate) async fn follow(
    client: &Client,
    scope: &Scope,
    tracks: Vec<Track>,
    after: u64,
    json: bool,
) -> Result<Exit, CliError> {
    let (sender, mut told) = mpsc::channel(QUEUE);
    let mut follower = Follower {
        screen: Screen::open(),
        followed: tracks.into_iter().map(Followed::new).collect(),
        client: client.clone(),
        sender,
    };
    let events = tokio::spawn(feed::events(client.clone(), after, follower.sender.clone()));
    follower.begin();
    let mut frame = tokio::time::interval(FRAME);
    let mut look = tokio::time::interval(LOOK);
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut ended: Option<Instant> = None;
    let result = loop {
        if follower.is_over() {
            let since = *ended.get_or_insert_with(Instant::now);
            if !follower.awaits_log() || since.elapsed() > LOG_TAIL {
                break Ok(());
            }
        }
        tokio::select! {
            Some(what) = told.recv() => if let Err(error) = follower.take(what) { break Err(error) },
            _ = frame.tick() => follower.tick(),
            _ = look.tick() => follower.look(),
            _ = &mut interrupt => break Err(follower.leave(scope)),
        }
    };
    events.abort();
    follower.finish();
    result?;
    follower.report(json)
}

impl Followed {
    fn new(track: Track) -> Self {
        let now = Instant::now();
        let has_log = track.build.is_some();
        let zero = Duration::ZERO;
        let row = Row { track, elapsed: zero, in_state: zero, note: String::new(), log: String::new() };
        Self { row, began: now, entered: now, spoke: now, has_log }
    }

    fn age(&mut self) {
        if self.row.track.end.is_none() {
            self.row.elapsed = self.began.elapsed();
            self.row.in_state = self.entered.elapsed();
        }
    }
}

struct Follower {
    screen: Screen,
    followed: Vec<Followed>,
    client: Client,
    sender: feed::Sender,
}

impl Follower {
    fn begin(&mut self) {
        for followed in &self.followed {
            if let Some(build) = followed.row.track.build {
                tokio::spawn(feed::log(self.client.clone(), build, self.sender.clone()));
            }
            if !self.screen.is_live() {
                self.screen.line(&state_line(&followed.row));
            }
        }
        self.look_at_all();
    }

    fn is_over(&self) -> bool {
        self.followed.iter().all(|followed| followed.row.track.end.is_some())
    }

    fn awaits_log(&self) -> bool {
        self.followed.iter().any(|followed| followed.has_log)
    }

    fn take(&mut self, told: Told) -> Result<(), CliError> {
        match told {
            Told::Event(event) => {
                for index in 0..self.followed.len() {
                    let news = self.followed[index].row.track.event(event.service_id, &event.kind);
                    self.announce(index, news);
                }
            }
            Told::Build(build) => {
                for index in self.find(|track| track.build == Some(build.id) && track.deployment.is_none()) {
                    let row = &mut self.followed[index].row;
                    row.note.clone_from(&build.waiting);
                    // Only the end is taken from a look: it may be older than the events that came meanwhile.
                    let news = if build.state.is_final() { row.track.build(&build.state) } else { None };
                    self.announce(index, news);
                }
            }
            Told::Deployment(deployment) => {
                for index in self.find(|track| track.deployment == Some(deployment.id)) {
                    let row = &mut self.followed[index].row;
                    row.track.release = Some(deployment.release);
                    // As above: states on the way arrive in order as events.
                    let news = if deployment.is_final { row.track.enter(&deployment.state) } else { None };
                    if deployment.state.name() == row.track.state {
                        row.note.clone_from(&deployment.waiting);
                    }
                    self.announce(index, news);
                }
            }
            Told::Log(build, line) => self.log(build, &line),
            Told::LogEnded(build) => {
                for index in self.find(|track| track.build == Some(build)) {
                    self.followed[index].has_log = false;
                }
            }
            Told::Lost(why) => self.screen.line(&format!("{why}; trying again, nothing is lost")),
            Told::Back => {
                self.screen.line("connected again");
                self.look_at_all();
            }
            Told::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn find(&self, matches: impl Fn(&Track) -> bool) -> Vec<usize> {
        (0..self.followed.len()).filter(|index| matches(&self.followed[*index].row.track)).collect()
    }

    fn announce(&mut self, index: usize, news: Option<News>) {
        let is_live = self.screen.is_live();
        let followed = &mut self.followed[index];
        let service = followed.row.track.service.clone();
        match news {
            None => {}
            Some(News::State) => {
                followed.row.elapsed = followed.began.elapsed();
                (followed.entered, followed.spoke) = (Instant::now(), Instant::now());
                followed.row.note.clear();
                followed.row.log.clear();
                if !is_live {
                    let line = state_line(&followed.row);
                    self.screen.line(&line);
                }
            }
            Some(News::Output(lines)) => {
                for line in lines {
                    self.screen.line(&format!("{service} | [release] {}", output::printable(&line)));
                }
            }
            Some(News::Note(note)) => {
                if !is_live {
                    self.screen.line(&format!("{service}: {}", output::printable(&note)));
                }
                followed.row.note = note;
            }
        }
    }

    fn log(&mut self, build: BuildId, line: &BuildLogLine) {
        let text = match line.step.as_str() {
            "" => line.text.clone(),
            step => format!("{step}: {}", line.text),
        };
        for index in self.find(|track| track.build == Some(build)) {
            let followed = &mut self.followed[index];
            followed.spoke = Instant::now();
            if self.screen.is_live() {
                followed.row.log.clone_from(&text);
            } else {
                let service = followed.row.track.service.clone();
                self.screen.line(&format!("{service} | {}", output::printable(&text)));
            }
        }
    }

    fn tick(&mut self) {
        self.followed.iter_mut().for_each(Followed::age);
        if self.screen.is_live() {
            let rows: Vec<Row> = self.followed.iter().map(|followed| followed.row.clone()).collect();
            self.screen.draw(&rows);
            return;
        }
        let mut lines = Vec::new();
        for followed in &mut self.followed {
            if followed.row.track.end.is_none() && followed.spoke.elapsed() >= PLAIN {
                followed.spoke = Instant::now();
                lines.push(waiting_line(&followed.row));
            }
        }
        lines.iter().for_each(|line| self.screen.line(line));
    }

    /// Asks what is waited for: often where it is seen at once, seldom where it is not.
    fn look(&mut self) {
        let is_live = self.screen.is_live();
        let is_due = self.followed.iter().any(|followed| followed.spoke.elapsed() + LOOK * 2 >= PLAIN);
        if is_live || is_due {
            self.look_at_all();
        }
    }

    fn look_at_all(&self) {
        for followed in self.followed.iter().filter(|followed| followed.row.track.end.is_none()) {
            let Track { build, deployment, .. } = followed.row.track;
            tokio::spawn(feed::look(self.client.clone(), build, deployment, self.sender.clone()));
        }
    }

    /// Ctrl-C: what goes on, and how to see or stop it.
    fn leave(&mut self, scope: &Scope) -> CliError {
        let open: Vec<&Track> = self
            .followed
            .iter()
            .map(|followed| &followed.row.track)
            .filter(|track| track.end.is_none())
            .collect();
        let handles: Vec<String> = open.iter().map(|track| track.handle()).collect();
        let text = format!(
            "\nnot followed any more; {} on the server.\n  see it:    havre status --project {} --env {}\n  \
             stop it:   havre cancel {}",
            if open.len() == 1 { "the deployment goes on" } else { "the deployments go on" },
            scope.project,
            scope.environment,
            handles.join(" "),
        );
        self.screen.line(&text);
        CliError::silent(Exit::Interrupted)
    }

    /// The last picture stays on the screen.
    fn finish(&mut self) {
        if self.is_over() {
            self.tick();
        }
        self.screen.keep();
    }

    fn report(&mut self, json: bool) -> Result<Exit, CliError> {
        let style = self.screen.style();
        for followed in &self.followed {
            if let Some(text) = failure_text(&followed.row, style) {
                output::say(&text);
            }
        }
        if json {
            for followed in &self.followed {
                let Track { service, build, deployment, release, end, .. } = &followed.row.track;
                output::json_line(&Summary {
                    service: service.as_str(),
                    build: *build,
                    deployment: *deployment,
                    release: *release,
                    end,
                })?;
            }
        }
        let all_succeeded =
            self.followed.iter().all(|followed| followed.row.track.end == Some(End::Succeeded));
        Ok(if all_succeeded { Exit::Ok } else { Exit::Failed })
    }
}
