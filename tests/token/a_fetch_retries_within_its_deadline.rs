//! A token fetch tries again where that may help, as the server asks it to, and never beyond its deadline.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::service_fn;
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials, ErrorKind,
    oauth::ClientCredentialsGrant,
    token::{RefreshPolicy, TokenHandle},
};

use crate::support::{Body, ORIGIN};

/// When the token endpoint was asked.
#[derive(Clone, Debug, Default)]
struct Attempts {
    times: Arc<Mutex<Vec<Instant>>>,
}

impl Attempts {
    fn note(&self) -> usize {
        let mut times = self.times.lock().unwrap();
        times.push(Instant::now());
        times.len()
    }

    fn count(&self) -> usize {
        self.times.lock().unwrap().len()
    }

    fn pauses(&self) -> Vec<Duration> {
        let times = self.times.lock().unwrap();
        times.iter().zip(times.iter().skip(1)).map(|(before, after)| after.duration_since(*before)).collect()
    }
}

/// A layer whose token endpoint answers its n-th request like this, after so long.
fn endpoint(
    policy: RefreshPolicy,
    latency: Duration,
    answer: impl Fn(usize) -> Result<Response<Body>, BoxError> + Clone + Send + Sync + 'static,
) -> (Attempts, TokenHandle) {
    let attempts = Attempts::default();
    let log = attempts.clone();
    let transport = service_fn(move |_: Request<Full<Bytes>>| {
        let outcome = answer(log.note());
        async move {
            sleep(latency).await;
            outcome
        }
    });
    let source = ClientCredentialsGrant::builder("https://login.example.com/token", Credentials::new("id", "secret"));
    let source = source.timeout(Duration::MAX).transport(transport).build().unwrap();
    let layer = AuthLayer::builder(source).origin(ORIGIN).refresh(policy).build().unwrap();
    (attempts, layer.handle())
}

fn prompt(
    answer: impl Fn(usize) -> Result<Response<Body>, BoxError> + Clone + Send + Sync + 'static,
) -> (Attempts, TokenHandle) {
    endpoint(RefreshPolicy::default(), Duration::ZERO, answer)
}

fn says(status: u16, body: &'static str) -> Result<Response<Body>, BoxError> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_u16(status)?;
    Ok(response)
}

fn busy(retry_after: &str) -> Result<Response<Body>, BoxError> {
    let mut response = says(503, "busy")?;
    response.headers_mut().insert(RETRY_AFTER, retry_after.parse()?);
    Ok(response)
}

fn token() -> Result<Response<Body>, BoxError> {
    says(200, r#"{"access_token":"abc","token_type":"Bearer","expires_in":3600}"#)
}

const OAUTH_ERROR: &str = r#"{"error":"invalid_client"}"#;

#[tokio::test(start_paused = true)]
async fn t9_a_transient_failure_is_tried_again_within_the_fetch() {
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        for body in ["", "oops", OAUTH_ERROR] {
            let (attempts, handle) = prompt(move |_| says(status, body));
            let error = handle.token().await.unwrap_err();
            assert_eq!((error.kind(), attempts.count()), (ErrorKind::Unavailable, 3), "{status} {body}");
            assert_eq!(handle.status().failures, 1, "one fetch");
        }
    }
    let (attempts, handle) = prompt(|_| Err("connection reset".into()));
    assert_eq!((handle.token().await.unwrap_err().kind(), attempts.count()), (ErrorKind::Unavailable, 3));
}

#[tokio::test(start_paused = true)]
async fn t9_a_refusal_is_not_tried_again() {
    for (status, body) in [(400, OAUTH_ERROR), (401, OAUTH_ERROR), (403, OAUTH_ERROR), (422, OAUTH_ERROR), (401, "")] {
        let (attempts, handle) = prompt(move |_| says(status, body));
        let error = handle.token().await.unwrap_err();
        assert_eq!((error.kind(), attempts.count()), (ErrorKind::Denied, 1), "{status} {body}");
    }
    let (attempts, handle) = prompt(|_| says(200, "<html>"));
    assert_eq!((handle.token().await.unwrap_err().kind(), attempts.count()), (ErrorKind::Malformed, 1));
}

#[tokio::test(start_paused = true)]
async fn t9_an_attempt_that_succeeds_ends_the_fetch() {
    for good in 1..=3 {
        let (attempts, handle) = prompt(move |number| if number < good { says(500, "") } else { token() });
        assert_eq!(handle.token().await.unwrap().expose_secret(), "abc");
        assert_eq!((attempts.count(), handle.status().failures), (good, 0));
    }
    let (attempts, handle) = prompt(|number| if number == 1 { says(500, "") } else { says(401, "") });
    assert_eq!((handle.token().await.unwrap_err().kind(), attempts.count()), (ErrorKind::Denied, 2));
}

#[tokio::test(start_paused = true)]
async fn t9_the_number_of_attempts_can_be_set() {
    for number in [1, 2, 7] {
        let policy = RefreshPolicy::default().attempts(number);
        let (attempts, handle) = endpoint(policy, Duration::ZERO, |_| says(500, ""));
        handle.token().await.unwrap_err();
        assert_eq!(attempts.count(), number as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn t9_attempts_back_off_with_jitter() {
    let mut firsts = Vec::new();
    for _ in 0..20 {
        let policy = RefreshPolicy::default().attempts(4);
        let (attempts, handle) = endpoint(policy, Duration::ZERO, |_| says(500, ""));
        handle.token().await.unwrap_err();
        let pauses = attempts.pauses();
        assert!(pauses[0] >= Duration::from_millis(50), "hardly a pause: {pauses:?}");
        // Each is drawn between half and the whole of a span that doubles, and timers are a millisecond wide.
        assert!(pauses.windows(2).all(|pair| pair[1] + Duration::from_millis(4) >= pair[0]), "{pauses:?}");
        assert!(pauses[2] > pauses[0] + pauses[0] / 2, "{pauses:?}");
        firsts.push(pauses[0]);
    }
    firsts.sort();
    firsts.dedup();
    assert!(firsts.len() > 5, "all layers pause alike: {firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn t9_the_server_is_given_the_time_it_asks_for() {
    let (attempts, handle) = prompt(|number| if number == 1 { busy("12") } else { token() });
    let begin = Instant::now();
    assert!(handle.token().await.is_ok());
    assert_eq!(attempts.count(), 2);
    assert!((12_000..12_010).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn t9_where_the_deadline_does_not_allow_that_time_the_fetch_ends_at_once() {
    for asked in [30, 31, 86_400] {
        let (attempts, handle) = prompt(move |_| busy(&asked.to_string()));
        let begin = Instant::now();
        let error = handle.token().await.unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        assert_eq!((error.kind(), attempts.count()), (ErrorKind::Unavailable, 1), "Retry-After: {asked}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(asked.min(3600))));
    }
}

#[tokio::test(start_paused = true)]
async fn t9_a_fetch_that_takes_too_long_ends_with_a_timeout() {
    for (policy, limit) in [
        (RefreshPolicy::default(), Duration::from_secs(30)),
        (RefreshPolicy::default().deadline(Duration::from_secs(3)), Duration::from_secs(3)),
    ] {
        let (attempts, handle) = endpoint(policy, Duration::from_secs(7200), |_| token());
        let begin = Instant::now();
        let error = handle.token().await.unwrap_err();
        assert_eq!((error.kind(), begin.elapsed()), (ErrorKind::Timeout, limit));
        assert!(error.is_transient() && error.retry_after().is_some(), "a failure like others, with a backoff");
        assert_eq!(attempts.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn t9_the_deadline_holds_for_all_attempts_together_and_its_error_tells_of_the_last() {
    let latency = Duration::from_secs(20);
    let (attempts, handle) = endpoint(RefreshPolicy::default(), latency, |_| says(502, ""));
    let begin = Instant::now();
    let error = handle.token().await.unwrap_err();
    assert_eq!((error.kind(), begin.elapsed()), (ErrorKind::Timeout, Duration::from_secs(30)));
    assert_eq!(attempts.count(), 2);
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<AuthError>());
    assert_eq!(cause.unwrap().kind(), ErrorKind::Unavailable);
}
