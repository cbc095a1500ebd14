//! Requests for a certificate (PKCS#10). Tests at the end of the file.

use havre_core::name::CertificateName;
use havre_core::secret::Secret;

use crate::{MakeError, key, params};

/// A request for `names` signed by `key`, in DER.
///
/// # Errors
/// When `key` is none we can sign with.
pub fn make_request(key: &Secret, names: &[CertificateName]) -> Result<Vec<u8>, MakeError> {
    let make = || params(names)?.serialize_request(&key::pair(key)?);
    let request = make().map_err(|error| MakeError::new("a certificate request", error))?;
    Ok(request.der().to_vec())
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::*;

    #[test]
    fn it_asks_for_the_names_and_nothing_else() {
        let names = ["example.org", "*.example.org"].map(|name| name.parse().unwrap());
        let der = make_request(&crate::key::make_key().unwrap(), &names).unwrap();
        let (rest, request) = X509CertificationRequest::from_der(&der).unwrap();
        assert!(rest.is_empty());
        request.verify_signature().expect("signed by its own key");
        assert_eq!(request.certification_request_info.subject.to_string(), "");
        let asked: Vec<String> = request
            .requested_extensions()
            .unwrap()
            .map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(san) => format!("{:?}", san.general_names),
                other => panic!("not asked for: {other:?}"),
            })
            .collect();
        assert_eq!(asked, [r#"[DNSName("example.org"), DNSName("*.example.org")]"#]);
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let error = make_request(&Secret::from("hunter2"), &["example.org".parse().unwrap()]).unwrap_err();
        assert!(error.to_string().starts_with("could not make a certificate request: "), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
}
