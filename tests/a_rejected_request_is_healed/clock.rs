//! R8: a rejected timestamp is healed by the time that the API's answer names.
#![expect(clippy::indexing_slicing, reason = "a counterpart in a test may panic")]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{AGE, DATE},
};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Clock, Credentials, NoReplay, NotReplayed, Rejection, SignRules, SignatureHeaders,
    Signer, SigningContext, TokenState, oauth::ClientCredentialsGrant,
};

use super::answering;
use crate::support::{Body, Issuer, ORIGIN, Seen, answer};

/// Signs with the time in milliseconds.
struct Millis;

impl Signer for Millis {
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        let time = context.now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let mut headers = SignatureHeaders::new();
        headers.insert(X_TIME, HeaderValue::try_from(time.to_string()).unwrap());
        Ok(headers)
    }
}

const X_TIME: HeaderName = HeaderName::from_static("x-time");

fn time(headers: &HeaderMap) -> i64 {
    headers.get(X_TIME).unwrap().to_str().unwrap().parse().unwrap()
}

fn date(millis: i64) -> HeaderValue {
    let time: SystemTime = UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap());
    HeaderValue::try_from(httpdate::fmt_http_date(time)).unwrap()
}

/// An answer that rejects the timestamp, by a clock that is this many whole seconds and a half off ours at the midpoint
/// between send and receive.
async fn too_far_off(request: &Request<Body>, seconds: i64) -> Response<Body> {
    let sent = time(request.headers());
    let to_half_second = (1_500 - sent % 1_000) % 1_000;
    sleep(Duration::from_millis(2 * u64::try_from(to_half_second).unwrap())).await;
    let mut response = answer(StatusCode::BAD_REQUEST);
    response.headers_mut().insert(DATE, date(sent + to_half_second + 1_000 * seconds));
    response.extensions_mut().insert(Rejection::ClockSkew);
    response
}

/// Sends one request to this URL, and says by how much the time of its second signature was shifted.
async fn shift(url: &str, seconds: i64, headers: HeaderMap) -> i64 {
    let issuer = Issuer::new();
    let (seen, api) = answering(move |count, request| {
        let headers = headers.clone();
        async move {
            if count > 1 {
                return answer(StatusCode::OK);
            }
            let mut response = too_far_off(&request, seconds).await;
            response.headers_mut().extend(headers);
            response
        }
    });
    let builder = issuer.builder().origin("http://127.0.0.1:8080").origin("http://api.internal").allow_insecure_http();
    let layer = builder.sign(SignRules::all(), Millis).build().unwrap();
    layer.handle().token().await.unwrap();
    let began = Instant::now();
    let request = Request::get(url).body(Full::default()).unwrap();
    assert_eq!(layer.layer(api).oneshot(request).await.unwrap().status(), 200);
    assert_eq!((seen.count(), issuer.requests()), (2, 1), "no token request");
    assert_eq!(seen.tokens(), ["token-1", "token-1"]);
    let sent = seen.requests();
    let passed = i64::try_from(began.elapsed().as_millis()).unwrap();
    time(sent[1].headers()) - time(sent[0].headers()) - passed
}

fn close(left: i64, right: i64) -> bool {
    // The moment of sending is kept in units of 134 ms, and half of what passed since then counts.
    (left - right).abs() <= 68
}

const URL: &str = "https://api.example.com/a";

#[tokio::test(start_paused = true)]
async fn r8_the_offset_is_learnt_and_the_request_signed_again_without_a_token_request() {
    for seconds in [3, 3_600, 80_000, -2, -3_600, -80_000] {
        let shift = shift(URL, seconds, HeaderMap::new()).await;
        assert!(close(shift, 1_000 * seconds - 500), "{seconds}: {shift}");
    }
}

#[tokio::test(start_paused = true)]
async fn r8_an_offset_below_two_seconds_is_ignored_and_a_day_is_the_most() {
    for seconds in [2, 1, 0, -1] {
        let shift = shift(URL, seconds, HeaderMap::new()).await;
        assert!(close(shift, 0), "{seconds}: {shift}");
    }
    for (seconds, most) in [(10 * 86_400, 86_400_000), (-10 * 86_400, -86_400_000)] {
        let shift = shift(URL, seconds, HeaderMap::new()).await;
        assert!(close(shift, most), "{seconds}: {shift}");
    }
}

#[tokio::test(start_paused = true)]
async fn r8_nothing_is_learnt_from_an_answer_that_may_be_old_or_anybodys() {
    let aged = HeaderMap::from_iter([(AGE, HeaderValue::from_static("0"))]);
    assert!(close(shift(URL, 3_600, aged).await, 0), "a cache may have kept it");
    let nonsense = HeaderMap::from_iter([(DATE, HeaderValue::from_static("tomorrow"))]);
    assert!(close(shift(URL, 3_600, nonsense).await, 0), "no date at all");
    assert!(close(shift("http://api.internal/a", 3_600, HeaderMap::new()).await, 0), "plain http");
    assert!(close(shift("/a", 3_600, HeaderMap::new()).await, 0), "nobody knows where it went");
    let here = shift("http://127.0.0.1:8080/a", 3_600, HeaderMap::new()).await;
    assert!(close(here, 3_599_500), "this machine is not on anybody's way: {here}");
}

fn hour_ahead() -> (Seen, Issuer, AuthLayer) {
    let issuer = Issuer::new();
    let layer = issuer.builder().sign(SignRules::all(), Millis).build().unwrap();
    (Seen::default(), issuer, layer)
}

/// A request as the API of this file takes it.
fn request() -> Request<Body> {
    Request::get(URL).body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn r8_the_next_requests_are_signed_by_the_learnt_time() {
    let (_, issuer, layer) = hour_ahead();
    let (seen, api) = answering(|count, request| async move {
        if count == 1 { too_far_off(&request, 3_600).await } else { answer(StatusCode::OK) }
    });
    let client = layer.layer(api);
    client.clone().oneshot(request()).await.unwrap();
    client.oneshot(request()).await.unwrap();
    let sent = seen.requests();
    assert_eq!((sent.len(), issuer.requests()), (3, 1));
    assert_eq!(time(sent[2].headers()), time(sent[1].headers()));
}

#[tokio::test(start_paused = true)]
async fn r8_a_timestamp_that_is_rejected_again_is_the_callers() {
    let (_, issuer, layer) = hour_ahead();
    let (seen, api) = answering(|_, request| async move { too_far_off(&request, 3_600).await });
    let response = layer.layer(api).oneshot(request()).await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.extensions().get(), Some(&NotReplayed::RejectedAgain));
    assert_eq!((seen.count(), issuer.requests()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn r8_the_offset_is_learnt_from_the_answer_to_the_second_request_too() {
    let (_, issuer, layer) = hour_ahead();
    let (seen, api) = answering(|count, request| async move {
        match count {
            1 => answer(StatusCode::UNAUTHORIZED),
            2 => too_far_off(&request, 3_600).await,
            _ => answer(StatusCode::OK),
        }
    });
    let client = layer.layer(api);
    let first = Instant::now();
    let response = client.clone().oneshot(request()).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::RejectedAgain));
    client.oneshot(request()).await.unwrap();
    let sent = seen.requests();
    // Two token requests came before the second.
    let passed = i64::try_from(first.elapsed().as_millis()).unwrap() - 100;
    let shift = time(sent[2].headers()) - time(sent[1].headers()) - passed;
    assert!(close(shift, 3_599_500), "{shift}");
    assert_eq!((sent.len(), issuer.requests()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn r8_with_no_replay_the_offset_is_learnt_for_the_next_request() {
    let (_, issuer, layer) = hour_ahead();
    let (seen, api) = answering(|count, request| async move {
        if count == 1 { too_far_off(&request, 3_600).await } else { answer(StatusCode::OK) }
    });
    let client = layer.replay(NoReplay).layer(api);
    let first = Instant::now();
    let response = client.clone().oneshot(request()).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::BodyNotReplayable));
    client.oneshot(request()).await.unwrap();
    let sent = seen.requests();
    let passed = i64::try_from(first.elapsed().as_millis()).unwrap() - 50;
    let shift = time(sent[1].headers()) - time(sent[0].headers()) - passed;
    assert!(close(shift, 3_599_500), "{shift}");
    assert_eq!((sent.len(), issuer.requests()), (2, 1));
}

/// A layer whose token endpoint is at this URL, and tells the time once it is told to.
fn with_endpoint(url: &str) -> (AuthLayer, Arc<Mutex<HeaderMap>>) {
    let headers = Arc::new(Mutex::new(HeaderMap::new()));
    let answer = Arc::clone(&headers);
    let transport = service_fn(move |_: Request<Full<Bytes>>| {
        let mut response = Response::new(Full::<Bytes>::from(r#"{"access_token":"a","expires_in":3600}"#));
        response.headers_mut().extend(answer.lock().unwrap().clone());
        async {
            sleep(Duration::from_secs(4)).await;
            Ok::<_, BoxError>(response)
        }
    });
    let source = ClientCredentialsGrant::builder(url, Credentials::new("id", "secret"));
    let source = source.transport(transport).allow_insecure_http().build().unwrap();
    let builder = AuthLayer::builder(source).origin(ORIGIN).clock(Clock::Tokio);
    (builder.sign(SignRules::all(), Millis).build().unwrap(), headers)
}

/// By how much the time is shifted once the token endpoint has named one an hour ahead.
async fn shift_by_endpoint(url: &str, with: Option<(HeaderName, &'static str)>) -> i64 {
    let (layer, headers) = with_endpoint(url);
    let (seen, api) = answering(|_, _| async { answer(StatusCode::OK) });
    let client = layer.layer(api);
    client.clone().oneshot(request()).await.unwrap();
    let known = time(seen.requests()[0].headers());
    let began = Instant::now();
    // The middle of the next exchange is at the half of a second.
    let to_half_second = (1_500 - known % 1_000) % 1_000;
    sleep(Duration::from_millis(u64::try_from(to_half_second).unwrap())).await;
    {
        let mut headers = headers.lock().unwrap();
        headers.insert(DATE, date(known + to_half_second + 2_000 + 3_600_000));
        headers.extend(with.map(|(name, value)| (name, HeaderValue::from_static(value))));
    }
    layer.handle().refresh().await.unwrap();
    client.oneshot(request()).await.unwrap();
    let passed = i64::try_from(began.elapsed().as_millis()).unwrap();
    time(seen.requests()[1].headers()) - known - passed
}

#[tokio::test(start_paused = true)]
async fn r8_the_token_endpoint_tells_the_time_too() {
    let shift = shift_by_endpoint("https://login.example.com/token", None).await;
    assert!(close(shift, 3_599_500), "{shift}");
    let shift = shift_by_endpoint("http://[::1]:8080/token", None).await;
    assert!(close(shift, 3_599_500), "{shift}");
}

#[tokio::test(start_paused = true)]
async fn r8_the_token_endpoint_is_believed_no_more_than_the_api() {
    let shift = shift_by_endpoint("https://login.example.com/token", Some((AGE, "1"))).await;
    assert!(close(shift, 0), "a cache may have kept it: {shift}");
    let shift = shift_by_endpoint("http://login.internal/token", None).await;
    assert!(close(shift, 0), "plain http: {shift}");
}

#[tokio::test(start_paused = true)]
async fn r2_the_token_that_the_second_request_carried_is_retired_when_it_is_rejected_after_the_clock() {
    let issuer = Issuer::new();
    let layer = issuer.layer();
    let handle = layer.handle();
    let client = layer.layer(service_fn(move |request: Request<Body>| {
        let handle = handle.clone();
        async move {
            if request.headers()[http::header::AUTHORIZATION] != "Bearer token-1" {
                return Ok::<_, BoxError>(answer(StatusCode::UNAUTHORIZED));
            }
            handle.refresh().await?;
            let mut response = answer(StatusCode::BAD_REQUEST);
            response.extensions_mut().insert(Rejection::ClockSkew);
            Ok(response)
        }
    }));
    let response = client.oneshot(Request::get(ORIGIN).body(Body::default()).unwrap()).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::RejectedAgain));
    assert_eq!(issuer.requests(), 2);
    assert_eq!(layer.handle().status().state, TokenState::Missing, "token-2 was rejected, and is retired");
}
