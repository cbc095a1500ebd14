//! Private keys: P-256, the kind that costs least at a handshake, as PKCS#8 in DER. Sealing them is done in the store.
//! Tests at the end of the file.

use havre_core::secret::Secret;
use rcgen::KeyPair;

use crate::MakeError;

/// A new P-256 key (PKCS#8, DER), for an account or a certificate. Never use one for both.
///
/// # Errors
/// When the system has no randomness.
pub fn make_key() -> Result<Secret, MakeError> {
    let pair = KeyPair::generate().map_err(|error| MakeError::new("a key", error))?;
    Ok(Secret::new(pair.serialize_der()))
}

/// The pair behind the bytes of a key.
pub(crate) fn pair(key: &Secret) -> Result<KeyPair, rcgen::Error> {
    KeyPair::try_from(key.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_another() {
        let (one, two) = (make_key().unwrap(), make_key().unwrap());
        assert_ne!(one.expose(), two.expose());
        assert!(pair(&one).unwrap().is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256));
    }
}
