//! S9: a replay goes to an instance that `poll_ready` made ready, and the first call's permit is free by then.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, load_shed::LoadShed};
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
async fn s9_a_parked_request_goes_to_the_instance_that_was_made_ready() {
    let issuer = Issuer::new();
    let api = Strict::new(&issuer, true);
    let shared = Arc::clone(&api.shared);
    let mut client = issuer.layer().layer(api);
    // Two calls of one client, the second made ready while the first is parked.
    let first = client.ready().await.unwrap().call(get("/a"));
    let second = client.ready().await.unwrap().call(get("/b"));
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap().status(), second.unwrap().status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!((shared.violations.load(SeqCst), shared.seen.count()), (0, 2));
}
