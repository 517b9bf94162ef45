//! A request is signed with the secret that obtained its token, before and after a rotation.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use tokio::{sync::Semaphore, task::yield_now};
use tower::{BoxError, Layer, ServiceExt, service_fn, util::BoxCloneService};
use tower_outbound_auth::{
    AuthError, AuthLayer, Credentials, ErrorKind,
    oauth::{ClientAuth, ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    paynet,
    signing::{SignRules, Signer, TimestampHmac},
};

type Body = Full<Bytes>;

/// A token endpoint whose tokens are named after the secret that they were requested with.
#[derive(Clone)]
struct Endpoint {
    /// How many requests it may answer.
    permits: Arc<Semaphore>,
    secrets: Arc<Mutex<Vec<String>>>,
    /// Whether it knows no secret any more.
    knows_none: Arc<AtomicBool>,
}

impl Endpoint {
    fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(0)), secrets: Arc::default(), knows_none: Arc::default() }
    }

    fn requests(&self) -> usize {
        self.secrets.lock().unwrap().len()
    }

    fn grant(&self, credentials: &Credentials) -> ClientCredentialsGrantBuilder {
        let endpoint = self.clone();
        let transport = service_fn(move |request: Request<Body>| endpoint.clone().answer(request));
        ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone()).transport(transport)
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let form = request.into_body().collect().await?.to_bytes();
        let secret = url::form_urlencoded::parse(&form).find(|(name, _)| name == "client_secret");
        let secret = secret.map_or_else(String::new, |(_, secret)| secret.into_owned());
        self.secrets.lock().unwrap().push(secret.clone());
        self.permits.acquire().await?.forget();
        let refused = secret == "refused" || self.knows_none.load(SeqCst);
        let (status, body) = if refused {
            (400, r#"{"error":"invalid_client"}"#.to_owned())
        } else {
            (200, format!(r#"{{"access_token":"token.{secret}","token_type":"Bearer","expires_in":3600}}"#))
        };
        Ok(Response::builder().status(status).body(Full::from(body))?)
    }
}

/// The headers of the requests that reach an API.
type Seen = Arc<Mutex<Vec<HeaderMap>>>;

fn client(layer: &AuthLayer) -> (Seen, BoxCloneService<Request<Body>, Response<Body>, BoxError>) {
    let seen = Seen::default();
    let headers = Arc::clone(&seen);
    let api = service_fn(move |request: Request<Body>| {
        headers.lock().unwrap().push(request.headers().clone());
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::default())))
    });
    (seen, BoxCloneService::new(layer.layer(api)))
}

fn get() -> Request<Body> {
    Request::get("https://api.example.com/a").body(Body::default()).unwrap()
}

/// Which secret a request's token and signature belong to: the first of these that signs as the request is signed.
fn secrets(headers: &HeaderMap, candidates: &[&str]) -> (String, Option<String>) {
    let token = headers[AUTHORIZATION].to_str().unwrap().trim_start_matches("Bearer token.").to_owned();
    let timestamp = headers[paynet::X_TIMESTAMP].to_str().unwrap();
    let signs = |secret: &&&str| headers[paynet::X_SIGNATURE] == paynet::signature(timestamp, secret);
    (token, candidates.iter().find(signs).map(|secret| (*secret).to_owned()))
}

fn layer(grant: ClientCredentialsGrantBuilder, signer: impl Signer) -> AuthLayer {
    let grant = grant.build().unwrap();
    AuthLayer::builder(grant).origin("https://api.example.com").sign(SignRules::all(), signer).build().unwrap()
}

/// Waits for something that another task brings about.
async fn until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        yield_now().await;
    }
    assert!(condition(), "it did not happen");
}

#[tokio::test]
async fn t14_a_signature_is_made_with_the_secret_that_obtained_its_token() {
    let (endpoint, credentials) = (Endpoint::new(), Credentials::new("id", "first"));
    endpoint.permits.add_permits(1);
    let layer = layer(endpoint.grant(&credentials), TimestampHmac::sha256(credentials.clone()));
    let (seen, client) = client(&layer);
    let handle = layer.handle();
    client.clone().oneshot(get()).await.unwrap();
    for (rotation, [old, new]) in [["first", "second"], ["second", "third"], ["third", "first"]].into_iter().enumerate()
    {
        credentials.rotate(new);
        for _ in 0..3 {
            client.clone().oneshot(get()).await.unwrap();
            let last = seen.lock().unwrap().pop().unwrap();
            assert_eq!(secrets(&last, &[old, new]), (old.to_owned(), Some(old.to_owned())), "no new token yet");
            yield_now().await;
        }
        endpoint.permits.add_permits(1);
        until(|| handle.status().issued == rotation as u64 + 2).await;
        client.clone().oneshot(get()).await.unwrap();
        let last = seen.lock().unwrap().pop().unwrap();
        assert_eq!(secrets(&last, &[old, new]), (new.to_owned(), Some(new.to_owned())));
    }
    assert_eq!(endpoint.requests(), 4, "one token request for each secret in use");
}

#[tokio::test]
async fn t14_a_rotation_during_a_token_request_does_not_change_the_secret_of_its_token() {
    let (endpoint, credentials) = (Endpoint::new(), Credentials::new("id", "first"));
    let layer = layer(endpoint.grant(&credentials), TimestampHmac::sha256(credentials.clone()));
    let (seen, client) = client(&layer);
    let call = tokio::spawn(async move { client.oneshot(get()).await.map(drop) });
    until(|| endpoint.requests() == 1).await;
    credentials.rotate("second");
    endpoint.permits.add_permits(1);
    call.await.unwrap().unwrap();
    let headers = seen.lock().unwrap().pop().unwrap();
    assert_eq!(secrets(&headers, &["first", "second"]), ("first".to_owned(), Some("first".to_owned())));
}

#[tokio::test]
async fn t14_while_the_new_secret_obtains_no_token_the_old_one_signs() {
    for new in ["refused", "", "with a line end\n"] {
        let (endpoint, credentials) = (Endpoint::new(), Credentials::new("id", "first"));
        endpoint.permits.add_permits(10);
        let layer = layer(endpoint.grant(&credentials), TimestampHmac::sha256(credentials.clone()));
        let (seen, client) = client(&layer);
        client.clone().oneshot(get()).await.unwrap();
        // Or else the secret before would be tried, and obtain one.
        endpoint.knows_none.store(true, SeqCst);
        credentials.rotate(new);
        client.clone().oneshot(get()).await.unwrap();
        until(|| layer.handle().status().failures == 1).await;
        client.clone().oneshot(get()).await.unwrap();
        for headers in seen.lock().unwrap().iter() {
            assert_eq!(secrets(headers, &["first", new]), ("first".to_owned(), Some("first".to_owned())), "{new:?}");
        }
        assert_eq!(seen.lock().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn t14_a_rotation_to_the_same_secret_changes_nothing() {
    let (endpoint, credentials) = (Endpoint::new(), Credentials::new("id", "first"));
    endpoint.permits.add_permits(10);
    let layer = layer(endpoint.grant(&credentials), TimestampHmac::sha256(credentials.clone()));
    let (_, client) = client(&layer);
    for _ in 0..5 {
        client.clone().oneshot(get()).await.unwrap();
        credentials.clone().rotate("first");
        yield_now().await;
    }
    assert_eq!(endpoint.requests(), 1);
    credentials.rotate("second");
    credentials.rotate("first");
    client.oneshot(get()).await.unwrap();
    until(|| endpoint.requests() == 2).await;
}

#[tokio::test]
async fn t14_the_current_secret_signs_for_a_token_of_other_credentials() {
    let (endpoint, credentials) = (Endpoint::new(), Credentials::new("id", "first"));
    endpoint.permits.add_permits(10);
    let of_signer = Credentials::new("id", "first");
    let layer = layer(endpoint.grant(&credentials), TimestampHmac::sha256(of_signer.clone()));
    let (seen, client) = client(&layer);
    for secret in ["first", "second", "third"] {
        of_signer.rotate(secret);
        client.clone().oneshot(get()).await.unwrap();
        let headers = seen.lock().unwrap().pop().unwrap();
        assert_eq!(secrets(&headers, &[secret]), ("first".to_owned(), Some(secret.to_owned())));
    }
}

#[tokio::test]
async fn t14_the_current_secret_signs_for_a_token_that_was_obtained_without_a_secret() {
    let (endpoint, credentials) = (Endpoint::new(), Credentials::new("id", "first"));
    endpoint.permits.add_permits(10);
    let grant = endpoint.grant(&credentials).client_auth(ClientAuth::Certificate);
    let layer = layer(grant, TimestampHmac::sha256(credentials.clone()));
    let (seen, client) = client(&layer);
    credentials.rotate("");
    let error = client.clone().oneshot(get()).await.unwrap_err();
    assert_eq!(AuthError::find(error.as_ref()).unwrap().kind(), ErrorKind::Signing);
    credentials.rotate("a key");
    client.oneshot(get()).await.unwrap();
    let headers = seen.lock().unwrap().pop().unwrap();
    assert_eq!(secrets(&headers, &["a key"]).1.as_deref(), Some("a key"));
}
