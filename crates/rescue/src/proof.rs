//! When a copy that was restored is the same as what was saved. One way for restores and drills: a server answers, the whole snapshot went
//! into it, and what it then holds is what the manifest says. Pure: whoever does it says what was seen, `advance` says how far that is, or
//! why it is no proof. PostgreSQL and MariaDB take a snapshot in while they run, Redis and Valkey when they start: that is one more part of
//! theirs. Tests at the end of the file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use havre_core::backup::Content;
use havre_core::backup::manifest::Manifest;
use havre_core::time::Timestamp;

pub use havre_core::backup::proof::{Difference, Failure, Stage};

/// Most tables that are named where their rows differ; more are counted.
pub const DIFFERENCES_MAX: usize = 20;

/// How far a copy has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step", deny_unknown_fields)]
pub enum Progress {
    /// Its server is being made and has not answered yet.
    Preparing {
        /// Since when.
        since: Timestamp,
    },
    /// The snapshot goes into it.
    Loading {
        /// Since when.
        since: Timestamp,
    },
    /// The whole snapshot lies on the volume of a Redis or Valkey, and the server that reads it when it starts has not answered yet.
    Starting {
        /// Since when.
        since: Timestamp,
        /// What came out of the repository.
        loaded: Content,
        /// What it holds.
        keys: Keys,
    },
    /// All of it is in, and is compared with what was saved.
    Checking {
        /// Since when.
        since: Timestamp,
        /// What came out of the repository.
        loaded: Content,
        /// What it holds, of Redis and Valkey.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keys: Option<Keys>,
        /// What was said about the files of a base backup.
        #[serde(default, skip_serializing_if = "Structure::is_not_asked")]
        files: Structure,
    },
}

impl Progress {
    /// Which part it is.
    pub const fn stage(&self) -> Stage {
        match self {
            Self::Preparing { .. } => Stage::Preparing,
            Self::Loading { .. } | Self::Starting { .. } => Stage::Loading,
            Self::Checking { .. } => Stage::Checking,
        }
    }
}

/// What a snapshot of Redis or Valkey holds, by the program of its server that reads all of it and compares its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Keys that end by themselves, or hold something that does.
    pub expiring: u64,
    /// All keys.
    pub saved: u64,
}

impl Keys {
    /// Whether so many keys are what became of these: none more, and none less but those that have ended by themselves.
    pub const fn are_there(self, found: u64) -> bool {
        found <= self.saved && found >= self.saved.saturating_sub(self.expiring)
    }
}

/// What was found in a copy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// What users want to be true, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assertions: Vec<Assertion>,
    /// What was said about the files of a base backup, before anything was read into them: that each is the one the server had given out.
    #[serde(default, skip_serializing_if = "Structure::is_not_asked")]
    pub files: Structure,
    /// What the snapshot holds, of Redis and Valkey: what was found is compared with that, since a backup counts a moment later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Keys>,
    /// Rows of each table, counted one by one; keys of each database of Redis and Valkey.
    pub rows: BTreeMap<String, u64>,
    /// What was said about its structure.
    #[serde(default)]
    pub structure: Structure,
}

/// What became of the check of the structure: that each index finds what its table holds; of Redis and Valkey, that a snapshot can be read to
/// its end and has the checksum it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "structure", deny_unknown_fields)]
pub enum Structure {
    /// Nobody asked for it.
    #[default]
    NotAsked,
    /// The image has no program for it.
    NotAvailable,
    /// It was checked, and it is sound.
    Sound,
    /// It was checked, and it is not.
    Damaged {
        /// What was said.
        reason: String,
    },
}

impl Structure {
    /// Whether nobody asked.
    pub const fn is_not_asked(&self) -> bool {
        matches!(self, Self::NotAsked)
    }
}

/// Something that should be true, and what the answer was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// The answer, shortened; `t` where it is true, `1` of MariaDB.
    pub answer: String,
    /// It is true: exactly one row with one value, which is `true`.
    pub holds: bool,
    /// The SQL.
    pub sql: String,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The server takes connections.
    Answers,
    /// The loader ended with 0, after it had been given everything.
    Loaded {
        /// What came out of the repository.
        content: Content,
        /// What it holds, of Redis and Valkey, whose servers read it at their next start only.
        keys: Option<Keys>,
    },
    /// The files of a base backup are in, and a server has read WAL into them up to the second that was wanted.
    Recovered {
        /// What came out of the repository as the base backup.
        content: Content,
        /// What was said about the files. Where they are damaged no server was started.
        files: Structure,
    },
    /// All checks were made.
    Checked {
        /// What they found.
        findings: Findings,
    },
    /// It cannot go on.
    Broken {
        /// Why.
        reason: Failure,
    },
    /// Havre was started and found it unfinished.
    Interrupted,
}

impl Observation {
    const fn word(&self) -> &'static str {
        match self {
            Self::Answers => "a server that answers",
            Self::Loaded { .. } => "the end of the loader",
            Self::Recovered { .. } => "a server that has come to its second",
            Self::Checked { .. } => "the result of the checks",
            Self::Broken { .. } => "a failure",
            Self::Interrupted => "an interruption",
        }
    }
}

/// What follows from an observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    Progress(Progress),
    /// It is the same.
    Proven(Findings),
}

/// The next step of a copy, or why it proves nothing.
///
/// # Errors
/// What was seen rules out that this copy is what the manifest describes.
pub fn advance(
    progress: &Progress,
    seen: &Observation,
    manifest: &Manifest,
    now: Timestamp,
) -> Result<Next, Failure> {
    match (progress, seen) {
        (_, Observation::Broken { reason }) => Err(reason.clone()),
        // Part of the bytes may be in already, and nobody knows which.
        (Progress::Loading { .. }, Observation::Interrupted) => Err(Failure::Interrupted),
        // Waiting for a server and counting can begin again.
        (
            Progress::Preparing { .. } | Progress::Starting { .. } | Progress::Checking { .. },
            Observation::Interrupted,
        ) => Ok(Next::Progress(progress.clone())),
        (Progress::Preparing { .. }, Observation::Answers) => {
            Ok(Next::Progress(Progress::Loading { since: now }))
        }
        (Progress::Loading { .. }, Observation::Loaded { content, keys }) => {
            let loaded = compare_content(content, manifest)?;
            Ok(Next::Progress(match keys {
                Some(keys) => Progress::Starting { since: now, loaded, keys: *keys },
                None => Progress::Checking { since: now, loaded, keys: None, files: Structure::NotAsked },
            }))
        }
        (Progress::Loading { .. }, Observation::Recovered { content, files }) => {
            let loaded = compare_content(content, manifest)?;
            are_sound(files)?;
            Ok(Next::Progress(Progress::Checking { since: now, loaded, keys: None, files: files.clone() }))
        }
        (Progress::Starting { loaded, keys, .. }, Observation::Answers) => {
            let (loaded, keys) = (loaded.clone(), Some(*keys));
            let files = Structure::NotAsked;
            Ok(Next::Progress(Progress::Checking { since: now, loaded, keys, files }))
        }
        (Progress::Checking { keys, files, .. }, Observation::Checked { findings }) => {
            let findings = Findings { keys: *keys, files: files.clone(), ..findings.clone() };
            judge(&findings, manifest)?;
            Ok(Next::Proven(findings))
        }
        (
            _,
            Observation::Answers
            | Observation::Loaded { .. }
            | Observation::Recovered { .. }
            | Observation::Checked { .. },
        ) => Err(Failure::OutOfOrder { seen: seen.word().to_owned() }),
    }
}

/// What went in, where that is what the manifest says.
fn compare_content(found: &Content, manifest: &Manifest) -> Result<Content, Failure> {
    if *found == manifest.content {
        return Ok(found.clone());
    }
    Err(Failure::StreamDiffers { expected: manifest.content.clone(), found: found.clone() })
}

fn are_sound(structure: &Structure) -> Result<(), Failure> {
    match structure {
        Structure::Damaged { reason } => Err(Failure::Structure { reason: reason.clone() }),
        Structure::NotAsked | Structure::NotAvailable | Structure::Sound => Ok(()),
    }
}

/// Whether what was found is what was saved, sound, and true.
fn judge(findings: &Findings, manifest: &Manifest) -> Result<(), Failure> {
    let found = findings.rows.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let all = match findings.keys {
        Some(keys) if keys.are_there(found) => Vec::new(),
        Some(Keys { expiring, saved }) => return Err(Failure::KeysDiffer { expiring, found, saved }),
        None => compare_rows(&manifest.rows, &findings.rows),
    };
    if !all.is_empty() {
        let count = all.len() as u64;
        return Err(Failure::RowsDiffer {
            count,
            differences: all.into_iter().take(DIFFERENCES_MAX).collect(),
        });
    }
    are_sound(&findings.files)?;
    are_sound(&findings.structure)?;
    match findings.assertions.iter().find(|assertion| !assertion.holds) {
        Some(Assertion { sql, answer, .. }) => {
            Err(Failure::Assertion { sql: sql.clone(), answer: answer.clone() })
        }
        None => Ok(()),
    }
}

/// Tables that differ, by name. Where nobody counted when it was saved, nothing can be compared, and nothing is said to differ.
pub fn compare_rows(saved: &BTreeMap<String, u64>, restored: &BTreeMap<String, u64>) -> Vec<Difference> {
    if saved.is_empty() {
        return Vec::new();
    }
    let tables: BTreeSet<&String> = saved.keys().chain(restored.keys()).collect();
    tables
        .into_iter()
        .filter(|table| saved.get(*table) != restored.get(*table))
        .map(|table| Difference {
            table: table.clone(),
            saved: saved.get(table).copied(),
            restored: restored.get(table).copied(),
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use havre_core::backup::What;
    use havre_core::backup::state::About;

    pub(crate) const AT: Timestamp = Timestamp::from_millis(1_763_978_400_000);

    pub(crate) fn content(bytes: u64, digit: char) -> Content {
        Content { bytes, sha256: digit.to_string().repeat(64).parse().expect("is a digest") }
    }

    fn rows(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(table, count)| ((*table).to_owned(), *count)).collect()
    }

    pub(crate) fn manifest() -> Manifest {
        let about = About {
            what: What::Database {
                project: "shop".parse().expect("a name"),
                environment: "production".parse().expect("a name"),
                database: "db".parse().expect("a name"),
            },
            source_version: "PostgreSQL 15.14".to_owned(),
            rows: rows(&[("public.orders", 7), ("public.users", 2)]),
            repository: "b".repeat(64).parse().expect("an id"),
            started_at: AT,
        };
        Manifest::new(&about, &content(10, 'a'), &"1".repeat(64).parse().expect("an id"), AT)
    }

    pub(crate) fn findings() -> Findings {
        Findings { rows: manifest().rows, structure: Structure::Sound, ..Findings::default() }
    }

    pub(crate) fn loaded(bytes: u64) -> Observation {
        Observation::Loaded { content: content(bytes, 'a'), keys: None }
    }

    fn run(seen: &[Observation]) -> Result<Next, Failure> {
        let mut next = Next::Progress(Progress::Preparing { since: AT });
        for one in seen {
            let Next::Progress(progress) = &next else { return Ok(next) };
            next = advance(progress, one, &manifest(), AT)?;
        }
        Ok(next)
    }

    #[test]
    fn there_is_one_way() {
        let (loaded, checked) = (loaded(10), Observation::Checked { findings: findings() });
        let proven = run(&[Observation::Answers, loaded.clone(), checked.clone()]);
        assert_eq!(proven, Ok(Next::Proven(findings())));
        for wrong in [
            vec![loaded.clone()],
            vec![checked.clone()],
            vec![Observation::Answers, checked.clone()],
            vec![Observation::Answers, Observation::Answers],
            vec![Observation::Answers, loaded.clone(), loaded.clone()],
        ] {
            assert!(matches!(run(&wrong), Err(Failure::OutOfOrder { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn only_a_load_is_lost_by_an_interruption() {
        let loaded = loaded(10);
        assert!(matches!(run(&[Observation::Interrupted]), Ok(Next::Progress(Progress::Preparing { .. }))));
        assert_eq!(run(&[Observation::Answers, Observation::Interrupted]), Err(Failure::Interrupted));
        let checking = run(&[Observation::Answers, loaded, Observation::Interrupted]);
        assert!(matches!(checking, Ok(Next::Progress(Progress::Checking { .. }))), "{checking:?}");
    }

    #[test]
    fn what_differs_is_named() {
        let mut found = findings();
        found.rows = rows(&[("public.orders", 6), ("public.more", 1)]);
        let seen = [Observation::Answers, loaded(10), Observation::Checked { findings: found }];
        assert_eq!(
            run(&seen).expect_err("differs").to_string(),
            "3 tables are not as they were saved: public.more has 1 rows and was not saved; \
             public.orders had 7 rows and has 6; public.users had 2 rows and is missing"
        );
        let truncated = [Observation::Answers, loaded(9)];
        assert!(matches!(run(&truncated), Err(Failure::StreamDiffers { .. })));
        assert_eq!(compare_rows(&BTreeMap::new(), &rows(&[("public.a", 1)])), [], "nobody counted");
    }

    #[test]
    fn files_of_a_base_backup_are_what_the_server_gave_out_before_rows_count() {
        let recovered = |bytes, files| Observation::Recovered { content: content(bytes, 'a'), files };
        let checked =
            Observation::Checked { findings: Findings { files: Structure::NotAsked, ..findings() } };
        let all = |seen: Observation| run(&[Observation::Answers, seen, checked.clone()]);
        for files in [Structure::Sound, Structure::NotAvailable, Structure::NotAsked] {
            let proven = all(recovered(10, files.clone()));
            let Ok(Next::Proven(found)) = &proven else { panic!("{proven:?}") };
            assert_eq!(found.files, files, "it stays in the report");
        }
        let damaged = Structure::Damaged { reason: "checksum mismatch for file \"base/1/2606\"".to_owned() };
        assert_eq!(
            all(recovered(10, damaged)).expect_err("is damaged").to_string(),
            "its structure is damaged: checksum mismatch for file \"base/1/2606\""
        );
        assert!(matches!(all(recovered(9, Structure::Sound)), Err(Failure::StreamDiffers { .. })));
        assert!(matches!(run(&[recovered(10, Structure::Sound)]), Err(Failure::OutOfOrder { .. })));
        let twice = [Observation::Answers, loaded(10), recovered(10, Structure::Sound)];
        assert!(matches!(run(&twice), Err(Failure::OutOfOrder { .. })));
    }

    #[test]
    fn damage_and_what_is_not_true_fail() {
        let check =
            |findings: Findings| run(&[Observation::Answers, loaded(10), Observation::Checked { findings }]);
        let damaged = Structure::Damaged { reason: "index users_pkey".to_owned() };
        let damaged = check(Findings { structure: damaged, ..findings() });
        assert!(matches!(damaged, Err(Failure::Structure { .. })), "{damaged:?}");
        let assertion = |holds, answer: &str| Assertion {
            sql: "select count(*) > 0 from users".to_owned(),
            holds,
            answer: answer.to_owned(),
        };
        let wrong =
            check(Findings { assertions: vec![assertion(true, "t"), assertion(false, "f")], ..findings() });
        assert_eq!(
            wrong.expect_err("is not true").to_string(),
            "`select count(*) > 0 from users` is not true: the answer is f"
        );
        assert!(check(Findings { assertions: vec![assertion(true, "t")], ..findings() }).is_ok());
    }

    /// What a Redis goes through: its snapshot lies on the volume, and the next server reads it.
    fn keys_of(saved: u64, expiring: u64, found: &[(&str, u64)]) -> Result<Next, Failure> {
        let keys = Some(Keys { expiring, saved });
        run(&[
            Observation::Answers,
            Observation::Loaded { content: content(10, 'a'), keys },
            Observation::Interrupted,
            Observation::Answers,
            Observation::Checked { findings: Findings { rows: rows(found), ..Findings::default() } },
        ])
    }

    #[test]
    fn keys_are_those_of_the_snapshot_but_for_what_ends_by_itself() {
        let proven = keys_of(203, 1, &[("db0", 201), ("db3", 1)]);
        let Ok(Next::Proven(found)) = &proven else { panic!("{proven:?}") };
        assert_eq!(found.keys, Some(Keys { expiring: 1, saved: 203 }), "it stays in the report");
        assert_eq!(
            keys_of(203, 1, &[("db0", 201)]).expect_err("one too few").to_string(),
            "the snapshot holds 203 keys, of which 1 end by themselves, and the copy has 201"
        );
        assert!(keys_of(203, 1, &[("db0", 204)]).is_err(), "one too many");
        assert!(keys_of(0, 0, &[]).is_ok(), "nothing was saved, and nothing is there");
        // Nobody goes past the server that reads it.
        let keys = Some(Keys { expiring: 0, saved: 0 });
        let seen = [
            Observation::Answers,
            Observation::Loaded { content: content(10, 'a'), keys },
            Observation::Checked { findings: Findings::default() },
        ];
        assert!(matches!(run(&seen), Err(Failure::OutOfOrder { .. })));
    }

    #[test]
    fn what_is_under_way_has_one_text() {
        let keys = Keys { expiring: 1, saved: 3 };
        let starting = Progress::Starting { since: AT, loaded: content(10, 'a'), keys };
        let files = Structure::Sound;
        let checking = Progress::Checking { since: AT, loaded: content(10, 'a'), keys: None, files };
        assert_eq!(starting.stage(), Stage::Loading);
        for progress in [starting, checking] {
            let json = serde_json::to_string(&progress).expect("is written");
            assert_eq!(serde_json::from_str::<Progress>(&json).expect("is read"), progress);
        }
        let sha256 = content(10, 'a').sha256;
        let before = format!(
            r#"{{"step":"checking","since":"2025-11-24T10:00:00.000Z","loaded":{{"bytes":10,"sha256":"{sha256}"}}}}"#
        );
        let read: Progress = serde_json::from_str(&before).expect("a row of before is read");
        let files = Structure::NotAsked;
        let checking = Progress::Checking { since: AT, loaded: content(10, 'a'), keys: None, files };
        assert_eq!(serde_json::to_string(&checking).expect("is written"), before);
        assert_eq!(read, checking);
    }

    fn observations() -> impl Strategy<Value = Vec<Observation>> {
        let content = (9_u64..12, prop::sample::select(vec!['a', 'b']));
        let content = content.prop_map(|(bytes, digit)| content_of(bytes, digit));
        let counts = prop::collection::btree_map("public\\.(orders|users)", 1_u64..9, 0..3);
        let one = prop_oneof![
            3 => Just(Observation::Answers),
            3 => Just(loaded(10)),
            1 => content.prop_map(|content| Observation::Loaded { content, keys: None }),
            3 => Just(Observation::Checked { findings: findings() }),
            1 => (counts, any::<bool>(), any::<bool>()).prop_map(|(rows, is_sound, holds)| {
                let structure = match is_sound {
                    true => Structure::Sound,
                    false => Structure::Damaged { reason: "an index".to_owned() },
                };
                let assertion = Assertion { sql: "select true".to_owned(), holds, answer: String::new() };
                let assertions = vec![assertion];
                let findings = Findings { rows, structure, assertions, ..Findings::default() };
                Observation::Checked { findings }
            }),
            1 => Just(Observation::Broken { reason: Failure::Loader { reason: "code 1".to_owned() } }),
            1 => Just(Observation::Interrupted),
        ];
        prop::collection::vec(one, 0..8)
    }

    fn content_of(bytes: u64, digit: char) -> Content {
        content(bytes, digit)
    }

    proptest! {
        #[test]
        fn no_copy_with_more_or_fewer_keys_is_a_proof(
            saved in 0_u64..50,
            expiring in 0_u64..50,
            found in prop::collection::btree_map("db[0-3]", 0_u64..30, 0..4),
        ) {
            let total: u64 = found.values().sum();
            let found: Vec<(&str, u64)> = found.iter().map(|(name, count)| (name.as_str(), *count)).collect();
            let is_proven = matches!(keys_of(saved, expiring, &found), Ok(Next::Proven(_)));
            prop_assert_eq!(is_proven, total <= saved && total + expiring >= saved);
        }

        #[test]
        fn no_history_with_a_disagreement_is_a_proof(seen in observations()) {
            if let Ok(Next::Proven(found)) = run(&seen) {
                prop_assert_eq!(&found.rows, &manifest().rows);
                let is_damaged = matches!(found.structure, Structure::Damaged { .. });
                prop_assert!(!is_damaged);
                prop_assert!(found.assertions.iter().all(|assertion| assertion.holds));
                let kept = seen.iter().filter(|one| !matches!(one, Observation::Interrupted)).take(3);
                let kept: Vec<&Observation> = kept.collect();
                let is_in_order = matches!(
                    kept.as_slice(),
                    [Observation::Answers, Observation::Loaded { .. }, Observation::Checked { .. }]
                );
                prop_assert!(is_in_order);
                let Some(Observation::Loaded { content: loaded, .. }) = kept.get(1) else { unreachable!() };
                prop_assert_eq!(loaded, &manifest().content);
            }
        }
    }
}
