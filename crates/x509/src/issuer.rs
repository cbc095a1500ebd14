//! An issuer in memory for fakes and tests: a root, an intermediate, and certificates for whatever it is asked for. Nobody
//! trusts it, and nothing that ships to a user does either. Tests: wherever it is used.

use havre_core::name::CertificateName;
use havre_core::secret::Secret;
use havre_core::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};

use crate::material::Material;
use crate::{MakeError, key, params};

/// A root and an intermediate below it.
pub struct PretendIssuer {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for PretendIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PretendIssuer").finish_non_exhaustive()
    }
}

impl PretendIssuer {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(name: &str) -> Result<Self, MakeError> {
        let make = || {
            let root =
                CertifiedIssuer::self_signed(authority(&format!("{name} root")), KeyPair::generate()?)?;
            let below = authority(&format!("{name} intermediate"));
            let intermediate = CertifiedIssuer::signed_by(below, KeyPair::generate()?, &root)?;
            Ok(Self { root, intermediate })
        };
        make().map_err(|error: rcgen::Error| MakeError::new("a pretended issuer", error))
    }

    /// The root in PEM, for those who are to trust it.
    pub fn root(&self) -> String {
        self.root.pem()
    }

    /// The intermediate in PEM.
    pub fn intermediate(&self) -> String {
        self.intermediate.pem()
    }

    /// Answers a request (PKCS#10, DER) with leaf and intermediate in PEM.
    ///
    /// # Errors
    /// When the request cannot be read or its signature is wrong.
    pub fn sign(&self, request: &[u8], from: Timestamp, until: Timestamp) -> Result<String, MakeError> {
        let make = || {
            let mut request = CertificateSigningRequestParams::from_der(&request.to_vec().into())?;
            leaf(&mut request.params, from, until);
            request.signed_by(&self.intermediate)
        };
        let leaf = make().map_err(|error| MakeError::new("a certificate from the request", error))?;
        Ok(leaf.pem() + &self.intermediate.pem())
    }

    /// A certificate with a key of its own.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn issue(
        &self,
        names: &[CertificateName],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Material, MakeError> {
        self.issue_for(&key::make_key()?, names, from, until)
    }

    /// A certificate for a key that is there already.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn issue_for(
        &self,
        key: &Secret,
        names: &[CertificateName],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Material, MakeError> {
        let make = || {
            let mut params = params(names)?;
            leaf(&mut params, from, until);
            params.signed_by(&key::pair(key)?, &self.intermediate)
        };
        let leaf = make().map_err(|error| MakeError::new("a certificate", error))?;
        Ok(Material { chain: leaf.pem() + &self.intermediate.pem(), key: key.clone() })
    }
}

pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    params.not_before = instant(from.as_millis());
    params.not_after = instant(until.as_millis());
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
}

/// A certificate's instant: whole seconds, within the years a certificate can name.
pub(crate) fn instant(millis: i64) -> time::OffsetDateTime {
    let seconds = millis.div_euclid(1000).clamp(-2_208_988_800, 253_402_300_799);
    time::OffsetDateTime::from_unix_timestamp(seconds).expect("between 1900 and 9999")
}
