//! Takes PEM apart into certificates and keys. Tests: `tests.rs`.

use havre_core::secret::Secret;
use x509_parser::pem::Pem;

use super::InspectError;

/// Larger than any chain: ten certificates of 4096-bit RSA are 20 KB.
const SIZE_MAX: usize = 256 * 1024;
/// Blocks that are looked at.
const BLOCKS_MAX: usize = 32;

/// Kinds of blocks with a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Pkcs8,
    Sec1,
    Pkcs1,
}

pub(super) struct Blocks {
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) keys: Vec<(Label, Secret)>,
}

impl Blocks {
    pub(super) fn read(text: &[u8]) -> Result<Self, InspectError> {
        if text.len() > SIZE_MAX {
            return Err(InspectError::TooLarge { limit: SIZE_MAX });
        }
        let not_pem = |message: String| InspectError::NotPem { message };
        let mut blocks = Self { certificates: Vec::new(), keys: Vec::new() };
        let mut found = 0;
        for block in Pem::iter_from_buffer(text) {
            let block = block.map_err(|error| not_pem(error.to_string()))?;
            found += 1;
            if found > BLOCKS_MAX {
                return Err(not_pem(format!("more than {BLOCKS_MAX} blocks")));
            }
            match block.label.as_str() {
                "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                    blocks.certificates.push(block.contents)
                }
                "PRIVATE KEY" => blocks.keys.push((Label::Pkcs8, Secret::new(block.contents))),
                "EC PRIVATE KEY" => blocks.keys.push((Label::Sec1, Secret::new(block.contents))),
                "RSA PRIVATE KEY" => blocks.keys.push((Label::Pkcs1, Secret::new(block.contents))),
                "ENCRYPTED PRIVATE KEY" => return Err(InspectError::EncryptedKey),
                // Parameters of curves, requests and the like come along in some people's files.
                _ => {}
            }
        }
        if found == 0 {
            return Err(not_pem("nothing in it begins with `-----BEGIN`".to_owned()));
        }
        Ok(blocks)
    }
}
