//! An authorization server and an API in memory, on paused time, and callers of layers between them.

use std::{
    collections::BTreeMap,
    ops::RangeBounds,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, ErrorKind,
    rejection::NotReplayed,
    replay::{CloneBody, Replay},
    token::{AccessToken, source_fn},
};

use crate::support::{Body, ORIGIN, answer, get};

/// The authorization server, which numbers its tokens from 1.
#[derive(Clone)]
pub(crate) struct World {
    start: Instant,
    latency: Duration,
    is_down: fn(Duration) -> bool,
    /// When each token was issued.
    issued: Arc<Mutex<Vec<Duration>>>,
}

pub(crate) type Client = BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;

/// A token that the API got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) serial: usize,
    pub(crate) issued: Duration,
}

/// A layer, and the token requests that it made.
pub(crate) struct Process<R = CloneBody> {
    pub(crate) layer: AuthLayer<R>,
    requests: Arc<AtomicU64>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(millis(100), |_| false)
    }

    pub(crate) fn with(latency: Duration, is_down: fn(Duration) -> bool) -> Self {
        Self { start: Instant::now(), latency, is_down, issued: Arc::default() }
    }

    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) async fn until(&self, moment: Duration) {
        sleep_until(self.start + moment).await;
    }

    /// The newest token, for a server that keeps one token per client.
    pub(crate) fn newest(&self) -> usize {
        self.issued.lock().unwrap().len()
    }

    pub(crate) fn issued_last(&self) -> Duration {
        self.issued.lock().unwrap().last().copied().unwrap()
    }

    pub(crate) fn process(&self) -> Process {
        self.process_with(CloneBody)
    }

    pub(crate) fn process_with<R: Replay<Body>>(&self, policy: R) -> Process<R> {
        let requests = Arc::new(AtomicU64::new(0));
        let (world, count) = (self.clone(), Arc::clone(&requests));
        let source = source_fn(move |_| {
            count.fetch_add(1, SeqCst);
            let world = world.clone();
            async move {
                sleep(world.latency).await;
                if (world.is_down)(world.now()) {
                    return Err(AuthError::new(ErrorKind::Unavailable, "down"));
                }
                let mut issued = world.issued.lock().unwrap();
                issued.push(world.now());
                AccessToken::new(issued.len().to_string(), Some(seconds(3_600)))
            }
        });
        Process { layer: AuthLayer::builder(source).origin(ORIGIN).replay(policy).build().unwrap(), requests }
    }

    /// What `process` calls: an API that takes 20 ms, and then accepts a token or not.
    pub(crate) fn client<R: Replay<Body>>(
        &self,
        process: &Process<R>,
        accepts: impl Fn(Token) -> bool + Clone + Send + Sync + 'static,
    ) -> Client {
        let world = self.clone();
        let api = service_fn(move |request: Request<Body>| {
            let (world, accepts) = (world.clone(), accepts.clone());
            async move {
                sleep(millis(20)).await;
                let bearer = request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap();
                let serial: usize = bearer.trim_start_matches("Bearer ").parse().unwrap();
                let issued = world.issued.lock().unwrap().get(serial - 1).copied().unwrap();
                let accepted = accepts(Token { serial, issued });
                Ok::<_, BoxError>(answer(if accepted { StatusCode::OK } else { StatusCode::UNAUTHORIZED }))
            }
        });
        BoxCloneSyncService::new(process.layer.layer(api))
    }

    /// So many calls a second, whatever becomes of those before.
    pub(crate) async fn rate(&self, client: &Client, per_second: f64, begin: Duration, end: Duration) -> Tally {
        let mut calls = JoinSet::new();
        let mut at = begin;
        while at < end {
            self.until(at).await;
            let (world, client) = (self.clone(), client.clone());
            calls.spawn(async move { world.call(client).await });
            at += Duration::from_secs_f64(1.0 / per_second);
        }
        Tally(calls.join_all().await)
    }

    /// So many callers, each with one call after the other.
    pub(crate) async fn callers(&self, client: &Client, number: usize, end: Duration) -> Tally {
        let mut callers = JoinSet::new();
        for _ in 0..number {
            let (world, client) = (self.clone(), client.clone());
            callers.spawn(async move {
                let mut calls = Vec::new();
                while world.now() < end {
                    calls.push(world.call(client.clone()).await);
                }
                calls
            });
        }
        Tally(callers.join_all().await.concat())
    }

    async fn call(&self, client: Client) -> Call {
        let begun = self.now();
        let outcome = match client.oneshot(get("/a")).await {
            Ok(response) if response.status() == StatusCode::OK => Outcome::Served,
            Ok(response) => Outcome::Rejected(response.extensions().get().copied()),
            Err(error) => Outcome::Failed(AuthError::find(&*error).unwrap().kind()),
        };
        Call { begun, outcome }
    }
}

impl<R> Process<R> {
    /// Token requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(SeqCst)
    }
}

/// How the calls of a load ended.
pub(crate) struct Tally(Vec<Call>);

#[derive(Clone, Copy)]
struct Call {
    begun: Duration,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Served,
    Rejected(Option<NotReplayed>),
    Failed(ErrorKind),
}

impl Tally {
    /// The calls that began then.
    pub(crate) fn during(&self, moments: impl RangeBounds<Duration>) -> Self {
        Self(self.0.iter().filter(|call| moments.contains(&call.begun)).copied().collect())
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(crate) fn total(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn served(&self) -> usize {
        self.0.iter().filter(|call| call.outcome == Outcome::Served).count()
    }

    /// When the first call began that was served.
    pub(crate) fn first_served(&self) -> Option<Duration> {
        self.0.iter().filter(|call| call.outcome == Outcome::Served).map(|call| call.begun).min()
    }

    /// Asserts that there were calls, and that so many of a hundred were served.
    pub(crate) fn assert_served(&self, percent: usize, where_: &str) {
        assert!(self.total() > 0, "{where_}");
        assert!(self.served() * 100 >= self.total() * percent, "{where_}: {}", self.outcomes());
    }

    pub(crate) fn outcomes(&self) -> String {
        let mut counts = BTreeMap::<_, usize>::new();
        for call in &self.0 {
            *counts.entry(format!("{:?}", call.outcome)).or_default() += 1;
        }
        format!("{counts:?}")
    }
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
