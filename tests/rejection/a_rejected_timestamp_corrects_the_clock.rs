//! R8: a rejected timestamp is corrected by the time that the API's response names.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{AGE, DATE},
};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, BoxError,
    rejection::{NotReplayed, Rejection},
    replay::NoReplay,
    signing::{SignRules, SignatureHeaders, Signer, SigningContext},
};

use crate::{
    answering::answering,
    support::{Body, Issuer, answer},
};

/// Signs with the time in milliseconds.
pub(crate) struct Millis;

impl Signer for Millis {
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        let mut headers = SignatureHeaders::new();
        headers.insert(X_TIME, HeaderValue::try_from(millis(context.now()).to_string()).unwrap());
        Ok(headers)
    }
}

const X_TIME: HeaderName = HeaderName::from_static("x-time");

fn millis(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The `Date` of a server whose clock is this many seconds ahead of ours, give or take half a second.
pub(crate) fn date(ahead: i64) -> HeaderValue {
    let seconds = (millis(SystemTime::now()) + 500).div_euclid(1_000) + ahead;
    let time: SystemTime = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap());
    HeaderValue::try_from(httpdate::fmt_http_date(time)).unwrap()
}

/// How many milliseconds each request was signed ahead of our clock, in order of their arrival.
#[derive(Clone, Default)]
pub(crate) struct Ahead(Arc<Mutex<Vec<i64>>>);

impl Ahead {
    pub(crate) fn note<B>(&self, request: &Request<B>) -> i64 {
        let signed: i64 = request.headers()[X_TIME].to_str().unwrap().parse().unwrap();
        let ahead = signed - millis(SystemTime::now());
        self.0.lock().unwrap().push(ahead);
        ahead
    }

    /// Asserts by how many seconds they were ahead. `Date` tells no more than seconds.
    pub(crate) fn assert(&self, seconds: &[i64]) {
        let ahead = self.0.lock().unwrap();
        let close = ahead.iter().zip(seconds).all(|(millis, seconds)| (millis - 1_000 * seconds).abs() <= 1_000);
        assert!(close && ahead.len() == seconds.len(), "{ahead:?} ms, not {seconds:?} s");
    }
}

pub(crate) fn too_far_off(ahead: i64) -> Response<Body> {
    let mut response = answer(StatusCode::BAD_REQUEST);
    response.headers_mut().insert(DATE, date(ahead));
    response.extensions_mut().insert(Rejection::ClockSkew);
    response
}

/// An API that rejects the timestamp of one request for each of these clocks, and then accepts.
fn with_clocks(
    clocks: &[i64],
    headers: &HeaderMap,
) -> (
    Ahead,
    impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone + Send + use<>,
) {
    let ahead = Ahead::default();
    let (log, clocks, headers) = (ahead.clone(), clocks.to_vec(), headers.clone());
    let (_, api) = answering(move |count, request| {
        log.note(&request);
        let response = clocks.get(count - 1).map_or_else(|| answer(StatusCode::OK), |ahead| too_far_off(*ahead));
        let headers = headers.clone();
        async move {
            let mut response = response;
            response.headers_mut().extend(headers);
            response
        }
    });
    (ahead, api)
}

fn builder(issuer: &Issuer) -> AuthLayerBuilder {
    issuer.builder().sign(SignRules::all(), Millis)
}

fn layer() -> (Issuer, AuthLayer) {
    let issuer = Issuer::new();
    let layer = builder(&issuer).build().unwrap();
    (issuer, layer)
}

const URL: &str = "https://api.example.com/a";

pub(crate) fn get(url: &str) -> Request<Body> {
    Request::get(url).body(Body::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn r8_the_offset_is_learnt_and_the_request_signed_again_without_a_token_request() {
    for clock in [3, 60, 290, -3, -60, -290] {
        let (issuer, layer) = layer();
        let (ahead, api) = with_clocks(&[clock], &HeaderMap::new());
        let client = layer.layer(api);
        assert_eq!(client.clone().oneshot(get(URL)).await.unwrap().status(), 200);
        ahead.assert(&[0, clock]);
        client.oneshot(get(URL)).await.unwrap();
        ahead.assert(&[0, clock, clock]);
        assert_eq!(issuer.requests(), 1);
    }
}

/// The responses to so many requests in a row of an API with these clocks go to their callers, and are marked with nothing.
async fn teaches_nothing(clocks: &[i64], url: &str, headers: HeaderMap) {
    let issuer = Issuer::new();
    let builder = builder(&issuer).origin("http://api.internal").allow_insecure_http().allow_relative_uri();
    let (ahead, api) = with_clocks(clocks, &headers);
    let client = builder.build().unwrap().layer(api);
    for _ in clocks {
        let response = client.clone().oneshot(get(url)).await.unwrap();
        assert_eq!(response.status(), 400, "{clocks:?} {url} {headers:?}");
        assert!(response.extensions().get::<NotReplayed>().is_none());
    }
    assert_eq!(client.oneshot(get(url)).await.unwrap().status(), 200);
    ahead.assert(&vec![0; clocks.len() + 1]);
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn r8_an_offset_under_two_seconds_or_over_a_day_is_ignored() {
    for clock in [1, 0, -1, 86_410, -86_410, 864_000] {
        teaches_nothing(&[clock, clock], URL, HeaderMap::new()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r8_nothing_is_learnt_from_a_response_that_may_be_old_or_from_anyone() {
    let with = |name, value| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
    teaches_nothing(&[60], URL, with(AGE, "0")).await;
    teaches_nothing(&[60], URL, with(DATE, "tomorrow")).await;
    teaches_nothing(&[60], "http://api.internal/a", HeaderMap::new()).await;
    teaches_nothing(&[60], "/a", HeaderMap::new()).await;
}

#[tokio::test(start_paused = true)]
async fn r8_a_server_on_this_machine_is_believed() {
    let issuer = Issuer::new();
    let (ahead, api) = with_clocks(&[60], &HeaderMap::new());
    let client = builder(&issuer).origin("http://127.0.0.1:8080").build().unwrap().layer(api);
    assert_eq!(client.oneshot(get("http://127.0.0.1:8080/a")).await.unwrap().status(), 200);
    ahead.assert(&[0, 60]);
}

/// How far ahead the requests are signed that an API with these clocks gets, one after the other, until it accepts one.
async fn signed(clocks: &[i64], expected: &[i64]) {
    let (_, layer) = layer();
    let (ahead, api) = with_clocks(clocks, &HeaderMap::new());
    let client = layer.layer(api);
    while client.clone().oneshot(get(URL)).await.unwrap().status() != 200 {}
    ahead.assert(expected);
}

#[tokio::test(start_paused = true)]
async fn r8_a_step_of_more_than_five_minutes_counts_when_the_next_response_agrees() {
    signed(&[310, 310], &[0, 0, 310]).await;
    signed(&[3_600, 3_580], &[0, 0, 3_580]).await;
    signed(&[-80_000, -80_000], &[0, 0, -80_000]).await;
    signed(&[3_600, 3_640, 3_640], &[0, 0, 0, 3_640]).await;
    signed(&[3_600, -3_600, -3_610], &[0, 0, 0, -3_610]).await;
    // Back again.
    signed(&[3_600, 3_600, 1, 1], &[0, 0, 3_600, 3_600, 0]).await;
}

#[tokio::test(start_paused = true)]
async fn r8_the_response_is_taken_for_made_half_way_between_sending_and_receiving() {
    let (_, layer) = layer();
    let ahead = Ahead::default();
    let log = ahead.clone();
    let (_, api) = answering(move |count, request| {
        log.note(&request);
        async move {
            sleep(Duration::from_secs(20)).await;
            if count == 1 { too_far_off(100) } else { answer(StatusCode::OK) }
        }
    });
    layer.layer(api).oneshot(get(URL)).await.unwrap();
    // The wall clock does not take part in the 20 s of the paused one: it reads the time of receiving, and half ago was 10 s less.
    ahead.assert(&[0, 110]);
}

#[tokio::test(start_paused = true)]
async fn r8_offsets_are_kept_for_each_origin() {
    let issuer = Issuer::new();
    let (ahead, api) = with_clocks(&[60], &HeaderMap::new());
    let client = builder(&issuer).origin("https://other.example.com").build().unwrap().layer(api);
    for url in [URL, "https://other.example.com/a", URL] {
        assert_eq!(client.clone().oneshot(get(url)).await.unwrap().status(), 200);
    }
    ahead.assert(&[0, 60, 0, 60]);
}

#[tokio::test(start_paused = true)]
async fn r8_origins_whose_clocks_differ_have_an_offset_each() {
    const CLOCKS: [(&str, i64); 4] = [
        ("https://api.example.com", 60),
        ("https://other.example.com", -100),
        ("https://api.example.com:8443", 200),
        ("http://localhost:8080", -7),
    ];
    let issuer = Issuer::new();
    let builder = CLOCKS.iter().fold(builder(&issuer), |builder, (origin, _)| builder.origin(origin));
    // Each server compares the time of the signature with its own.
    let (seen, api) = answering(|_, request| async move {
        let signed: i64 = request.headers()[X_TIME].to_str().unwrap().parse().unwrap();
        let of_it = |(origin, _): &&(&str, i64)| request.uri().to_string().strip_prefix(origin) == Some("/a");
        let clock = CLOCKS.iter().find(of_it).unwrap().1;
        let is_close = (signed - millis(SystemTime::now()) - 1_000 * clock).abs() <= 1_500;
        if is_close { answer(StatusCode::OK) } else { too_far_off(clock) }
    });
    let client = builder.build().unwrap().layer(api);
    for (round, requests) in [(0, 8), (1, 12), (2, 16)] {
        for (origin, _) in CLOCKS {
            let response = client.clone().oneshot(get(&format!("{origin}/a"))).await.unwrap();
            assert_eq!(response.status(), 200, "{origin}, round {round}");
        }
        assert_eq!(seen.count(), requests, "each is replayed once, in the first round");
    }
}

#[tokio::test(start_paused = true)]
async fn r8_requests_on_their_way_when_the_clock_is_learnt_are_replayed_too() {
    let (_, layer) = layer();
    let ahead = Ahead::default();
    let log = ahead.clone();
    let (_, api) = answering(move |count, request| {
        log.note(&request);
        async move {
            sleep(Duration::from_millis(10)).await;
            let mut response = if count <= 3 { too_far_off(60) } else { answer(StatusCode::OK) };
            if count == 3 {
                response.headers_mut().remove(DATE);
            }
            response
        }
    });
    layer.handle().token().await.unwrap();
    let client = layer.layer(api);
    let calls = [(); 3].map(|()| tokio::spawn(client.clone().oneshot(get(URL))));
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    ahead.assert(&[0, 0, 0, 60, 60, 60]);
}

#[tokio::test(start_paused = true)]
async fn r8_a_timestamp_that_is_rejected_again_is_the_callers() {
    let (issuer, layer) = layer();
    let (ahead, api) = with_clocks(&[60; 2], &HeaderMap::new());
    let response = layer.layer(api).oneshot(get(URL)).await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.extensions().get(), Some(&NotReplayed::RejectedAgain));
    ahead.assert(&[0, 60]);
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn r8_with_no_replay_the_offset_is_learnt_for_the_next_request() {
    let issuer = Issuer::new();
    let (ahead, api) = with_clocks(&[60], &HeaderMap::new());
    let client = builder(&issuer).replay(NoReplay).build().unwrap().layer(api);
    let response = client.clone().oneshot(get(URL)).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::BodyNotReplayable));
    client.oneshot(get(URL)).await.unwrap();
    ahead.assert(&[0, 60]);
    assert_eq!(issuer.requests(), 1);
}
