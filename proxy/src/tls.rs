//! TLS towards clients: certificates from files, one of them chosen by the name the client asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proxy_config::model::{Bind, Config, TlsVersion};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::files::read_regular;

/// Files in a folder of certificates that are no certificates (manual chapter 5.1, `crt`).
const BESIDE: [&str; 4] = ["issuer", "ocsp", "sctl", "key"];
/// Most certificates of one bind.
const MAX_CERTIFICATES: usize = 10_000;
/// Largest certificate file.
const MAX_FILE: u64 = 1_024 * 1_024;

/// What speaks TLS, by the place of its bind; `None` where clients speak in the clear.
#[derive(Clone, Default)]
pub struct TlsBinds(pub(crate) Vec<Option<TlsAcceptor>>);

/// Reads every certificate a configuration names.
///
/// # Errors
/// Each bind whose certificates cannot be used, by its place, and why.
pub fn load_tls(config: &Config) -> Result<TlsBinds, Vec<(usize, String)>> {
    let mut problems = Vec::new();
    let mut binds = Vec::new();
    for (place, bind) in config.binds.iter().enumerate() {
        match acceptor(bind) {
            Ok(acceptor) => binds.push(acceptor),
            Err(why) => problems.push((place, why)),
        }
    }
    if problems.is_empty() { Ok(TlsBinds(binds)) } else { Err(problems) }
}

fn acceptor(bind: &Bind) -> Result<Option<TlsAcceptor>, String> {
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
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = tls.alpn.iter().map(|p| p.clone().into_bytes()).collect();
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// The files behind a name: itself, or those of a folder by name.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
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

/// Certificates by the names they are for.
#[derive(Debug, Default)]
struct Certificates {
    exact: BTreeMap<String, Arc<CertifiedKey>>,
    /// Under what follows the star and its dot.
    wildcard: BTreeMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
    strict: bool,
    count: usize,
}

impl Certificates {
    fn add(&mut self, certified: Arc<CertifiedKey>) {
        self.count += 1;
        let leaf = certified.cert.first().and_then(|der| webpki::EndEntityCert::try_from(der).ok());
        let names: Vec<String> =
            leaf.iter().flat_map(|leaf| leaf.valid_dns_names()).map(str::to_ascii_lowercase).collect();
        for name in names {
            // The first file that has a name keeps it.
            let (names, name) = match name.strip_prefix("*.") {
                Some(suffix) => (&mut self.wildcard, suffix.to_owned()),
                None => (&mut self.exact, name),
            };
            names.entry(name).or_insert_with(|| Arc::clone(&certified));
        }
        self.default.get_or_insert(certified);
    }

    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let suffix = name.split_once('.').map(|(_, suffix)| suffix);
            self.exact.get(&name).or_else(|| self.wildcard.get(suffix?))
        });
        named.or(self.default.as_ref().filter(|_| !self.strict)).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name())
    }
}
