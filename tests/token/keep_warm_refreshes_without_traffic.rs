//! Without traffic a layer does nothing, unless it is told to keep its token warm.

use std::time::Duration;

use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::sleep,
};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, ErrorKind,
    token::{TokenHandle, TokenState},
};

use crate::support::{Issuer, api, get};

const DAY: Duration = Duration::from_secs(86_400);

fn issuer(lifetime: Duration) -> Issuer {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.lifetime = Some(lifetime));
    issuer
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Looks at the token each second; it must be usable every time.
async fn assert_warm(handle: &TokenHandle, seconds: u64) {
    for second in 0..seconds {
        let state = handle.status().state;
        assert!(matches!(state, TokenState::Fresh | TokenState::Stale), "{state:?} after {second} s");
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t10_an_idle_layer_does_nothing() {
    let issuer = issuer(Duration::from_secs(100));
    let (_, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let client = layer.clone().layer(api);
    sleep(DAY).await;
    assert_eq!((issuer.requests(), tasks()), (0, 0));
    client.clone().oneshot(get("/a")).await.unwrap();
    sleep(DAY).await;
    assert_eq!((issuer.requests(), tasks()), (1, 0));
    assert_eq!(layer.handle().status().state, TokenState::Expired);
}

#[tokio::test(start_paused = true)]
async fn t10_keep_warm_fetches_the_first_token() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let warm = handle.keep_warm();
    sleep(Duration::from_millis(60)).await;
    assert_eq!((issuer.requests(), handle.status().state), (1, TokenState::Fresh));
    drop(warm);
}

#[tokio::test(start_paused = true)]
async fn t10_keep_warm_refreshes_without_traffic() {
    let issuer = issuer(Duration::from_secs(100));
    let handle = issuer.layer().handle();
    let warm = handle.keep_warm();
    sleep(Duration::from_secs(1)).await;
    assert_warm(&handle, 3600).await;
    // Each token lasts for 70 to 80 s.
    assert!((45..=53).contains(&issuer.requests()), "{} token requests in an hour", issuer.requests());
    drop(warm);
}

#[tokio::test(start_paused = true)]
async fn t10_keep_warm_is_in_time_for_short_tokens_too() {
    let issuer = issuer(Duration::from_secs(20));
    let handle = issuer.layer().handle();
    let warm = handle.keep_warm();
    sleep(Duration::from_secs(1)).await;
    assert_warm(&handle, 600).await;
    drop(warm);
}

#[tokio::test(start_paused = true)]
async fn t14_keep_warm_notices_a_rotation_within_half_a_minute() {
    let issuer = Issuer::new();
    let warm = issuer.layer().handle().keep_warm();
    sleep(Duration::from_secs(100)).await;
    issuer.rotate();
    sleep(Duration::from_secs(31)).await;
    assert_eq!(issuer.requests(), 2);
    drop(warm);
}

#[tokio::test(start_paused = true)]
async fn t10_keep_warm_survives_failures_and_panics() {
    let issuer = issuer(Duration::from_secs(1000));
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Unavailable, "down")));
    let handle = issuer.layer().handle();
    let warm = handle.keep_warm();
    sleep(Duration::from_secs(600)).await;
    let failures = handle.status().failures;
    assert!((10..=40).contains(&failures), "{failures} fetches in ten minutes: backoffs of up to a minute are kept");
    issuer.set(|settings| settings.failure = None);
    sleep(Duration::from_secs(65)).await;
    assert_warm(&handle, 2000).await;

    issuer.set(|settings| settings.panics = true);
    sleep(Duration::from_secs(2000)).await;
    assert_eq!(handle.status().state, TokenState::Expired);
    issuer.set(|settings| settings.panics = false);
    sleep(Duration::from_secs(65)).await;
    assert_warm(&handle, 2000).await;
    drop(warm);
}

#[tokio::test(start_paused = true)]
async fn t10_keep_warm_does_not_hammer_while_the_source_panics() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.panics = true);
    let warm = issuer.layer().handle().keep_warm();
    sleep(Duration::from_secs(60)).await;
    assert!((2..=61).contains(&issuer.requests()), "{} token requests in a minute", issuer.requests());
    drop(warm);
}

#[tokio::test(start_paused = true)]
async fn t10_keep_warm_does_not_hammer_for_tokens_that_are_dead_on_arrival() {
    for lifetime in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(1), Duration::from_millis(300)] {
        let issuer = issuer(lifetime);
        let warm = issuer.layer().handle().keep_warm();
        sleep(Duration::from_secs(60)).await;
        let requests = issuer.requests();
        assert!((2..=61).contains(&requests), "{requests} token requests in a minute for tokens of {lifetime:?}");
        drop(warm);
    }
}

#[tokio::test(start_paused = true)]
async fn t10_keep_warm_stops_when_it_is_dropped() {
    let issuer = issuer(Duration::from_secs(100));
    let handle = issuer.layer().handle();
    let warm = handle.keep_warm();
    sleep(Duration::from_secs(1000)).await;
    drop(warm);
    sleep(Duration::from_secs(1)).await;
    let requests = issuer.requests();
    assert!(requests > 10);
    sleep(DAY).await;
    assert_eq!((issuer.requests(), tasks()), (requests, 0));
}

#[tokio::test(start_paused = true)]
async fn t10_whoever_wants_it_warm_last_decides() {
    let issuer = issuer(Duration::from_secs(1000));
    let handle = issuer.layer().handle();
    let (first, second) = (handle.keep_warm(), handle.clone().keep_warm());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(issuer.requests(), 1, "two of them still share each fetch");
    drop(first);
    assert_warm(&handle, 5000).await;
    assert!((6..=8).contains(&issuer.requests()), "{}", issuer.requests());
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn t10_keep_warm_succeeds_a_rejected_token() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let warm = handle.keep_warm();
    sleep(Duration::from_secs(100)).await;
    handle.invalidate(&handle.token().await.unwrap());
    assert_eq!(handle.status().state, TokenState::Missing);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((issuer.requests(), handle.status().state), (2, TokenState::Fresh));
    drop(warm);
}

#[tokio::test(start_paused = true)]
async fn t10_keep_warm_and_requests_share_their_fetches() {
    let issuer = issuer(Duration::from_secs(100));
    let (_, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let (warm, client) = (layer.handle().keep_warm(), layer.layer(api));
    for _ in 0..1000 {
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
        sleep(Duration::from_secs(1)).await;
    }
    assert!((12..=15).contains(&issuer.requests()), "{} token requests in 1000 s", issuer.requests());
    drop(warm);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[test]
fn t10_outside_of_a_runtime_keep_warm_does_nothing() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let warm = handle.keep_warm();
    runtime().block_on(async { sleep(DAY).await });
    assert_eq!((issuer.requests(), handle.status().failures), (0, 0));
    assert!(format!("{warm:?}").starts_with("KeepWarm"));
    drop(warm);
    assert!(runtime().block_on(handle.token()).is_ok());
}

#[test]
fn t10_keep_warm_ends_with_its_runtime_and_can_be_dropped_after_it() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let first = runtime();
    let warm = first.block_on(async { handle.keep_warm() });
    drop(first);
    drop(warm);
    let second = runtime();
    second.block_on(async {
        let _warm = handle.keep_warm();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(handle.status().state, TokenState::Fresh);
    });
}
