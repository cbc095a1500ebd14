//! One service under load, its deploys and what its answers say about them. Tests: `tests.rs`.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use super::Deploy;
use super::deploy::{probe_release, release_in};
use super::judge::{Window, judge};
use super::report::{DeployReport, SubjectReport};
use super::traffic::Traffic;
use crate::load::{Pace, Plan};

/// How a subject is loaded and judged.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) target: SocketAddr,
    pub(super) path: String,
    pub(super) rate: f64,
    pub(super) fresh_share: f64,
    pub(super) connections: usize,
    pub(super) release_key: String,
    pub(super) expect_failure: bool,
    pub(super) same_release: bool,
}

#[derive(Debug)]
pub(super) struct Subject {
    host: String,
    rules: Rules,
    traffic: Traffic,
    /// What was live at the start, then one for each deploy that made something live.
    windows: Vec<Window>,
    /// Place in `windows` of each deploy in `deploys`, none where nothing became live.
    places: Vec<Option<usize>>,
    pub(super) deploys: Vec<DeployReport>,
    problems: Vec<String>,
}

impl Subject {
    /// Finds out what is live and begins the load.
    ///
    /// # Errors
    /// The service does not answer well before anything is deployed.
    pub(super) fn begin(host: &str, rules: Rules) -> anyhow::Result<Self> {
        let release = probe_release(rules.target, host, &rules.path)
            .with_context(|| format!("find the live release of {host} before the first deploy"))?;
        let plan = Plan {
            connections: rules.connections,
            pace: Pace::Open { per_second: rules.rate },
            fresh_share: rules.fresh_share,
            wants_release: true,
            ..Plan::get(rules.target, host, &rules.path)
        };
        crate::load::check(&plan)?;
        let now = Instant::now();
        Ok(Self {
            host: host.to_owned(),
            traffic: Traffic::start(plan),
            rules,
            windows: vec![Window { release, began: now, ended: now }],
            places: Vec::new(),
            deploys: Vec::new(),
            problems: Vec::new(),
        })
    }

    fn live(&self) -> &str {
        self.windows.last().map_or("", |window| &window.release)
    }

    /// Deploys once and finds out what is live now.
    ///
    /// # Errors
    /// The command cannot be run, or the load has ended: there is nothing left to prove.
    pub(super) fn deploy(&mut self, number: u32, deploy: Deploy<'_>) -> anyhow::Result<()> {
        let ran = deploy(number).with_context(|| format!("deploy {number} of {}", self.host))?;
        ensure!(!self.traffic.is_over(), "the load ended before deploy {number} of {} did", self.host);
        let mut report = DeployReport {
            number,
            succeeded: ran.succeeded,
            release: self.live().to_owned(),
            seconds: ran.ended.duration_since(ran.began).as_secs_f64(),
            switch_seconds: None,
            first_answer: None,
        };
        if ran.succeeded == self.rules.expect_failure {
            let wanted = if self.rules.expect_failure { "succeeded, it should fail" } else { "failed" };
            let said = ran.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            self.problems.push(format!("deploy {number} of {} {wanted}: {said}", self.host));
        }
        let found = probe_release(self.rules.target, &self.host, &self.rules.path);
        let found = found.map_err(|error| self.note(number, &format!("{error:#}"))).ok();
        if ran.succeeded {
            let named = release_in(&ran.stdout, &self.rules.release_key);
            let release = self.agree(number, named, found);
            self.places.push(Some(self.windows.len()));
            report.release.clone_from(&release);
            self.windows.push(Window { release, began: ran.began, ended: ran.ended });
        } else {
            self.places.push(None);
            if let Some(found) = found.filter(|found| *found != self.live()) {
                self.note(number, &format!("nothing was to change, but {found} answers"));
            }
        }
        self.deploys.push(report);
        Ok(())
    }

    fn note(&mut self, number: u32, what: &str) {
        self.problems.push(format!("after deploy {number} of {}: {what}", self.host));
    }

    /// The release that is live now, from what the command said and what the probe found.
    fn agree(&mut self, number: u32, named: Option<String>, found: Option<String>) -> String {
        if let (Some(named), Some(found)) = (&named, &found)
            && named != found
        {
            self.note(number, &format!("the command made {named} live, but {found} answers"));
        }
        let release = named.or(found).unwrap_or_default();
        if release == self.live() && !self.rules.same_release {
            self.note(number, &format!("{release} was live before already"));
        }
        release
    }

    /// A line about the last deploy, for people who wait.
    pub(super) fn last_line(&self) -> String {
        let Some(last) = self.deploys.last() else { return String::new() };
        let how = if last.succeeded { "live" } else { "still live, the deploy failed" };
        format!(
            "{} {how} after {:.2} s; problems so far: {}",
            last.release,
            last.seconds,
            self.problems.len()
        )
    }

    /// Ends the load and judges every answer.
    ///
    /// # Errors
    /// The load could not be kept up.
    pub(super) fn finish(mut self) -> anyhow::Result<SubjectReport> {
        let (tally, mut records) = self.traffic.stop()?;
        let judgement = judge(&mut records, &self.windows);
        for (place, deploy) in self.places.iter().zip(&mut self.deploys) {
            let Some(place) = place else { continue };
            deploy.first_answer = judgement.first_answers[place - 1];
            let began = self.windows[*place].began;
            deploy.switch_seconds = deploy.first_answer.map(|at| at.duration_since(began).as_secs_f64());
            if deploy.first_answer.is_none() {
                let text = format!("{} of {} never answered the load", deploy.release, self.host);
                self.problems.push(text);
            }
        }
        if self.deploys.is_empty() {
            bail!("nothing was deployed on {}", self.host);
        }
        Ok(SubjectReport::new(self.host, self.rules.rate, (&tally, judgement), (self.deploys, self.problems)))
    }
}
