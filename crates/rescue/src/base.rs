//! Base backups: what is said to a server so that it gives its files out, and where in the WAL they lie, as their own tar says. Tests at the end
//! of the file.

use crate::line::BaseFacts;
use crate::spool::Mark;
use crate::tar::{Entry, Watch};
use crate::wal::{self, Lsn, Segment, WalError, WalFile};
use havre_core::database::role::SUPERUSER;
use havre_core::time::Timestamp;
use serde::Deserialize;

/// Where a server hands its WAL out, on its volume; named in its `archive_command` as well.
pub const SPOOL: &str = "/var/lib/postgresql/havre-wal";
/// Most tablespaces that are named in a sentence.
const NAMED_MAX: usize = 5;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// All files of the server as one tar, with a list of them and their sums. Without WAL: that comes by itself. It ends once the WAL it needs has
/// been handed out.
pub fn base_backup() -> Vec<String> {
    let how = ["--pgdata=-", "--format=tar", "--wal-method=none", "--checkpoint=fast", "--label=havre"];
    let who = ["--no-password", "--username", SUPERUSER];
    words(&["pg_basebackup"]).into_iter().chain(words(&how)).chain(words(&who)).collect()
}

/// Asks for tablespaces of the user: their files lie elsewhere, and one stream has no place for them. Answered by a line for [`tablespaces`].
pub fn ask_tablespaces() -> String {
    "SELECT pg_catalog.json_build_object('tablespaces', coalesce(pg_catalog.json_agg(spcname ORDER BY spcname), '[]'::json)) \
     FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global');\n"
        .to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tablespaces {
    tablespaces: Vec<String>,
}

/// Why no base backup can be made of a server that answers [`ask_tablespaces`] like this; nothing where one can.
pub fn tablespaces(answer: &str) -> Option<String> {
    let said = answer.lines().find_map(|line| serde_json::from_str::<Tablespaces>(line.trim()).ok())?;
    let names: Vec<String> =
        said.tablespaces.iter().map(|name| name.escape_debug().to_string()).take(NAMED_MAX).collect();
    if names.is_empty() {
        return None;
    }
    let more = match said.tablespaces.len().saturating_sub(names.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "it has tablespaces ({}{more}), whose files no base backup holds: move what is in them to pg_default (`ALTER TABLE ... SET \
         TABLESPACE pg_default`) and drop them; dumps save it all the same",
        names.join(", ")
    ))
}

/// Lists the spool. Before the first file of all there is none.
pub fn list() -> Vec<String> {
    words(&["ls", "-1", "--", SPOOL])
}

/// Gives files of the spool out as one tar.
pub fn read(files: &[WalFile]) -> Vec<String> {
    let all = words(&["tar", "-c", "-f", "-", "-C", SPOOL, "--"]);
    all.into_iter().chain(files.iter().map(ToString::to_string)).collect()
}

/// Takes files of the spool away.
pub fn remove(files: &[WalFile]) -> Vec<String> {
    let all = words(&["rm", "-f", "--"]);
    all.into_iter().chain(files.iter().map(|file| format!("{SPOOL}/{file}"))).collect()
}

/// Makes a commit, so that there is one after everything of before, and has the segment handed out that it lies in. Answered by a line for
/// [`mark`].
pub fn make_mark() -> String {
    "SELECT pg_catalog.pg_current_xact_id();\n\
     SELECT pg_catalog.json_build_object('segment', pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal()));\n"
        .to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    segment: String,
}

/// Reads the answer to [`make_mark`], which was asked at this instant; nothing where there is none.
pub fn mark(answer: &str, asked_at: Timestamp) -> Option<Mark> {
    let line = answer.lines().find_map(|line| serde_json::from_str::<Line>(line.trim()).ok())?;
    let segment: Segment = line.segment.parse().ok()?;
    Some(Mark { at: asked_at, segment })
}

/// An eye on a base backup on its way.
#[derive(Debug, Clone, Default)]
pub struct BaseWatch {
    tar: Watch,
    label: Option<(u32, Lsn)>,
    range: Option<(u32, Lsn, Lsn)>,
    wrong: Option<String>,
}

impl BaseWatch {
    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { tar, label, range, wrong } = self;
        let read = tar.push(bytes, |entry| match entry.name.as_str() {
            "backup_label" => *label = parse_label(&entry).ok(),
            "backup_manifest" => *range = parse_range(&entry),
            _ => {}
        });
        if let Err(reason) = read {
            wrong.get_or_insert(reason);
        }
    }

    /// Where it lies in the WAL, as its first and its last file say.
    ///
    /// # Errors
    /// It is not whole, or the two disagree; in words.
    pub fn finish(self) -> Result<BaseFacts, String> {
        if let Some(reason) = self.wrong {
            return Err(reason);
        }
        if !self.tar.is_whole() {
            return Err("the end of the tar did not come".to_owned());
        }
        match (self.label, self.range) {
            (Some((timeline, begins)), Some((of, start, stop))) if timeline == of && begins == start => {
                Ok(BaseFacts { timeline, start, stop })
            }
            _ => Err("the base backup does not say which WAL it needs".to_owned()),
        }
    }
}

/// The timeline and the first place of `backup_label`.
fn parse_label(entry: &Entry) -> Result<(u32, Lsn), WalError> {
    let text = String::from_utf8_lossy(&entry.head);
    let said = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let place = said("START WAL LOCATION:").split_whitespace().next().unwrap_or_default();
    let timeline = said("START TIMELINE:");
    let timeline = timeline.parse().map_err(|_| wal::refused(timeline))?;
    Ok((timeline, place.parse()?))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Range {
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

/// What the end of `backup_manifest` says of the WAL: one range, since nobody is promoted while a backup runs.
fn parse_range(entry: &Entry) -> Option<(u32, Lsn, Lsn)> {
    let text = String::from_utf8_lossy(&entry.tail);
    let (_, rest) = text.split_once("\"WAL-Ranges\":")?;
    let (list, _) = rest.split_once(']')?;
    let ranges: Vec<Range> = serde_json::from_str(&format!("{list}]")).ok()?;
    let [range] = ranges.as_slice() else { return None };
    Some((range.timeline, range.start.parse().ok()?, range.end.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::proof::tests::AT;
    use super::super::tar::tests::tar;
    use super::*;

    const LABEL: &str = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000060\n\
        BACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-11-27 11:26:16 UTC\nLABEL: havre\nSTART TIMELINE: 1\n";

    fn manifest(start: &str) -> String {
        let files = "{ \"Path\": \"base/1/2606\", \"Size\": 24576 },\n".repeat(100);
        format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n{files}],\n\"WAL-Ranges\": [\n\
             {{ \"Timeline\": 1, \"Start-LSN\": \"{start}\", \"End-LSN\": \"0/2000100\" }}\n],\n\"Manifest-Checksum\": \"8b09\"}}\n"
        )
    }

    fn watched(bytes: &[u8]) -> Result<BaseFacts, String> {
        let mut watch = BaseWatch::default();
        bytes.chunks(777).for_each(|part| watch.push(part));
        watch.finish()
    }

    #[test]
    fn a_base_backup_says_where_it_lies() {
        let files = |label: &str, start: &str| {
            tar(&[
                ("backup_label", label.as_bytes().to_vec()),
                ("base/1/2606", vec![7; 24_576]),
                ("backup_manifest", manifest(start).into_bytes()),
            ])
        };
        let whole = files(LABEL, "0/2000028");
        let facts = BaseFacts { timeline: 1, start: Lsn(0x200_0028), stop: Lsn(0x200_0100) };
        assert_eq!(watched(&whole), Ok(facts));
        let end = whole.iter().rposition(|byte| *byte != 0).expect("has bytes");
        assert!(watched(&whole[..=end]).is_err(), "its end did not come");
        assert!(watched(&files("", "0/2000028")).is_err());
        assert!(watched(&files(LABEL, "0/2000029")).is_err());
        assert!(watched(&files(LABEL, "x")).is_err());
        assert!(watched(b"").is_err());
    }

    #[test]
    fn commands_hold_names_of_the_server_only() {
        let files: Vec<WalFile> =
            ["000000010000000000000002", "00000002.history"].map(|name| name.parse().expect("is one")).into();
        assert_eq!(
            read(&files).join(" "),
            "tar -c -f - -C /var/lib/postgresql/havre-wal -- 000000010000000000000002 00000002.history"
        );
        assert_eq!(
            remove(&files[..1]).join(" "),
            "rm -f -- /var/lib/postgresql/havre-wal/000000010000000000000002"
        );
        assert_eq!(
            base_backup().join(" "),
            "pg_basebackup --pgdata=- --format=tar --wal-method=none --checkpoint=fast --label=havre --no-password --username postgres"
        );
    }

    #[test]
    fn a_server_with_tablespaces_is_refused_before_anything_is_read() {
        assert_eq!(tablespaces("{\"tablespaces\" : []}\n"), None);
        for unknown in ["", "16.14 (Debian)\n", "{\"counted\" : true}\n"] {
            assert_eq!(tablespaces(unknown), None, "pg_basebackup says it itself: {unknown:?}");
        }
        let said = tablespaces("16.14\n{\"tablespaces\" : [\"fast\", \"slow disk\"]}\n").expect("has two");
        assert!(
            said.starts_with("it has tablespaces (fast, slow disk), whose files no base backup holds: "),
            "{said}"
        );
        let many = format!("{{\"tablespaces\" : [{}]}}", ["\"t\""; 7].join(", "));
        assert!(
            tablespaces(&many)
                .expect("has seven")
                .starts_with("it has tablespaces (t, t, t, t, t and 2 more)")
        );
    }

    #[test]
    fn a_mark_is_of_the_instant_before_it() {
        let answer = "738\n{\"segment\" : \"000000010000000000000003\"}\n";
        let found = mark(answer, AT).expect("is one");
        assert_eq!((found.at, found.segment), (AT, Segment { timeline: 1, number: 3 }));
        for wrong in ["", "738\n", "{\"segment\" : \"x\"}\n"] {
            assert_eq!(mark(wrong, AT), None, "{wrong:?}");
        }
    }
}
