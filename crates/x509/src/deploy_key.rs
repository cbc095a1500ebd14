//! Deploy keys: an Ed25519 pair for fetching one repository over SSH. The private half is written as `ssh` reads it (PROTOCOL.key of OpenSSH),
//! without a passphrase: sealing it is done in the store. Tests at the end of the file.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use havre_core::secret::Secret;
use havre_core::ssh_key::{Algorithm, PublicKey};

use crate::MakeError;
use crate::material::base64;

/// What the format begins with.
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Columns of base64 on each line.
const COLUMNS: usize = 70;
/// The private part is filled up to a multiple of this.
const BLOCK: usize = 8;

/// A pair.
#[derive(Debug)]
pub struct DeployKey {
    /// The half that is given to the forge.
    pub public: PublicKey,
    /// The half that is kept, in OpenSSH's form.
    pub private: Secret,
}

/// The pair of 32 random bytes. `comment` says at the forge whose it is; it is of letters, digits and visible ASCII.
///
/// # Errors
/// When the bytes are no key, which they always are.
pub fn make(seed: &[u8; 32], comment: &str) -> Result<DeployKey, MakeError> {
    let pair =
        Ed25519KeyPair::from_seed_unchecked(seed).map_err(|error| MakeError::new("a deploy key", error))?;
    let point: &[u8] = pair.public_key().as_ref();
    let name = Algorithm::Ed25519.name();
    let mut blob = Vec::new();
    string(&mut blob, name.as_bytes());
    string(&mut blob, point);
    let line = format!("{name} {} {comment}", base64(&blob));
    let public = line.parse::<PublicKey>().map_err(|error| MakeError::new("a deploy key", error))?;
    Ok(DeployKey { private: write(seed, point, &blob, comment), public })
}

/// A string of SSH: four bytes of length, then so many (RFC 4251, 5).
fn string(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("parts of a key are short");
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(bytes);
}

fn write(seed: &[u8; 32], point: &[u8], blob: &[u8], comment: &str) -> Secret {
    // As long as it gets, so that no copy of it is left behind where it grew.
    let mut hidden = Vec::with_capacity(1024);
    // Twice the same number shows whether a passphrase was right; there is none, so any does.
    hidden.extend_from_slice(&[0; 8]);
    string(&mut hidden, Algorithm::Ed25519.name().as_bytes());
    string(&mut hidden, point);
    let both = Secret::new([seed.as_slice(), point].concat());
    string(&mut hidden, both.expose());
    string(&mut hidden, comment.as_bytes());
    let missing = (BLOCK - hidden.len() % BLOCK) % BLOCK;
    hidden.extend((1_u8..).take(missing));
    let hidden = Secret::new(hidden);
    let mut all = Vec::with_capacity(2048);
    all.extend_from_slice(MAGIC);
    for part in [b"none".as_slice(), b"none", b""] {
        string(&mut all, part);
    }
    all.extend_from_slice(&1_u32.to_be_bytes());
    string(&mut all, blob);
    string(&mut all, hidden.expose());
    let all = Secret::new(all);
    let encoded = Secret::from(base64(all.expose()));
    let mut text = Vec::with_capacity(4096);
    text.extend_from_slice(b"-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for line in encoded.expose().chunks(COLUMNS) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend_from_slice(b"-----END OPENSSH PRIVATE KEY-----\n");
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `ssh-keygen -y` and `ssh-keygen -l` have read of it is below.
    const PRIVATE: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
        b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
        QyNTUxOQAAACDqSmxj4pxSCr71UHsTLsX5lUd2rr6+e5JCHuppFEbSLAAAAJgAAAAAAAAA\n\
        AAAAAAtzc2gtZWQyNTUxOQAAACDqSmxj4pxSCr71UHsTLsX5lUd2rr6+e5JCHuppFEbSLA\n\
        AAAEAHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHB+pKbGPinFIKvvVQexMuxfmV\n\
        R3auvr57kkIe6mkURtIsAAAAE2hhdnJlLWRlcGxveS1kcm9waXQBAg==\n\
        -----END OPENSSH PRIVATE KEY-----\n";
    const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs havre-deploy-dropit";

    #[test]
    fn a_pair_is_written_as_ssh_reads_it() {
        let made = make(&[7; 32], "havre-deploy-dropit").unwrap();
        assert_eq!(made.public.to_string(), PUBLIC);
        assert_eq!(made.private.expose_text(), Some(PRIVATE));
        assert!(!format!("{made:?}").contains("PRIVATE KEY"));
    }

    #[test]
    fn each_is_filled_up_and_another() {
        let mut seen = std::collections::BTreeSet::new();
        for length in 0..9 {
            let made = make(&[length; 32], &"c".repeat(usize::from(length))).unwrap();
            let text = made.private.expose_text().unwrap();
            let encoded: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
            let bytes =
                encoded.len() / 4 * 3 - encoded.bytes().rev().take_while(|byte| *byte == b'=').count();
            // Before the private part: two words, nothing, a number, the public half, and its own length.
            let start = MAGIC.len() + 8 + 8 + 4 + 4 + (4 + 51) + 4;
            assert_eq!((bytes - start) % BLOCK, 0, "{length}");
            assert!(seen.insert(made.public.to_string()));
        }
    }
}
