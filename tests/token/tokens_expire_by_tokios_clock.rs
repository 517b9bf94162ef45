//! The time by which tokens expire is tokio's, so that a test can pause and advance it, with no setting of the layer.

use std::time::Duration;

use tokio::time::{advance, pause, sleep};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{AuthError, ErrorKind, token::TokenState};

use crate::support::{Issuer, api, get};

#[tokio::test(start_paused = true)]
async fn t13_advancing_the_clock_expires_a_token() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.lifetime = Some(Duration::from_secs(60)));
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let (client, handle) = (layer.layer(api), layer.handle());
    client.clone().oneshot(get("/a")).await.unwrap();
    assert_eq!(handle.status().state, TokenState::Fresh);

    advance(Duration::from_secs(50)).await;
    assert_eq!(handle.status().state, TokenState::Stale);
    let left = handle.status().expires_in.unwrap();
    assert!((9..=10).contains(&left.as_secs()), "{left:?}");
    advance(Duration::from_secs(11)).await;
    assert_eq!(handle.status().state, TokenState::Expired);
    assert_eq!(handle.status().expires_in, Some(Duration::ZERO));

    client.oneshot(get("/a")).await.unwrap();
    assert_eq!(seen.tokens(), ["token-1", "token-2"]);
}

#[tokio::test(start_paused = true)]
async fn t13_a_test_on_paused_time_lives_through_a_day() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::from_millis(5));
    let client = issuer.layer().layer(api);
    for _ in 0..24 * 60 {
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
        sleep(Duration::from_secs(60)).await;
    }
    // A token of an hour is refreshed after 42 to 48 minutes.
    assert!((30..=35).contains(&issuer.requests()), "{} token requests", issuer.requests());
    assert_eq!(seen.count(), 24 * 60, "none was rejected");
}

#[tokio::test]
async fn t13_a_clock_that_is_paused_after_the_layer_was_built_counts_too() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.latency = Duration::ZERO);
    let handle = issuer.layer().handle();
    pause();
    handle.token().await.unwrap();
    advance(Duration::from_secs(3_601)).await;
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn t13_advancing_the_clock_ends_a_backoff() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "locked")));
    let handle = issuer.layer().handle();
    let error = handle.token().await.unwrap_err();
    issuer.set(|settings| settings.failure = None);
    assert!(handle.token().await.is_err(), "a backoff of seconds");
    advance(error.retry_after().unwrap()).await;
    assert!(handle.token().await.is_ok());
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn t13_a_token_that_outlives_its_layer_still_knows_its_age() {
    let token = Issuer::new().layer().handle().token().await.unwrap();
    advance(Duration::from_secs(600)).await;
    let left = token.expires_in().unwrap();
    assert!((2_999..=3_000).contains(&left.as_secs()), "{left:?}");
}
