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

/// The label of the key's block in a PEM file; programs that do not know it pass over it.
const ADVERT_KEY: &str = "TANDEM ADVERT KEY";
/// What each block begins with.
const BEGIN: &str = "-----BEGIN ";

/// The key that the members' VRRP advertisements are signed by: 32 bytes that all members share, in a block of the file
/// with a member's certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct AdvertKey([u8; 32]);

impl fmt::Debug for AdvertKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdvertKey(secret)")
    }
}

impl AdvertKey {
    /// Makes one by chance.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn make() -> Result<Self, IdentityError> {
        let mut bytes = [0; 32];
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let filled = provider.secure_random.fill(&mut bytes);
        filled.map_err(|_| IdentityError::Unfit("the system has no random bytes".to_owned()))?;
        Ok(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Its block: hexadecimal digits between the usual lines.
    #[must_use]
    pub fn block(&self) -> String {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{BEGIN}{ADVERT_KEY}-----\n{digits}\n-----END {ADVERT_KEY}-----\n")
    }

    /// The key of a file; `None`: it has none, as those of before there was one.
    ///
    /// # Errors
    /// Its block is damaged, or there are two.
    pub fn read(text: &str) -> Result<Option<Self>, IdentityError> {
        let damaged = || IdentityError::Unfit("its advert key is damaged".to_owned());
        let blocks: Vec<&str> = parts(text).into_iter().filter(|part| is_advert_key(part)).collect();
        let block = match blocks.as_slice() {
            [] => return Ok(None),
            [block] => block,
            _ => return Err(IdentityError::Unfit("it has two advert keys".to_owned())),
        };
        let end = format!("-----END {ADVERT_KEY}-----");
        let (digits, _) =
            block.split_once('\n').and_then(|(_, rest)| rest.split_once(&end)).ok_or_else(damaged)?;
        let digits = digits.trim().as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(damaged());
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| damaged())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| damaged())?;
        }
        Ok(Some(Self(bytes)))
    }

    /// A file's text with this key in it, in the place of another one or at the end.
    #[must_use]
    pub fn put_into(&self, text: &str) -> String {
        let before = text.find(BEGIN).map_or(text, |begin| &text[..begin]);
        let others = parts(text).into_iter().filter(|part| !is_advert_key(part));
        let mut text: String = std::iter::once(before).chain(others).collect();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text + &self.block()
    }
}

fn is_advert_key(part: &str) -> bool {
    part.strip_prefix(BEGIN).is_some_and(|rest| rest.starts_with(ADVERT_KEY))
}

/// The blocks of a PEM text, each with what follows it; what stands before the first one is left out.
fn parts(text: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        let part = &rest[begin..];
        let end = part[1..].find(BEGIN).map_or(part.len(), |next| next + 1);
        parts.push(&part[..end]);
        rest = &part[end..];
    }
    parts
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

/// Parts a bundle into a member's certificate with its key, and the key of the advertisements if there is one, and the
/// authority's certificate.
///
/// # Errors
/// It is no bundle.
pub fn open_bundle(bundle: &str) -> Result<(String, String), IdentityError> {
    let advert_key = AdvertKey::read(bundle)?;
    let parts: Vec<&str> = parts(bundle).into_iter().filter(|part| !is_advert_key(part)).collect();
    match parts.as_slice() {
        [certificate, key, authority] => {
            let own = format!("{certificate}{key}");
            let own = advert_key.map_or_else(|| own.clone(), |advert_key| advert_key.put_into(&own));
            Ok((own, (*authority).to_owned()))
        }
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
        assert_eq!(AdvertKey::read(&certificate).unwrap(), None, "a bundle of before there was a key");
    }

    #[test]
    fn a_bundle_carries_the_key_to_the_secret_file_alone() {
        let authority = Authority::make("prod").unwrap();
        let key = AdvertKey::make().unwrap();
        assert_ne!(key, AdvertKey::make().unwrap());
        let bundle = key.put_into(&format!("{}{}", authority.issue("lb2").unwrap(), authority.certificate));
        let (certificate, ca) = open_bundle(&bundle).unwrap();
        assert_eq!(AdvertKey::read(&certificate).unwrap(), Some(key.clone()));
        assert_eq!(ca, authority.certificate, "everybody may read that file");
        assert!(Identity::read("lb2", &certificate, &ca).is_ok());
        // Another key takes its place.
        let other = AdvertKey::make().unwrap();
        assert_eq!(AdvertKey::read(&other.put_into(&certificate)).unwrap(), Some(other));
        assert_eq!(format!("{key:?}"), "AdvertKey(secret)");
    }

    #[test]
    fn a_damaged_key_is_no_missing_key() {
        let block = AdvertKey([0xab; 32]).block();
        assert_eq!(AdvertKey::read(&block).unwrap(), Some(AdvertKey([0xab; 32])));
        assert_eq!(AdvertKey::read(&block.replace("ab\n", "ab\r\n")).unwrap(), Some(AdvertKey([0xab; 32])));
        for damaged in [
            block.replace("abab", "xyab"),
            block.replacen("ab", "", 1),
            block.replacen("ab", "a\u{e9}", 1),
            block.replace("END", "ENT"),
            block[..40].to_owned(),
            format!("{block}{block}"),
        ] {
            assert!(AdvertKey::read(&damaged).is_err(), "{damaged}");
        }
    }
}
