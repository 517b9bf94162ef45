//! S9: a request goes to an instance that `poll_ready` made ready, and holds no permit while it waits.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tower::{Layer, Service, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit, load_shed::LoadShed};
use tower_outbound_auth::{
    AuthError, ErrorKind,
    signing::{SignRules, SigningContext, signer_fn},
};
use tower_test::mock;

use crate::{
    strict_api::Strict,
    support::{Body, Issuer, answer, get},
};

#[tokio::test(start_paused = true)]
async fn s9_the_permit_of_the_first_request_is_given_back_before_the_second_asks_for_one() {
    let issuer = Issuer::new();
    let layer = issuer.layer();
    layer.handle().token().await.unwrap();
    let shed = LoadShed::new(ConcurrencyLimit::new(Strict::new(&issuer, false), 1));
    let call = tokio::spawn(layer.layer(shed).oneshot(get("/a")));
    tokio::task::yield_now().await;
    // The newer token is there when the rejection comes, so that nothing is waited for in between.
    issuer.revoke();
    issuer.set(|settings| settings.latency = Duration::ZERO);
    layer.handle().refresh().await.unwrap();
    assert_eq!(call.await.unwrap().unwrap().status(), 200, "load is not shed");
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn s9_the_second_request_waits_until_the_service_is_ready() {
    let issuer = Issuer::new();
    let (api, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    handle.allow(1);
    let call = tokio::spawn(issuer.layer().layer(api).oneshot(get("/a")));
    let (first, respond) = handle.next_request().await.unwrap();
    assert_eq!(first.headers().get(AUTHORIZATION).unwrap(), "Bearer token-1");
    respond.send_response(answer(StatusCode::UNAUTHORIZED));
    sleep(Duration::from_secs(10)).await;
    assert!(!call.is_finished(), "the service is not ready again");
    handle.allow(1);
    let (second, respond) = handle.next_request().await.unwrap();
    assert_eq!(second.headers().get(AUTHORIZATION).unwrap(), "Bearer token-2");
    respond.send_response(answer(StatusCode::OK));
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
}

/// The token that a request waited for may have a successor by the time the service is ready.
#[tokio::test(start_paused = true)]
async fn s9_a_request_that_waits_for_the_service_too_is_sent_with_the_newest_token() {
    let issuer = Issuer::new();
    let (layer, permits) = (issuer.layer(), Arc::new(Semaphore::new(1)));
    let api = Strict::new(&issuer, false);
    let seen = Arc::clone(&api.shared);
    let limited = ConcurrencyLimit::with_semaphore(api, Arc::clone(&permits));
    let call = tokio::spawn(layer.layer(limited).oneshot(get("/a")));
    sleep(Duration::from_millis(1)).await;
    let permit = permits.acquire().await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_eq!((issuer.requests(), seen.seen.count()), (1, 0), "it has a token, and the service is not ready");
    layer.handle().refresh().await.unwrap();
    drop(permit);
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    assert_eq!(seen.seen.tokens(), ["token-2"]);
}

#[tokio::test(start_paused = true)]
async fn s9_a_service_that_fails_to_get_ready_again_fails_the_request() {
    let (api, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    handle.allow(1);
    let call = tokio::spawn(Issuer::new().layer().layer(api).oneshot(get("/a")));
    let (_, respond) = handle.next_request().await.unwrap();
    handle.send_error("the connection is gone");
    respond.send_response(answer(StatusCode::UNAUTHORIZED));
    assert_eq!(call.await.unwrap().unwrap_err().to_string(), "the connection is gone");
}

#[tokio::test(start_paused = true)]
async fn s9_a_request_that_waits_goes_to_an_instance_that_was_made_ready() {
    let issuer = Issuer::new();
    let api = Strict::new(&issuer, true);
    let shared = Arc::clone(&api.shared);
    let mut client = issuer.layer().layer(api);
    // Two calls of one client, the second made ready while the first waits for its token.
    let first = client.ready().await.unwrap().call(get("/a"));
    let second = client.ready().await.unwrap().call(get("/b"));
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap().status(), second.unwrap().status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!((shared.violations.load(SeqCst), shared.seen.count()), (0, 2));
}

/// A request waits for its token, and another one for the renewal of a rejected one: the ready instance is released.
#[tokio::test(start_paused = true)]
async fn s9_the_ready_instance_of_a_request_that_waits_is_released() {
    let issuer = Issuer::new();
    let permits = Arc::new(Semaphore::new(1));
    let layer = issuer.layer();
    let limited = ConcurrencyLimit::with_semaphore(Strict::new(&issuer, true), Arc::clone(&permits));
    let mut client = layer.layer(limited);
    for renewal in [false, true] {
        issuer.revoke();
        assert_eq!(permits.available_permits(), 1);
        let ready = client.ready().await.unwrap();
        assert_eq!(permits.available_permits(), 0, "it holds the permit until it is called");
        let call = ready.call(get("/a"));
        if !renewal {
            assert_eq!(permits.available_permits(), 1, "released by the call, before its future is polled");
        }
        let call = tokio::spawn(call);
        sleep(Duration::from_millis(40)).await;
        assert_eq!((permits.available_permits(), call.is_finished()), (1, false), "renewal: {renewal}");
        // Another caller's request, which needs no token, is served meanwhile, by this clone and by others.
        for mut other in [client.clone(), client.clone()] {
            let elsewhere = Request::get("https://elsewhere.example.com/").header(AUTHORIZATION, "none");
            let elsewhere = other.ready().await.unwrap().call(elsewhere.body(Body::default()).unwrap());
            let response = timeout(Duration::from_millis(15), elsewhere).await;
            assert_eq!(response.unwrap().unwrap().status(), 401);
        }
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn s9_a_place_in_a_buffer_is_released_by_a_request_that_waits() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.latency = Duration::from_secs(5));
    let client = issuer.layer().layer(Buffer::new(Strict::new(&issuer, true), 1));
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
    sleep(Duration::from_secs(1)).await;
    let elsewhere = Request::get("https://elsewhere.example.com/").header(AUTHORIZATION, "none").body(Body::default());
    let response = timeout(Duration::from_millis(100), client.oneshot(elsewhere.unwrap())).await;
    assert_eq!(response.expect("it waits for a place").unwrap().status(), 401);
    for call in waiting {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn s9_a_request_that_waited_for_its_token_is_sent_only_when_the_service_is_ready_again() {
    let issuer = Issuer::new();
    let (api, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    handle.allow(1);
    let mut client = issuer.layer().layer(api);
    let call = tokio::spawn(client.ready().await.unwrap().call(get("/a")));
    sleep(Duration::from_secs(10)).await;
    assert_eq!((issuer.requests(), call.is_finished()), (1, false), "the token is there, and the service is busy");
    handle.allow(1);
    let (request, respond) = handle.next_request().await.unwrap();
    assert_eq!(request.headers().get(AUTHORIZATION).unwrap(), "Bearer token-1");
    respond.send_response(answer(StatusCode::OK));
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
}

/// Fails as a signer, or as a request whose URI has no host: the caller keeps its clone, and others need the permit.
#[tokio::test(start_paused = true)]
async fn s9_a_request_that_fails_before_it_is_sent_releases_the_ready_instance() {
    let issuer = Issuer::new();
    let permits = Arc::new(Semaphore::new(1));
    let failing = signer_fn(|_: &SigningContext<'_>| Err(AuthError::new(ErrorKind::Signing, "the key is locked")));
    let layer = issuer.builder().sign(SignRules::paths(["/signed"]).unwrap(), failing).build().unwrap();
    let mut client = layer.layer(ConcurrencyLimit::with_semaphore(Strict::new(&issuer, false), Arc::clone(&permits)));
    layer.handle().token().await.unwrap();
    let relative = Request::get("/a").body(Body::default()).unwrap();
    for (request, kind) in [(get("/signed"), ErrorKind::Signing), (relative, ErrorKind::Config)] {
        let error = client.ready().await.unwrap().call(request).await.unwrap_err();
        assert_eq!(AuthError::find(error.as_ref()).unwrap().kind(), kind);
        assert_eq!(permits.available_permits(), 1, "{kind:?}");
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    }
}
