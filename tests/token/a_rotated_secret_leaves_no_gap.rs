//! After a rotation of the secret requests go on with the old token until there is a new one.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{AuthError, ErrorKind};

use crate::support::{Issuer, api, get};

#[tokio::test(start_paused = true)]
async fn t14_the_old_token_is_used_until_the_fetch_for_its_successor_has_ended() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = issuer.layer().layer(api);
    client.clone().oneshot(get("/a")).await.unwrap();
    issuer.rotate();
    issuer.set(|settings| settings.latency = Duration::from_secs(2));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(issuer.requests(), 1, "without a request nothing happens");
    for _ in 0..3 {
        let begin = Instant::now();
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
        assert!(begin.elapsed() <= Duration::from_millis(1), "no request waits");
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(issuer.requests(), 2, "one fetch for one rotation");
    sleep(Duration::from_secs(2)).await;
    client.oneshot(get("/a")).await.unwrap();
    assert_eq!(seen.tokens(), ["token-1", "token-1", "token-1", "token-1", "token-2"]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn t14_should_the_new_secret_be_wrong_the_old_token_stays_and_it_is_tried_again() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let client = layer.clone().layer(api);
    client.clone().oneshot(get("/a")).await.unwrap();
    issuer.rotate();
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "wrong secret")));
    for _ in 0..60 {
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
        sleep(Duration::from_secs(1)).await;
    }
    assert!(seen.tokens().iter().all(|token| token == "token-1"));
    let failures = layer.handle().status().failures;
    // A refusal's backoffs are 5 to 10 s, then 10 to 20, then 20 to 40.
    assert!((3..=4).contains(&failures), "{failures} failed fetches in a minute");

    issuer.set(|settings| settings.failure = None);
    for _ in 0..81 {
        client.clone().oneshot(get("/a")).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(layer.handle().status().issued, 2, "tried again after the backoff");
    assert_ne!(seen.tokens().last().map(String::as_str), Some("token-1"));
}

#[tokio::test(start_paused = true)]
async fn t14_a_rotation_during_a_fetch_causes_another_one() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let waiting = handle.clone();
    let first = tokio::spawn(async move { waiting.token().await.map(drop) });
    sleep(Duration::from_millis(10)).await;
    issuer.rotate();
    first.await.unwrap().unwrap();
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-1", "asked for with the old secret, but good");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-2");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn t14_a_rotation_begins_a_fetch_in_a_backoff_too() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    handle.token().await.unwrap();
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "locked")));
    handle.refresh().await.unwrap_err();
    issuer.set(|settings| settings.failure = None);
    issuer.rotate();
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-1");
    sleep(Duration::from_millis(60)).await;
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-3");
}

#[tokio::test(start_paused = true)]
async fn t14_a_rotation_during_a_forced_fetch_lets_it_end_first() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    handle.token().await.unwrap();
    let forcing = handle.clone();
    let forced = tokio::spawn(async move { forcing.refresh().await.map(|token| token.expose_secret().to_owned()) });
    sleep(Duration::from_millis(10)).await;
    issuer.rotate();
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-1");
    sleep(Duration::from_millis(10)).await;
    assert_eq!(issuer.requests(), 2, "never two fetches at once");
    let forced = timeout(Duration::from_secs(60), forced).await.expect("a waiter is stuck");
    assert_eq!(forced.unwrap().unwrap(), "token-2");
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-2");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-3", "asked for with the new secret");
}
