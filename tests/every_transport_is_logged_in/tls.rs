//! TLS with a private certification authority: for the API, and for the token endpoint.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{AuthError, AuthLayer, BoxError, ClientCredentials, Credentials, ErrorKind};

use crate::{TestResult, is_logged_in, server::Server};

type Https = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

#[tokio::test]
async fn over_https_in_the_version_that_alpn_agrees_on() -> TestResult {
    for (offered, version) in [(H2_AND_H1, Version::HTTP_2), (&H2_AND_H1[1..], Version::HTTP_11)] {
        let server = Server::new();
        let (https, agreed) = (&Authority::new()?, offered.first().map(|name| name.to_vec()));
        let origin = https.listen(server.clone(), offered, agreed).await?;
        let client = server.layer(&origin)?.layer(https.client()?);
        is_logged_in(client, &origin, &server, version).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_token_request_goes_through_the_transport_that_trusts_the_private_authority() -> TestResult {
    let (server, https) = (Server::new(), Authority::new()?);
    let origin = https.listen(server.clone(), H2_AND_H1, None).await?;
    let source = source(&origin, &https.client()?)?;
    let client = AuthLayer::builder(source).origin(&origin).build()?.layer(https.client()?);
    is_logged_in(client, &origin, &server, Version::HTTP_2).await
}

#[tokio::test]
async fn a_token_endpoint_that_nobody_vouches_for_gets_no_secret() -> TestResult {
    let (server, https) = (Server::new(), Authority::new()?);
    let origin = https.listen(server.clone(), H2_AND_H1, None).await?;
    let source = source(&origin, &Authority::new()?.client()?)?;
    let client = AuthLayer::builder(source).origin(&origin).build()?.layer(https.client()?);
    let refused = client.oneshot(Request::get(&origin).body(Full::default())?).await.err().ok_or("an answer")?;
    assert_eq!(AuthError::find(refused.as_ref()).map(AuthError::kind), Some(ErrorKind::Unavailable));
    assert_eq!((server.issuer.requests(), server.hosts().len()), (0, 0));
    Ok(())
}

fn source(origin: &str, https: &Https) -> Result<ClientCredentials, AuthError> {
    let credentials = Credentials::new("client", "secret");
    ClientCredentials::builder(&format!("{origin}/token"), credentials).transport(https.clone()).build()
}

/// A certification authority that only its own clients trust.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Result<Self, rcgen::Error> {
        let mut itself = CertificateParams::default();
        itself.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(itself, KeyPair::generate()?)?))
    }

    /// Serves as `localhost` over TLS, and holds each connection to a protocol if one is given.
    async fn listen(&self, server: Server, protocols: &[&[u8]], agreed: Option<Vec<u8>>) -> Result<String, BoxError> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([NAME.to_owned()])?.signed_by(&key, &self.0)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("https://{NAME}:{}", listener.local_addr()?.port());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust the certificate ends the handshake here.
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                assert!(agreed.is_none() || protocol == agreed, "the client and we agreed on {protocol:?}");
                tokio::spawn(server.clone().serve(stream));
            }
        });
        Ok(origin)
    }

    /// A client that trusts this authority and no other, and takes the better of the protocols that the server has.
    fn client(&self) -> Result<Https, BoxError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone())?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().enable_http2().build();
        Ok(Client::builder(TokioExecutor::new()).build(connector))
    }
}

const NAME: &str = "localhost";
const H2_AND_H1: &[&[u8]] = &[b"h2", b"http/1.1"];
