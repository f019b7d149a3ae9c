//! Mutual TLS between members: each proves by its certificate which member it is.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::identity::{Identity, IdentityError};

pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Tls {
    pub(crate) fn new(identity: &Identity) -> Result<Self, IdentityError> {
        let provider = Arc::new(default_provider());
        let versions = &[&rustls::version::TLS13];
        let mut roots = RootCertStore::empty();
        for authority in &identity.authorities {
            roots.add(authority.clone()).map_err(|e| IdentityError::Unfit(e.to_string()))?;
        }
        let roots = Arc::new(roots);
        let unfit = |e: rustls::Error| IdentityError::Unfit(e.to_string());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|e| IdentityError::Unfit(e.to_string()))?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(unfit)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(unfit)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(unfit)?
            .with_root_certificates(roots)
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(unfit)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
        })
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(Stream, Proof)> {
        let stream = self.acceptor.accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates();
        let first = certificates.and_then(<[_]>::first).ok_or(io::ErrorKind::PermissionDenied)?;
        let proof = Proof::Certificate(first.clone().into_owned());
        Ok((Box::new(stream), proof))
    }

    /// Connects to a member; whoever answers must be that one.
    pub(crate) async fn connect(&self, stream: TcpStream, member: &str) -> io::Result<Stream> {
        let name = ServerName::try_from(member.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(self.connector.connect(name, stream).await?))
    }
}

/// Bytes both ways, protected or not.
pub(crate) trait ReadWrite: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> ReadWrite for S {}
pub(crate) type Stream = Box<dyn ReadWrite>;

/// What the other side has shown of who it is.
pub(crate) enum Proof {
    Certificate(CertificateDer<'static>),
    /// Nothing, and nothing was asked for: the words of a `peers` section are taken as they come.
    Nothing,
}

impl Proof {
    /// Whether it is this one, proven.
    pub(crate) fn shows(&self, member: &str) -> bool {
        let Self::Certificate(certificate) = self else { return false };
        let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return false };
        ServerName::try_from(member)
            .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
    }

    /// Whether it may speak as this one.
    pub(crate) fn allows(&self, peer: &str) -> bool {
        matches!(self, Self::Nothing) || self.shows(peer)
    }
}
