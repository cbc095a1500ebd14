//! Load in the background that remembers who answered each request and when. It judges nothing. Tests: `zero_loss/tests.rs`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::load::tally::Tally;
use crate::load::{Plan, Sample, run};

/// Most requests of one run, about 400 MB of memory; at 500 a second more than five hours.
const MAX_RECORDS: usize = 10_000_000;

/// One good answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) started: Instant,
    pub(super) ended: Instant,
    /// Index into [`Records::names`]; none when the answer named no release.
    pub(super) release: Option<u16>,
}

/// Every good answer of a run.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) list: Vec<Record>,
    pub(super) names: Vec<Box<str>>,
}

impl Records {
    fn take(&mut self, sample: Sample<'_>) {
        // Failures are in the tally.
        if sample.failure.is_some() {
            return;
        }
        let release = sample.release.map(|name| self.index(name));
        self.list.push(Record { started: sample.started, ended: sample.ended, release });
    }

    /// Place of `name`; looked for from the end, where the newest is.
    pub(super) fn index(&mut self, name: &str) -> u16 {
        let found = self.names.iter().rposition(|known| &**known == name);
        let place = found.unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        u16::try_from(place).expect("a run has fewer than 65536 releases")
    }
}

/// Load on a thread of its own.
#[derive(Debug)]
pub(super) struct Traffic {
    told: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<(Tally, Records)>>,
}

impl Traffic {
    pub(super) fn start(plan: Plan) -> Self {
        let told = Arc::new(AtomicBool::new(false));
        let is_told = Arc::clone(&told);
        let thread = std::thread::spawn(move || {
            let records = RefCell::new(Records::default());
            let is_over = |_| is_told.load(Ordering::Relaxed) || records.borrow().list.len() >= MAX_RECORDS;
            let tally = run(&plan, is_over, |sample| records.borrow_mut().take(sample))?;
            if !is_told.load(Ordering::Relaxed) {
                bail!("more than {MAX_RECORDS} requests; use a lower rate or fewer deploys");
            }
            Ok((tally, records.into_inner()))
        });
        Self { told, thread }
    }

    /// Whether it has ended by itself, which it must not.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for what is in flight.
    ///
    /// # Errors
    /// This machine could not keep the load up; nothing was proven.
    pub(super) fn stop(self) -> anyhow::Result<(Tally, Records)> {
        self.told.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(result) => result.context("keep the load up"),
            Err(_) => bail!("the thread of the load panicked"),
        }
    }
}
