//! R4, R6, R7, R10 and S9 for streams, with an API in memory on paused time.
#![expect(clippy::disallowed_methods, reason = "the tests sleep on paused time")]

use std::{
    future::{Ready, ready},
    ops::ControlFlow,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, Sleep, sleep},
};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer},
    retry, service_fn,
};
use tower_outbound_auth::{AuthError, BoxError, ErrorKind, NotReplayed, ReplayBody};

use crate::support::{Issuer, ORIGIN, answer};

/// Ten frames of ten bytes, 10 ms apart, and trailers.
struct Upload {
    number: usize,
    breaks_at: usize,
    next: Pin<Box<Sleep>>,
}

impl Upload {
    fn new() -> Self {
        Self { number: 0, breaks_at: usize::MAX, next: Box::pin(sleep(PACE)) }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        ready!(self.next.as_mut().poll(cx));
        self.next = Box::pin(sleep(PACE));
        self.number += 1;
        Poll::Ready(match self.number {
            number if number == self.breaks_at => Some(Err("the disk is gone".into())),
            number @ 1..=10 => Some(Ok(Frame::data(Bytes::from(format!("frame {number:<4}"))))),
            11 => Some(Ok(Frame::trailers(trailers()))),
            _ => None,
        })
    }
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), http::HeaderValue::from_static("55"))])
}

fn all() -> String {
    (1..=10).map(|number| format!("frame {number:<4}")).collect::<Vec<_>>().concat()
}

type Streamed = ReplayBody<Upload>;
type Answered = Result<Response<Full<Bytes>>, BoxError>;
/// What a sending came to: the bytes, the trailers, and the error that ended it.
type Received = (String, Option<HeaderMap>, Option<String>);

/// What the API does with the body of a request whose token it refuses.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// Answers once it has read so many frames, then holds on to the body and reads no more.
    Stalls(usize),
    /// The same, but lets go of the body.
    Drops(usize),
    /// Answers once it has read so many, and reads on all the same.
    ReadsOn(usize),
}

/// An API that refuses `token-1`, and takes 30 ms until it begins to read a body.
#[derive(Clone)]
struct Api {
    refusal: Refusal,
    tokens: Arc<Mutex<Vec<String>>>,
    held: Arc<Mutex<Vec<Streamed>>>,
    reading: Arc<Mutex<Option<JoinHandle<Received>>>>,
    second: Arc<Mutex<Option<Received>>>,
}

impl Api {
    fn new(refusal: Refusal) -> Self {
        Self { refusal, tokens: Arc::default(), held: Arc::default(), reading: Arc::default(), second: Arc::default() }
    }

    fn service(
        &self,
    ) -> impl Service<Request<Streamed>, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send> + Clone + use<>
    {
        let api = self.clone();
        service_fn(move |request| api.clone().answer(request))
    }

    async fn answer(self, request: Request<Streamed>) -> Answered {
        let token = request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap().to_owned();
        self.tokens.lock().unwrap().push(token.clone());
        sleep(Duration::from_millis(30)).await;
        let mut body = request.into_body();
        if token != "Bearer token-1" {
            *self.second.lock().unwrap() = Some(receive(body, String::new()).await);
            return Ok(answer(StatusCode::OK));
        }
        let (Refusal::Stalls(frames) | Refusal::Drops(frames) | Refusal::ReadsOn(frames)) = self.refusal;
        let mut text = String::new();
        for _ in 0..frames {
            if read(&mut body, &mut text).await.is_break() {
                break;
            }
        }
        match self.refusal {
            Refusal::Stalls(_) => self.held.lock().unwrap().push(body),
            Refusal::Drops(_) => {}
            Refusal::ReadsOn(_) => *self.reading.lock().unwrap() = Some(tokio::spawn(receive(body, text))),
        }
        Ok(answer(StatusCode::UNAUTHORIZED))
    }

    /// What the first sending, on which the API read on, came to.
    async fn first(&self) -> Received {
        let reading = self.reading.lock().unwrap().take().unwrap();
        reading.await.unwrap()
    }

    fn second(&self) -> Option<Received> {
        self.second.lock().unwrap().clone()
    }

    fn tokens(&self) -> usize {
        self.tokens.lock().unwrap().len()
    }
}

type Last = (Option<HeaderMap>, Option<String>);

async fn read(body: &mut Streamed, text: &mut String) -> ControlFlow<Last> {
    match body.frame().await {
        Some(Ok(frame)) => match frame.into_data() {
            Ok(data) => text.push_str(std::str::from_utf8(&data).unwrap()),
            Err(frame) => return ControlFlow::Break((frame.into_trailers().ok(), None)),
        },
        Some(Err(error)) => return ControlFlow::Break((None, Some(error.to_string()))),
        None => return ControlFlow::Break((None, None)),
    }
    ControlFlow::Continue(())
}

async fn receive(mut body: Streamed, mut text: String) -> Received {
    loop {
        if let ControlFlow::Break((trailers, error)) = read(&mut body, &mut text).await {
            return (text, trailers, error);
        }
    }
}

fn whole() -> Received {
    (all(), Some(trailers()), None)
}

fn put(body: Streamed) -> Request<Streamed> {
    Request::put(format!("{ORIGIN}/upload")).body(body).unwrap()
}

/// One upload with this limit, which the API refuses in this way.
async fn upload(refusal: Refusal, limit: usize, issuer: &Issuer) -> (Api, Response<Full<Bytes>>) {
    let api = Api::new(refusal);
    let response = issuer.layer().layer(api.service()).oneshot(put(ReplayBody::new(Upload::new(), limit))).await;
    (api, response.unwrap())
}

const PACE: Duration = Duration::from_millis(10);
/// More than the upload.
const AMPLE: usize = 1_000;

#[tokio::test(start_paused = true)]
async fn r4_a_stream_is_sent_again_whole_however_much_of_it_was_read() {
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
    // Two flights of 50 ms, 30 ms of the API's each time, twelve polls of the stream, each 10 ms after the last.
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
async fn r7_a_stream_that_outgrew_its_limit_is_not_sent_again_and_its_token_is_renewed() {
    let (issuer, limit) = (Issuer::new(), 49);
    for refusal in [Refusal::Stalls(5), Refusal::ReadsOn(5), Refusal::Stalls(11), Refusal::ReadsOn(11)] {
        let (issuer, began) = (Issuer::new(), Instant::now());
        let (api, response) = upload(refusal, limit, &issuer).await;
        // One flight, the API, and eleven frames at most: the renewal is not waited for.
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
async fn r7_a_stream_that_failed_is_not_sent_again() {
    let api = Api::new(Refusal::ReadsOn(11));
    let broken = Upload { breaks_at: 4, ..Upload::new() };
    let client = Issuer::new().layer().layer(api.service());
    let response = client.oneshot(put(ReplayBody::new(broken, AMPLE))).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::BodyNotReplayable));
    assert_eq!((api.tokens(), api.second()), (1, None));
}

#[tokio::test(start_paused = true)]
async fn r7_a_stream_that_fails_while_the_client_is_busy_is_not_sent_again() {
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
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!((api.tokens(), api.second()), (1, None), "the first answer is gone, and no part is sent for the whole");
    assert_eq!(api.first().await.2.as_deref(), Some("the disk is gone"));
}

#[tokio::test(start_paused = true)]
async fn r6_a_first_sending_goes_on_when_there_is_no_token_to_send_it_again_with() {
    for latency in [5, 500].map(Duration::from_millis) {
        let issuer = Issuer::new();
        let layer = issuer.layer();
        layer.handle().token().await.unwrap();
        let denied = AuthError::new(ErrorKind::Denied, "no more tokens");
        issuer.set(|settings| (settings.failure, settings.latency) = (Some(denied), latency));
        let api = Api::new(Refusal::ReadsOn(3));
        let client = layer.layer(api.service());
        let response = client.oneshot(put(ReplayBody::new(Upload::new(), 40))).await.unwrap();
        assert_eq!(response.extensions().get(), Some(&NotReplayed::RefreshFailed));
        assert_eq!(api.first().await, whole(), "{latency:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn s9_a_stream_is_sent_again_where_one_request_may_be_on_its_way_at_a_time() {
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
