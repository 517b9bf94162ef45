//! R5: a token is renewed at its first rejection, retired at the second in a row, and used again if no other can be had.

use std::time::Duration;

use http::StatusCode;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, ErrorKind,
    rejection::NotReplayed,
    token::{TokenHandle, TokenState},
};

use crate::{
    answering::answering,
    load::millis,
    support::{Body, Issuer, Seen, answer, get},
};

/// An API that rejects token-1 on the path `/bad` and takes everything else, behind a layer that holds token-1.
async fn scene() -> (
    Issuer,
    Seen,
    TokenHandle,
    impl Service<http::Request<Body>, Response = http::Response<Body>, Error = BoxError, Future: Send> + Clone + Send,
) {
    let issuer = Issuer::new();
    let (seen, api) = answering(|_, request| async move {
        let rejects = request.uri().path() == "/bad" && request.headers()["authorization"] == "Bearer token-1";
        answer(if rejects { StatusCode::UNAUTHORIZED } else { StatusCode::OK })
    });
    let layer: AuthLayer = issuer.layer();
    layer.handle().token().await.unwrap();
    (issuer, seen, layer.handle(), layer.layer(api))
}

/// The status and the mark of the response that a spawned call ended with.
async fn end(call: JoinHandle<Result<http::Response<Body>, BoxError>>) -> (StatusCode, Option<NotReplayed>) {
    let response = call.await.unwrap().unwrap();
    (response.status(), response.extensions().get().copied())
}

const OK: (StatusCode, Option<NotReplayed>) = (StatusCode::OK, None);

#[tokio::test(start_paused = true)]
async fn r5_after_a_first_rejection_the_token_stays_in_use_for_everyone_else() {
    let (issuer, seen, handle, client) = scene().await;
    let rejected = tokio::spawn(client.clone().oneshot(get("/bad")));
    sleep(millis(10)).await;
    assert_eq!((issuer.requests(), handle.status().state), (2, TokenState::Fresh));
    let began = Instant::now();
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(end(rejected).await, OK);
    assert_eq!(seen.tokens(), ["token-1", "token-1", "token-2"]);
}

#[tokio::test(start_paused = true)]
async fn r5_after_a_second_rejection_in_a_row_new_requests_wait_for_the_successor() {
    let (issuer, seen, handle, client) = scene().await;
    let rejected = [(); 2].map(|()| tokio::spawn(client.clone().oneshot(get("/bad"))));
    sleep(millis(10)).await;
    assert_eq!((issuer.requests(), handle.status().state), (2, TokenState::Missing));
    let began = Instant::now();
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(began.elapsed(), millis(40), "the rest of the fetch");
    for rejected in rejected {
        assert_eq!(end(rejected).await, OK);
    }
    assert!(seen.tokens()[2..].iter().all(|token| token == "token-2"));
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn r5_an_acceptance_between_two_rejections_sets_the_count_to_nought() {
    let (issuer, _, handle, client) = scene().await;
    let first = tokio::spawn(client.clone().oneshot(get("/bad")));
    sleep(millis(10)).await;
    client.clone().oneshot(get("/a")).await.unwrap();
    let second = tokio::spawn(client.oneshot(get("/bad")));
    sleep(millis(10)).await;
    assert_eq!(handle.status().state, TokenState::Fresh, "each was the first in a row");
    assert_eq!([end(first).await, end(second).await], [OK; 2]);
    assert_eq!(issuer.requests(), 2, "they share the fetch");
}

#[tokio::test(start_paused = true)]
async fn r5_a_retired_token_is_used_again_if_the_fetch_of_its_successor_fails() {
    let (issuer, seen, handle, client) = scene().await;
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "locked")));
    let rejected = [(); 2].map(|()| tokio::spawn(client.clone().oneshot(get("/bad"))));
    sleep(millis(10)).await;
    assert_eq!(handle.status().state, TokenState::Missing);
    // It waits for the successor, and then goes on with the old one.
    assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    for rejected in rejected {
        assert_eq!(end(rejected).await, (StatusCode::UNAUTHORIZED, Some(NotReplayed::FetchFailed)));
    }
    assert_eq!(handle.status().state, TokenState::Fresh);
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!((seen.tokens(), issuer.requests()), (vec!["token-1".to_owned(); 4], 2));
}
