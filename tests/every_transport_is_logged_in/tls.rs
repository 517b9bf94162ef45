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
use rustls::{ClientConfig, crypto::ring};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{AuthError, AuthLayer, BoxError, Credentials, ErrorKind, oauth::ClientCredentialsGrant};

use crate::{
    TestResult,
    authority::{Authority, H2_AND_H1},
    is_logged_in,
    server::Server,
};

type Https = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

#[tokio::test]
async fn over_https_in_the_version_that_alpn_agrees_on() -> TestResult {
    for (offered, version) in [(H2_AND_H1, Version::HTTP_2), (&H2_AND_H1[1..], Version::HTTP_11)] {
        let server = Server::new();
        let (https, agreed) = (&Authority::new()?, offered.first().map(|name| name.to_vec()));
        let origin = https.listen(server.clone(), offered, agreed).await?;
        let client = server.layer(&origin)?.layer(client(https)?);
        is_logged_in(client, &origin, &server, version).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_token_request_goes_through_the_transport_that_trusts_the_private_authority() -> TestResult {
    let (server, https) = (Server::new(), &Authority::new()?);
    let origin = https.listen(server.clone(), H2_AND_H1, None).await?;
    let source = source(&origin, &client(https)?)?;
    let client = AuthLayer::builder(source).origin(&origin).build()?.layer(client(https)?);
    is_logged_in(client, &origin, &server, Version::HTTP_2).await
}

#[tokio::test]
async fn a_token_endpoint_that_nobody_vouches_for_gets_no_secret() -> TestResult {
    let (server, https) = (Server::new(), &Authority::new()?);
    let origin = https.listen(server.clone(), H2_AND_H1, None).await?;
    let source = source(&origin, &client(&Authority::new()?)?)?;
    let client = AuthLayer::builder(source).origin(&origin).build()?.layer(client(https)?);
    let refused = client.oneshot(Request::get(&origin).body(Full::default())?).await.err().ok_or("an answer")?;
    assert_eq!(AuthError::find(refused.as_ref()).map(AuthError::kind), Some(ErrorKind::Unavailable));
    assert_eq!((server.issuer.requests(), server.hosts().len()), (0, 0));
    Ok(())
}

fn source(origin: &str, https: &Https) -> Result<ClientCredentialsGrant, AuthError> {
    let credentials = Credentials::new("client", "secret");
    ClientCredentialsGrant::builder(&format!("{origin}/token"), credentials).transport(https.clone()).build()
}

/// A client that trusts this authority and no other, and takes the better of the protocols that the server has.
fn client(authority: &Authority) -> Result<Https, BoxError> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authority.roots()?)
        .with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().enable_http2().build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}
