//! An uploaded build context: stored as it came and with nothing in it that leads outside, or refused without a trace.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use havre_build::builder::BuildError;
use havre_build::context::ContextWriter;
use havre_core::id::BuildId;
use havre_core::quantity::ByteSize;
use libfuzzer_sys::fuzz_target;
use tar::{Archive, EntryType};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().expect("start a runtime"));

async fn take_in(folder: &Path, archive: &[u8]) -> Result<PathBuf, BuildError> {
    let mut writer = ContextWriter::create(folder, BuildId::new(1), ByteSize::bytes(64 * 1024)).await?;
    for chunk in archive.chunks(700) {
        writer.write(chunk).await?;
    }
    writer.finish().await
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    std::fs::read_dir(folder).expect("read").map(|entry| entry.expect("read").file_name()).collect()
}

/// The parts of a path, none of which leads up or to the root.
fn parts(name: &[u8]) -> PathBuf {
    let path = Path::new(OsStr::from_bytes(name));
    let is_inside = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    assert!(path.components().all(|part| is_inside(&part)), "{}", path.display());
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// Follows a link by its text, from the folder it is in.
fn assert_stays_inside(link: &Path, target: &[u8]) {
    let mut depth = link.components().count().saturating_sub(1);
    for part in Path::new(OsStr::from_bytes(target)).components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth = depth.checked_sub(1).expect("it stays inside"),
            Component::RootDir | Component::Prefix(_) => panic!("it leads to the root"),
        }
    }
}

fuzz_target!(|archive: &[u8]| {
    let home = tempfile::tempdir().expect("make a folder");
    let taken = RUNTIME.block_on(take_in(home.path(), archive));
    let left = names(home.path());
    let Ok(path) = taken else {
        assert!(left.is_empty(), "nothing is left of a refused one");
        return;
    };
    assert_eq!(left, ["b1.tar"]);
    assert_eq!(std::fs::read(path).expect("read"), archive, "stored as it came");
    let mut links: Vec<PathBuf> = Vec::new();
    for entry in Archive::new(archive).entries().expect("read") {
        let Ok(entry) = entry else { break };
        let name = parts(&entry.path_bytes());
        assert!(!links.iter().any(|link| name != *link && name.starts_with(link)), "behind a link");
        let target = entry.link_name_bytes().unwrap_or_default();
        match entry.header().entry_type() {
            EntryType::Symlink => {
                assert_stays_inside(&name, &target);
                links.push(name);
            }
            EntryType::Link => drop(parts(&target)),
            _ => {}
        }
    }
});
