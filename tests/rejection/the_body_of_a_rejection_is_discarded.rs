//! R9: what becomes of the body of a rejected response.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{Instant, Interval, interval, sleep},
};
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{AuthError, BoxError, ErrorKind, rejection::NotReplayed, replay::Replay};

use crate::support::{Body, Issuer, get};

/// What the body of a rejection gives.
#[derive(Clone, Copy, Debug)]
enum Page {
    /// This many chunks of 16 KiB, then the end.
    Chunks(usize),
    /// Nothing, and no end.
    Silence,
    /// Some bytes every 30 ms, and no end.
    Trickle,
    /// Frames without data, and no end.
    EmptyFrames,
    /// An error.
    Broken,
}

struct PageBody {
    page: Page,
    log: Log,
    interval: Option<Interval>,
    _permit: OwnedSemaphorePermit,
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Log {
    events: Arc<Mutex<Vec<&'static str>>>,
    frames: Arc<AtomicUsize>,
}

impl Log {
    fn note(&self, event: &'static str) {
        self.events.lock().unwrap().push(event);
    }

    fn events(&self) -> Vec<&'static str> {
        self.events.lock().unwrap().clone()
    }

    fn frames(&self) -> usize {
        self.frames.load(SeqCst)
    }
}

impl http_body::Body for PageBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frames = self.log.frames.fetch_add(1, SeqCst) + 1;
        let frame = |size| Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; size])))));
        match &mut self.page {
            Page::Chunks(0) => {
                self.log.note("end");
                Poll::Ready(None)
            }
            Page::Chunks(left) => {
                *left -= 1;
                frame(16 * 1024)
            }
            Page::Silence => Poll::Pending,
            Page::Trickle => {
                let interval = self.interval.get_or_insert_with(|| interval(Duration::from_millis(30)));
                ready!(interval.poll_tick(cx));
                frame(10)
            }
            // A reader of all of them gets this many, so that the test ends.
            Page::EmptyFrames => {
                if frames < 1_000_000 {
                    frame(0)
                } else {
                    Poll::Ready(None)
                }
            }
            Page::Broken => Poll::Ready(Some(Err("connection reset".into()))),
        }
    }
}

impl Drop for PageBody {
    fn drop(&mut self) {
        self.log.note("dropped");
    }
}

/// An API with one slot, which an answer holds until its body is dropped. It rejects the first request.
#[derive(Clone)]
struct OneSlot {
    page: Page,
    log: Log,
    slots: Arc<Semaphore>,
    slot: Slot,
}

/// A clone has none, and asks for its own.
#[derive(Default)]
struct Slot(Option<OwnedSemaphorePermit>, Option<Acquiring>);

type Acquiring = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

impl Clone for Slot {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl OneSlot {
    fn new(page: Page) -> Self {
        Self { page, log: Log::default(), slots: Arc::new(Semaphore::new(1)), slot: Slot::default() }
    }
}

impl Service<Request<Body>> for OneSlot {
    type Response = Response<PageBody>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<PageBody>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Slot(held, acquiring) = &mut self.slot;
        if held.is_none() {
            let slots = Arc::clone(&self.slots);
            let future = acquiring.get_or_insert_with(|| Box::pin(slots.acquire_owned()));
            *held = Some(ready!(future.as_mut().poll(cx))?);
            *acquiring = None;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Body>) -> Self::Future {
        let permit = self.slot.0.take().unwrap();
        let first = !self.log.events().contains(&"sent");
        self.log.note("sent");
        let page = if first { self.page } else { Page::Chunks(0) };
        let log = if first { self.log.clone() } else { Log::default() };
        let mut response = Response::new(PageBody { page, log, interval: None, _permit: permit });
        if first {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        std::future::ready(Ok(response))
    }
}

/// Has a request rejected with this page, and says how long its replay took, the 50 ms of the fetch included.
async fn replayed(page: Page) -> (Log, Duration) {
    let layer = Issuer::new().layer();
    layer.handle().token().await.unwrap();
    let api = OneSlot::new(page);
    let log = api.log.clone();
    let began = Instant::now();
    let response = layer.layer(api).oneshot(get("/a")).await.unwrap();
    assert_eq!(response.status(), 200);
    (log, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn r9_a_short_body_is_read_to_its_end_and_dropped_before_the_second_request() {
    let (log, took) = replayed(Page::Chunks(2)).await;
    assert_eq!(log.events(), ["sent", "end", "dropped", "sent"]);
    assert_eq!((log.frames(), took.as_millis()), (3, 50));
}

#[tokio::test(start_paused = true)]
async fn r9_of_a_long_body_no_more_than_64_kib_is_taken_in() {
    let (log, took) = replayed(Page::Chunks(4)).await;
    assert_eq!(log.events(), ["sent", "end", "dropped", "sent"], "64 KiB are short enough");
    assert_eq!((log.frames(), took.as_millis()), (5, 50));

    let (log, took) = replayed(Page::Chunks(usize::MAX)).await;
    assert_eq!(log.events(), ["sent", "dropped", "sent"]);
    assert_eq!((log.frames(), took.as_millis()), (5, 50), "the frame that goes beyond is the last");
}

#[tokio::test(start_paused = true)]
async fn r9_a_body_that_never_ends_costs_100_ms() {
    for page in [Page::Silence, Page::Trickle] {
        let (log, took) = replayed(page).await;
        assert_eq!(log.events(), ["sent", "dropped", "sent"], "{page:?}");
        assert_eq!(took.as_millis(), 150, "{page:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r9_a_body_of_empty_frames_ends_too() {
    let (log, _) = replayed(Page::EmptyFrames).await;
    assert!(log.frames() < 100_000, "{} frames were read", log.frames());
}

#[tokio::test(start_paused = true)]
async fn r9_a_body_that_breaks_off_is_dropped() {
    let (log, took) = replayed(Page::Broken).await;
    assert_eq!(log.events(), ["sent", "dropped", "sent"]);
    assert_eq!(took.as_millis(), 50);
}

#[tokio::test(start_paused = true)]
async fn r9_the_body_is_kept_unread_while_the_fetch_is_under_way() {
    let layer = Issuer::new().layer();
    layer.handle().token().await.unwrap();
    let api = OneSlot::new(Page::Chunks(2));
    let log = api.log.clone();
    let call = tokio::spawn(layer.layer(api).oneshot(get("/a")));
    sleep(Duration::from_millis(49)).await;
    assert_eq!((log.events(), log.frames()), (vec!["sent"], 0));
    sleep(Duration::from_millis(2)).await;
    assert_eq!(log.events(), ["sent", "end", "dropped", "sent"]);
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn r6_the_body_is_whole_when_the_fetch_has_failed() {
    let issuer = Issuer::new();
    let layer = issuer.layer();
    layer.handle().token().await.unwrap();
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "locked")));
    let response = layer.layer(OneSlot::new(Page::Chunks(5))).oneshot(get("/a")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::FetchFailed));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 5 * 16 * 1024);
}

/// The copy is complete until the test says otherwise.
#[derive(Clone)]
struct UntilRead(Arc<AtomicBool>);

impl Replay<Body> for UntilRead {
    fn clone_body(&self, body: &Body) -> Option<Body> {
        Some(body.clone())
    }

    fn is_complete(&self, _copy: &Body) -> bool {
        self.0.load(SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn r7_a_copy_that_turns_out_incomplete_at_the_last_moment_is_not_sent() {
    let (issuer, complete) = (Issuer::new(), Arc::new(AtomicBool::new(true)));
    let layer = issuer.builder().replay(UntilRead(Arc::clone(&complete))).build().unwrap();
    layer.handle().token().await.unwrap();
    let api = OneSlot::new(Page::Silence);
    let log = api.log.clone();
    let call = tokio::spawn(layer.layer(api).oneshot(get("/a")));
    // The fetch has ended, and the body is waited for.
    sleep(Duration::from_millis(100)).await;
    complete.store(false, SeqCst);
    let error = call.await.unwrap().err().unwrap();
    assert_eq!(AuthError::find(error.as_ref()).unwrap().kind(), ErrorKind::Config);
    assert_eq!(log.events(), ["sent", "dropped"]);
    assert_eq!(issuer.requests(), 2);
}
