//! `SandboxBuilder::assertion_key`: which assertions the sandbox accepts.

use std::{
    pin::Pin,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use tower_outbound_auth::{
    AuthError, BoxError, Credentials, ErrorKind,
    oauth::{
        Algorithm, Assertion, AssertionRequest, AssertionSource, Audience, ClientCredentialsGrantBuilder, PrivateKeyJwt,
    },
    paynet,
    sandbox::Sandbox,
    token::{FetchRequest, TokenSource},
};

use crate::keys::key;

async fn sandbox() -> Result<Sandbox, BoxError> {
    Ok(Sandbox::builder().assertion_key(Algorithm::Ps256, key("rsa2048_public"))?.start().await?)
}

fn signer(algorithm: Algorithm, audience: Audience) -> PrivateKeyJwt {
    PrivateKeyJwt::from_pem(algorithm, audience, key("rsa2048")).unwrap()
}

fn grant(sandbox: &Sandbox, id: &str) -> ClientCredentialsGrantBuilder {
    paynet::grant(&sandbox.environment(), Credentials::without_secret(id))
}

async fn code(grant: ClientCredentialsGrantBuilder) -> Option<String> {
    let result = grant.build().unwrap().fetch(FetchRequest::new()).await;
    result.err().map(|error| error.oauth_error().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_assertion_of_the_client_is_accepted_and_any_other_is_not() -> Result<(), BoxError> {
    let sandbox = sandbox().await?;
    let (credentials, url) = (sandbox.credentials(), sandbox.environment().token_url().to_owned());
    let id = credentials.client_id();
    let custom = |text: &str| Audience::Custom(text.to_owned());
    for (client, algorithm, audience, is_accepted) in [
        (id, Algorithm::Ps256, Audience::TokenEndpoint, true),
        (id, Algorithm::Ps256, custom(url.trim_end_matches("/token")), true),
        (id, Algorithm::Ps256, custom("https://elsewhere.example"), false),
        (id, Algorithm::Rs256, Audience::TokenEndpoint, false),
        ("another", Algorithm::Ps256, Audience::TokenEndpoint, false),
    ] {
        let source = signer(algorithm, audience.clone());
        let refused = code(grant(&sandbox, client).client_assertion(source)).await;
        assert_eq!(
            refused.as_deref(),
            (!is_accepted).then_some("invalid_client"),
            "{client} {algorithm:?} {audience:?}"
        );
    }
    let with_secret = paynet::grant(&sandbox.environment(), credentials.clone());
    assert_eq!(code(with_secret).await.as_deref(), Some("invalid_request"), "the secret is no substitute");
    let source = signer(Algorithm::Ps256, Audience::TokenEndpoint);
    let both = grant(&sandbox, id).client_assertion(source).param("client_secret", "secret_abcdefghijklmnop").build();
    assert_eq!(both.unwrap_err().kind(), ErrorKind::Config);
    Ok(())
}

/// Signs at another time, or the same again.
struct Other(PrivateKeyJwt, Option<SystemTime>, Mutex<Option<Assertion>>);

impl AssertionSource for Other {
    fn assertion<'a>(
        &'a self,
        request: AssertionRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
        let (known, now) = (self.2.lock().unwrap().clone(), self.1.unwrap_or(request.now()));
        Box::pin(async move {
            if let Some(known) = known {
                return Ok(known);
            }
            let request = AssertionRequest::new(request.client_id(), request.token_endpoint(), now);
            let assertion = self.0.assertion(request).await?;
            *self.2.lock().unwrap() = Some(assertion.clone());
            Ok(assertion)
        })
    }
}

#[tokio::test]
async fn an_assertion_is_accepted_once_and_in_its_time() -> Result<(), BoxError> {
    let sandbox = sandbox().await?;
    let credentials = sandbox.credentials();
    let other = |time| Other(signer(Algorithm::Ps256, Audience::TokenEndpoint), time, Mutex::default());
    let (now, minute) = (FetchRequest::new().now(), Duration::from_secs(60));
    for time in [now - 2 * minute, now + minute] {
        let grant = grant(&sandbox, credentials.client_id()).client_assertion(other(Some(time)));
        assert_eq!(code(grant).await.as_deref(), Some("invalid_client"));
    }
    let grant = grant(&sandbox, credentials.client_id()).client_assertion(other(None)).build()?;
    grant.fetch(FetchRequest::new()).await?;
    let error = grant.fetch(FetchRequest::new()).await.unwrap_err();
    assert_eq!(error.oauth_error(), Some("invalid_client"), "the same again");
    Ok(())
}

#[test]
fn a_text_without_a_public_key_is_refused() {
    for text in
        ["", key("rsa2048"), key("rsa2048_certificate"), "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
    {
        let error = Sandbox::builder().assertion_key(Algorithm::Rs256, text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}
