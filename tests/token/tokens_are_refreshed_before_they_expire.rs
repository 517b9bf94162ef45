//! A token is replaced before it expires, without a request that waits for it, and no expired token is ever sent.

use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use tokio::{
    task::yield_now,
    time::{Instant, advance, sleep, sleep_until},
};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, Credentials, ErrorKind,
    signing::{SignRules, TimestampHmac},
    token::{RefreshPolicy, TokenHandle, TokenState},
};

use crate::support::{Issuer, api, get};

const HOUR: Duration = Duration::from_secs(3600);

/// An issuer that answers at once, so that a token's life begins when it is asked for.
fn quick(lifetime: Duration) -> Issuer {
    let issuer = Issuer::new();
    issuer.set(|settings| (settings.latency, settings.lifetime) = (Duration::ZERO, Some(lifetime)));
    issuer
}

fn steady() -> RefreshPolicy {
    RefreshPolicy::default().jitter(0.0)
}

/// The token as a request gets it, then a moment for a fetch that this began.
async fn ask(handle: &TokenHandle) -> String {
    let token = handle.token().await.unwrap().expose_secret().to_owned();
    sleep(Duration::from_millis(1)).await;
    token
}

#[tokio::test(start_paused = true)]
async fn t4_from_three_quarters_of_its_life_on_the_next_request_refreshes_the_token() {
    let issuer = quick(HOUR);
    let handle = issuer.builder().refresh(steady()).build().unwrap().handle();
    handle.token().await.unwrap();
    advance(Duration::from_millis(2_699_990)).await;
    assert_eq!(ask(&handle).await, "token-1");
    assert_eq!(issuer.requests(), 1, "too early");
    advance(Duration::from_millis(10)).await;
    assert_eq!(ask(&handle).await, "token-1", "the request that finds it old goes on with it");
    assert_eq!(issuer.requests(), 2);
    assert_eq!(ask(&handle).await, "token-2");
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn t4_no_caller_waits_for_an_early_refresh() {
    let issuer = quick(HOUR);
    let (seen, api) = api(&issuer, Duration::from_millis(10));
    let client = issuer.layer().layer(api);
    client.clone().oneshot(get("/a")).await.unwrap();
    issuer.set(|settings| settings.latency = Duration::from_secs(20));
    sleep(Duration::from_secs(3000)).await;
    let begin = Instant::now();
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(begin.elapsed(), Duration::from_millis(10), "the API's own time");
    assert!(seen.tokens().iter().all(|token| token == "token-1"));
    sleep_until(begin + Duration::from_millis(20_010)).await;
    client.oneshot(get("/a")).await.unwrap();
    assert_eq!(seen.tokens().last().unwrap(), "token-2");
    assert_eq!(issuer.requests(), 2, "all of them together began one fetch");
}

/// The second of its 1000 at which a request first refreshed the token.
async fn moment_of_refresh(issuer: &Issuer, handle: &TokenHandle) -> Option<u64> {
    let age = Duration::from_secs(1000).saturating_sub(handle.status().expires_in.unwrap());
    let born = Instant::now() - age;
    let before = issuer.requests();
    for second in 690..=820 {
        sleep_until(born + Duration::from_secs(second)).await;
        handle.token().await.unwrap();
        yield_now().await;
        if issuer.requests() > before {
            sleep(Duration::from_secs(1)).await;
            return Some(second);
        }
    }
    None
}

#[tokio::test(start_paused = true)]
async fn t4_each_layer_draws_its_own_moment_once() {
    let mut moments = Vec::new();
    for _ in 0..40 {
        let issuer = quick(Duration::from_secs(1000));
        let handle = issuer.layer().handle();
        handle.token().await.unwrap();
        let first = moment_of_refresh(&issuer, &handle).await.unwrap();
        assert!((700..=801).contains(&first), "{first}");
        for _ in 0..3 {
            let again = moment_of_refresh(&issuer, &handle).await.unwrap();
            assert!(first.abs_diff(again) <= 1, "one layer refreshed at {first} and at {again}");
        }
        moments.push(first);
    }
    let (least, most) = (moments.iter().min().unwrap(), moments.iter().max().unwrap());
    assert!(most - least > 50, "forty layers refreshed within {least} and {most} of 1000 s");
}

#[tokio::test(start_paused = true)]
async fn t4_a_failed_early_refresh_is_invisible_while_the_old_token_lives() {
    let issuer = quick(HOUR);
    let (_, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let client = layer.clone().layer(api);
    client.clone().oneshot(get("/a")).await.unwrap();
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Unavailable, "down")));
    sleep(Duration::from_secs(3000)).await;
    for _ in 0..500 {
        let begin = Instant::now();
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
        assert!(begin.elapsed() <= Duration::from_millis(1));
        sleep(Duration::from_secs(1)).await;
    }
    let status = layer.handle().status();
    assert_eq!(status.last_error.unwrap().kind(), ErrorKind::Unavailable);
    assert!((5..60).contains(&status.failures), "tried again, with backoffs in between: {}", status.failures);
    assert_eq!(issuer.requests(), 1 + 3 * status.failures);

    issuer.set(|settings| settings.failure = None);
    for _ in 0..65 {
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(layer.handle().status().issued, 2);
    assert!(layer.handle().status().last_error.is_none());
}

/// Whether a request at this age of a token with this lifetime still gets it.
async fn is_used_at(lifetime: Duration, margin: Option<Duration>, age: Duration) -> bool {
    let issuer = quick(lifetime);
    let policy = margin.map_or(steady(), |margin| steady().expiry_margin(margin));
    let handle = issuer.builder().refresh(policy).build().unwrap().handle();
    handle.token().await.unwrap();
    advance(age).await;
    let status = handle.status();
    let used = ask(&handle).await == "token-1";
    assert_eq!(status.state == TokenState::Expired, !used, "status() says what requests will find");
    used
}

#[tokio::test(start_paused = true)]
async fn t5_a_token_is_not_handed_out_within_its_expiry_margin() {
    let (secs, just) = (Duration::from_secs, Duration::from_millis(1));
    let cases = [
        (HOUR, None, secs(3570)),
        (secs(300), None, secs(270)),
        (secs(100), None, secs(90)),
        (secs(100), Some(secs(2)), secs(98)),
        (secs(100), Some(Duration::MAX), secs(90)),
        (secs(100), Some(Duration::ZERO), secs(100)),
        (HOUR, Some(secs(120)), secs(3480)),
    ];
    for (lifetime, margin, end) in cases {
        let case = format!("{lifetime:?} with a margin of {margin:?}");
        assert!(is_used_at(lifetime, margin, end.checked_sub(just).unwrap()).await, "{case}: no more before {end:?}");
        assert!(!is_used_at(lifetime, margin, end).await, "{case}: still at {end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn t5_a_request_that_finds_only_a_dead_token_waits_for_the_next() {
    let issuer = quick(HOUR);
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = issuer.layer().layer(api);
    client.clone().oneshot(get("/a")).await.unwrap();
    issuer.set(|settings| settings.latency = Duration::from_secs(2));
    sleep(Duration::from_secs(4000)).await;
    let begin = Instant::now();
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert!(begin.elapsed() >= Duration::from_secs(2));
    assert_eq!(seen.tokens(), ["token-1", "token-2"]);
}

#[tokio::test(start_paused = true)]
async fn t5_no_failure_makes_a_dead_token_good() {
    let issuer = quick(HOUR);
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = issuer.layer().layer(api);
    client.clone().oneshot(get("/a")).await.unwrap();
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Unavailable, "down")));
    for _ in 0..400 {
        sleep(Duration::from_secs(10)).await;
        let _may_fail = client.clone().oneshot(get("/a")).await;
    }
    assert_eq!(seen.count(), 357, "the first request, and one each 10 s up to 3569 s");
}

/// The wall clock runs on while tokio's is paused.
fn is_about(left: Option<Duration>, expected: Duration) -> bool {
    left.and_then(|left| expected.checked_sub(left)).is_some_and(|passed| passed < Duration::from_secs(1))
}

#[tokio::test(start_paused = true)]
async fn t13_expiry_follows_the_clock_though_no_timer_fired() {
    let issuer = quick(HOUR);
    let handle = issuer.layer().handle();
    assert!(is_about(handle.token().await.unwrap().expires_in(), HOUR));
    advance(Duration::from_secs(1800)).await;
    assert!(is_about(handle.status().expires_in, Duration::from_secs(1800)));
    assert_eq!(ask(&handle).await, "token-1");
    advance(Duration::from_secs(1800)).await;
    assert_eq!(handle.status().state, TokenState::Expired);
    assert_eq!(ask(&handle).await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn t13_the_timestamp_of_a_signature_is_the_wall_clocks() {
    let issuer = quick(Duration::from_secs(1_000_000));
    let (seen, api) = api(&issuer, Duration::ZERO);
    let signer = TimestampHmac::sha256(Credentials::new("id", "secret"));
    let client = issuer.builder().sign(SignRules::all(), signer).build().unwrap().layer(api);
    let wall = || UNIX_EPOCH.elapsed().unwrap().as_secs();
    let before = wall();
    for _ in 0..2 {
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), StatusCode::OK);
        advance(Duration::from_secs(100_000)).await;
    }
    for request in seen.requests() {
        let time: u64 = request.headers()["x-timestamp"].to_str().unwrap().parse().unwrap();
        assert!((before..=wall()).contains(&time), "tokio's clock was paused and advanced: {time}");
    }
}
