//! Clients that sign assertions, and a server that is known by its issuer alone.

use std::sync::{Arc, Mutex};

use tower_outbound_auth::{
    Credentials, ErrorKind,
    oauth::{
        Algorithm, Assertion, AssertionRequest, AssertionSource, Audience, ClientAuth, ClientCredentialsGrant,
        ClientCredentialsGrantBuilder, PrivateKeyJwt,
    },
};

use super::{
    TestResult,
    server::{SERVER, refused, token},
};

const ALGORITHMS: [(Algorithm, &str); 5] = [
    (Algorithm::Ps256, "PS256"),
    (Algorithm::Rs256, "RS256"),
    (Algorithm::Es256, "ES256"),
    (Algorithm::Es384, "ES384"),
    (Algorithm::EdDsa, "EdDSA"),
];

fn key(algorithm: Algorithm, name: &str, audience: Audience) -> PrivateKeyJwt {
    PrivateKeyJwt::from_pem(algorithm, audience, &SERVER.keys[name]).unwrap()
}

fn discover(id: &str) -> ClientCredentialsGrantBuilder {
    let builder = ClientCredentialsGrant::discover(&SERVER.issuer, Credentials::without_secret(id));
    builder.transport(SERVER.trusting().build().unwrap())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn assertions_of_every_algorithm_are_accepted_for_the_issuer_and_for_the_token_endpoint() -> TestResult {
    for (algorithm, name) in ALGORITHMS {
        for audience in [Audience::Issuer, Audience::TokenEndpoint, Audience::Custom(SERVER.issuer.clone())] {
            let source = discover(&format!("signs {name}")).client_assertion(key(algorithm, name, audience));
            let user = SERVER.user(source.build()?, SERVER.trusting().build()?)?;
            for _ in 0..3 {
                user.handle.refresh().await?;
            }
            assert_eq!(user.get("/opaque").await?.1["client_id"], format!("signs {name}"));
        }
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn an_assertion_with_another_key_algorithm_or_audience_is_refused() -> TestResult {
    let with = |id: &str, source: PrivateKeyJwt| discover(id).client_assertion(source);
    let pkcs8 = || &SERVER.keys["PS256"];
    let rsa = |algorithm| PrivateKeyJwt::from_pem(algorithm, Audience::Issuer, pkcs8()).unwrap();
    refused(with("signs RS256", rsa(Algorithm::Ps256)), "invalid_client").await;
    refused(with("signs ES256", key(Algorithm::EdDsa, "EdDSA", Audience::Issuer)), "invalid_client").await;
    let elsewhere = Audience::Custom("https://elsewhere.example".to_owned());
    refused(with("signs ES256", key(Algorithm::Es256, "ES256", elsewhere)), "invalid_client").await;
    refused(with("plain", key(Algorithm::Es256, "ES256", Audience::Issuer)), "invalid_client").await;
    token(with("signs RS256", rsa(Algorithm::Rs256))).await?;
    Ok(())
}

/// Signs once.
struct Again(PrivateKeyJwt, Mutex<Option<Assertion>>);

impl AssertionSource for Again {
    fn assertion<'a>(
        &'a self,
        request: AssertionRequest<'a>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Assertion, tower_outbound_auth::AuthError>> + Send + 'a>> {
        Box::pin(async move {
            let known = self.1.lock().unwrap().clone();
            let assertion = match known {
                Some(assertion) => assertion,
                None => self.0.assertion(request).await?,
            };
            *self.1.lock().unwrap() = Some(assertion.clone());
            Ok(assertion)
        })
    }
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn the_server_accepts_no_assertion_twice() -> TestResult {
    let again = Arc::new(Again(key(Algorithm::Es256, "ES256", Audience::Issuer), Mutex::default()));
    token(discover("signs ES256").client_assertion(Arc::clone(&again))).await?;
    refused(discover("signs ES256").client_assertion(again), "invalid_client").await;
    Ok(())
}

#[tokio::test]
#[ignore = "takes Node.js: tests/all.sh runs it"]
async fn a_secret_and_a_certificate_are_sent_where_the_document_says() -> TestResult {
    let credentials = Credentials::new("plain", "secret of plain");
    let builder = ClientCredentialsGrant::discover(&SERVER.issuer, credentials);
    token(builder.transport(SERVER.trusting().build()?).client_auth(ClientAuth::Basic)).await?;
    let identity = &SERVER.clients.pkcs8;
    let transport = SERVER.trusting().identity(&identity.chain, &identity.key).build()?;
    let before = SERVER.asked("mtls").await?.len();
    token(discover("certified").client_auth(ClientAuth::Certificate).transport(transport)).await?;
    assert_eq!(SERVER.asked("mtls").await?.len(), before + 1, "the alias for mutual TLS");
    let wrong = ClientCredentialsGrant::discover(&format!("{}/", SERVER.issuer), Credentials::new("plain", "x"));
    let error = token(wrong.transport(SERVER.trusting().build()?)).await.expect_err("another issuer");
    assert!(error.kind() == ErrorKind::Malformed && error.to_string().contains("no final slash"), "{error}");
    Ok(())
}
