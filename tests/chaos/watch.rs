//! The services between which each layer is put: one notes what it does and when, two see what leaves it at the sockets.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, Request, Response, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER},
    response::Parts,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::sleep;
use tower::Service;
use tower_outbound_auth::{
    BoxError, NoAuth,
    paynet::{X_SIGNATURE, X_TIMESTAMP},
};

use crate::{
    fetches::Failure,
    ledger::{Ledger, Step},
    tally::{Check, Row},
};

pub(crate) type Http = Client<HttpConnector, Full<Bytes>>;

/// Goes over the layer: remembers when the call or poll began in which the layer does what it does.
#[derive(Clone)]
pub(crate) struct Steps<S> {
    pub(crate) inner: S,
    pub(crate) ledger: Arc<Ledger>,
}

pub(crate) struct Stepping<F> {
    future: Pin<Box<F>>,
    ledger: Arc<Ledger>,
}

thread_local! {
    static STEP: Cell<Option<Step>> = const { Cell::new(None) };
}

fn in_step<T>(ledger: &Ledger, act: impl FnOnce() -> T) -> T {
    STEP.set(Some(ledger.step()));
    let done = act();
    STEP.set(None);
    done
}

impl<S: Service<R>, R> Service<R> for Steps<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Stepping<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let future = in_step(&self.ledger, || Box::pin(self.inner.call(request)));
        Stepping { future, ledger: Arc::clone(&self.ledger) }
    }
}

impl<F: Future> Future for Stepping<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let ledger = Arc::clone(&self.ledger);
        in_step(&ledger, || self.future.as_mut().poll(cx))
    }
}

/// Request extension: what the oracle wants to know of it. A request that is sent again has the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    /// How often it was sent.
    pub(crate) sendings: Arc<AtomicU32>,
    /// How long the network holds its answers back.
    pub(crate) lag: Duration,
    /// No affair of the layer's, so nothing of the layer's may go wrong with it.
    pub(crate) untouched: bool,
    /// The caller authenticates by itself, with this.
    pub(crate) own: Option<&'static str>,
}

/// Goes under the layer, on top of the client that has the sockets.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) http: Http,
    pub(crate) ledger: Arc<Ledger>,
    /// Host and port that credentials are for.
    pub(crate) authority: Arc<str>,
}

impl Service<Request<Full<Bytes>>> for Gate {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let marks = request.extensions().get::<Marks>().cloned().unwrap_or_default();
        let in_scope = request.uri().authority().is_some_and(|authority| authority.as_str() == &*self.authority);
        let authenticated = in_scope && marks.own.is_none() && request.extensions().get::<NoAuth>().is_none();
        self.ledger.tally.count(Row::Wire, if authenticated { "with credentials due" } else { "with none due" });
        let token = if authenticated { self.check_credentials(request.headers()) } else { None };
        if !authenticated {
            self.check_none(request.headers(), marks.own);
        }
        self.check_sendings(&marks);
        let (answer, ledger) = (self.http.request(request), Arc::clone(&self.ledger));
        Box::pin(async move {
            let response = answer.await?;
            sleep(marks.lag).await;
            if let Some(token) = token {
                ledger.answered(&token, response.status());
            }
            Ok(response)
        })
    }
}

impl Gate {
    /// Gives the token.
    fn check_credentials(&self, headers: &HeaderMap) -> Option<String> {
        for name in [AUTHORIZATION, X_TIMESTAMP, X_SIGNATURE] {
            let times = headers.get_all(&name).iter().count();
            if times != 1 {
                self.ledger.violated(Check::CredentialsPresent, format!("{name} {times} times"));
            }
        }
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        match (token, STEP.get()) {
            (Some(token), Some(step)) => self.ledger.left_with(token, step),
            (None, _) => self.ledger.violated(Check::CredentialsPresent, "no bearer token"),
            (_, None) => self.ledger.violated(Check::CredentialsPresent, "sent behind its caller's back"),
        }
        token.map(ToOwned::to_owned)
    }

    fn check_none(&self, headers: &HeaderMap, own: Option<&str>) {
        let mut rest = headers.clone();
        let found = rest.remove(AUTHORIZATION);
        if found.as_ref().map(http::HeaderValue::as_bytes) != own.map(str::as_bytes) || carries_credentials(&rest) {
            self.ledger.violated(Check::CredentialsContained, "left the layer");
        }
    }

    fn check_sendings(&self, marks: &Marks) {
        match marks.sendings.fetch_add(1, SeqCst) {
            0 => {}
            1 => self.ledger.tally.count(Row::Wire, "sent again"),
            _ => self.ledger.violated(Check::OneReplay, "sent a third time"),
        }
    }
}

/// The transport of a layer's token requests, each on another connection, as with an `HttpsClient`.
#[derive(Clone)]
pub(crate) struct TokenTransport {
    http: Http,
    ledger: Arc<Ledger>,
}

impl TokenTransport {
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Self {
        let http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { http, ledger: Arc::clone(ledger) }
    }
}

impl Service<Request<Full<Bytes>>> for TokenTransport {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let under_way = self.ledger.ask();
        let answer = self.http.request(request);
        Box::pin(async move {
            // Long enough for others to meet the fetch, and for runtimes to end in the middle of it.
            sleep(TOKEN_LAG).await;
            let (head, body) = answer.await?.into_parts();
            let body = body.collect().await?.to_bytes();
            match member(&body, "access_token") {
                Some(token) => under_way.brought(token),
                None => under_way.failed(failure(&head, &body)),
            }
            Ok(Response::from_parts(head, Full::new(body)))
        })
    }
}

/// What a response without a token is (guarantee O5).
fn failure(head: &Parts, body: &[u8]) -> Failure {
    let is_busy = head.status.is_server_error() || head.status == StatusCode::TOO_MANY_REQUESTS;
    let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    // The sandbox knows no other codes than those of a refusal.
    let is_refused = member(body, "error").is_some() || head.status == StatusCode::UNAUTHORIZED;
    let permanent = !is_busy && (is_refused || head.status.is_success());
    let unknown_client = permanent
        && (head.status == StatusCode::UNAUTHORIZED || member(body, "error").as_deref() == Some("invalid_client"));
    Failure { permanent, unknown_client, retry_after: Duration::from_secs(seconds.unwrap_or_default()) }
}

fn member(body: &[u8], name: &str) -> Option<String> {
    let response: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(response.get(name)?.as_str()?.to_owned())
}

pub(crate) fn carries_credentials(headers: &HeaderMap) -> bool {
    [AUTHORIZATION, X_TIMESTAMP, X_SIGNATURE].iter().any(|name| headers.contains_key(name))
}

const TOKEN_LAG: Duration = Duration::from_millis(40);
