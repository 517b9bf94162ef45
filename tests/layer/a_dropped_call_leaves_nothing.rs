//! S8: a call may be dropped at any moment: nothing leaks, nothing is fetched twice, and no other caller notices.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body::Frame;
use tokio::{
    sync::Semaphore,
    time::{Interval, interval, sleep, timeout},
};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};
use tower_outbound_auth::{Auth, AuthLayer, BoxError};

use crate::support::{Body, Issuer, api, get};

/// A body of four frames, 10 ms apart, that counts how many of its kind exist.
struct SlowBody {
    left: usize,
    interval: Option<Interval>,
    living: Arc<AtomicUsize>,
}

impl http_body::Body for SlowBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let interval = self.interval.get_or_insert_with(|| interval(Duration::from_millis(10)));
        ready!(interval.poll_tick(cx));
        let Some(left) = self.left.checked_sub(1) else {
            return Poll::Ready(None);
        };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"page")))))
    }
}

impl Drop for SlowBody {
    fn drop(&mut self) {
        self.living.fetch_sub(1, SeqCst);
    }
}

/// An API that takes three steps to answer.
#[derive(Clone)]
struct Api {
    issuer: Issuer,
    /// Requests and bodies that were not dropped yet.
    living: Arc<AtomicUsize>,
}

struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(living: &Arc<AtomicUsize>) -> Self {
        living.fetch_add(1, SeqCst);
        Self(Arc::clone(living))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Service<Request<Body>> for Api {
    type Response = Response<SlowBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<SlowBody>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (issuer, alive) = (self.issuer.clone(), Alive::new(&self.living));
        Box::pin(async move {
            for _ in 0..3 {
                sleep(Duration::from_millis(5)).await;
            }
            let living = Arc::clone(&alive.0);
            living.fetch_add(1, SeqCst);
            let mut response = Response::new(SlowBody { left: 4, interval: None, living });
            if !issuer.knows(request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap()) {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
            Ok(response)
        })
    }
}

/// A layer over an API behind one permit.
struct World {
    issuer: Issuer,
    layer: AuthLayer,
    permits: Arc<Semaphore>,
    client: Auth<ConcurrencyLimit<Api>>,
    living: Arc<AtomicUsize>,
}

impl World {
    fn new() -> Self {
        let issuer = Issuer::new();
        let (permits, living) = (Arc::new(Semaphore::new(1)), Arc::new(AtomicUsize::new(0)));
        let api = Api { issuer: issuer.clone(), living: Arc::clone(&living) };
        let layer = issuer.layer();
        let client = layer.layer(ConcurrencyLimit::with_semaphore(api, Arc::clone(&permits)));
        Self { issuer, layer, permits, client, living }
    }

    /// With a token that the API rejects.
    async fn revoked() -> Self {
        let world = Self::new();
        world.layer.handle().token().await.unwrap();
        world.issuer.revoke();
        world
    }

    /// The next call works, with so many token requests made in all, and all permits are there again.
    async fn is_sound(&self, tokens: u64, polls: usize) {
        let next = timeout(Duration::from_secs(60), self.client.clone().oneshot(get("/next"))).await;
        assert!(next.is_ok(), "the next call hangs after {polls} polls");
        let response = next.unwrap().unwrap();
        assert_eq!(response.status(), 200, "after {polls} polls");
        drop(response);
        assert_eq!(self.issuer.requests(), tokens, "after {polls} polls");
        assert_eq!(self.permits.available_permits(), 1, "after {polls} polls");
        assert_eq!(self.living.load(SeqCst), 0, "after {polls} polls");
    }
}

/// Polls the future so many times, each time that it asks for it, and then drops it.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|cx| {
        let Some(less) = left.checked_sub(1) else {
            return Poll::Ready(None);
        };
        left = less;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn s8_dropped_while_there_is_no_token_yet() {
    for polls in 0.. {
        let mut world = World::new();
        let call = world.client.ready().await.unwrap().call(get("/a"));
        let ended = polled(call, polls).await;
        let done = ended.is_some();
        drop(ended);
        world.is_sound(1, polls).await;
        if done {
            // Waiting for the token, and three times for the API.
            assert!(polls >= 5, "ready after {polls} polls");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s8_dropped_while_it_is_rejected_or_replayed() {
    for polls in 0.. {
        let mut world = World::revoked().await;
        let call = world.client.ready().await.unwrap().call(get("/a"));
        let ended = polled(call, polls).await;
        let done = ended.is_some();
        drop(ended);
        world.is_sound(2, polls).await;
        if done {
            // Three times for the API, for the token, four times for the rest of the body, again for the API.
            assert!(polls >= 12, "ready after {polls} polls");
            return;
        }
    }
}

/// Takes the permit as soon as it is free, and keeps it for half a second.
fn compete(permits: &Arc<Semaphore>) -> Arc<AtomicBool> {
    let holds = Arc::new(AtomicBool::new(false));
    let (permits, held) = (Arc::clone(permits), Arc::clone(&holds));
    tokio::spawn(async move {
        let permit = permits.acquire_owned().await;
        held.store(true, SeqCst);
        sleep(Duration::from_millis(500)).await;
        held.store(false, SeqCst);
        drop(permit);
    });
    holds
}

#[tokio::test(start_paused = true)]
async fn s8_dropped_while_it_waits_for_its_second_readiness() {
    let mut dropped_in_wait = 0;
    for polls in 0.. {
        let mut world = World::revoked().await;
        let call = world.client.ready().await.unwrap().call(get("/a"));
        let other_holds = compete(&world.permits);
        tokio::task::yield_now().await;
        let ended = polled(call, polls).await;
        let done = ended.is_some();
        drop(ended);
        // No request and no body is alive, and there is a new token: all that is missing is a permit.
        if other_holds.load(SeqCst) && world.issuer.requests() == 2 && world.living.load(SeqCst) == 0 && !done {
            dropped_in_wait += 1;
        }
        sleep(Duration::from_secs(1)).await;
        world.is_sound(2, polls).await;
        if done {
            assert!(dropped_in_wait >= 1);
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s8_the_caller_that_started_the_fetch_may_be_dropped() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = issuer.layer().layer(api);
    let first = tokio::spawn(client.clone().oneshot(get("/first")));
    let mut leaving: Vec<_> = (0..100).map(|_| tokio::spawn(client.clone().oneshot(get("/other")))).collect();
    sleep(Duration::from_millis(25)).await;
    first.abort();
    let staying = leaving.split_off(50);
    for call in leaving {
        call.abort();
    }
    for call in staying {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!((issuer.requests(), seen.count()), (1, 50));
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn s8_callers_who_give_up_wake_no_other_and_the_token_wakes_each_of_the_others_once() {
    let issuer = Issuer::new();
    let (_, api) = api(&issuer, Duration::ZERO);
    let client = issuer.layer().layer(api);
    let count = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut waiting: Vec<_> = (0..1_000).map(|_| Box::pin(client.clone().oneshot(get("/a")))).collect();
    for call in &mut waiting {
        assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let mut number = 0;
    waiting.retain(|_| {
        number += 1;
        number % 2 == 0
    });
    assert_eq!(count.0.load(SeqCst), 0, "by those who gave up");
    sleep(Duration::from_millis(60)).await;
    assert_eq!((count.0.load(SeqCst), issuer.requests()), (500, 1));
}

#[tokio::test(start_paused = true)]
async fn s8_a_future_that_is_never_polled_starts_nothing() {
    let mut world = World::new();
    drop(world.client.ready().await.unwrap().call(get("/a")));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(world.issuer.requests(), 0);
    world.is_sound(1, 0).await;
}
