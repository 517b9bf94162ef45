//! R4, R6, R7, R10 and S9 for streams, with an API in memory on paused time.

use std::{
    future::{Ready, ready},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tower::{
    Layer, ServiceBuilder, ServiceExt,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer},
    retry, service_fn,
};
use tower_outbound_auth::{AuthError, BoxError, ErrorKind, rejection::NotReplayed, replay::ReplayBody};

use crate::{
    refused_upload::{AMPLE, Api, PACE, Refusal, Streamed, Upload, all, put, read, receive, upload, whole},
    support::{Issuer, answer},
};

#[tokio::test(start_paused = true)]
async fn r4_a_stream_is_replayed_whole_however_much_of_it_was_read() {
    for frames in 0..=11 {
        for refusal in [Refusal::Stalls(frames), Refusal::Drops(frames), Refusal::ReadsOn(frames)] {
            let (api, response) = upload(refusal, AMPLE, &Issuer::new()).await;
            assert_eq!((response.status(), api.tokens()), (StatusCode::OK, 2), "{refusal:?}");
            assert_eq!(api.second(), Some(whole()), "{refusal:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r10_a_stalled_first_sending_is_not_waited_for() {
    let began = Instant::now();
    let (api, _) = upload(Refusal::Stalls(3), AMPLE, &Issuer::new()).await;
    assert_eq!(api.second(), Some(whole()));
    // Two fetches of 50 ms, 30 ms of the API's each time, twelve polls of the stream, each 10 ms after the last.
    assert!(began.elapsed().as_millis() <= 2 * 50 + 2 * 30 + 12 * 10, "{:?}", began.elapsed());
    assert_eq!(api.held.lock().unwrap().len(), 1, "it is still held");
}

#[tokio::test(start_paused = true)]
async fn r10_a_first_sending_that_goes_on_loses_nothing_while_all_is_kept() {
    for frames in 0..=11 {
        let (api, _) = upload(Refusal::ReadsOn(frames), AMPLE, &Issuer::new()).await;
        let (text, trailers, error) = api.first().await;
        // An API that has had the trailers reads no further.
        assert_eq!((text, error), (all(), None), "{frames}");
        assert!(trailers.is_some() || frames == 11, "{frames}");
    }
}

#[tokio::test(start_paused = true)]
async fn r10_a_first_sending_that_goes_on_cannot_take_the_body_from_the_second() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.latency = Duration::ZERO);
    // The limit is passed 20 ms after the answer, while the second request waits for the API to read it.
    let (api, response) = upload(Refusal::ReadsOn(3), 40, &issuer).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(api.second(), Some(whole()));
    let (text, _, error) = api.first().await;
    assert_eq!(text, all()[..50], "the frame that passed the limit, and no more");
    assert!(error.is_some());
}

#[tokio::test(start_paused = true)]
async fn r7_a_stream_that_outgrew_its_limit_is_not_replayed_and_its_token_is_renewed() {
    let (issuer, limit) = (Issuer::new(), 49);
    for refusal in [Refusal::Stalls(5), Refusal::ReadsOn(5), Refusal::Stalls(11), Refusal::ReadsOn(11)] {
        let (issuer, began) = (Issuer::new(), Instant::now());
        let (api, response) = upload(refusal, limit, &issuer).await;
        // One fetch, the API, and eleven frames at most: the renewal is not waited for.
        assert!(began.elapsed().as_millis() <= 50 + 30 + 11 * 10, "{:?}", began.elapsed());
        assert_eq!(response.extensions().get(), Some(&NotReplayed::BodyNotReplayable), "{refusal:?}");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "401");
        assert_eq!((api.tokens(), api.second()), (1, None));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(issuer.requests(), 2, "the token is renewed");
        if matches!(refusal, Refusal::ReadsOn(_)) {
            assert_eq!(api.first().await.0, all(), "and the first sending lost nothing");
        }
    }
    let (api, response) = upload(Refusal::Stalls(4), limit, &issuer).await;
    assert_eq!((response.status(), api.second()), (StatusCode::OK, Some(whole())), "four frames are within it");
}

#[tokio::test(start_paused = true)]
async fn r7_a_stream_that_outgrows_its_limit_while_the_token_is_fetched_leaves_the_answer_whole() {
    let (issuer, limit) = (Issuer::new(), 49);
    let (api, response) = upload(Refusal::ReadsOn(3), limit, &issuer).await;
    assert_eq!(response.extensions().get(), Some(&NotReplayed::BodyNotReplayable));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "401");
    assert_eq!((api.tokens(), issuer.requests()), (1, 2));
    assert_eq!(api.first().await, whole(), "the first sending lost nothing");
}

#[tokio::test(start_paused = true)]
async fn r7_a_stream_that_failed_is_not_replayed() {
    let api = Api::new(Refusal::ReadsOn(11));
    let broken = Upload { breaks_at: 4, ..Upload::new() };
    let client = Issuer::new().layer().layer(api.service());
    let response = client.oneshot(put(ReplayBody::new(broken, AMPLE))).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::BodyNotReplayable));
    assert_eq!((api.tokens(), api.second()), (1, None));
}

#[tokio::test(start_paused = true)]
async fn r7_a_stream_that_fails_while_the_client_is_busy_is_not_replayed() {
    let (issuer, api, turns) = (Issuer::new(), Api::new(Refusal::ReadsOn(3)), Arc::new(Semaphore::new(1)));
    issuer.set(|settings| settings.latency = Duration::ZERO);
    let limit = GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&turns));
    let client = ServiceBuilder::new().layer(issuer.layer()).layer(limit).service(api.service());
    let broken = Upload { breaks_at: 5, ..Upload::new() };
    // It takes the turn that the refused request gives back, until the stream has failed.
    let other = async {
        sleep(PACE).await;
        let _turn = turns.acquire().await.unwrap();
        sleep(10 * PACE).await;
    };
    let (answered, ()) = tokio::join!(client.oneshot(put(ReplayBody::new(broken, AMPLE))), other);
    let error = answered.unwrap_err().downcast::<AuthError>().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!((api.tokens(), api.second()), (1, None), "the first answer is gone, and no part is sent for the whole");
    assert_eq!(api.first().await.2.as_deref(), Some("the disk is gone"));
}

#[tokio::test(start_paused = true)]
async fn r6_a_first_sending_goes_on_when_there_is_no_token_to_replay_it_with() {
    for latency in [5, 500].map(Duration::from_millis) {
        let issuer = Issuer::new();
        let layer = issuer.layer();
        layer.handle().token().await.unwrap();
        let denied = AuthError::new(ErrorKind::Denied, "no more tokens");
        issuer.set(|settings| (settings.failure, settings.latency) = (Some(denied), latency));
        let api = Api::new(Refusal::ReadsOn(3));
        let client = layer.layer(api.service());
        let response = client.oneshot(put(ReplayBody::new(Upload::new(), 40))).await.unwrap();
        assert_eq!(response.extensions().get(), Some(&NotReplayed::FetchFailed));
        assert_eq!(api.first().await, whole(), "{latency:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn s9_a_stream_is_replayed_where_one_request_may_be_on_its_way_at_a_time() {
    let (issuer, api) = (Issuer::new(), Api::new(Refusal::Stalls(3)));
    let client =
        ServiceBuilder::new().layer(issuer.layer()).layer(ConcurrencyLimitLayer::new(1)).service(api.service());
    let response = client.oneshot(put(ReplayBody::new(Upload::new(), AMPLE))).await.unwrap();
    assert_eq!((response.status(), api.second()), (StatusCode::OK, Some(whole())));
}

/// Sends what was answered with this status again, as long as there is a copy that is whole.
#[derive(Clone)]
struct Again(StatusCode);

impl<E> retry::Policy<Request<Streamed>, Response<Full<Bytes>>, E> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Request<Streamed>,
        result: &mut Result<Response<Full<Bytes>>, E>,
    ) -> Option<Ready<()>> {
        let again = result.as_ref().is_ok_and(|response| response.status() == self.0);
        (again && request.body().is_complete()).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<Streamed>) -> Option<Request<Streamed>> {
        let mut copy = Request::put(request.uri()).body(request.body().try_clone()?).ok()?;
        request.headers().clone_into(copy.headers_mut());
        Some(copy)
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_policy_of_ones_own_sends_a_stream_again_inside_the_layer_and_outside() {
    let (issuer, sent) = (Issuer::new(), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&sent);
    let flaky = service_fn(move |request: Request<Streamed>| {
        let log = Arc::clone(&log);
        async move {
            let (mut body, mut text) = (request.into_body(), String::new());
            let number = log.lock().unwrap().len() + 1;
            while number < 5 && text.len() < 10 * number {
                assert!(read(&mut body, &mut text).await.is_continue());
            }
            let (text, ..) = if number < 5 { (text, None, None) } else { receive(body, text).await };
            log.lock().unwrap().push(text);
            Ok::<_, BoxError>(answer(match number {
                1 | 4 => StatusCode::SERVICE_UNAVAILABLE,
                2 | 3 => StatusCode::UNAUTHORIZED,
                _ => StatusCode::OK,
            }))
        }
    });
    let client = ServiceBuilder::new()
        .layer(retry::RetryLayer::new(Again(StatusCode::UNAUTHORIZED)))
        .layer(issuer.layer())
        .layer(retry::RetryLayer::new(Again(StatusCode::SERVICE_UNAVAILABLE)))
        .service(flaky);
    let response = client.oneshot(put(ReplayBody::new(Upload::new(), AMPLE))).await.unwrap();
    assert_eq!((response.status(), issuer.requests()), (StatusCode::OK, 2));
    let expected = [10, 20, 30, 40, 100].map(|length| all()[..length].to_owned());
    assert_eq!(*sent.lock().unwrap(), expected, "each sending began at the beginning");
}
