//! Rows, issuers and a simulated world of issuers and DNS for certificates.

use havre_core::certificate::budget::{End, Placed};
use havre_core::certificate::challenge::{ChallengeKind, Proof};
use havre_core::certificate::issuer::Issuer;
use havre_core::certificate::{Certificate, Current, Phase, Record, Side, Source, Stage, State};
use havre_core::dns::Server;
use havre_core::dns::pointing::Pointing;
use havre_core::id::{CertificateId, OrderId};
use havre_core::name::CertificateName;
use havre_core::time::Timestamp;
use havre_decide::certificate::check;
use havre_decide::certificate::conclude::{Outcome, conclude};
use havre_decide::certificate::plan::{Plan, Step, plan};
use havre_decide::certificate::seen::{EdgesSeen, Look, NamesSeen, Seen, Wanted};

pub(crate) const DAY: i64 = 86_400;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
}

pub(crate) fn names(text: &str) -> Vec<CertificateName> {
    text.split(' ').map(|name| name.parse().unwrap()).collect()
}

pub(crate) fn certificate(id: i64, text: &str) -> Certificate {
    Certificate {
        id: CertificateId::new(id),
        revision: 1,
        names: names(text),
        source: Source::Automatic,
        is_wanted: true,
        current: None,
        state: State::Resting { since: at(0) },
        record: Record::default(),
        created_at: at(0),
    }
}

/// Valid for `days` from `from` seconds on.
pub(crate) fn current(text: &str, from: i64, days: i64) -> Current {
    Current {
        digest: "ab".repeat(32).parse().unwrap(),
        names: names(text),
        signed_by: "R11".to_owned(),
        issuer: Some("letsencrypt".parse().unwrap()),
        serial: "01".to_owned(),
        not_before: at(from),
        not_after: at(from + days * DAY),
        since: at(from),
        window: None,
        ask_again_at: at(from + 1_000_000 * DAY),
    }
}

pub(crate) fn issuer(name: &str, rank: u32) -> Issuer {
    let preset = havre_core::certificate::issuer::Preset::named(name);
    let url = |text: Option<&str>| text.map(|text| text.parse().unwrap());
    Issuer {
        name: name.parse().unwrap(),
        rank,
        directory: url(preset.map(|p| p.directory))
            .unwrap_or("https://acme.example.org/dir".parse().unwrap()),
        staging: url(preset.and_then(|p| p.staging)),
        contact: None,
        challenges: vec![ChallengeKind::Http01, ChallengeKind::TlsAlpn01, ChallengeKind::Dns01],
        eab_key_id: None,
        root_pem: None,
    }
}

pub(crate) fn wanted() -> Wanted {
    Wanted {
        issuers: vec![issuer("letsencrypt", 1)],
        has_provider: false,
        here: vec!["203.0.113.7".parse().unwrap()],
    }
}

pub(crate) fn elsewhere() -> Pointing {
    Pointing::Elsewhere {
        server: Server::Resolver { address: ([9, 9, 9, 9], 53).into() },
        found: vec!["198.51.100.1".parse().unwrap()],
        here: vec!["203.0.113.7".parse().unwrap()],
    }
}

/// What a domain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Domain {
    Good,
    /// Its name points to another machine.
    Elsewhere,
    /// It looks fine from here, and the issuer's look fails.
    Unreachable,
}

/// Certificates and the world around them; every issuer answers at once.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) wanted: Wanted,
    pub(crate) rows: Vec<(Certificate, Domain)>,
    pub(crate) history: Vec<Placed>,
    pub(crate) names: std::collections::BTreeMap<CertificateId, Look<NamesSeen>>,
    /// Whether the issuer is down, by stage.
    pub(crate) down: Vec<Stage>,
    /// Life of a certificate in days.
    pub(crate) days: i64,
}

impl World {
    pub(crate) fn new(domains: &[Domain]) -> Self {
        let rows = domains
            .iter()
            .zip(1..)
            .map(|(domain, id)| (certificate(id, &format!("host{id}.example{}.org", id % 7)), *domain));
        Self {
            now: at(0),
            wanted: wanted(),
            rows: rows.collect(),
            history: Vec::new(),
            names: std::collections::BTreeMap::new(),
            down: Vec::new(),
            days: 90,
        }
    }

    fn seen(&self, row: &Certificate) -> Seen {
        let is_newcomer = |row: &Certificate| {
            row.current.is_none() && matches!(row.state, State::Asking { .. } | State::Ordering { .. })
        };
        Seen {
            names: self.names.get(&row.id).cloned(),
            edges: EdgesSeen {
                count: 1,
                lack_https: false,
                know: true,
                gave: Some(Look { at: self.now, seen: Ok(()) }),
            },
            zone: Some(Look { at: self.now, seen: Ok(()) }),
            asked_issuer_at: None,
            tidied_at: None,
            history: self.history.clone(),
            newcomers: self.rows.iter().filter(|(row, _)| is_newcomer(row)).count(),
        }
    }

    /// One step of every certificate, those that never failed first.
    pub(crate) fn round(&mut self) -> bool {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|index| (self.rows[*index].0.record.failures, self.rows[*index].0.id));
        let mut has_moved = false;
        for index in order {
            let (row, domain) = self.rows[index].clone();
            let seen = self.seen(&row);
            let plan = plan(&row, &self.wanted, &seen, self.now);
            check::check(&row, &plan, &self.wanted, &seen, self.now).expect("no plan breaks a law");
            has_moved |= plan.step.is_some() || plan.next.is_some();
            self.apply(index, &row, domain, plan);
        }
        has_moved
    }

    /// Rounds until nothing moves.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            if !self.round() {
                return;
            }
        }
        panic!("it does not settle: {:?}", self.rows);
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now = self.now.after(std::time::Duration::from_secs(u64::try_from(seconds).unwrap()));
        self.settle();
    }

    fn apply(&mut self, index: usize, row: &Certificate, domain: Domain, plan: Plan) {
        if let Some(state) = plan.next {
            self.rows[index].0.state = state;
        }
        let stage = match &row.state {
            State::Ordering { attempt, .. } => attempt.stage,
            _ => Stage::Production,
        };
        let outcome = match plan.step {
            None => return,
            Some(Step::LookUp) => {
                let pointing = if domain == Domain::Elsewhere { elsewhere() } else { Pointing::Here };
                let seen = NamesSeen { hosts: vec![(row.names[0].host(), pointing)], forbidden: Vec::new() };
                self.names.insert(row.id, Look { at: self.now, seen });
                return;
            }
            Some(Step::AskEdges | Step::WriteRecords { .. } | Step::LookAtZone { .. }) => return,
            Some(Step::MakeTrial) => Outcome::TrialMade {
                proofs: vec![Proof::Handshake {
                    host: row.names[0].host(),
                    digest: "cd".repeat(32).parse().unwrap(),
                }],
            },
            Some(Step::PlaceOrder { attempt, is_renewal, is_retry }) => {
                let stage = attempt.stage;
                let order = OrderId::new(i64::try_from(self.history.len()).unwrap() + 1);
                self.history.push(Placed {
                    issuer: attempt.issuer.clone(),
                    stage,
                    names: row.names.clone(),
                    is_renewal,
                    is_retry,
                    at: self.now,
                    end: None,
                });
                self.rows[index].0.state =
                    State::Ordering { since: self.now, order, attempt, phase: Phase::Placing };
                let row = self.rows[index].0.clone();
                let outcome = if self.down.contains(&stage) {
                    Outcome::Failed { side: Side::Issuer, message: "503".to_owned(), retry_after: None }
                } else {
                    Outcome::Placed { url: format!("https://acme/order/{order}") }
                };
                return self.conclude(index, &row, outcome);
            }
            Some(Step::ReadOrder { .. }) => Outcome::Wants {
                proofs: vec![Proof::File {
                    host: row.names[0].host(),
                    token: "token".to_owned(),
                    answer: "answer".to_owned(),
                }],
            },
            Some(Step::Answer { .. }) => Outcome::Answered,
            Some(Step::Proceed { .. }) if domain == Domain::Good && !self.down.contains(&stage) => {
                let from = (self.now.as_millis() - 1_800_000_000_000) / 1000;
                let text = row.names[0].to_string();
                Outcome::Issued { current: Box::new(current(&text, from, self.days)) }
            }
            Some(Step::Proceed { .. }) => Outcome::Failed {
                side: Side::Domain,
                message: "connection refused".to_owned(),
                retry_after: None,
            },
            Some(Step::GiveUp { side, message }) => Outcome::Failed { side, message, retry_after: None },
            Some(Step::AskRenewal { .. }) => Outcome::Renewal { window: None, retry_after: None },
            Some(Step::ClearRecords { .. }) => Outcome::Cleared,
        };
        self.conclude(index, row, outcome);
    }

    fn conclude(&mut self, index: usize, row: &Certificate, outcome: Outcome) {
        let concluded = conclude(row, outcome, self.now);
        self.rows[index].0 = concluded.certificate;
        if let Some((order, end)) = concluded.end {
            self.history[usize::try_from(order.row()).unwrap() - 1].end = Some(end);
        }
    }

    pub(crate) fn orders(&self, stage: Stage) -> usize {
        self.history.iter().filter(|placed| placed.stage == stage).count()
    }

    pub(crate) fn issued(&self, stage: Stage) -> usize {
        let is = |placed: &&Placed| placed.stage == stage && matches!(placed.end, Some(End::Issued { .. }));
        self.history.iter().filter(is).count()
    }
}
