//! S7: a request waits for a token no longer than `max_wait`, and the fetch goes on without it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{AuthError, BoxError, ErrorKind};

use crate::support::{Issuer, api, get};

fn kind(error: &BoxError) -> Option<ErrorKind> {
    error.downcast_ref().map(AuthError::kind)
}

/// An issuer that takes a second.
fn slow() -> Issuer {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.latency = Duration::from_secs(1));
    issuer
}

#[tokio::test(start_paused = true)]
async fn s7_a_request_gives_up_after_max_wait_and_the_fetch_goes_on() {
    let issuer = slow();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = issuer.builder().max_wait(Duration::from_millis(100)).build().unwrap().layer(api);
    let begin = Instant::now();
    let error = client.clone().oneshot(get("/a")).await.unwrap_err();
    assert_eq!(begin.elapsed(), Duration::from_millis(100));
    assert_eq!(kind(&error), Some(ErrorKind::Timeout));
    assert_eq!(seen.count(), 0);

    // The limit counts for each request, from its own beginning.
    sleep(Duration::from_millis(850)).await;
    assert_eq!(client.clone().oneshot(get("/b")).await.unwrap().status(), 200);
    assert_eq!(begin.elapsed(), Duration::from_secs(1));
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn s7_a_request_that_gives_up_does_not_fail_the_fetch() {
    let issuer = slow();
    let (_, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.builder().max_wait(Duration::from_millis(100)).build().unwrap();
    layer.clone().layer(api).oneshot(get("/a")).await.unwrap_err();
    sleep(Duration::from_secs(2)).await;
    let status = layer.handle().status();
    assert_eq!((status.issued, status.failures), (1, 0));
    assert!(status.last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn s7_with_a_limit_of_zero_a_request_fails_at_once_but_starts_the_fetch() {
    let issuer = slow();
    let (_, api) = api(&issuer, Duration::ZERO);
    let client = issuer.builder().max_wait(Duration::ZERO).build().unwrap().layer(api);
    let begin = Instant::now();
    let error = client.clone().oneshot(get("/a")).await.unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::Timeout));
    assert_eq!(begin.elapsed(), Duration::ZERO);

    sleep(Duration::from_millis(1100)).await;
    assert_eq!(client.oneshot(get("/b")).await.unwrap().status(), 200, "the token of the first request's fetch");
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn s7_a_request_with_a_current_token_waits_for_nothing() {
    let issuer = slow();
    let (_, api) = api(&issuer, Duration::from_secs(5));
    let layer = issuer.builder().max_wait(Duration::ZERO).build().unwrap();
    layer.handle().token().await.unwrap();
    assert_eq!(layer.layer(api).oneshot(get("/a")).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn s7_the_longest_limits_overflow_nothing() {
    for wait in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(u64::MAX / 2)] {
        let issuer = slow();
        let (_, api) = api(&issuer, Duration::ZERO);
        let client = issuer.builder().max_wait(wait).build().unwrap().layer(api);
        assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn s7_the_waits_of_one_request_count_together() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.latency = Duration::from_millis(400));
    let (_, api) = api(&issuer, Duration::from_millis(10));
    let layer = issuer.builder().max_wait(Duration::from_millis(600)).build().unwrap();
    let begin = Instant::now();
    let call = tokio::spawn(layer.clone().layer(api).oneshot(get("/a")));
    sleep(Duration::from_millis(405)).await;
    issuer.revoke();
    // It waited 400 ms for the first token, which the API now rejects; 200 ms are left for the second.
    let _given_up = call.await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_millis(610));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(layer.handle().status().issued, 2, "the second fetch went on");
}
