//! What builds may take: `[build]` of `havred.toml`. Tests at the end of the file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use havre_build::docker::CA_MAX;
use havre_build::room::machine_memory;
use havre_core::quantity::ByteSize;
use havre_core::secret::Secret;
use havre_decide::build::admission::{DiskFloor, Floors};
use havre_decide::build::limit::Limits;
use serde::Deserialize;

/// Where the machine does not say how much memory it has.
const MEMORY: ByteSize = ByteSize::mebibytes(1024);
/// With less no compiler starts.
const MEMORY_MIN: ByteSize = ByteSize::mebibytes(32);
const PIDS_MIN: u32 = 16;

/// `[build]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BuildConfig {
    /// Most memory of all builds together. Half of the machine's when absent.
    pub(crate) memory: Option<ByteSize>,
    /// Most processes and threads of all builds together. Default 4096.
    pub(crate) pids: u32,
    /// Share of the processors while others want them, 1 to 10000; a task has 100. Default 20.
    pub(crate) cpu_weight: u16,
    /// Share of the disks, likewise. Default 20.
    pub(crate) io_weight: u16,
    /// Memory that must be free before a build starts. Default `256MB`.
    pub(crate) min_free_memory: ByteSize,
    /// Room that must be free on the disks of Docker and of our own builds: a size or a share. Default `2GB`.
    pub(crate) min_free_disk: DiskFloor,
    /// What Docker's cache of builds is trimmed to. Default `10GB`.
    pub(crate) cache: ByteSize,
    /// Proxy for plain HTTP that steps of builds are told of.
    pub(crate) http_proxy: Option<String>,
    /// The same for HTTPS.
    pub(crate) https_proxy: Option<String>,
    /// Hosts that they ask without it.
    pub(crate) no_proxy: Option<String>,
    /// Certificates of authorities, in PEM, that steps of builds may mount.
    pub(crate) ca: Option<PathBuf>,
}

impl Default for BuildConfig {
    fn default() -> Self {
        Self {
            memory: None,
            pids: 4096,
            cpu_weight: 20,
            io_weight: 20,
            min_free_memory: ByteSize::mebibytes(256),
            min_free_disk: DiskFloor::Bytes(ByteSize::mebibytes(2048)),
            cache: ByteSize::mebibytes(10 * 1024),
            http_proxy: None,
            https_proxy: None,
            no_proxy: None,
            ca: None,
        }
    }
}

impl BuildConfig {
    /// Says what cannot be meant.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let memory = self.memory.unwrap_or(MEMORY);
        ensure!(
            memory >= MEMORY_MIN,
            "build.memory is {memory}, and no build fits into less than {MEMORY_MIN}"
        );
        ensure!(
            self.pids >= PIDS_MIN,
            "build.pids is {}, and no build gets along with less than {PIDS_MIN}",
            self.pids
        );
        for (key, weight) in [("cpu_weight", self.cpu_weight), ("io_weight", self.io_weight)] {
            ensure!((1..=10_000).contains(&weight), "build.{key} is {weight}, which is not from 1 to 10000");
        }
        for (key, value) in self.proxies() {
            let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic());
            ensure!(
                is_plain && !value.is_empty(),
                "build.{key} is empty or holds more than visible ASCII characters"
            );
        }
        Ok(())
    }

    /// What all builds may use together.
    pub(crate) fn limits(&self) -> Limits {
        let half = || machine_memory().map(|all| ByteSize::mebibytes(all.as_bytes() >> 21));
        Limits {
            memory: self.memory.or_else(half).unwrap_or(MEMORY).max(MEMORY_MIN),
            pids: self.pids,
            cpu_weight: self.cpu_weight,
            io_weight: self.io_weight,
        }
    }

    /// What must be free before a build starts.
    pub(crate) fn floors(&self) -> Floors {
        Floors { memory: self.min_free_memory, disk: self.min_free_disk }
    }

    /// Build arguments of every build. Docker knows these names in either case, and keeps them out of images.
    pub(crate) fn args(&self) -> BTreeMap<String, String> {
        let pairs = self.proxies().flat_map(|(key, value)| {
            [(key.to_ascii_uppercase(), value.to_owned()), (key.to_owned(), value.to_owned())]
        });
        pairs.collect()
    }

    /// The certificates that steps of builds may mount.
    ///
    /// # Errors
    /// The file cannot be read, is too large for BuildKit, or is not what it should be.
    pub(crate) fn ca(&self) -> anyhow::Result<Option<Secret>> {
        let Some(path) = &self.ca else { return Ok(None) };
        let name = path.display();
        let bytes = std::fs::read(path).with_context(|| format!("read build.ca, the file {name}"))?;
        let has = |words: &[u8]| bytes.windows(words.len()).any(|part| part == words);
        ensure!(bytes.len() <= CA_MAX, "build.ca: {name} has more than {CA_MAX} bytes");
        ensure!(has(b"-----BEGIN CERTIFICATE-----"), "build.ca: {name} holds no certificate in PEM");
        ensure!(
            !has(b"PRIVATE KEY-----"),
            "build.ca: {name} holds a private key, which every build could read"
        );
        Ok(Some(Secret::new(bytes)))
    }

    fn proxies(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("http_proxy", &self.http_proxy),
            ("https_proxy", &self.https_proxy),
            ("no_proxy", &self.no_proxy),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> BuildConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_defaults_are_usable() {
        let config = read("");
        config.check().unwrap();
        let limits = config.limits();
        assert!(limits.memory >= MEMORY_MIN && Some(limits.memory) < machine_memory());
        assert_eq!((limits.pids, limits.cpu_weight, limits.io_weight), (4096, 20, 20));
        assert!(config.args().is_empty());
    }

    #[test]
    fn people_write_sizes_shares_and_proxies() {
        let config = read(
            "memory = \"2GB\"\nmin_free_disk = \"5%\"\nhttp_proxy = \"http://proxy:3128\"\nno_proxy = \"a.org\"\n",
        );
        config.check().unwrap();
        assert_eq!(config.limits().memory, ByteSize::mebibytes(2048));
        assert_eq!(config.floors().disk, DiskFloor::Percent(5));
        let keys: Vec<String> = config.args().into_keys().collect();
        assert_eq!(keys, ["HTTP_PROXY", "NO_PROXY", "http_proxy", "no_proxy"]);
    }

    #[test]
    fn certificates_are_certificates_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let config = BuildConfig { ca: Some(path.clone()), ..BuildConfig::default() };
        let says = |text: &str| {
            std::fs::write(&path, text).unwrap();
            config.ca().map(|found| found.map(|ca| ca.expose().len())).map_err(|error| error.to_string())
        };
        let certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert_eq!(says(certificate), Ok(Some(certificate.len())));
        let key = format!("{certificate}-----BEGIN EC PRIVATE KEY-----\n");
        assert!(says(&key).unwrap_err().contains("holds a private key"));
        assert!(says("").unwrap_err().contains("holds no certificate"));
        assert!(says(&certificate.repeat(20_000)).unwrap_err().contains("more than"));
        std::fs::remove_file(&path).unwrap();
        assert!(config.ca().unwrap_err().to_string().contains("read build.ca"));
        assert!(BuildConfig::default().ca().unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, says) in [
            ("memory = \"1MB\"", "build.memory"),
            ("pids = 1", "build.pids"),
            ("cpu_weight = 0", "build.cpu_weight"),
            ("io_weight = 20000", "build.io_weight"),
            ("http_proxy = \"two words\"", "build.http_proxy"),
        ] {
            let error = read(text).check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(toml::from_str::<BuildConfig>("memmory = \"2GB\"").is_err());
    }
}
