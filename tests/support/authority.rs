//! A certification authority that only its own clients trust, and servers that it vouches for.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::{io, net::SocketAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower_outbound_auth::BoxError;

use super::server::{NAME, Server};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a server or a client has to show.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Result<Self, rcgen::Error> {
        Self::called("an authority")
    }

    pub(crate) fn called(name: &str) -> Result<Self, rcgen::Error> {
        let mut itself = CertificateParams::default();
        itself.distinguished_name.push(DnType::CommonName, name);
        itself.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(itself, KeyPair::generate()?)?))
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    pub(crate) fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone())?;
        Ok(roots)
    }

    /// Vouches for servers at their names, or a client.
    pub(crate) fn identity(&self, names: &[&str]) -> Result<Identity, rcgen::Error> {
        let key = KeyPair::generate()?;
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        Ok(Identity { certificate: CertificateParams::new(names)?.signed_by(&key, &self.0)?.into(), key })
    }

    /// Takes connections over TLS, as `localhost` and as the bank, on a free port of this machine.
    pub(crate) fn acceptor(&self, protocols: &[&[u8]], clients: Arc<dyn ClientCertVerifier>) -> Result<Tls, BoxError> {
        let Identity { certificate, key } = self.identity(&[NAME, BANK])?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Tls(Arc::new(config).into()))
    }

    /// Asks for no certificate.
    pub(crate) fn no_client_auth() -> Arc<dyn ClientCertVerifier> {
        WebPkiClientVerifier::no_client_auth()
    }

    /// Lets those in whom it vouches for itself; others only if strangers are welcome.
    pub(crate) fn ours(&self, strangers: bool) -> Result<Arc<dyn ClientCertVerifier>, BoxError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots()?.into(), provider);
        Ok(if strangers { verifier.allow_unauthenticated() } else { verifier }.build()?)
    }

    /// Serves as `localhost` over TLS, and holds each connection to a protocol if one is given.
    pub(crate) async fn listen(
        &self,
        server: Server,
        protocols: &[&[u8]],
        agreed: Option<Vec<u8>>,
    ) -> Result<String, BoxError> {
        let tls = self.acceptor(protocols, Self::no_client_auth())?;
        let port = tls.serve(server, agreed).await?.port();
        Ok(format!("https://{NAME}:{port}"))
    }
}

impl Identity {
    pub(crate) fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    pub(crate) fn key_pem(&self) -> String {
        pem("PRIVATE KEY", self.key.serialized_der())
    }
}

/// Makes TLS connections of those that come in.
#[derive(Clone)]
pub(crate) struct Tls(TlsAcceptor);

impl Tls {
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }

    pub(crate) async fn serve(self, server: Server, agreed: Option<Vec<u8>>) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, server, agreed) = (self.clone(), server.clone(), agreed.clone());
                tokio::spawn(async move {
                    // A client that does not trust the certificate ends the handshake here.
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                    assert!(agreed.is_none() || protocol == agreed, "the client and we agreed on {protocol:?}");
                    server.serve(stream).await;
                });
            }
        });
        Ok(address)
    }
}

/// RFC 7468, section 2.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A name that only a proxy knows an address for.
pub(crate) const BANK: &str = "login.bank.example";
pub(crate) const H2_AND_H1: &[&[u8]] = &[b"h2", b"http/1.1"];
