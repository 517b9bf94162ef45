//! After a failed flight the authorization server gets a rest, and callers are told how long.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "tokio's clock is paused")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use support::{Issuer, ORIGIN, answer, api, get};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Clock, Credentials, ErrorKind, RefreshPolicy, TokenHandle,
    oauth::ClientCredentialsGrant,
};

const MILLI: Duration = Duration::from_millis(1);

fn failing(kind: ErrorKind) -> Issuer {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.failure = Some(AuthError::new(kind, "no token today")));
    issuer
}

/// The wait that a failed flight leads to.
async fn cool_down(handle: &TokenHandle) -> Duration {
    handle.token().await.unwrap_err().retry_after().unwrap()
}

/// A layer whose authorization server answers 503 with this `Retry-After`.
fn asking_for(retry_after: &'static str) -> (AuthLayer, Credentials) {
    let transport = service_fn(move |_: Request<Full<Bytes>>| async move {
        let mut response: Response<_> = answer(StatusCode::SERVICE_UNAVAILABLE);
        response.headers_mut().insert(RETRY_AFTER, retry_after.parse().unwrap());
        Ok::<_, BoxError>(response)
    });
    let credentials = Credentials::new("id", "secret");
    let url = "https://login.example.com/token";
    let source = ClientCredentialsGrant::builder(url, credentials.clone()).transport(transport).build().unwrap();
    (AuthLayer::builder(source).origin(ORIGIN).clock(Clock::Tokio).build().unwrap(), credentials)
}

#[tokio::test(start_paused = true)]
async fn t8_in_a_cool_down_callers_get_the_same_error_at_once_and_how_long_it_still_runs() {
    let issuer = failing(ErrorKind::Denied);
    let (_, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let client = layer.clone().layer(api);
    let whole = cool_down(&layer.handle()).await;
    let failed = Instant::now();
    for _ in 0..4 {
        sleep(Duration::from_secs(1)).await;
        let begin = Instant::now();
        let error = client.clone().oneshot(get("/a")).await.unwrap_err();
        let error = error.downcast_ref::<AuthError>().unwrap();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Denied, "no token today".to_owned()));
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert_eq!(error.retry_after(), whole.checked_sub(failed.elapsed()));
    }
    assert_eq!(issuer.requests(), 1);
    assert_eq!(layer.handle().status().failures, 1);
}

#[tokio::test(start_paused = true)]
async fn t8_the_next_flight_begins_when_the_cool_down_is_over_and_not_before() {
    let issuer = failing(ErrorKind::Denied);
    let handle = issuer.layer().handle();
    let whole = cool_down(&handle).await;
    sleep(whole.checked_sub(2 * MILLI).unwrap()).await;
    handle.token().await.unwrap_err();
    assert_eq!(issuer.requests(), 1);
    issuer.set(|settings| settings.failure = None);
    sleep(2 * MILLI).await;
    handle.token().await.unwrap();
    assert_eq!(issuer.requests(), 2);
}

/// Many failures in a row: each cool-down lies between half of what is expected and the whole of it.
async fn assert_doubles(policy: RefreshPolicy, kind: ErrorKind, whole: &[u64]) {
    let issuer = failing(kind);
    let handle = issuer.builder().refresh(policy.attempts(1)).build().unwrap().handle();
    for seconds in whole {
        let (drawn, whole) = (cool_down(&handle).await, Duration::from_secs(*seconds));
        assert!(whole / 2 <= drawn && drawn <= whole, "{drawn:?} where {whole:?} is the most");
        sleep(drawn + MILLI).await;
    }
    assert_eq!(issuer.requests(), whole.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn t8_cool_downs_double_up_to_their_limit() {
    let default = RefreshPolicy::default;
    for _ in 0..20 {
        assert_doubles(default(), ErrorKind::Unavailable, &[1, 2, 4, 8, 16, 32, 60, 60, 60]).await;
        assert_doubles(default(), ErrorKind::Malformed, &[1, 2, 4]).await;
        assert_doubles(default(), ErrorKind::Denied, &[10, 20, 40, 80, 160, 300, 300]).await;
        let own = default().cool_down(Duration::from_secs(7), Duration::from_secs(20));
        assert_doubles(own, ErrorKind::Unavailable, &[7, 14, 20, 20]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t8_each_layer_draws_its_own_cool_down() {
    let mut drawn = Vec::new();
    for _ in 0..40 {
        drawn.push(cool_down(&failing(ErrorKind::Denied).layer().handle()).await);
    }
    let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
    assert!(*most > *least + Duration::from_secs(2), "forty cool-downs within {least:?} and {most:?}");
}

#[tokio::test(start_paused = true)]
async fn t8_a_token_ends_the_doubling() {
    let issuer = failing(ErrorKind::Unavailable);
    let handle = issuer.layer().handle();
    for _ in 0..6 {
        sleep(cool_down(&handle).await + MILLI).await;
    }
    issuer.set(|settings| settings.failure = None);
    handle.reject(&handle.token().await.unwrap());
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Unavailable, "down again")));
    assert!(cool_down(&handle).await <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn t8_a_longer_retry_after_of_the_server_wins_but_not_over_an_hour() {
    for (asked, whole) in [("1200", 1200), ("3599", 3599), ("7200", 3600), ("99999999999", 3600)] {
        let (layer, _) = asking_for(asked);
        assert_eq!(cool_down(&layer.handle()).await, Duration::from_secs(whole), "Retry-After: {asked}");
        sleep(Duration::from_secs(whole - 1)).await;
        assert_eq!(layer.handle().token().await.unwrap_err().retry_after(), Some(Duration::from_secs(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn t8_refresh_ends_a_cool_down() {
    let issuer = failing(ErrorKind::Denied);
    let handle = issuer.layer().handle();
    let first = cool_down(&handle).await;
    handle.refresh().await.unwrap_err();
    assert_eq!(issuer.requests(), 2, "it does not wait for the cool-down");
    let second = cool_down(&handle).await;
    assert!(second >= Duration::from_secs(10) && second > first, "another failure, another cool-down");
    issuer.set(|settings| settings.failure = None);
    handle.token().await.unwrap_err();
    handle.refresh().await.unwrap();
    handle.reject(&handle.token().await.unwrap());
    assert!(handle.token().await.is_ok(), "nothing is left of it");
    assert_eq!(issuer.requests(), 4);
}

#[tokio::test(start_paused = true)]
async fn t8_callers_join_a_forced_flight_in_a_cool_down() {
    let issuer = failing(ErrorKind::Denied);
    let handle = issuer.layer().handle();
    handle.token().await.unwrap_err();
    issuer.set(|settings| settings.failure = None);
    let (forced, joined) = tokio::join!(handle.refresh(), handle.token());
    assert_eq!(forced.unwrap().expose_secret(), "token-2");
    assert_eq!(joined.unwrap().expose_secret(), "token-2");
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn t8_a_new_secret_ends_a_cool_down() {
    let issuer = failing(ErrorKind::Denied);
    let handle = issuer.layer().handle();
    handle.token().await.unwrap_err();
    issuer.set(|settings| settings.failure = None);
    handle.token().await.unwrap_err();
    issuer.rotate();
    assert!(handle.token().await.is_ok());
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn t8_a_new_secret_in_the_credentials_is_one() {
    let (layer, credentials) = asking_for("1800");
    let handle = layer.handle();
    handle.token().await.unwrap_err();
    handle.token().await.unwrap_err();
    assert_eq!(handle.status().failures, 1);
    credentials.rotate("another");
    handle.token().await.unwrap_err();
    assert_eq!(handle.status().failures, 2, "tried at once");
}

#[tokio::test(start_paused = true)]
async fn t8_a_secret_rotated_during_a_failing_flight_is_tried_at_once() {
    let issuer = failing(ErrorKind::Denied);
    let handle = issuer.layer().handle();
    let waiting = handle.clone();
    let first = tokio::spawn(async move { waiting.token().await.map(drop) });
    sleep(Duration::from_millis(10)).await;
    issuer.rotate();
    first.await.unwrap().unwrap_err();
    issuer.set(|settings| settings.failure = None);
    assert!(handle.token().await.is_ok(), "the failure was the old secret's");
}
