//! Mutual TLS (RFC 8705): a client that is known by its certificate, and tokens that are bound to it.

use std::time::Duration;

use http::StatusCode;
use tower_outbound_auth::{
    Credentials, ErrorKind,
    client::HttpsClient,
    oauth::{ClientAuth, ClientCredentialsGrant, ClientCredentialsGrantBuilder},
};

use super::{
    TestResult,
    server::{Identity, SERVER, refused, token},
};

fn showing(identity: &Identity) -> Result<HttpsClient, tower_outbound_auth::AuthError> {
    SERVER.trusting().identity(&identity.chain, &identity.key).build()
}

/// A client that has no secret.
fn source(id: &str, transport: &HttpsClient) -> ClientCredentialsGrantBuilder {
    let url = format!("{}/token", SERVER.issuer);
    let builder = ClientCredentialsGrant::builder(&url, Credentials::new(id, "")).client_auth(ClientAuth::Certificate);
    builder.transport(transport.clone())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn a_certificate_with_a_key_in_any_form_authenticates_and_its_token_is_bound_to_it() -> TestResult {
    let clients = &SERVER.clients;
    for (id, identity) in [
        ("certified", &clients.pkcs8),
        ("certified", &clients.pkcs1),
        ("certified", &clients.sec1),
        ("self-signed", &clients.self_signed),
    ] {
        let transport = showing(identity)?;
        let user = SERVER.user(source(id, &transport).build()?, transport)?;
        let (status, claims) = user.get("/opaque").await?;
        assert_eq!((status, claims["client_id"].as_str()), (StatusCode::OK, Some(id)), "{claims}");
        assert!(claims["cnf"]["x5t#S256"].is_string(), "{claims}");
        assert_eq!(user.handle.status().issued, 1);
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn a_bound_token_is_no_good_without_its_certificate() -> TestResult {
    let source = source("certified", &showing(&SERVER.clients.pkcs8)?).build()?;
    for other in [SERVER.trusting().build()?, showing(&SERVER.clients.stranger)?] {
        assert_eq!(SERVER.user(source.clone(), other)?.get("/opaque").await?.0, StatusCode::UNAUTHORIZED);
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn a_client_without_its_certificate_is_refused() -> TestResult {
    let clients = &SERVER.clients;
    for transport in [SERVER.trusting().build()?, showing(&clients.stranger)?, showing(&clients.self_signed)?] {
        refused(source("certified", &transport), "invalid_client").await;
    }
    refused(source("self-signed", &showing(&clients.pkcs8)?), "invalid_client").await;
    refused(source("plain", &showing(&clients.pkcs8)?), "invalid_client").await;
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn openssl_tells_of_a_certificate_that_is_missing_or_unknown() -> TestResult {
    let url = format!("{}/token", SERVER.strict);
    let at = |transport| {
        let credentials = Credentials::new("certified", "");
        let builder = ClientCredentialsGrant::builder(&url, credentials).client_auth(ClientAuth::Certificate);
        builder.transport::<HttpsClient, _>(transport)
    };
    for (transport, advice) in [
        (SERVER.trusting().build()?, "asks for a client certificate; set `identity`"),
        (showing(&SERVER.clients.self_signed)?, "does not accept the client certificate"),
    ] {
        let error = token(at(transport)).await.expect_err(advice);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(advice), "{error:?}");
    }
    // It takes this one, and is no authorization server.
    let error =
        token(at(showing(&SERVER.clients.pkcs8)?).timeout(Duration::from_secs(1))).await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    Ok(())
}
