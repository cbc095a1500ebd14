//! Public keys as `ssh-keygen` writes them: one line of algorithm, base64 and comment. Closed: what the bytes hold is read as well, so
//! that nothing of a key reaches sshd that is not one. Does not check signatures; sshd does. Tests: `public_tests.rs`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::text::text_json;

/// Longest text of a key, in bytes; one of RSA with 16384 bits has 2,800.
pub const TEXT_MAX: usize = 8 * 1024;
/// Longest comment, in characters.
pub const COMMENT_MAX: usize = 100;
/// Bits an RSA key has at least; NIST and BSI advise them from now on.
const RSA_BITS_MIN: usize = 3072;
/// Bits an RSA key has at most: OpenSSH takes no longer ones.
const RSA_BITS_MAX: usize = 16_384;
/// Longest exponent of an RSA key, in bytes. Those in use have three.
const EXPONENT_MAX: usize = 8;
/// Longest name of what a security key is used for, in bytes.
const APPLICATION_MAX: usize = 255;

/// Text that is no public key we take. Never says the text itself: people paste private keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// There is none.
    #[error("there is no public key: give the line in the file that ends with .pub")]
    Empty,
    /// The other half.
    #[error(
        "this is a private key, which must never leave your machine; give the file beside it that ends with .pub. If anybody else \
         could read it on its way here, make a new one"
    )]
    Private,
    /// More than one.
    #[error("one public key at a time, in one line")]
    Several,
    /// It has a line of `authorized_keys` around it.
    #[error(
        "a public key stands alone, without options before it: leave out what comes before the algorithm"
    )]
    Options,
    /// It is signed by somebody.
    #[error(
        "certificates are not taken, because nothing here knows who signed them: give the plain public key"
    )]
    Certificate,
    /// An algorithm that is broken.
    #[error(
        "DSA keys are too weak and OpenSSH takes them no longer: make another one (`ssh-keygen -t ed25519`)"
    )]
    Dsa,
    /// RSA of another size.
    #[error(
        "an RSA key has 3072 to 16384 bits here, this one has {bits}: make another one (`ssh-keygen -t ed25519`)"
    )]
    RsaBits {
        /// How many it has.
        bits: usize,
    },
    /// An algorithm we do not know.
    #[error(
        "keys of `{name}` are not taken: take ssh-ed25519, ecdsa-sha2-nistp256, -384 or -521, ssh-rsa, or a security key \
         (`ssh-keygen -t ed25519` makes a good one)"
    )]
    Algorithm {
        /// Its name, escaped and cut.
        name: String,
    },
    /// Anything else.
    #[error("this is not a public key as `ssh-keygen` writes one: {reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
}

fn malformed(reason: &'static str) -> PublicKeyError {
    PublicKeyError::Malformed { reason }
}

/// Kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 (RFC 8709).
    Ed25519,
    /// ECDSA on the curve P-256 (RFC 5656).
    EcdsaP256,
    /// ECDSA on the curve P-384.
    EcdsaP384,
    /// ECDSA on the curve P-521.
    EcdsaP521,
    /// RSA (RFC 4253, 6.6).
    Rsa,
    /// Ed25519 in a security key (PROTOCOL.u2f of OpenSSH).
    SkEd25519,
    /// ECDSA on the curve P-256 in a security key.
    SkEcdsaP256,
}

impl Algorithm {
    const ALL: [Self; 7] = [
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Rsa,
        Self::SkEd25519,
        Self::SkEcdsaP256,
    ];

    /// Its name on the wire and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521",
            Self::Rsa => "ssh-rsa",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// A public key, and what its owner calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    blob: Vec<u8>,
    encoded: String,
    comment: String,
}

impl PublicKey {
    /// Its kind.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its bytes, whose SHA-256 is the fingerprint.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// What its owner calls it, such as `ada@laptop`; letters, digits and visible ASCII only. May be empty.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Algorithm and base64, as sshd reads it.
    pub fn plain(&self) -> String {
        format!("{} {}", self.algorithm.name(), self.encoded)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm.name(), self.encoded)?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " {}", self.comment) }
    }
}

text_json! { PublicKey }

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let text = text.trim();
        if text.contains("PRIVATE KEY") {
            return Err(PublicKeyError::Private);
        }
        if text.len() > TEXT_MAX {
            return Err(malformed("it is longer than any key"));
        }
        if text.starts_with("----") {
            return Err(malformed("it is in another form; `ssh-keygen -i -f FILE` writes it in one line"));
        }
        if text.contains('\n') {
            return Err(PublicKeyError::Several);
        }
        let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
        let name = words.next().ok_or(PublicKeyError::Empty)?;
        let algorithm = Algorithm::parse(name).ok_or_else(|| refuse(name, text))?;
        let encoded = words.next().ok_or_else(|| malformed("nothing follows the algorithm"))?;
        // Strict: one text for one value.
        let blob = STANDARD.decode(encoded);
        let blob = blob.map_err(|_| malformed("what follows the algorithm is not base64"))?;
        check(algorithm, &blob)?;
        let comment = harmless(words);
        Ok(Self { algorithm, blob, encoded: encoded.to_owned(), comment })
    }
}

/// Why a line that begins with this word is refused.
fn refuse(name: &str, text: &str) -> PublicKeyError {
    if name == "ssh-dss" {
        return PublicKeyError::Dsa;
    }
    if name.ends_with("-cert-v01@openssh.com") {
        return PublicKeyError::Certificate;
    }
    if text.split([' ', '\t']).skip(1).any(|word| Algorithm::parse(word).is_some()) {
        return PublicKeyError::Options;
    }
    PublicKeyError::Algorithm { name: name.chars().take(48).flat_map(char::escape_debug).collect() }
}

/// The comment without anything that could mean something to a terminal, a shell or a file of keys.
fn harmless<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let clean = |word: &str| -> String {
        word.chars().filter(|c| c.is_alphanumeric() || c.is_ascii_graphic()).collect()
    };
    let words: Vec<String> = words.map(clean).filter(|word| !word.is_empty()).collect();
    let comment: String = words.join(" ").chars().take(COMMENT_MAX).collect();
    comment.trim_end().to_owned()
}

/// What is left of the bytes of a key.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    /// The next string: four bytes of length, then so many (RFC 4251, 5).
    fn next(&mut self) -> Result<&'a [u8], PublicKeyError> {
        let cut_off = || malformed("its bytes are cut off");
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or_else(cut_off)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| cut_off())?;
        let (part, rest) = rest.split_at_checked(length).ok_or_else(cut_off)?;
        self.0 = rest;
        Ok(part)
    }
}

/// Whether the bytes are a key of this kind and nothing else.
fn check(algorithm: Algorithm, blob: &[u8]) -> Result<(), PublicKeyError> {
    let mut parts = Parts(blob);
    if parts.next()? != algorithm.name().as_bytes() {
        return Err(malformed("its bytes are of another algorithm than its line says"));
    }
    match algorithm {
        Algorithm::Ed25519 => check_ed25519(&mut parts)?,
        Algorithm::EcdsaP256 => check_point(&mut parts, b"nistp256", 65)?,
        Algorithm::EcdsaP384 => check_point(&mut parts, b"nistp384", 97)?,
        Algorithm::EcdsaP521 => check_point(&mut parts, b"nistp521", 133)?,
        Algorithm::Rsa => check_rsa(&mut parts)?,
        Algorithm::SkEd25519 => {
            check_ed25519(&mut parts)?;
            check_application(&mut parts)?;
        }
        Algorithm::SkEcdsaP256 => {
            check_point(&mut parts, b"nistp256", 65)?;
            check_application(&mut parts)?;
        }
    }
    if parts.0.is_empty() { Ok(()) } else { Err(malformed("more bytes follow the key")) }
}

fn check_ed25519(parts: &mut Parts<'_>) -> Result<(), PublicKeyError> {
    if parts.next()?.len() == 32 { Ok(()) } else { Err(malformed("an Ed25519 key has 32 bytes")) }
}

/// Name of a curve and a whole point on it. That it lies on the curve is seen by whoever computes with it.
fn check_point(parts: &mut Parts<'_>, curve: &[u8], length: usize) -> Result<(), PublicKeyError> {
    if parts.next()? != curve {
        return Err(malformed("its curve is another one than its algorithm says"));
    }
    let point = parts.next()?;
    if point.len() == length && point.first() == Some(&4) {
        return Ok(());
    }
    Err(malformed("it holds no point of its curve"))
}

fn check_rsa(parts: &mut Parts<'_>) -> Result<(), PublicKeyError> {
    let exponent = positive(parts.next()?)?;
    let is_odd = exponent.last().is_some_and(|byte| byte % 2 == 1);
    if !is_odd || exponent == [1] || exponent.len() > EXPONENT_MAX {
        return Err(malformed("its exponent is none of RSA"));
    }
    let modulus = positive(parts.next()?)?;
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - unused;
    if (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) { Ok(()) } else { Err(PublicKeyError::RsaBits { bits }) }
}

/// A number above zero in its one form (`mpint` of RFC 4251, 5), without the zero byte of its sign.
fn positive(bytes: &[u8]) -> Result<&[u8], PublicKeyError> {
    let number = match bytes {
        [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 128) => rest,
        [1..=127, ..] => bytes,
        _ => return Err(malformed("one of its numbers is not written as SSH writes them")),
    };
    Ok(number)
}

/// What a security key is used for, `ssh:` where nobody chose.
fn check_application(parts: &mut Parts<'_>) -> Result<(), PublicKeyError> {
    let application = parts.next()?;
    let is_plain = application.iter().all(u8::is_ascii_graphic);
    if is_plain && (1..=APPLICATION_MAX).contains(&application.len()) {
        return Ok(());
    }
    Err(malformed("what its security key is used for is no plain text"))
}

#[cfg(test)]
#[path = "public_tests.rs"]
mod tests;
