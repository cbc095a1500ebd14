//! How an application that speaks TLS proves to the edge who it is, as the user said it: in rows and in the route table.
//! Certificates are looked at as PEM and as whole values of DER; what stands in them is read where they are used.
//! Tests at the end of the file and in `tests/it/manifest.rs`.

use std::str::FromStr;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde::{Deserialize, Serialize};

use crate::name::HostName;

/// Most certificates one service may trust: a company has a handful, old and new ones together.
pub const CERTIFICATES_MAX: usize = 16;
/// Longest text of them; sixteen large RSA certificates are half of it.
pub const CA_BYTES_MAX: usize = 64 * 1024;

/// TLS from the edge to the tasks of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSpec {
    /// The name the edge asks for, and the certificate must have.
    pub name: HostName,
    /// Who vouches for the certificate.
    pub trust: Trust,
}

/// Who vouches for the certificate of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Trust {
    /// It leads to one of these.
    Ca {
        /// Them.
        certificates: CaCertificates,
    },
    /// Nobody: every certificate is taken, whatever its name.
    Anyone,
}

/// Certificates in PEM: 1 to [`CERTIFICATES_MAX`], each whole, and nothing else that PEM can hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaCertificates(String);

/// Why a text is no [`CaCertificates`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// Longer than is read.
    #[error("the text has {0} bytes, more than the {CA_BYTES_MAX} allowed")]
    TooLong(usize),
    /// Not PEM.
    #[error("certificate {0} is not valid PEM, or has no end")]
    Pem(usize),
    /// A key, a request, or whatever else is written in PEM.
    #[error("there is something in PEM that is no certificate; a private key must never stand here")]
    Kind,
    /// PEM, and not one whole value of DER.
    #[error("certificate {0} is damaged: it does not end where it says")]
    Damaged(usize),
    /// None, or too many.
    #[error(
        "expected 1 to {CERTIFICATES_MAX} certificates in PEM, each from a line `-----BEGIN CERTIFICATE-----` \
         at the margin, found {0}"
    )]
    Count(usize),
}

impl CaCertificates {
    /// Each of them in DER.
    pub fn ders(&self) -> impl Iterator<Item = CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.0.as_bytes()).filter_map(Result::ok)
    }
}

impl FromStr for CaCertificates {
    type Err = CaError;

    fn from_str(text: &str) -> Result<Self, CaError> {
        if text.len() > CA_BYTES_MAX {
            return Err(CaError::TooLong(text.len()));
        }
        let mut count = 0;
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            count += 1;
            match section {
                Err(_) => return Err(CaError::Pem(count)),
                Ok((SectionKind::Certificate, der)) if is_whole(&der) => {}
                Ok((SectionKind::Certificate, _)) => return Err(CaError::Damaged(count)),
                Ok(_) => return Err(CaError::Kind),
            }
        }
        if !(1..=CERTIFICATES_MAX).contains(&count) {
            return Err(CaError::Count(count));
        }
        Ok(Self(text.to_owned()))
    }
}

/// One SEQUENCE of DER and nothing behind it (X.690, 8.1.3).
fn is_whole(der: &[u8]) -> bool {
    match der {
        [0x30, length @ 0..=0x7f, rest @ ..] => rest.len() == usize::from(*length),
        [0x30, 0x81, length, rest @ ..] => rest.len() == usize::from(*length),
        [0x30, 0x82, high, low, rest @ ..] => rest.len() == usize::from(u16::from_be_bytes([*high, *low])),
        _ => false,
    }
}

impl TryFrom<String> for CaCertificates {
    type Error = CaError;

    fn try_from(text: String) -> Result<Self, CaError> {
        text.parse()
    }
}

impl From<CaCertificates> for String {
    fn from(certificates: CaCertificates) -> Self {
        certificates.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SEQUENCE { INTEGER 1 }`, which is as much of a certificate as is looked at here.
    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";

    #[test]
    fn only_whole_certificates_and_not_too_many() {
        let rows = [
            (ONE.to_owned(), Ok(1)),
            (format!("of the company:\n{ONE}\n{ONE}"), Ok(2)),
            (ONE.repeat(16), Ok(16)),
            (ONE.repeat(17), Err(CaError::Count(17))),
            (String::new(), Err(CaError::Count(0))),
            ("MAMCAQE=".to_owned(), Err(CaError::Count(0))),
            (ONE.to_owned() + &ONE.replace("MAMCAQE=", "MAMC*QE="), Err(CaError::Pem(2))),
            (ONE.replace("-----END CERTIFICATE-----", ""), Err(CaError::Pem(1))),
            (ONE.replace("MAMCAQE=", "MAUCAQE="), Err(CaError::Damaged(1))),
            (ONE.replace("CERTIFICATE", "PRIVATE KEY"), Err(CaError::Kind)),
            ("#".repeat(CA_BYTES_MAX + 1), Err(CaError::TooLong(CA_BYTES_MAX + 1))),
        ];
        for (text, expected) in rows {
            let found = text.parse::<CaCertificates>().map(|parsed| parsed.ders().count());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn json_is_checked_too() {
        let spec = TlsSpec {
            name: "app.internal".parse().unwrap(),
            trust: Trust::Ca { certificates: ONE.parse().unwrap() },
        };
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<TlsSpec>(&text).unwrap(), spec);
        assert!(serde_json::from_str::<TlsSpec>(&text.replace("MAMCAQE=", "MAMC")).is_err());
        let anyone = r#"{"name":"app","trust":{"kind":"anyone"}}"#;
        assert_eq!(serde_json::from_str::<TlsSpec>(anyone).unwrap().trust, Trust::Anyone);
    }
}
