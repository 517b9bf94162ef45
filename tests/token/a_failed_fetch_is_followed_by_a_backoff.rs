//! After a failed fetch the authorization server gets a rest, and callers are told how long.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials, ErrorKind,
    oauth::ClientCredentialsGrant,
    token::{RefreshPolicy, TokenHandle},
};

use crate::support::{Issuer, ORIGIN, answer, api, get};

const MILLI: Duration = Duration::from_millis(1);

fn failing(kind: ErrorKind) -> Issuer {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.failure = Some(AuthError::new(kind, "no token today")));
    issuer
}

/// The wait that a failed fetch leads to.
async fn backoff(handle: &TokenHandle) -> Duration {
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
    (AuthLayer::builder(source).origin(ORIGIN).build().unwrap(), credentials)
}

#[tokio::test(start_paused = true)]
async fn t8_in_a_backoff_callers_get_the_same_error_at_once_and_how_long_it_still_runs() {
    let issuer = failing(ErrorKind::Denied);
    let (_, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let client = layer.clone().layer(api);
    let whole = backoff(&layer.handle()).await;
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
async fn t8_the_next_fetch_begins_when_the_backoff_is_over_and_not_before() {
    let issuer = failing(ErrorKind::Denied);
    let handle = issuer.layer().handle();
    let whole = backoff(&handle).await;
    sleep(whole.checked_sub(2 * MILLI).unwrap()).await;
    handle.token().await.unwrap_err();
    assert_eq!(issuer.requests(), 1);
    issuer.set(|settings| settings.failure = None);
    sleep(2 * MILLI).await;
    handle.token().await.unwrap();
    assert_eq!(issuer.requests(), 2);
}

/// Many failures in a row: each backoff lies between half of what is expected and the whole of it.
async fn assert_doubles(policy: RefreshPolicy, kind: ErrorKind, whole: &[u64]) {
    let issuer = failing(kind);
    let handle = issuer.builder().refresh(policy.attempts(1)).build().unwrap().handle();
    for seconds in whole {
        let (drawn, whole) = (backoff(&handle).await, Duration::from_secs(*seconds));
        assert!(whole / 2 <= drawn && drawn <= whole, "{drawn:?} where {whole:?} is the most");
        sleep(drawn + MILLI).await;
    }
    assert_eq!(issuer.requests(), whole.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn t8_backoffs_double_up_to_their_limit() {
    let default = RefreshPolicy::default;
    for _ in 0..20 {
        assert_doubles(default(), ErrorKind::Unavailable, &[1, 2, 4, 8, 16, 32, 60, 60, 60]).await;
        for kind in [ErrorKind::Denied, ErrorKind::Malformed, ErrorKind::Config] {
            assert_doubles(default(), kind, &[10, 20, 40, 80, 160, 300, 300]).await;
        }
        let own = default().failure_backoff(Duration::from_secs(7), Duration::from_secs(20));
        assert_doubles(own, ErrorKind::Unavailable, &[7, 14, 20, 20]).await;
        let own = default().refusal_backoff(Duration::from_secs(3), Duration::from_secs(5));
        assert_doubles(own, ErrorKind::Denied, &[3, 5, 5]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t8_each_layer_draws_its_own_backoff() {
    let mut drawn = Vec::new();
    for _ in 0..40 {
        drawn.push(backoff(&failing(ErrorKind::Denied).layer().handle()).await);
    }
    let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
    assert!(*most > *least + Duration::from_secs(2), "forty backoffs within {least:?} and {most:?}");
}

#[tokio::test(start_paused = true)]
async fn t8_a_token_ends_the_doubling() {
    let issuer = failing(ErrorKind::Unavailable);
    let handle = issuer.layer().handle();
    for _ in 0..6 {
        sleep(backoff(&handle).await + MILLI).await;
    }
    issuer.set(|settings| settings.failure = None);
    handle.invalidate(&handle.token().await.unwrap());
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Unavailable, "down again")));
    assert!(backoff(&handle).await <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn t8_a_longer_retry_after_of_the_server_wins_but_not_over_an_hour() {
    for (asked, whole) in [("1200", 1200), ("3599", 3599), ("7200", 3600), ("86400", 3600)] {
        let (layer, _) = asking_for(asked);
        assert_eq!(backoff(&layer.handle()).await, Duration::from_secs(whole), "Retry-After: {asked}");
        sleep(Duration::from_secs(whole - 1)).await;
        assert_eq!(layer.handle().token().await.unwrap_err().retry_after(), Some(Duration::from_secs(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn t8_a_retry_after_of_more_than_a_day_is_taken_for_a_mistake() {
    for asked in ["86401", "1795864932000"] {
        let (layer, _) = asking_for(asked);
        assert!(backoff(&layer.handle()).await <= Duration::from_secs(1), "Retry-After: {asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn t8_refresh_ends_a_backoff() {
    let issuer = failing(ErrorKind::Denied);
    let handle = issuer.layer().handle();
    let first = backoff(&handle).await;
    handle.refresh().await.unwrap_err();
    assert_eq!(issuer.requests(), 2, "it does not wait for the backoff");
    let second = backoff(&handle).await;
    assert!(second >= Duration::from_secs(10) && second > first, "another failure, another backoff");
    issuer.set(|settings| settings.failure = None);
    handle.token().await.unwrap_err();
    handle.refresh().await.unwrap();
    handle.invalidate(&handle.token().await.unwrap());
    assert!(handle.token().await.is_ok(), "nothing is left of it");
    assert_eq!(issuer.requests(), 4);
}

#[tokio::test(start_paused = true)]
async fn t8_callers_join_a_forced_fetch_in_a_backoff() {
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
async fn t8_a_new_secret_ends_a_backoff() {
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
async fn t8_a_secret_rotated_during_a_failing_fetch_is_tried_at_once() {
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
