//! S9: an error of the token fetch is an error of the response, and is found through the errors of other layers.

use std::{
    future::Ready,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use tokio::time::sleep;
use tower::{
    BoxError, Layer, Service, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit, retry::Retry, timeout::Timeout,
};
use tower_outbound_auth::{
    AuthError, Credentials, ErrorKind,
    signing::{SignRules, TimestampHmac},
};

use crate::{
    strict_api::{Again, PATIENCE, Strict},
    support::{Body, Issuer, answer, get},
};

fn denied() -> AuthError {
    AuthError::new(ErrorKind::Denied, "the client is locked")
}

fn failing() -> Issuer {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.failure = Some(denied()));
    issuer
}

fn kind(error: &BoxError) -> Option<ErrorKind> {
    AuthError::find(error.as_ref()).map(AuthError::kind)
}

#[tokio::test(start_paused = true)]
async fn s9_poll_ready_never_gives_a_token_error() {
    let issuer = failing();
    let mut client = issuer.layer().layer(Strict::new(&issuer, true));
    for _ in 0..3 {
        let error = client.ready().await.unwrap().call(get("/a")).await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::Denied));
    }
    issuer.set(|settings| settings.failure = None);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(client.ready().await.unwrap().call(get("/a")).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn s9_a_buffer_outlives_a_token_error() {
    let issuer = failing();
    let client = Buffer::new(issuer.layer().layer(Strict::new(&issuer, true)), 1);
    for _ in 0..3 {
        assert_eq!(kind(&client.clone().oneshot(get("/a")).await.unwrap_err()), Some(ErrorKind::Denied));
    }
    issuer.set(|settings| settings.failure = None);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn s9_a_token_error_gives_the_permit_back() {
    let issuer = failing();
    let client = issuer.layer().layer(ConcurrencyLimit::new(Strict::new(&issuer, true), 1));
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
    for call in calls {
        assert_eq!(kind(&call.await.unwrap().unwrap_err()), Some(ErrorKind::Denied));
    }
}

#[tokio::test(start_paused = true)]
async fn an_auth_error_is_found_through_the_errors_of_other_layers() {
    let issuer = failing();
    let client = || issuer.layer().layer(Strict::new(&issuer, false));
    let mut errors = vec![
        client().oneshot(get("/a")).await.unwrap_err(),
        Buffer::new(client(), 1).oneshot(get("/a")).await.unwrap_err(),
        Timeout::new(client(), PATIENCE).oneshot(get("/a")).await.unwrap_err(),
        Retry::new(Again(3), client()).oneshot(get("/a")).await.unwrap_err(),
    ];
    let all = Retry::new(Again(3), Timeout::new(Buffer::new(client(), 1), PATIENCE));
    errors.push(all.oneshot(get("/a")).await.unwrap_err());
    for error in errors {
        assert_eq!(kind(&error), Some(ErrorKind::Denied), "{error:?}");
        assert_eq!(AuthError::find(error.as_ref()).unwrap().to_string(), "the client is locked");
    }
}

/// An `http::HeaderMap` has room for 24,576 names, and panics when it is made to take one more.
#[tokio::test(start_paused = true)]
async fn a_request_without_room_for_a_header_is_an_error_and_is_not_sent() {
    let issuer = Issuer::new();
    let api = Strict::new(&issuer, false);
    let (seen, signer) = (api.shared.seen.clone(), TimestampHmac::sha256(Credentials::new("id", "secret")));
    let settings = || issuer.builder().header(HeaderName::from_static("x-fiid"), HeaderValue::from_static("7"));
    let client = settings().sign(SignRules::all(), signer).build().unwrap().layer(api);
    let mut full = get("/a");
    let mut names = (0..).map(|number| HeaderName::try_from(format!("x-{number}")).unwrap());
    while full.headers_mut().try_insert(names.next().unwrap(), HeaderValue::from_static("1")).is_ok() {}
    // Room for none, for one, and for all but the last of the four.
    for room in [0, 1, 3] {
        let mut request = full.clone();
        for number in 0..room {
            request.headers_mut().remove(format!("x-{number}"));
        }
        let error = client.clone().oneshot(request).await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::Config), "{room}: {error:?}");
    }
    assert_eq!(seen.count(), 0);
    for number in 0..4 {
        full.headers_mut().remove(format!("x-{number}"));
    }
    assert_eq!(client.oneshot(full).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_error_of_another_layer_is_no_auth_error() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.latency = Duration::from_secs(20));
    let client = Timeout::new(issuer.layer().layer(Strict::new(&issuer, false)), PATIENCE);
    let error = client.oneshot(get("/a")).await.unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>());
    assert_eq!(kind(&error), None);
}

/// A service that is never ready, since its own token fetch failed.
struct Broken;

impl Service<Request<Body>> for Broken {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Ready<Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err(denied().into()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::ready(Ok(answer(StatusCode::OK)))
    }
}

/// An error with another behind it.
#[derive(Debug)]
struct Wrapped(Arc<AuthError>);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request failed")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn an_auth_error_is_found_behind_other_errors() {
    let error = Buffer::new(Broken, 1).oneshot(get("/a")).await.unwrap_err();
    assert!(error.is::<tower::buffer::error::ServiceError>(), "the buffer has wrapped it");
    assert_eq!(kind(&error), Some(ErrorKind::Denied));

    let issuer = failing();
    let wrap = |error: BoxError| Wrapped(Arc::new(AuthError::find(error.as_ref()).unwrap().clone()));
    let client = issuer.layer().layer(Strict::new(&issuer, false)).map_err(wrap);
    let error: BoxError = Timeout::new(client, PATIENCE).oneshot(get("/a")).await.unwrap_err();
    assert_eq!(error.to_string(), "the request failed");
    assert_eq!(kind(&error), Some(ErrorKind::Denied));
    assert_eq!(kind(&"another error".into()), None);
}
