//! What a good backup leaves behind: enough to find it, to restore it and to say afterwards whether a restored copy is the same.
//! It is written last, and its text is what will be signed: one manifest has one text. Tests at the end of the file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::backup::state::About;
use crate::backup::{Content, RepositoryId, SnapshotId, What};
use crate::time::Timestamp;

/// Version of the form below. A reader refuses what it does not know.
const FORM: u32 = 1;

/// One good backup. Its fields are declared in the order of the alphabet, which is their order in the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The bytes, as the producer wrote them and as they came back.
    pub content: Content,
    /// Version of this form.
    pub form: u32,
    /// The repository it lies in.
    pub repository: RepositoryId,
    /// Rows of each table when it was made; empty where nobody counted.
    pub rows: BTreeMap<String, u64>,
    /// Its snapshot.
    pub snapshot: SnapshotId,
    /// Version of the program the bytes come from, such as `PostgreSQL 16.14`.
    pub source_version: String,
    /// When the run began. A restore brings back what was there then, not what came while it ran.
    pub started_at: Timestamp,
    /// When the last byte had been read back.
    pub verified_at: Timestamp,
    /// What it is a copy of.
    pub what: What,
}

/// Text that is not a manifest this version reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a manifest: {reason}")]
pub struct ManifestError {
    reason: String,
}

impl Manifest {
    /// Of a run that has been read back.
    pub fn new(about: &About, content: &Content, snapshot: &SnapshotId, now: Timestamp) -> Self {
        Self {
            content: content.clone(),
            form: FORM,
            repository: about.repository.clone(),
            rows: about.rows.clone(),
            snapshot: snapshot.clone(),
            source_version: about.source_version.clone(),
            started_at: about.started_at,
            verified_at: now,
            what: about.what.clone(),
        }
    }

    /// The one text of this manifest: JSON without spaces, fields in a fixed order. What is signed are these bytes.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).expect("all keys are texts and no value can fail to be written")
    }

    /// Reads a manifest back.
    ///
    /// # Errors
    /// The text has another form, or says the same in another way than [`Manifest::canonical`] does.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self =
            serde_json::from_str(text).map_err(|error| ManifestError { reason: error.to_string() })?;
        if manifest.form != FORM {
            return Err(ManifestError {
                reason: format!("its form is {}, this version reads {FORM}", manifest.form),
            });
        }
        if manifest.canonical() != text {
            return Err(ManifestError {
                reason: "it is not written in the one way manifests are written".to_owned(),
            });
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let about = About {
            what: What::Database {
                project: "shop".parse().expect("a name"),
                environment: "production".parse().expect("a name"),
                database: "db".parse().expect("a name"),
            },
            source_version: "PostgreSQL 16.14".to_owned(),
            rows: BTreeMap::from([("public.users".to_owned(), 2), ("public.orders".to_owned(), 7)]),
            repository: "b".repeat(64).parse().expect("an id"),
            started_at: Timestamp::from_millis(1_763_978_400_000),
        };
        let content = Content { bytes: 10, sha256: "a".repeat(64).parse().expect("a digest") };
        let now = Timestamp::from_millis(1_763_978_460_000);
        Manifest::new(&about, &content, &"1".repeat(64).parse().expect("an id"), now)
    }

    #[test]
    fn one_manifest_has_one_text() {
        let (a, b, one) = ("a".repeat(64), "b".repeat(64), "1".repeat(64));
        let expected = format!(
            r#"{{"content":{{"bytes":10,"sha256":"sha256:{a}"}},"form":1,"repository":"{b}","rows":{{"public.orders":7,"public.users":2}},"snapshot":"{one}","source_version":"PostgreSQL 16.14","started_at":"2025-11-24T10:00:00.000Z","verified_at":"2025-11-24T10:01:00.000Z","what":{{"kind":"database","project":"shop","environment":"production","database":"db"}}}}"#
        );
        assert_eq!(manifest().canonical(), expected);
        assert_eq!(Manifest::parse(&expected), Ok(manifest()));
    }

    #[test]
    fn another_text_is_refused() {
        let text = manifest().canonical();
        for (wrong, why) in [
            (text.replace("\"form\":1", "\"form\":2"), "not a manifest: its form is 2, this version reads 1"),
            (
                text.replace(":10,", ": 10,"),
                "not a manifest: it is not written in the one way manifests are written",
            ),
        ] {
            assert_eq!(Manifest::parse(&wrong).expect_err("is refused").to_string(), why);
        }
        assert!(Manifest::parse(&text[1..]).is_err());
    }
}
