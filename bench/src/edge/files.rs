//! What proxies serve and show: files with their brotli form, and a certificate. Made anew for each run. Tests: none of
//! its own; a run without them fails at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use havre_core::name::CertificateName;
use havre_core::time::Timestamp;
use havre_x509::challenge::placeholder;

/// A certificate chain and its key, as PEM.
#[derive(Debug, Clone)]
pub(super) struct Pem {
    pub(super) chain: String,
    pub(super) key: String,
}

/// Makes a self-signed P-256 certificate for `names`.
///
/// # Errors
/// A name is no DNS name.
pub(super) fn certificate(names: &[String]) -> anyhow::Result<Pem> {
    let names: Vec<CertificateName> = names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("read the clock")?;
    let material = placeholder(&names, Timestamp::from_millis(i64::try_from(now.as_millis())?))?;
    let both = String::from_utf8(material.to_pem().expose().to_vec())?;
    let (chain, key) = both.split_at(material.chain.trim_end().len() + 1);
    Ok(Pem { chain: chain.to_owned(), key: key.to_owned() })
}

/// Writes the files of the site into `folder/www`, and the certificate beside it for peers that read it from disk.
///
/// # Errors
/// The disk is full, or the program `brotli` is missing.
pub(super) fn write(folder: &Path, pem: &Pem) -> anyhow::Result<PathBuf> {
    let www = folder.join("www");
    fs::create_dir(&www).context("make the folder of files")?;
    fs::write(www.join("index.html"), "<!doctype html><title>bench</title>")?;
    for (name, length) in [("1k.bin", 1024), ("100k.bin", 100 * 1024), ("10m.bin", 10 * 1024 * 1024)] {
        fs::write(www.join(name), noise(length))?;
    }
    fs::write(www.join("text.js"), text())?;
    let compressed = Command::new("brotli").args(["-q", "11", "-k", "--"]).arg(www.join("text.js")).status();
    ensure!(compressed.context("start brotli (Debian: brotli)")?.success(), "brotli failed");
    fs::write(folder.join("cert.pem"), &pem.chain)?;
    fs::write(folder.join("key.pem"), &pem.key)?;
    // HAProxy wants both in one file.
    fs::write(folder.join("both.pem"), format!("{}{}", pem.chain, pem.key))?;
    Ok(www)
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Something like a program, of which brotli leaves about 25 KB.
fn text() -> String {
    let letters = noise(46_000);
    let mut text = String::from("// made for measuring\n");
    for line in letters.chunks(8) {
        let name: String = line.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        text.push_str(&format!("export const {name} = () => render(\"{}\");\n", name.to_uppercase()));
    }
    text
}
