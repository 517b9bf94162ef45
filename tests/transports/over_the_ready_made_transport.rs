//! The ready-made transport with a private certification authority and a client certificate: for tokens and for the API.

use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body_util::Full;
use tower::Layer;
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials, ErrorKind,
    client::{HttpsClient, HttpsClientBuilder},
    oauth::ClientCredentialsGrant,
    token::{FetchRequest, TokenSource},
};

use crate::{
    authenticated::{A_MINUTE, TestResult, is_authenticated},
    support::{
        authority::{Authority, H2_AND_H1},
        server::{NAME, Server},
    },
};

#[tokio::test]
async fn one_transport_carries_tokens_and_requests_in_the_version_that_alpn_agrees_on() -> TestResult {
    for (offered, version) in [(H2_AND_H1, Version::HTTP_2), (&H2_AND_H1[1..], Version::HTTP_11)] {
        let (server, authority) = (Server::new(), Authority::new()?);
        let origin = authority.listen(server.clone(), offered, None).await?;
        let transport = trusting(&authority).pool_idle_timeout(A_MINUTE).build()?;
        let client = authenticated(&origin, &transport)?.layer(transport);
        is_authenticated::<_, Full<Bytes>, _>(client, &origin, &server, version).await?;
        assert_eq!(server.connections(), 3, "one for all requests, and one for each of two token requests");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_request_keeps_no_connection_whatever_the_client_keeps() -> TestResult {
    for protocols in [H2_AND_H1, &H2_AND_H1[1..]] {
        for kept in [Duration::ZERO, A_MINUTE] {
            let (server, authority) = (Server::new(), Authority::new()?);
            let origin = authority.listen(server.clone(), protocols, None).await?;
            let source = source(&origin, &trusting(&authority).pool_idle_timeout(kept).build()?)?;
            for _ in 0..3 {
                source.fetch(FetchRequest::new()).await?;
            }
            assert_eq!(server.connections(), 3, "{protocols:?}, kept for {kept:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn private_roots_are_trusted_alone_or_beside_mozillas() -> TestResult {
    let (server, authorities) = (Server::new(), [Authority::new()?, Authority::called("another")?]);
    let builder = || trusting(&authorities[0]).root_certificates(authorities[1].pem());
    for authority in &authorities {
        let origin = authority.listen(server.clone(), H2_AND_H1, None).await?;
        for transport in [builder().build()?, builder().mozilla_roots().build()?] {
            source(&origin, &transport)?.fetch(FetchRequest::new()).await?;
        }
    }
    let shown = |builder: HttpsClientBuilder| Ok::<_, AuthError>(format!("{:?}", builder.build()?));
    assert!(shown(builder())?.contains("roots: 2,"));
    let public = shown(HttpsClient::builder())?;
    assert_eq!(public, shown(HttpsClient::builder().mozilla_roots())?);
    assert!(!shown(builder().mozilla_roots())?.contains("roots: 2,") && !public.contains("roots: 0,"), "{public}");
    Ok(())
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_gets_no_secret_and_the_error_says_what_to_do() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let origin = authority.listen(server.clone(), H2_AND_H1, None).await?;
    // Another by another name, and another by the same.
    for builder in [HttpsClient::builder(), trusting(&Authority::called("another")?), trusting(&Authority::new()?)] {
        let error = refused(&origin, &builder.build()?).await?;
        assert!(error.to_string().contains("add it with `root_certificates`"), "{error}");
    }
    // One that is known, for another name.
    let elsewhere = origin.replace(NAME, "127.0.0.1");
    let error = refused(&elsewhere, &trusting(&authority).build()?).await?;
    assert!(error.to_string().contains("its certificate is for another name"), "{error}");
    assert_eq!((server.issuer.requests(), server.connections()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_gets_it() -> TestResult {
    for (protocols, version) in [(H2_AND_H1, Version::HTTP_2), (&H2_AND_H1[1..], Version::HTTP_11)] {
        let authority = Authority::new()?;
        let identity = authority.identity(&["client"])?;
        let (certificate, key) = (identity.certificate_pem(), identity.key_pem());
        let all = format!("{certificate}{key}");
        for (certificate, key) in [(&certificate, &key), (&all, &all)] {
            let server = Server::new();
            let origin = listen(&authority, &server, protocols).await?;
            let transport = trusting(&authority).identity(certificate, key).build()?;
            is_authenticated::<_, Full<Bytes>, _>(
                authenticated(&origin, &transport)?.layer(transport),
                &origin,
                &server,
                version,
            )
            .await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_misses_a_client_certificate_or_refuses_it_is_told_of() -> TestResult {
    for protocols in [H2_AND_H1, &H2_AND_H1[1..]] {
        let (server, authority) = (Server::new(), Authority::new()?);
        let origin = listen(&authority, &server, protocols).await?;
        let error = refused(&origin, &trusting(&authority).build()?).await?;
        assert!(error.to_string().contains("asks for a client certificate; set `identity`"), "{error:?}");
        for foreign in [Authority::called("another")?, Authority::new()?] {
            let identity = foreign.identity(&["client"])?;
            let transport = trusting(&authority).identity(identity.certificate_pem(), identity.key_pem()).build()?;
            let error = refused(&origin, &transport).await?;
            assert!(error.to_string().contains("does not accept the client certificate"), "{error:?}");
        }
        assert_eq!(server.issuer.requests(), 0);
    }
    Ok(())
}

/// Serves those alone that the authority vouches for.
async fn listen(authority: &Authority, server: &Server, protocols: &[&[u8]]) -> Result<String, BoxError> {
    let tls = authority.acceptor(protocols, authority.ours(false)?)?;
    Ok(format!("https://{NAME}:{}", tls.serve(server.clone(), None).await?.port()))
}

pub(crate) fn trusting(authority: &Authority) -> HttpsClientBuilder {
    HttpsClient::builder().root_certificates(authority.pem())
}

/// A layer that authenticates there, over this transport.
pub(crate) fn authenticated(origin: &str, transport: &HttpsClient) -> Result<AuthLayer, AuthError> {
    AuthLayer::builder(source(origin, transport)?).origin(origin).build()
}

pub(crate) fn source(origin: &str, transport: &HttpsClient) -> Result<ClientCredentialsGrant, AuthError> {
    let credentials = Credentials::new("client", "secret");
    ClientCredentialsGrant::builder(&format!("{origin}/token"), credentials).transport(transport.clone()).build()
}

/// The error of a token request, which is one that may be tried again.
pub(crate) async fn refused(origin: &str, transport: &HttpsClient) -> Result<AuthError, BoxError> {
    let error = source(origin, transport)?.fetch(FetchRequest::new()).await.err().ok_or("a token")?;
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, true), "{error:?}");
    Ok(error)
}
