//! R8: the clock is learnt from a 401, from the response to a replay, and from a token endpoint beside the API.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::AGE, header::DATE};
use http_body_util::Full;
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant, rejection::NotReplayed, signing::SignRules,
};

use crate::{
    a_rejected_timestamp_corrects_the_clock::{Ahead, Millis, date, get, too_far_off},
    answering::answering,
    support::{Issuer, ORIGIN, answer},
};

fn layer() -> (Issuer, AuthLayer) {
    let issuer = Issuer::new();
    let layer = issuer.builder().sign(SignRules::all(), Millis).build().unwrap();
    (issuer, layer)
}

#[tokio::test(start_paused = true)]
async fn r8_a_401_whose_date_is_far_from_the_signature_teaches_the_clock_as_well() {
    for (clock, learnt) in [(32, 32), (-100, -100), (28, 0), (-5, 0)] {
        let (issuer, layer) = layer();
        let ahead = Ahead::default();
        let log = ahead.clone();
        let (seen, api) = answering(move |count, request| {
            log.note(&request);
            let mut response = answer(if count == 1 { StatusCode::UNAUTHORIZED } else { StatusCode::OK });
            response.headers_mut().insert(DATE, date(clock));
            async { response }
        });
        assert_eq!(layer.layer(api).oneshot(get(ORIGIN)).await.unwrap().status(), 200);
        ahead.assert(&[0, learnt]);
        assert_eq!((seen.tokens(), issuer.requests()), (vec!["token-1".to_owned(), "token-2".to_owned()], 2));
    }
}

#[tokio::test(start_paused = true)]
async fn r8_the_offset_is_learnt_from_the_response_to_the_replay_too() {
    let (issuer, layer) = layer();
    let ahead = Ahead::default();
    let log = ahead.clone();
    let (_, api) = answering(move |count, request| {
        log.note(&request);
        let response = match count {
            1 => answer(StatusCode::UNAUTHORIZED),
            2 => too_far_off(60),
            _ => answer(StatusCode::OK),
        };
        async { response }
    });
    let client = layer.layer(api);
    let response = client.clone().oneshot(get(ORIGIN)).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::RejectedAgain));
    client.oneshot(get(ORIGIN)).await.unwrap();
    ahead.assert(&[0, 0, 60]);
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn r5_a_token_that_is_rejected_once_the_clock_is_right_is_renewed_for_the_next_request() {
    let (issuer, layer) = layer();
    let (seen, api) = answering(|count, _| async move {
        match count {
            1 => too_far_off(60),
            2 => answer(StatusCode::UNAUTHORIZED),
            _ => answer(StatusCode::OK),
        }
    });
    let client = layer.layer(api);
    let response = client.clone().oneshot(get(ORIGIN)).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::RejectedAgain));
    sleep(Duration::from_secs(1)).await;
    client.oneshot(get(ORIGIN)).await.unwrap();
    assert_eq!(seen.tokens(), ["token-1", "token-1", "token-2"]);
    assert_eq!(issuer.requests(), 2);
}

/// A layer whose token endpoint is at this URL, and the headers that this adds to its responses.
fn with_endpoint(url: &str) -> (AuthLayer, Arc<Mutex<HeaderMap>>) {
    let headers = Arc::new(Mutex::new(HeaderMap::new()));
    let answer = Arc::clone(&headers);
    let transport = service_fn(move |_: Request<Full<Bytes>>| {
        let mut response = Response::new(Full::<Bytes>::from(r#"{"access_token":"a","expires_in":3600}"#));
        response.headers_mut().extend(answer.lock().unwrap().clone());
        async { Ok::<_, BoxError>(response) }
    });
    let source = ClientCredentialsGrant::builder(url, Credentials::new("id", "secret"));
    let source = source.transport(transport).allow_insecure_http().build().unwrap();
    let builder = AuthLayer::builder(source).origin(ORIGIN).origin("http://api.internal").allow_insecure_http();
    (builder.sign(SignRules::all(), Millis).build().unwrap(), headers)
}

const OWN_ENDPOINT: &str = "https://api.example.com/oauth/token";

/// How far ahead a request to this URL is signed once the token endpoint has named a time this far ahead.
async fn signed(endpoint: &str, told: i64, url: &str, age: Option<&'static str>) -> Ahead {
    let (layer, headers) = with_endpoint(endpoint);
    headers.lock().unwrap().insert(DATE, date(told));
    headers.lock().unwrap().extend(age.map(|age| (AGE, HeaderValue::from_static(age))));
    let ahead = Ahead::default();
    let log = ahead.clone();
    let (_, api) = answering(move |_, request| {
        log.note(&request);
        async { answer(StatusCode::OK) }
    });
    layer.layer(api).oneshot(get(url)).await.unwrap();
    ahead
}

#[tokio::test(start_paused = true)]
async fn r8_a_token_endpoint_of_the_same_origin_tells_the_time_too() {
    for told in [60, -60] {
        signed(OWN_ENDPOINT, told, ORIGIN, None).await.assert(&[told]);
        signed(OWN_ENDPOINT, told, ORIGIN, Some("1")).await.assert(&[0]);
        signed("https://login.example.com/token", told, ORIGIN, None).await.assert(&[0]);
        signed("http://api.internal/token", told, "http://api.internal/a", None).await.assert(&[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn r8_a_large_step_of_the_token_endpoint_waits_for_the_api_to_agree() {
    signed(OWN_ENDPOINT, 3_600, ORIGIN, None).await.assert(&[0]);
    let (layer, headers) = with_endpoint(OWN_ENDPOINT);
    headers.lock().unwrap().insert(DATE, date(3_600));
    let ahead = Ahead::default();
    let log = ahead.clone();
    let (_, api) = answering(move |count, request| {
        log.note(&request);
        let response = if count == 1 { too_far_off(3_610) } else { answer(StatusCode::OK) };
        async { response }
    });
    assert_eq!(layer.layer(api).oneshot(get(ORIGIN)).await.unwrap().status(), 200);
    ahead.assert(&[0, 3_610]);
}

#[tokio::test(start_paused = true)]
async fn r8_once_the_api_has_told_its_time_the_token_endpoint_is_not_asked() {
    let (layer, headers) = with_endpoint(OWN_ENDPOINT);
    let ahead = Ahead::default();
    let log = ahead.clone();
    let (_, api) = answering(move |count, request| {
        log.note(&request);
        let response = if count == 1 { too_far_off(60) } else { answer(StatusCode::OK) };
        async { response }
    });
    let client = layer.layer(api);
    client.clone().oneshot(get(ORIGIN)).await.unwrap();
    headers.lock().unwrap().insert(DATE, date(200));
    layer.handle().refresh().await.unwrap();
    client.oneshot(get(ORIGIN)).await.unwrap();
    ahead.assert(&[0, 60, 60]);
}
