//! The loop of WAL on fakes: what a server hands out goes to its target once, and is only believed where it is what its name says.

use bytes::Bytes;
use havre_core::backup::What;
use havre_core::backup::run::RunFilter;
use havre_core::name::TargetName;
use havre_data::backup::wal;
use havre_engine::exec::ExecOutput;
use havre_engine::fake::script::{Program, Script};
use havre_engine::log::LogSource;
use havre_rescue::line::{Base, Stretch};
use havre_rescue::wal::{SEGMENT_BYTES, Segment};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::world::{Control, Outside};
use crate::{backup, database};

pub(crate) const TASK: &str = "havre-m1-1-db-production-dropit";
/// What `psql` says, whatever it is asked: the version, a snapshot, and where a mark lies.
const SAID: &str = "16.14 (Debian)\n{\"version\" : \"16.14 (Debian)\", \"snapshot\" : \"00000003-00000008-1\"}\n\
    {\"counted\" : true}\n{\"segment\" : \"000000010000000000000004\"}\n";

pub(crate) fn base_of_db() -> What {
    "base/dropit/production/db".parse().unwrap()
}

pub(crate) fn db() -> What {
    "database/dropit/production/db".parse().unwrap()
}

/// A tar of these files.
pub(crate) fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, content) in files {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        all.extend(header);
        all.extend(content);
        all.resize(all.len().next_multiple_of(512), 0);
    }
    all.resize(all.len() + 1024, 0);
    all
}

pub(crate) fn segment(number: u64) -> Vec<u8> {
    let one = Segment { timeline: 1, number };
    let mut bytes = vec![0x10, 0xd1, 6, 0, 1, 0, 0, 0];
    bytes.extend(one.start().0.to_le_bytes());
    bytes.extend([0; 16]);
    bytes.extend([0, 0, 0, 1, 0, 0x20, 0, 0]);
    bytes.resize(usize::try_from(SEGMENT_BYTES).unwrap(), 0);
    bytes
}

/// Segments 3 and 4, as `tar` gives them out.
pub(crate) fn two_segments() -> Vec<u8> {
    tar(&[("000000010000000000000003", segment(3)), ("000000010000000000000004", segment(4))])
}

/// A base backup that begins in segment 3.
pub(crate) fn base() -> Vec<u8> {
    let label = "START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\nSTART TIMELINE: 1\n";
    let manifest = "{ \"Files\": [],\n\"WAL-Ranges\": [\n{ \"Timeline\": 1, \"Start-LSN\": \"0/3000028\", \"End-LSN\": \"0/3000100\" }\n],\n\
        \"Manifest-Checksum\": \"8b09\"}\n";
    tar(&[
        ("backup_label", label.into()),
        ("PG_VERSION", b"16\n".to_vec()),
        ("backup_manifest", manifest.into()),
    ])
}

pub(crate) fn writes(bytes: Vec<u8>) -> Program {
    let pieces = bytes
        .chunks(1 << 20)
        .map(|part| ExecOutput { stream: LogSource::Stdout, bytes: Bytes::copy_from_slice(part) });
    Program { output: pieces.collect(), ..Program::prints("", 0) }
}

/// A server that has handed two segments out, of which these bytes come.
pub(crate) fn server(segments: Vec<u8>) -> Script {
    let listed = "000000010000000000000003\n000000010000000000000004\n000000010000000000000003.partial\n";
    let programs = [
        ("pg_isready", Program::prints("", 0)),
        ("psql", Program::prints(SAID, 0)),
        ("pg_dump", Program::prints("PGDMP and all the data", 0)),
        ("pg_basebackup", writes(base())),
        ("ls", Program::prints(listed, 0)),
        ("tar", writes(segments)),
        // So that it is known what it was told.
        ("rm", Program::reads("", 0)),
    ];
    let programs = programs.map(|(name, program)| (name.to_owned(), program)).into();
    Script { programs, ..Script::runs() }
}

/// A database that hands its WAL out, ready, and a target that takes it; with a good base backup.
pub(crate) async fn prepare(control: &Control, script: Script) {
    database::add_postgres(&control.outside, script);
    let policy = json!({ "every": "1d", "keep": { "last": 5 }, "point_in_time": "7d" });
    database::apply(control, json!({ "backup": policy })).await;
    database::rounds(control).await;
    backup::set_target(control).await;
    backup::rounds(control).await;
}

pub(crate) async fn look(control: &Control) {
    wal::activate(&control.world, &CancellationToken::new()).await.unwrap();
    control.background().await;
}

pub(crate) async fn stretches(control: &Control) -> Vec<Stretch> {
    control.world.store.read(|view| view.list_stretches(&db(), 0)).await.unwrap()
}

pub(crate) async fn bases(control: &Control) -> Vec<Base> {
    control.world.store.read(|view| view.list_bases(&base_of_db())).await.unwrap()
}

/// How often files of the spool were taken away.
fn removed(control: &Control) -> usize {
    control.outside.engine.inputs().iter().filter(|(line, _)| line.starts_with("rm -f -- /")).count()
}

#[tokio::test]
async fn a_base_backup_says_where_it_lies() {
    let control = Outside::new().control();
    prepare(&control, server(two_segments())).await;
    let found = bases(&control).await;
    let facts: Vec<_> =
        found.iter().map(|base| (base.facts.timeline, base.facts.start.to_string())).collect();
    assert_eq!(facts, [(1, "0/3000028".to_owned())]);
    assert_eq!(found[0].manifest.source_version, "PostgreSQL 16.14");
    // One that does not say so is no base backup.
    let other = Outside::new().control();
    let mut script = server(two_segments());
    for (name, program) in &mut script.programs {
        if name == "pg_basebackup" {
            *program = writes(tar(&[("backup_label", b"nothing".to_vec())]));
        }
    }
    prepare(&other, script).await;
    assert!(bases(&other).await.is_empty());
    let filter = RunFilter { what: Some(base_of_db()), ..RunFilter::default() };
    let runs = other.world.store.read(move |view| view.list_backup_runs(&filter, 10)).await.unwrap();
    assert!(
        format!("{:?}", runs[0].state).contains("does not say which WAL it needs"),
        "{:?}",
        runs[0].state
    );
}

#[tokio::test]
async fn a_server_with_tablespaces_gives_no_base_backup_and_says_why() {
    let control = Outside::new().control();
    let mut script = server(two_segments());
    for (name, program) in &mut script.programs {
        if name == "psql" {
            *program = Program::prints(&format!("{SAID}{{\"tablespaces\" : [\"fast\"]}}\n"), 0);
        }
    }
    prepare(&control, script).await;
    assert!(bases(&control).await.is_empty());
    let of = async |what: What| {
        let filter = RunFilter { what: Some(what), ..RunFilter::default() };
        let runs = control.world.store.read(move |view| view.list_backup_runs(&filter, 10)).await.unwrap();
        format!("{:?}", runs[0].state)
    };
    let said = of(base_of_db()).await;
    assert!(said.contains("it has tablespaces (fast), whose files no base backup holds"), "{said}");
    let dump = of(db()).await;
    assert!(dump.starts_with("Good"), "{dump}");
}

#[tokio::test]
async fn what_is_handed_out_is_stored_once() {
    let control = Outside::new().control();
    prepare(&control, server(two_segments())).await;
    look(&control).await;
    let found = stretches(&control).await;
    assert_eq!(found.iter().map(|one| (one.first.number, one.last)).collect::<Vec<_>>(), [(3, 4)]);
    assert_eq!(found[0].until, None, "nobody had made a mark yet");
    look(&control).await;
    assert_eq!(stretches(&control).await, found, "there was nothing new");
    let repository = backup::repository(&control).await;
    let listed = havre_backup::Repository::list(&repository).await.unwrap();
    let stored = listed.iter().find(|one| one.id == found[0].snapshot).unwrap();
    assert_eq!(stored.content, found[0].content);
    assert_eq!(stored.name.as_str(), "dropit-production-db-wal.tar");
    let tags: Vec<&str> = stored.tags.iter().map(|tag| tag.as_str()).collect();
    assert_eq!(
        tags,
        ["from/000000010000000000000003", "to/000000010000000000000004", "wal/dropit/production/db"]
    );
}

#[tokio::test]
async fn what_comes_since_is_stored_with_it_and_a_mark_says_up_to_when() {
    let control = Outside::new().control();
    prepare(&control, server(two_segments())).await;
    look(&control).await;
    let (marked_at, first) = (control.world.now(), stretches(&control).await.remove(0));
    control.outside.clock.advance(std::time::Duration::from_secs(20));
    let names = ["000000010000000000000003", "000000010000000000000004", "000000010000000000000005"];
    let files: Vec<(&str, Vec<u8>)> = names.into_iter().zip([segment(3), segment(4), segment(5)]).collect();
    control.outside.engine.set_program(TASK, "ls", Program::prints(&names.join("\n"), 0));
    control.outside.engine.set_program(TASK, "tar", writes(tar(&files)));
    look(&control).await;
    let found = stretches(&control).await;
    assert_eq!(found.iter().map(|one| (one.first.number, one.last)).collect::<Vec<_>>(), [(3, 5)]);
    assert_eq!(found[0].until, Some(marked_at), "its commit lies in segment 4");
    let disk: TargetName = "disk".parse().unwrap();
    let gone = control.world.store.read(move |view| view.list_let_go_stretches(&disk, 10)).await.unwrap();
    assert_eq!(gone, [(first.id, first.snapshot)]);
    assert_eq!(removed(&control), 0, "it is written again until it is long");
}

#[tokio::test]
async fn what_is_not_what_its_name_says_is_not_stored() {
    let control = Outside::new().control();
    let mut cut = two_segments();
    cut.truncate(20 * 1024 * 1024);
    prepare(&control, server(cut)).await;
    look(&control).await;
    assert!(stretches(&control).await.is_empty());
    let listed = havre_backup::Repository::list(&backup::repository(&control).await).await.unwrap();
    assert!(listed.iter().all(|one| !one.name.as_str().contains("wal")), "{listed:?}");
    assert_eq!(removed(&control), 0, "it stays where it is");
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_told_and_gets_all_of_it_later() {
    let control = Outside::new().control();
    prepare(&control, server(two_segments())).await;
    let repository = backup::repository(&control).await;
    repository.break_with(Some("no route"));
    look(&control).await;
    control.outside.clock.advance(std::time::Duration::from_secs(400));
    look(&control).await;
    assert!(stretches(&control).await.is_empty());
    let disk: TargetName = "disk".parse().unwrap();
    let state = control.world.store.read(move |view| view.get_backup_target(&disk)).await.unwrap().state;
    assert!(format!("{state:?}").contains("no route"), "{state:?}");
    let id = control.world.store.read(|view| view.list_databases()).await.unwrap()[0].id;
    let told = control.world.store.read(move |view| view.find_wal_trouble(id)).await.unwrap();
    assert_eq!(told.as_deref(), Some("disk has nothing"));
    repository.break_with(None);
    backup::later(&control, 60).await;
    look(&control).await;
    assert_eq!(stretches(&control).await.len(), 1);
}
