//! R6, R7 and R11: when a rejected request is not replayed, and what is done all the same.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, ErrorKind,
    rejection::NotReplayed,
    replay::{EmptyBody, NoReplay, Replay},
};

use crate::{
    answering::{answering, assert_whole, refusal, refusing},
    support::{Body, Issuer, ORIGIN, Seen, answer, get},
};

fn denied() -> AuthError {
    AuthError::new(ErrorKind::Denied, "the client is locked")
}

#[tokio::test(start_paused = true)]
async fn r6_when_no_token_can_be_had_the_caller_gets_the_apis_own_answer() {
    let issuer = Issuer::new();
    let (seen, api) = refusing();
    let layer = issuer.layer();
    layer.handle().token().await.unwrap();
    issuer.set(|settings| settings.failure = Some(denied()));

    let response = layer.layer(api).oneshot(get("/a")).await.unwrap();
    assert_whole(response, NotReplayed::FetchFailed).await;
    let status = layer.handle().status();
    assert_eq!(status.last_error.unwrap().kind(), ErrorKind::Denied);
    assert_eq!((status.failures, status.issued), (1, 1));
    assert_eq!((seen.count(), issuer.requests()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn r6_when_the_request_may_wait_no_longer_the_caller_gets_the_apis_own_answer() {
    let issuer = Issuer::new();
    let (seen, api) = answering(|count, _| async move { if count == 1 { refusal() } else { answer(StatusCode::OK) } });
    let layer = issuer.builder().max_wait(Duration::from_millis(100)).build().unwrap();
    layer.handle().token().await.unwrap();
    issuer.set(|settings| settings.latency = Duration::from_secs(10));

    let began = Instant::now();
    let client = layer.layer(api);
    let response = client.clone().oneshot(get("/a")).await.unwrap();
    assert_eq!(began.elapsed().as_millis(), 100);
    assert_whole(response, NotReplayed::FetchFailed).await;

    sleep(Duration::from_secs(10)).await;
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200, "the fetch went on");
    assert_eq!(seen.tokens(), ["token-1", "token-2"]);
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn r6_what_was_waited_for_the_first_token_counts() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.latency = Duration::from_millis(80));
    let (_seen, api) = refusing();
    let client = issuer.builder().max_wait(Duration::from_millis(100)).build().unwrap().layer(api);
    let began = Instant::now();
    let response = client.oneshot(get("/a")).await.unwrap();
    assert_eq!(began.elapsed().as_millis(), 100);
    assert_whole(response, NotReplayed::FetchFailed).await;
}

/// A client whose authorization server has just failed, and whose API rejects its first requests.
async fn backing_off(
    rejections: usize,
) -> (Issuer, Seen, AuthLayer, impl Service<Request<Body>, Response = Response<Body>, Error = BoxError> + Clone) {
    let issuer = Issuer::new();
    let (seen, api) =
        answering(move |count, _| async move { if count <= rejections { refusal() } else { answer(StatusCode::OK) } });
    let layer = issuer.layer();
    layer.handle().token().await.unwrap();
    issuer.set(|settings| settings.failure = Some(denied()));
    layer.handle().refresh().await.unwrap_err();
    let client = layer.layer(api);
    (issuer, seen, layer, client)
}

#[tokio::test(start_paused = true)]
async fn r5_during_a_backoff_a_rejected_request_is_replayed_at_once_with_the_same_token() {
    let (issuer, seen, _, client) = backing_off(1).await;
    let began = Instant::now();
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!((seen.tokens(), issuer.requests()), (vec!["token-1".to_owned(); 2], 2));
}

#[tokio::test(start_paused = true)]
async fn r6_during_a_backoff_further_rejections_in_a_row_go_to_their_callers_and_the_token_stays() {
    let (issuer, seen, layer, client) = backing_off(4).await;
    assert_whole(client.clone().oneshot(get("/a")).await.unwrap(), NotReplayed::RejectedAgain).await;
    for _ in 0..2 {
        assert_whole(client.clone().oneshot(get("/a")).await.unwrap(), NotReplayed::FetchFailed).await;
    }
    assert_eq!(layer.handle().status().last_error.unwrap().kind(), ErrorKind::Denied);
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200, "others still have the token");
    assert_eq!((seen.tokens(), issuer.requests()), (vec!["token-1".to_owned(); 5], 2));
}

#[tokio::test(start_paused = true)]
async fn r6_a_401_that_comes_after_the_failed_fetch_goes_to_its_caller_at_once() {
    let issuer = Issuer::new();
    let (_seen, api) = answering(|count, _| async move {
        sleep(Duration::from_millis(if count == 1 { 10 } else { 200 })).await;
        refusal()
    });
    let layer = issuer.layer();
    layer.handle().token().await.unwrap();
    issuer.set(|settings| settings.failure = Some(denied()));
    let client = layer.layer(api);
    let began = Instant::now();
    let (early, late) = tokio::join!(client.clone().oneshot(get("/a")), client.clone().oneshot(get("/a")));
    assert_whole(early.unwrap(), NotReplayed::FetchFailed).await;
    assert_whole(late.unwrap(), NotReplayed::FetchFailed).await;
    assert_eq!(began.elapsed().as_millis(), 200);
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn r7_with_no_replay_the_token_is_renewed_for_the_next_request() {
    let issuer = Issuer::new();
    let (seen, api) = answering(|count, _| async move { if count == 1 { refusal() } else { answer(StatusCode::OK) } });
    let layer = issuer.builder().replay(NoReplay).build().unwrap();
    layer.handle().token().await.unwrap();
    let began = Instant::now();
    let client = layer.layer(api);
    let response = client.clone().oneshot(get("/a")).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO, "no request waits");
    assert_whole(response, NotReplayed::BodyNotReplayable).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(issuer.requests(), 2, "and the token is renewed");
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(seen.tokens(), ["token-1", "token-2"]);
}

/// A body that cannot be cloned.
#[derive(Debug, Default)]
struct Stream(Option<Bytes>);

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

#[tokio::test(start_paused = true)]
async fn r7_with_empty_body_a_get_is_replayed_and_a_post_renews_the_token() {
    let issuer = Issuer::new();
    let (seen, known) = (Seen::default(), issuer.clone());
    let log = seen.clone();
    let api = service_fn(move |request: Request<Stream>| {
        log.push(&request);
        let good = known.knows(request.headers().get("authorization").unwrap().to_str().unwrap());
        async move { Ok::<_, BoxError>(if good { Response::new(Stream(None)) } else { refusal().map(|_| Stream(None)) }) }
    });
    let client = issuer.builder().replay(EmptyBody).build().unwrap().layer(api);
    let get = || Request::get(format!("{ORIGIN}/a")).body(Stream(None)).unwrap();
    let post = || Request::post(format!("{ORIGIN}/a")).body(Stream(Some(Bytes::from_static(b"payload")))).unwrap();
    assert_eq!(client.clone().oneshot(post()).await.unwrap().status(), 200);
    issuer.revoke();
    assert_eq!(client.clone().oneshot(get()).await.unwrap().status(), 200);
    issuer.revoke();
    let response = client.clone().oneshot(post()).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get(), Some(&NotReplayed::BodyNotReplayable));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(client.oneshot(post()).await.unwrap().status(), 200);
    assert_eq!(seen.tokens(), ["token-1", "token-1", "token-2", "token-2", "token-3"]);
}

/// Whether the copy is complete is set from outside.
#[derive(Clone)]
struct Recording(Arc<AtomicBool>);

impl Replay<Body> for Recording {
    fn clone_body(&self, body: &Body) -> Option<Body> {
        Some(body.clone())
    }

    fn is_complete(&self, _copy: &Body) -> bool {
        self.0.load(SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn r7_a_copy_that_turned_out_incomplete_is_never_sent() {
    // When the rejection comes; while the fetch is under way.
    for after in [Duration::ZERO, Duration::from_millis(25)] {
        let issuer = Issuer::new();
        let (seen, api) = refusing();
        let complete = Arc::new(AtomicBool::new(after > Duration::ZERO));
        let layer = issuer.builder().replay(Recording(Arc::clone(&complete))).build().unwrap();
        layer.handle().token().await.unwrap();
        let began = Instant::now();
        let call = tokio::spawn(layer.layer(api).oneshot(get("/a")));
        sleep(after).await;
        complete.store(false, SeqCst);
        assert_whole(call.await.unwrap().unwrap(), NotReplayed::BodyNotReplayable).await;
        assert_eq!(began.elapsed(), 2 * after, "the fetch is waited for only if it may help");
        sleep(Duration::from_millis(100)).await;
        assert_eq!(layer.handle().token().await.unwrap().expose_secret(), "token-2");
        assert_eq!((seen.count(), issuer.requests()), (1, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn r7_a_token_that_is_there_already_is_not_renewed_for_a_body_that_is_gone() {
    let issuer = Issuer::new();
    let (_seen, api) = answering(|_, _| async {
        sleep(Duration::from_secs(1)).await;
        refusal()
    });
    let layer = issuer.builder().replay(NoReplay).build().unwrap();
    layer.handle().token().await.unwrap();
    let call = tokio::spawn(layer.layer(api).oneshot(get("/a")));
    sleep(Duration::from_millis(100)).await;
    layer.handle().refresh().await.unwrap();
    assert_whole(call.await.unwrap().unwrap(), NotReplayed::BodyNotReplayable).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn r11_a_renewal_that_brings_the_same_token_is_no_renewal() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.same_token = true);
    let (seen, api) = refusing();
    let response = issuer.layer().layer(api).oneshot(get("/a")).await.unwrap();
    assert_whole(response, NotReplayed::SameToken).await;
    assert_eq!((seen.count(), issuer.requests()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn r11_a_server_that_gives_out_the_same_token_is_not_hammered() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.same_token = true);
    let (_seen, api) = refusing();
    let client = issuer.layer().layer(api);
    for _ in 0..1_000 {
        let response = client.clone().oneshot(get("/a")).await.unwrap();
        let mark = response.extensions().get::<NotReplayed>().copied().unwrap();
        assert!(matches!(mark, NotReplayed::SameToken | NotReplayed::Throttled), "{mark:?}");
        sleep(Duration::from_millis(10)).await;
    }
    // The first, four renewals at once, and one after ten seconds.
    assert_eq!(issuer.requests(), 6);
}
