//! Shows progress on standard error: lines that tick in place on a terminal, plain lines elsewhere. What a line says
//! is decided by pure functions. Tests at the end of the file.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crate::deployment::track::{End, Track};
use crate::output::printable;
use crate::output::style::{Style, is_capable};
use crate::output::time::length;
use crate::task::terminal;

/// Shapes of the moving mark.
const SPINNER: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Width when the terminal does not say.
const WIDTH: usize = 100;

/// One service on the screen.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What is known.
    pub(crate) track: Track,
    /// Since following began; stands still at the end.
    pub(crate) elapsed: Duration,
    /// Since it entered its state.
    pub(crate) in_state: Duration,
    /// What it waits for, or what happened last.
    pub(crate) note: String,
    /// The newest line of its log.
    pub(crate) log: String,
}

/// Where progress is shown.
#[derive(Debug)]
pub(crate) struct Screen {
    is_live: bool,
    style: Style,
    /// Lines of the block that is on the terminal now.
    drawn: usize,
    frame: usize,
}

impl Screen {
    /// The user's standard error.
    pub(crate) fn open() -> Self {
        let is_live = std::io::stderr().is_terminal() && is_capable();
        Self { is_live, style: Style::stderr(), drawn: 0, frame: 0 }
    }

    /// Lines move; plain lines for state changes and logs are not needed.
    pub(crate) fn is_live(&self) -> bool {
        self.is_live
    }

    /// How it is coloured.
    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// Writes a line that stays.
    pub(crate) fn line(&mut self, text: &str) {
        self.erase();
        crate::output::say(text);
    }

    /// Draws the block anew.
    pub(crate) fn draw(&mut self, rows: &[Row]) {
        if !self.is_live {
            return;
        }
        let width = terminal::size().map_or(WIDTH, |size| usize::from(size.columns));
        let text = block(rows, self.frame, width, self.style);
        self.frame = self.frame.wrapping_add(1);
        // One write, so that the terminal never shows half a block.
        let up = up(self.drawn);
        let _ = write!(std::io::stderr().lock(), "{up}\x1b[J{text}");
        self.drawn = text.matches('\n').count();
    }

    /// Leaves what is drawn; the next block begins below it.
    pub(crate) fn keep(&mut self) {
        self.drawn = 0;
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            let _ = write!(std::io::stderr().lock(), "{}\x1b[J", up(self.drawn));
            self.drawn = 0;
        }
    }
}

fn up(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\r") }
}

/// Cuts text to a number of characters.
fn cut(text: &str, width: usize) -> String {
    let text = printable(text).replace('\t', " ");
    if text.chars().count() <= width {
        return text;
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// All rows as they stand on a terminal.
fn block(rows: &[Row], frame: usize, width: usize, style: Style) -> String {
    let names = rows.iter().map(|row| row.track.service.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let state = row.track.state;
        let spinner = SPINNER[frame % SPINNER.len()];
        let mark = match &row.track.end {
            None => style.notable(spinner),
            Some(End::Succeeded) => style.good("✓"),
            Some(End::Failed { .. }) => style.bad("✗"),
            Some(End::Cancelled | End::Superseded { .. }) => style.dim("-"),
        };
        let head =
            format!("{:<names$}  {:<10}  {:>6}", row.track.service.as_str(), state, length(row.elapsed));
        // Mark, space, head, two spaces: one column stays free, or the terminal would wrap.
        let room = width.saturating_sub(2 + head.chars().count() + 2 + 1);
        let note = cut(&note(row), room);
        let line = format!("{mark} {head}  {}", style.dim(&note));
        text.push_str(line.trim_end());
        text.push('\n');
        if row.track.end.is_none() && !row.log.is_empty() {
            let log = cut(&row.log, width.saturating_sub(names + 5));
            text.push_str(&format!("  {:names$}  {}\n", "", style.dim(&log)));
        }
    }
    text
}

fn note(row: &Row) -> String {
    match &row.track.end {
        Some(End::Succeeded) => {
            row.track.release.map_or_else(String::new, |release| format!("{release} is live"))
        }
        Some(End::Failed { reason, .. }) => reason.clone(),
        Some(End::Superseded { by }) => format!("by {by}"),
        Some(End::Cancelled) => String::new(),
        None => row.note.clone(),
    }
}

/// A change of state as a plain line.
pub(crate) fn state_line(row: &Row) -> String {
    let Row { track, elapsed, .. } = row;
    let took = length(*elapsed);
    let handle = track.handle();
    match &track.end {
        None => format!("{}: {handle} {}", track.service, track.state),
        Some(End::Succeeded) => match track.release {
            Some(release) => format!("{}: {handle} succeeded in {took}, {release} is live", track.service),
            None => format!("{}: {handle} succeeded in {took}", track.service),
        },
        // Why is said at the end, with its lines.
        Some(End::Failed { .. }) => format!("{}: {handle} failed after {took}", track.service),
        Some(End::Cancelled) => format!("{}: {handle} was cancelled after {took}", track.service),
        Some(End::Superseded { by }) => format!("{}: {handle} was superseded by {by}", track.service),
    }
}

/// Still in the same state, as a plain line.
pub(crate) fn waiting_line(row: &Row) -> String {
    let since = length(row.in_state);
    if row.note.is_empty() {
        format!("{}: still {} after {since}", row.track.service, row.track.state)
    } else {
        format!("{}: still {} after {since}: {}", row.track.service, row.track.state, printable(&row.note))
    }
}

/// Why it failed, with the lines that belong to it; `None` when it did not.
pub(crate) fn failure_text(row: &Row, style: Style) -> Option<String> {
    let Some(End::Failed { reason, last_lines }) = &row.track.end else { return None };
    let mut text =
        format!("\n{} {}", style.bad(&format!("{} failed:", row.track.service)), printable(reason));
    for line in last_lines {
        text.push_str(&format!("\n  {} {}", style.dim("|"), printable(line)));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use havre_core::id::{BuildId, DeploymentId, ReleaseId, ServiceId};

    use super::*;

    fn row(name: &str, state: &'static str, end: Option<End>) -> Row {
        let mut track = Track::of_build(name.parse().expect("a name"), ServiceId::new(1), BuildId::new(4));
        track.deployment = (state != "building").then_some(DeploymentId::new(7));
        track.release = track.deployment.map(|_| ReleaseId::new(8));
        track.state = state;
        track.end = end;
        let (note, log) = (String::new(), String::new());
        Row { track, elapsed: Duration::from_millis(12_340), in_state: Duration::from_secs(30), note, log }
    }

    fn rows() -> Vec<Row> {
        let failed = End::Failed {
            reason: "t3 ended with code 1 before it was healthy".to_owned(),
            last_lines: vec!["Error: no \x1b[31mdatabase".to_owned()],
        };
        let mut building = row("api", "building", None);
        building.log = "[4/9] RUN npm ci: added 312 packages in 4s".to_owned();
        let mut starting = row("web", "starting", None);
        starting.note = "t3 is not healthy yet: connection refused".to_owned();
        vec![
            building,
            starting,
            row("mail", "succeeded", Some(End::Succeeded)),
            row("queue", "failed", Some(failed)),
            row("old", "superseded", Some(End::Superseded { by: "d9".to_owned() })),
        ]
    }

    #[test]
    fn a_terminal() {
        insta::assert_snapshot!(block(&rows(), 0, 80, Style::plain()), @r"
        ⠋ api    building     12.3s
                 [4/9] RUN npm ci: added 312 packages in 4s
        ⠋ web    starting     12.3s  t3 is not healthy yet: connection refused
        ✓ mail   succeeded    12.3s  r8 is live
        ✗ queue  failed       12.3s  t3 ended with code 1 before it was healthy
        - old    superseded   12.3s  by d9
        ");
    }

    #[test]
    fn a_narrow_terminal_wraps_nothing() {
        for width in [0, 10, 40, 60] {
            for line in block(&rows(), 3, width, Style::plain()).lines() {
                let fits = line.chars().count() < width.max(31);
                assert!(fits, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn plain_lines() {
        let text: Vec<String> = rows().iter().map(state_line).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        api: b4 building
        web: d7 starting
        mail: d7 succeeded in 12.3s, r8 is live
        queue: d7 failed after 12.3s
        old: d7 was superseded by d9
        ");
        let text: Vec<String> = rows().iter().take(2).map(waiting_line).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        api: still building after 30.0s
        web: still starting after 30.0s: t3 is not healthy yet: connection refused
        ");
    }

    #[test]
    fn failures() {
        let text: Vec<String> = rows().iter().filter_map(|row| failure_text(row, Style::plain())).collect();
        insta::assert_snapshot!(text.join("\n"), @r"

        queue failed: t3 ended with code 1 before it was healthy
          | Error: no �[31mdatabase
        ");
    }
}
