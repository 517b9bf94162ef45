//! Tokens of every kind, asked for in every way, and what the API makes of them.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;
use tower_outbound_auth::{ErrorKind, oauth::ClientAuth};

use super::{
    TestResult,
    server::{SERVER, fails, refused, token},
};

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn o1_ids_and_secrets_may_hold_every_character_that_an_rfc_allows() -> TestResult {
    let (id, secret) = ("id:%+&= ~*!'()/?", "secret:%+&= ~%41*!\"'()\\/?#@");
    token(SERVER.source(id, secret)?.client_auth(ClientAuth::Basic)).await?;
    token(SERVER.source(&format!("{id}post"), secret)?.client_auth(ClientAuth::Body)).await?;
    // It undoes the encoding, and then there is none: `%+&` is no escape.
    let unencoded = SERVER.source("plain", secret)?.client_auth(ClientAuth::BasicUnencoded);
    refused(unencoded, "invalid_request").await;
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn a_secret_beyond_ascii_arrives_whole_and_is_refused_for_what_it_is() -> TestResult {
    // Registration refuses one too (RFC 6749, appendix A.2).
    refused(SERVER.source("plain", "caf\u{e9}")?.client_auth(ClientAuth::Body), "invalid_client").await;
    refused(SERVER.source("plain", "caf\u{e9}")?.client_auth(ClientAuth::Basic), "invalid_request").await;
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn a_token_has_the_scope_that_was_asked_for_or_there_is_none() -> TestResult {
    let source = || SERVER.source("scoped", "secret of scoped");
    let granted = token(source()?.scope("accounts:read")).await?;
    assert_eq!(granted.scope(), Some("accounts:read"));
    assert_eq!(token(source()?).await?.scope(), None);
    refused(source()?.scope("payments:write"), "invalid_scope").await;
    // One that the server has never heard of it leaves out.
    assert_eq!(token(source()?.scope("accounts:read").scope("nonsense")).await?.scope(), Some("accounts:read"));
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn opaque_tokens_and_jwts_are_for_the_resource_that_was_named() -> TestResult {
    let source = || SERVER.source("resourceful", "secret of resourceful");
    let opaque = "https://api.bank.example/opaque?a=b";
    for (resource, path) in [(opaque, "/opaque"), ("https://api.bank.example/jwt", "/jwt")] {
        let source = source()?.scope("accounts:read").resource(resource).build()?;
        let user = SERVER.user(source, SERVER.trusting().build()?)?;
        let (status, claims) = user.get(path).await?;
        assert_eq!((status, claims["aud"].as_str()), (StatusCode::OK, Some(resource)), "{claims}");
        assert_eq!(
            (claims["scope"].as_str(), claims["client_id"].as_str()),
            (Some("accounts:read"), Some("resourceful"))
        );
        let token = user.handle.token().await?;
        assert_eq!(token.expose_secret().matches('.').count(), if path == "/jwt" { 2 } else { 0 });
        let left = token.expires_in().unwrap_or_default();
        assert!(left > Duration::from_secs(500) && left <= Duration::from_secs(600), "{left:?}");
    }
    for call in SERVER.calls("resourceful").await? {
        assert_eq!((call.version.as_str(), call.status), ("2.0", 200), "the API has HTTP/2");
    }
    // A code of RFC 8707.
    for source in
        [source()?.resource("https://api.bank.example/other"), source()?.resource(opaque).resource("urn:short")]
    {
        fails(source, ErrorKind::Unavailable, "invalid_target").await;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn r1_a_call_that_its_token_does_not_cover_is_refused_without_a_new_one() -> TestResult {
    let source = SERVER.source("scoped", "secret of scoped")?.scope("accounts:read").resource("urn:short");
    let user = SERVER.user(source.build()?, SERVER.trusting().build()?)?;
    assert_eq!(user.get("/payments").await?.0, StatusCode::FORBIDDEN);
    assert_eq!(user.handle.status().issued, 1);
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn r2_a_revoked_token_is_noticed_by_introspection_and_replaced() -> TestResult {
    let source = SERVER.source("revoked", "secret of revoked")?.build()?;
    let user = SERVER.user(source, SERVER.trusting().build()?)?;
    for issued in 1..=3 {
        assert_eq!(user.get("/opaque").await?.0, StatusCode::OK);
        assert_eq!(user.handle.status().issued, issued);
        revoke(user.handle.token().await?.expose_secret()).await?;
    }
    assert_eq!(SERVER.asked("revoked").await?.len(), 3, "one for each revocation, after the first");
    Ok(())
}

/// RFC 7009, as the client itself.
async fn revoke(token: &str) -> TestResult {
    let form = format!("client_id=revoked&client_secret=secret+of+revoked&token={token}");
    let request = Request::post(format!("{}/token/revocation", SERVER.issuer));
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(Full::<Bytes>::from(form))?;
    assert_eq!(SERVER.trusting().build()?.oneshot(request).await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn t6_tokens_of_three_seconds_serve_without_a_gap() -> TestResult {
    let source = SERVER.source("short-lived", "secret of short-lived")?.resource("urn:short").build()?;
    let user = SERVER.user(source, SERVER.trusting().build()?)?;
    let (begin, mut calls) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(8) {
        assert_eq!(user.get("/opaque").await?.0, StatusCode::OK);
        calls += 1;
        sleep(Duration::from_millis(50)).await;
    }
    let asked = SERVER.asked("short-lived").await?.len();
    assert!((3..=8).contains(&asked), "{asked} token requests in 8 s, {calls} calls");
    Ok(())
}
