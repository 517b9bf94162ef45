//! R6, R7, R11 and R12: when a rejected request is not sent again, and what is done all the same.

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
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, BoxError, EmptyBody, ErrorKind, NoReplay, NotReplayed, RefreshPolicy, Replay, TokenState,
};

use super::{answering, assert_whole, refusal, refusing};
use crate::support::{Body, Issuer, ORIGIN, Seen, answer, api, get};

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
    assert_whole(response, NotReplayed::RefreshFailed).await;
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
    assert_whole(response, NotReplayed::RefreshFailed).await;

    sleep(Duration::from_secs(10)).await;
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200, "the flight went on");
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
    assert_whole(response, NotReplayed::RefreshFailed).await;
}

#[tokio::test(start_paused = true)]
async fn r6_during_a_cool_down_the_answer_comes_at_once_and_the_token_stays() {
    let issuer = Issuer::new();
    let (seen, api) = answering(|count, _| async move { if count == 1 { refusal() } else { answer(StatusCode::OK) } });
    let policy = RefreshPolicy::default().cool_down(Duration::from_secs(60), Duration::from_secs(60));
    let layer = issuer.builder().refresh(policy).build().unwrap();
    layer.handle().token().await.unwrap();
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Malformed, "no token in there")));
    layer.handle().refresh().await.unwrap_err();

    let began = Instant::now();
    let client = layer.layer(api);
    assert_whole(client.clone().oneshot(get("/a")).await.unwrap(), NotReplayed::RefreshFailed).await;
    assert_eq!(began.elapsed().as_millis(), 0);
    assert_eq!(issuer.requests(), 2);
    assert_eq!(layer.handle().status().last_error.unwrap().kind(), ErrorKind::Malformed);
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200, "others still have the token");
    assert_eq!(seen.tokens(), ["token-1", "token-1"]);
}

#[tokio::test(start_paused = true)]
async fn r6_a_401_that_comes_after_the_failed_flight_goes_to_its_caller_at_once() {
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
    assert_whole(early.unwrap(), NotReplayed::RefreshFailed).await;
    assert_whole(late.unwrap(), NotReplayed::RefreshFailed).await;
    assert_eq!(began.elapsed().as_millis(), 200);
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn r7_with_no_replay_the_token_is_renewed_for_the_next_request() {
    let issuer = Issuer::new();
    let (seen, api) = answering(|count, _| async move { if count == 1 { refusal() } else { answer(StatusCode::OK) } });
    let layer = issuer.layer().replay(NoReplay);
    layer.handle().token().await.unwrap();
    let began = Instant::now();
    let client = layer.layer(api);
    let response = client.clone().oneshot(get("/a")).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits");
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
async fn r7_with_empty_body_a_get_is_healed_and_a_post_renews_the_token() {
    let issuer = Issuer::new();
    let (seen, known) = (Seen::default(), issuer.clone());
    let log = seen.clone();
    let api = service_fn(move |request: Request<Stream>| {
        log.push(&request);
        let good = known.knows(request.headers().get("authorization").unwrap().to_str().unwrap());
        async move { Ok::<_, BoxError>(if good { Response::new(Stream(None)) } else { refusal().map(|_| Stream(None)) }) }
    });
    let client = issuer.layer().replay(EmptyBody).layer(api);
    let get = || Request::get(format!("{ORIGIN}/a")).body(Stream(None)).unwrap();
    let post = || Request::post(format!("{ORIGIN}/a")).body(Stream(Some(Bytes::from_static(b"payload")))).unwrap();
    assert_eq!(client.clone().oneshot(post()).await.unwrap().status(), 200);
    issuer.revoke();
    assert_eq!(client.clone().oneshot(get()).await.unwrap().status(), 200);
    issuer.revoke();
    let response = client.clone().oneshot(post()).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get(), Some(&NotReplayed::BodyNotReplayable));
    assert_eq!(client.oneshot(post()).await.unwrap().status(), 200);
    assert_eq!(seen.tokens(), ["token-1", "token-1", "token-2", "token-2", "token-3"]);
}

/// Says from outside whether what was kept is whole.
#[derive(Clone)]
struct Recording(Arc<AtomicBool>);

impl Replay<Body> for Recording {
    fn clone_body(&self, body: &Body) -> Option<Body> {
        Some(body.clone())
    }

    fn is_complete(&self, _kept: &Body) -> bool {
        self.0.load(SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn r7_a_copy_that_turned_out_incomplete_is_never_sent() {
    // When the rejection comes; while the flight is under way.
    for after in [Duration::ZERO, Duration::from_millis(25)] {
        let issuer = Issuer::new();
        let (seen, api) = refusing();
        let whole = Arc::new(AtomicBool::new(true));
        let layer = issuer.layer();
        layer.handle().token().await.unwrap();
        whole.store(after > Duration::ZERO, SeqCst);
        let began = Instant::now();
        let client = layer.clone().replay(Recording(Arc::clone(&whole))).layer(api);
        let call = tokio::spawn(client.oneshot(get("/a")));
        sleep(after).await;
        whole.store(false, SeqCst);
        assert_whole(call.await.unwrap().unwrap(), NotReplayed::BodyNotReplayable).await;
        assert_eq!(began.elapsed(), 2 * after, "the flight is waited for only if it may help");
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
    let layer = issuer.layer();
    layer.handle().token().await.unwrap();
    let call = tokio::spawn(layer.clone().replay(NoReplay).layer(api).oneshot(get("/a")));
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
        assert!(matches!(mark, NotReplayed::SameToken | NotReplayed::TooSoon), "{mark:?}");
        sleep(Duration::from_millis(10)).await;
    }
    // The first, and renewals at 0, 1, 3 and 7 s.
    assert_eq!(issuer.requests(), 5);
}

#[tokio::test(start_paused = true)]
async fn r12_a_token_rejected_by_hand_is_renewed_by_the_next_caller() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let (client, handle) = (layer.layer(api), layer.handle());
    let first = handle.token().await.unwrap();
    handle.reject(&first);
    assert_eq!(handle.status().state, TokenState::Missing);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(issuer.requests(), 1, "nothing is started");
    assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(seen.tokens(), ["token-2"]);

    handle.reject(&first);
    assert_eq!(handle.status().state, TokenState::Fresh, "only the current token can be retired");
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn r12_a_token_rejected_by_hand_is_renewed_whatever_the_spacing() {
    let issuer = Issuer::new();
    let (_seen, api) = refusing();
    let layer = issuer.layer();
    let (client, handle) = (layer.layer(api), layer.handle());
    client.clone().oneshot(get("/a")).await.unwrap();
    let response = client.oneshot(get("/a")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::TooSoon), "a spacing runs");
    for round in 3..8 {
        handle.reject(&handle.token().await.unwrap());
        assert_eq!(handle.token().await.unwrap().expose_secret(), format!("token-{round}"));
    }
    assert_eq!(issuer.requests(), 7);
}

#[test]
fn the_three_policies_are_copies_and_have_defaults() {
    fn check<R: Replay<Full<Bytes>> + Copy + Default + std::fmt::Debug>() {}
    check::<NoReplay>();
    check::<EmptyBody>();
    check::<tower_outbound_auth::CloneBody>();
}
