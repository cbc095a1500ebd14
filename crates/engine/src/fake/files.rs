//! Files of volumes on the fake: each volume is the tar that was put into it.

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::EngineError;
use crate::fake::FakeEngine;
use crate::fake::world::World;
use crate::files::{ROOT, TarIn, TarOut, VolumeFiles};

/// Bytes of a block of a tar.
const BLOCK: usize = 512;
/// Bytes of one part on its way out.
const PART: usize = 1000;

/// A tar of these files in a volume, as an engine makes one.
pub fn tar_of(files: &[(&str, &[u8])]) -> Bytes {
    let mut all = header(b'5', &format!("{ROOT}/"), 0);
    for (name, content) in files {
        all.extend(header(b'0', &format!("{ROOT}/{name}"), content.len()));
        all.extend(*content);
        all.resize(all.len().next_multiple_of(BLOCK), 0);
    }
    all.resize(all.len() + 2 * BLOCK, 0);
    all.into()
}

/// A header of POSIX, for the first user and of a second long ago.
fn header(kind: u8, name: &str, size: usize) -> Vec<u8> {
    let mode = if kind == b'5' { 0o755 } else { 0o644 };
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
    block[108..115].copy_from_slice(b"0001750");
    block[116..123].copy_from_slice(b"0001750");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"14000000000");
    block[148..156].fill(b' ');
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

pub(super) fn give_out(tar: Bytes) -> TarOut {
    let parts: Vec<Bytes> =
        (0..tar.len()).step_by(PART).map(|from| tar.slice(from..(from + PART).min(tar.len()))).collect();
    stream::iter(parts.into_iter().map(Ok)).boxed()
}

pub(super) async fn collect(tar: TarIn) -> io::Result<Bytes> {
    let parts: Vec<Bytes> = tar.try_collect().await?;
    Ok(parts.concat().into())
}

impl World {
    fn check_files(&self, files: &VolumeFiles) -> Result<(), EngineError> {
        if !self.images.contains_key(&files.image) {
            return Err(EngineError::not_found("image", &files.image.to_string()));
        }
        match self.volumes.get(&files.volume) {
            Some(Some(_)) => Ok(()),
            Some(None) => Err(EngineError::foreign("volume", &files.volume)),
            None => Err(EngineError::not_found("volume", &files.volume)),
        }
    }

    pub(super) fn read_volume(&self, files: &VolumeFiles) -> Result<Bytes, EngineError> {
        self.check_files(files)?;
        Ok(self.files.get(&files.volume).cloned().unwrap_or_else(|| tar_of(&[])))
    }

    pub(super) fn fill_volume(
        &mut self,
        files: &VolumeFiles,
        tar: io::Result<Bytes>,
    ) -> Result<(), EngineError> {
        self.check_files(files)?;
        let tar = tar.map_err(|error| EngineError::Failed {
            what: format!("fill volume `{}`", files.volume),
            message: error.to_string(),
        })?;
        self.files.insert(files.volume.clone(), tar);
        Ok(())
    }

    pub(super) fn pause(&mut self, name: &str) -> Result<(), EngineError> {
        if !self.get_ours(name)?.is_running() {
            return Err(EngineError::Conflict {
                what: format!("pause task `{name}`"),
                message: "it is not running".to_owned(),
            });
        }
        self.paused.insert(name.to_owned());
        Ok(())
    }

    pub(super) fn unpause(&mut self, name: &str) -> Result<bool, EngineError> {
        self.find_ours(name)?;
        Ok(self.paused.remove(name))
    }
}

impl FakeEngine {
    /// What is in a volume from now on.
    pub fn set_files(&self, volume: &str, tar: Bytes) {
        self.change(|world| world.files.insert(volume.to_owned(), tar));
    }

    /// The tar of a volume; `None` where nothing was ever put into it.
    pub fn files(&self, volume: &str) -> Option<Bytes> {
        self.world().files.get(volume).cloned()
    }

    /// Tasks that are paused.
    pub fn paused_tasks(&self) -> Vec<String> {
        self.world().paused.iter().cloned().collect()
    }
}
