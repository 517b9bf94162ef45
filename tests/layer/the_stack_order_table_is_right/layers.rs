//! The layers that are often put around a client, each in one setting.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use tokio::time::Instant;
use tower::{
    buffer::Buffer,
    limit::{ConcurrencyLimit, RateLimit, rate::Rate},
    load_shed::LoadShed,
    retry::{Retry, budget::TpsBudget},
    timeout::Timeout,
    util::Either,
};
use tower_http::{
    decompression::Decompression,
    follow_redirect::FollowRedirect,
    request_id::{MakeRequestUuid, SetRequestId},
    trace::Trace,
};
use tracing::Span;

use super::stack::{Client, Wrap, boxed};
use crate::{policy::Patient, support::Body};

/// How long each span of `Trace` lasted that has ended.
pub(crate) type Spans = Arc<Mutex<Vec<Duration>>>;

pub(crate) const LAYERS: &[(&str, Wrap)] = &[
    ("`Timeout`", |client, _| boxed(Timeout::new(client, PATIENCE))),
    ("`Retry`", |client, _| boxed(Retry::new(Patient::new(3, TpsBudget::default()), client))),
    ("`ConcurrencyLimit`", |client, _| boxed(ConcurrencyLimit::new(client, 1))),
    ("`LoadShed` over `ConcurrencyLimit`", |client, _| boxed(LoadShed::new(ConcurrencyLimit::new(client, 1)))),
    ("`Buffer` over `RateLimit`", |client, _| boxed(Buffer::new(RateLimit::new(client, Rate::new(RATE, MINUTE)), 1))),
    ("`Buffer`", |client, _| boxed(Buffer::new(client, 1))),
    ("`FollowRedirect`", |client, _| boxed(FollowRedirect::new(client))),
    ("`Decompression`", |client, _| boxed(Decompression::new(client))),
    ("`SetRequestId`", |client, _| boxed(SetRequestId::x_request_id(client, MakeRequestUuid))),
    ("`Trace`", trace),
    ("`Either`", |client, _| boxed(Either::<Client, Client>::Left(client))),
    ("`BoxCloneService`", |client, _| Client::new(client)),
];

fn trace(client: Client, spans: &Spans) -> Client {
    let (open, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::clone(spans));
    let opened = Arc::clone(&open);
    let trace = Trace::new_for_http(client)
        .on_request(move |_: &Request<Body>, _: &Span| opened.lock().unwrap().push(Instant::now()))
        .on_response(move |_: &Response<_>, _: Duration, _: &Span| {
            let since: Option<Instant> = open.lock().unwrap().pop();
            ended.lock().unwrap().extend(since.map(|since| since.elapsed()));
        });
    boxed(trace)
}

/// So many requests a minute: more than any probe but one makes.
pub(crate) const RATE: u64 = 8;
const PATIENCE: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_secs(60);
