//! The cluster's small certificate authority, and this node's certificate from it. Made once by `tandem
//! cluster init`, carried to the other members as one file each.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// Who this node is, for the other members.
pub struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

/// Why a certificate cannot be used or made.
#[derive(Debug)]
pub enum IdentityError {
    /// What was expected is not there.
    Missing(&'static str),
    /// The certificate is for another member.
    NotFor(String),
    /// It does not fit its key, its authority, or the library.
    Unfit(String),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "there is no {what} in it"),
            Self::NotFor(member) => write!(f, "the certificate is not that of member '{member}'"),
            Self::Unfit(why) => write!(f, "it cannot be used: {why}"),
        }
    }
}

impl std::error::Error for IdentityError {}

impl From<rcgen::Error> for IdentityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Unfit(error.to_string())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(secret)")
    }
}

impl Identity {
    /// Reads a member's certificate with its key, and the authority's certificate, both PEM.
    ///
    /// # Errors
    /// Something is missing, or it is another member's.
    pub fn read(member: &str, certificate: &str, authority: &str) -> Result<Self, IdentityError> {
        let chain = certificates(certificate);
        let key = PrivateKeyDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| IdentityError::Missing("private key"))?;
        let authorities = certificates(authority);
        let Some(first) = chain.first() else { return Err(IdentityError::Missing("certificate")) };
        if authorities.is_empty() {
            return Err(IdentityError::Missing("authority's certificate"));
        }
        let unfit = |e: webpki::Error| IdentityError::Unfit(e.to_string());
        let leaf = webpki::EndEntityCert::try_from(first).map_err(unfit)?;
        let fits = ServerName::try_from(member)
            .is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok());
        if !fits {
            return Err(IdentityError::NotFor(member.to_owned()));
        }
        let identity = Self { chain, key, authorities };
        crate::tls::Tls::new(&identity)?;
        Ok(identity)
    }
}

fn certificates(text: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(text.as_bytes()).filter_map(Result::ok).collect()
}

/// A certificate authority and its key, both PEM.
pub struct Authority {
    /// Its certificate: every member has it.
    pub certificate: String,
    /// Its key: stays where the cluster was made.
    pub key: String,
}

impl Authority {
    /// Makes one for a cluster.
    ///
    /// # Errors
    /// The library refuses.
    pub fn make(cluster: &str) -> Result<Self, IdentityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, format!("tandem cluster {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Makes a member's certificate and key, in one PEM text.
    ///
    /// # Errors
    /// The authority's own PEM is damaged.
    pub fn issue(&self, member: &str) -> Result<String, IdentityError> {
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key)?)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![member.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, member);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
    }
}

/// Parts a bundle into a member's certificate with key and the authority's certificate.
///
/// # Errors
/// It is no bundle.
pub fn open_bundle(bundle: &str) -> Result<(String, String), IdentityError> {
    let mut parts: Vec<&str> = Vec::new();
    let mut rest = bundle;
    while let Some(begin) = rest.find("-----BEGIN ") {
        let part = &rest[begin..];
        let end = part[1..].find("-----BEGIN ").map_or(part.len(), |next| next + 1);
        parts.push(&part[..end]);
        rest = &part[end..];
    }
    match parts.as_slice() {
        [certificate, key, authority] => Ok((format!("{certificate}{key}"), (*authority).to_owned())),
        _ => Err(IdentityError::Missing("certificate, key and authority, in this order,")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_carries_everything_a_member_needs_and_no_other_can_use_it() {
        let authority = Authority::make("prod").unwrap();
        let issued = authority.issue("lb2").unwrap();
        let bundle = format!("{issued}{}", authority.certificate);
        let (certificate, ca) = open_bundle(&bundle).unwrap();
        assert!(Identity::read("lb2", &certificate, &ca).is_ok());
        assert!(matches!(Identity::read("lb1", &certificate, &ca), Err(IdentityError::NotFor(_))));
        assert!(matches!(Identity::read("lb2", &ca, &ca), Err(IdentityError::Missing("private key"))));
        assert!(open_bundle(&issued).is_err() && open_bundle("").is_err());
    }
}
