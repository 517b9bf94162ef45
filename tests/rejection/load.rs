//! A load generator, and an API that accepts tokens from a number on.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tower::{Service, ServiceExt};
use tower_outbound_auth::{BoxError, rejection::NotReplayed};

use crate::support::{Answering, Body, Issuer, answer, get};

/// An API that takes tokens from a number on, and on `/bad` none at all.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) issuer: Issuer,
    /// `token-<n>` is taken if `n` is at least this and the issuer has not revoked it.
    pub(crate) from: Arc<AtomicU64>,
    rejects_next: Arc<AtomicBool>,
    pub(crate) requests: Arc<AtomicU64>,
}

impl Api {
    pub(crate) fn new(issuer: &Issuer) -> Self {
        Self { issuer: issuer.clone(), from: Arc::default(), rejects_next: Arc::default(), requests: Arc::default() }
    }

    /// From now on it takes no token with a lower number.
    pub(crate) fn take_from(&self, number: u64) {
        self.from.store(number, SeqCst);
    }

    /// Whatever its token.
    pub(crate) fn reject_next(&self) {
        self.rejects_next.store(true, SeqCst);
    }

    pub(crate) fn takes(&self, request: &Request<Body>) -> bool {
        let authorization = request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap();
        let number: u64 = authorization.trim_start_matches("Bearer token-").parse().unwrap();
        let rejects = self.rejects_next.swap(false, SeqCst) || request.uri().path() == "/bad";
        !rejects && number >= self.from.load(SeqCst) && self.issuer.knows(authorization)
    }
}

impl Service<Request<Body>> for Api {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        let api = self.clone();
        api.requests.fetch_add(1, SeqCst);
        Box::pin(async move {
            sleep(Duration::from_millis(10)).await;
            Ok(answer(if api.takes(&request) { StatusCode::OK } else { StatusCode::UNAUTHORIZED }))
        })
    }
}

/// How the calls of a load generator ended.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) calls: usize,
    pub(crate) failed: usize,
    /// Why those that failed were not replayed.
    pub(crate) marks: HashMap<String, usize>,
}

impl Tally {
    pub(crate) fn marked(&self, mark: impl Into<Option<NotReplayed>>) -> usize {
        self.marks.get(&format!("{:?}", mark.into())).copied().unwrap_or(0)
    }
}

/// Sends requests for this long, whatever becomes of those before.
pub(crate) async fn load<S>(client: &S, path: &'static str, every: Duration, lasting: Duration) -> Tally
where
    S: Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone + Send + 'static,
{
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = Vec::new();
    for _ in 0..lasting.as_nanos() / every.as_nanos() {
        ticks.tick().await;
        calls.push(tokio::spawn(client.clone().oneshot(get(path))));
    }
    let mut tally = Tally { calls: calls.len(), ..Tally::default() };
    for call in calls {
        let response = call.await.unwrap().unwrap();
        if response.status() != StatusCode::OK {
            tally.failed += 1;
            let mark: Option<NotReplayed> = response.extensions().get().copied();
            *tally.marks.entry(format!("{mark:?}")).or_default() += 1;
        }
    }
    tally
}

pub(crate) const NONE: u64 = u64::MAX;

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
