//! TLS towards clients: certificates from files, one of them chosen by the name the client asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proxy_config::model::{Bind, Config, TlsVersion};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureAlgorithm};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::files::read_regular;

/// Files in a folder of certificates that are no certificates (manual chapter 5.1, `crt`).
const BESIDE: [&str; 4] = ["issuer", "ocsp", "sctl", "key"];
/// Most certificates of one bind.
const MAX_CERTIFICATES: usize = 10_000;
/// Largest certificate file.
const MAX_FILE: u64 = 1_024 * 1_024;

/// What speaks TLS, by the place of its bind; `None` where clients speak in the clear.
#[derive(Clone, Default)]
pub struct TlsBinds(pub(crate) Vec<Option<Arc<TlsBind>>>);

/// How one bind speaks TLS.
pub(crate) struct TlsBind {
    config: Arc<ServerConfig>,
    /// For clients that offer no protocol of the list: they go on without one, as the original has it, where RFC 7301
    /// would end the handshake.
    without_protocols: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl TlsBind {
    /// What a client is answered with; `None`: there is no certificate for the name it asks for.
    pub(crate) fn settings(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        self.certificates.choose(hello)?;
        let list = &self.config.alpn_protocols;
        let offers = hello.alpn().map(|mut offered| offered.any(|one| list.iter().any(|p| p == one)));
        Some(Arc::clone(if offers == Some(false) { &self.without_protocols } else { &self.config }))
    }
}

/// Reads every certificate a configuration names.
///
/// # Errors
/// Each bind whose certificates cannot be used, by its place, and why.
pub fn load_tls(config: &Config) -> Result<TlsBinds, Vec<(usize, String)>> {
    let mut problems = Vec::new();
    let mut binds = Vec::new();
    for (place, bind) in config.binds.iter().enumerate() {
        match tls_bind(bind) {
            Ok(bind) => binds.push(bind.map(Arc::new)),
            Err(why) => problems.push((place, why)),
        }
    }
    if problems.is_empty() { Ok(TlsBinds(binds)) } else { Err(problems) }
}

fn tls_bind(bind: &Bind) -> Result<Option<TlsBind>, String> {
    let Some(tls) = &bind.tls else { return Ok(None) };
    let provider = Arc::new(default_provider());
    let mut certificates = Certificates { strict: tls.strict_sni, ..Certificates::default() };
    for (name, _) in &tls.certificates {
        for path in files(Path::new(name))? {
            certificates.add(certificate(&path, &provider)?);
            if certificates.count > MAX_CERTIFICATES {
                return Err(format!("more than {MAX_CERTIFICATES} certificates"));
            }
        }
    }
    if certificates.default.is_none() {
        return Err("there is no certificate in what 'crt' names".to_owned());
    }
    let certificates = Arc::new(certificates);
    let wanted = |version: TlsVersion| {
        tls.oldest.is_none_or(|oldest| version >= oldest) && tls.newest.is_none_or(|newest| version <= newest)
    };
    let versions: Vec<_> =
        [(TlsVersion::V1_3, &rustls::version::TLS13), (TlsVersion::V1_2, &rustls::version::TLS12)]
            .into_iter()
            .filter(|(version, _)| wanted(*version))
            .map(|(_, protocol)| protocol)
            .collect();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|e| format!("no version of TLS is left: {e}"))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&certificates) as _);
    let without_protocols = Arc::new(config.clone());
    config.alpn_protocols = tls.alpn.iter().map(|p| p.clone().into_bytes()).collect();
    Ok(Some(TlsBind { config: Arc::new(config), without_protocols, certificates }))
}

/// The files behind a name: itself, or those of a folder by name.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        // One name for certificates of several kinds of keys (manual chapter 5.1, `crt`).
        let kind = |kind: &str| PathBuf::from(format!("{}.{kind}", path.display()));
        let kinds: Vec<PathBuf> =
            ["ecdsa", "rsa"].into_iter().map(kind).filter(|file| file.exists()).collect();
        let is_bundle = !path.exists() && !kinds.is_empty();
        return Ok(if is_bundle { kinds } else { vec![path.to_path_buf()] });
    }
    let say = |e: std::io::Error| format!("cannot read the folder '{}' : {e}", path.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(say)? {
        let file = entry.map_err(say)?.path();
        let beside = file.extension().is_some_and(|e| BESIDE.iter().any(|name| e == *name));
        let hidden = file.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if file.is_file() && !beside && !hidden {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn certificate(path: &Path, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, String> {
    let say = |why: &str| format!("unable to use the certificate in '{}' : {why}", path.display());
    let read = |path: &Path| read_regular(path, MAX_FILE);
    let text = read(path).map_err(|why| say(&why))?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|e| say(&e.to_string()))?;
    if chain.is_empty() {
        return Err(say("there is no certificate in it"));
    }
    let key = match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => key,
        Err(_) if contains(&text, b"ENCRYPTED PRIVATE KEY") => {
            return Err(say("its key is encrypted, and there is nobody to ask for the password"));
        }
        Err(_) => {
            let mut beside = path.as_os_str().to_owned();
            beside.push(".key");
            let text = read(Path::new(&beside)).map_err(|_| say("there is no private key in it"))?;
            PrivateKeyDer::from_pem_slice(&text).map_err(|_| say("there is no private key beside it"))?
        }
    };
    CertifiedKey::from_der(chain, key, provider).map(Arc::new).map_err(|e| say(&e.to_string()))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Certificates by the names they are for: of each kind of key the first file that has a name keeps it.
#[derive(Debug, Default)]
struct Certificates {
    exact: BTreeMap<String, Vec<Arc<CertifiedKey>>>,
    /// Under what follows the star and its dot.
    wildcard: BTreeMap<String, Vec<Arc<CertifiedKey>>>,
    default: Option<Arc<CertifiedKey>>,
    strict: bool,
    count: usize,
}

impl Certificates {
    fn add(&mut self, certified: Arc<CertifiedKey>) {
        self.count += 1;
        for name in names(&certified) {
            let (names, name) = match name.strip_prefix("*.") {
                Some(suffix) => (&mut self.wildcard, suffix.to_owned()),
                None => (&mut self.exact, name),
            };
            let kinds = names.entry(name).or_default();
            if kinds.iter().all(|known| known.key.algorithm() != certified.key.algorithm()) {
                kinds.push(Arc::clone(&certified));
            }
        }
        self.default.get_or_insert(certified);
    }

    fn choose(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| {
            let name = name.to_ascii_lowercase();
            let suffix = name.split_once('.').map(|(_, suffix)| suffix);
            self.exact.get(&name).or_else(|| self.wildcard.get(suffix?))
        });
        let Some(kinds) = named else { return self.default.clone().filter(|_| !self.strict) };
        let fits = |certified: &&Arc<CertifiedKey>| {
            certified.key.choose_scheme(hello.signature_schemes()).is_some()
                && (certified.key.algorithm() != SignatureAlgorithm::ECDSA || takes_ecdsa(hello))
        };
        let is_ecdsa =
            |certified: &&&Arc<CertifiedKey>| certified.key.algorithm() == SignatureAlgorithm::ECDSA;
        let fitting = || kinds.iter().filter(fits);
        fitting().find(|one| is_ecdsa(&one)).or_else(|| fitting().next()).or(kinds.first()).cloned()
    }
}

/// The names of a certificate: those of its extension, and the common name of its subject.
fn names(certified: &CertifiedKey) -> BTreeSet<String> {
    let Some(der) = certified.cert.first() else { return BTreeSet::new() };
    let leaf = webpki::EndEntityCert::try_from(der).ok();
    let mut names: BTreeSet<String> =
        leaf.iter().flat_map(|leaf| leaf.valid_dns_names()).map(str::to_ascii_lowercase).collect();
    if let Ok((_, parsed)) = X509Certificate::from_der(der) {
        let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(str::to_ascii_lowercase));
    }
    names
}

/// Whether a client can be shown a certificate with an ECDSA key: by one of the cipher suites of TLS 1.3, or one for it.
fn takes_ecdsa(hello: &ClientHello<'_>) -> bool {
    hello.cipher_suites().iter().any(|suite| {
        matches!(
            suite,
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS13_AES_256_GCM_SHA384
                | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        )
    })
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(&hello)
    }
}
