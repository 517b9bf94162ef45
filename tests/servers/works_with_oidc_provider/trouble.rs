//! What goes wrong between a client and its authorization server is told by its name.

use http::StatusCode;
use tower_outbound_auth::{Credentials, ErrorKind, client::HttpsClient, oauth::ClientAuth};

use super::{
    TestResult,
    server::{SERVER, refused, token},
};

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn a_wrong_secret_and_an_unknown_client_are_refused() -> TestResult {
    for method in [ClientAuth::Body, ClientAuth::Basic] {
        for (id, secret) in [("plain", "secret of plain?"), ("plain", "x"), ("unknown", "secret of plain")] {
            refused(SERVER.source(id, secret)?.client_auth(method), "invalid_client").await;
        }
        token(SERVER.source("plain", "secret of plain")?.client_auth(method)).await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn a_url_that_is_no_token_endpoint_is_told_of() -> TestResult {
    for (path, kind) in [("/tokens", ErrorKind::Unavailable), ("/jwks", ErrorKind::Unavailable)] {
        let url = format!("{}{path}", SERVER.issuer);
        let source = SERVER.source_at(&url, Credentials::new("plain", "secret of plain"))?;
        let error = token(source).await.expect_err(path);
        assert_eq!(error.kind(), kind, "{path}: {error:?}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn t9_a_busy_server_is_asked_again_when_it_said() -> TestResult {
    for (busy, wait) in [("429-1", 1000), ("503-2", 2000), ("503-date", 1000)] {
        let url = format!("{}/token?busy={busy}", SERVER.issuer);
        let source = SERVER.source_at(&url, Credentials::new("patient", "secret of patient"))?;
        let before = SERVER.asked("patient").await?.len();
        let user = SERVER.user(source.build()?, SERVER.trusting().build()?)?;
        assert_eq!(user.get("/opaque").await?.0, StatusCode::OK);
        let (first, then) = (SERVER.asked(busy).await?, SERVER.asked("patient").await?);
        assert_eq!((first.len(), then.len() - before), (1, 1), "{busy}");
        assert!(then[before].at - first[0].at >= wait, "{busy}: after {} ms", then[before].at - first[0].at);
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn a_server_whose_authority_is_not_known_gets_no_secret() -> TestResult {
    let source = SERVER.source("plain", "secret of plain")?.transport(HttpsClient::builder().build()?);
    let error = token(source).await.expect_err("it is not trusted");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("`root_certificates`"), "{error}");
    token(SERVER.source("plain", "secret of plain")?.transport(SERVER.trusting().mozilla_roots().build()?)).await?;
    Ok(())
}
