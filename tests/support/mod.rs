//! Counterparts for tests: a token source that follows a script, and an API that knows its tokens.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a counterpart in a test may panic, and sleeps on paused time"
)]

pub(crate) mod authority;
#[cfg(feature = "reqwest")]
pub(crate) mod chain;
pub(crate) mod keys;
pub(crate) mod planted;
pub(crate) mod secrets;
pub(crate) mod server;
pub(crate) mod token_server;
#[cfg(all(feature = "client", feature = "sandbox"))]
pub(crate) mod user;

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Full;
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, BoxError,
    token::{AccessToken, FetchRequest, TokenSource},
};

pub(crate) const ORIGIN: &str = "https://api.example.com";

/// An authorization server in memory, and the token source that asks it.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    requests: AtomicU64,
    generation: AtomicU64,
    settings: Mutex<Settings>,
    valid: Mutex<HashSet<String>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) latency: Duration,
    pub(crate) lifetime: Option<Duration>,
    /// Every token request fails with this.
    pub(crate) failure: Option<AuthError>,
    /// Every token request panics.
    pub(crate) panics: bool,
    /// The same token every time.
    pub(crate) same_token: bool,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let settings = Settings {
            latency: Duration::from_millis(50),
            lifetime: Some(Duration::from_secs(3600)),
            failure: None,
            panics: false,
            same_token: false,
        };
        Self {
            state: Arc::new(State {
                requests: AtomicU64::new(0),
                generation: AtomicU64::new(0),
                settings: Mutex::new(settings),
                valid: Mutex::default(),
            }),
        }
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Settings)) -> &Self {
        change(&mut self.state.settings.lock().unwrap());
        self
    }

    /// Token requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.load(SeqCst)
    }

    /// Makes all tokens of so far invalid.
    pub(crate) fn revoke(&self) {
        self.state.valid.lock().unwrap().clear();
    }

    /// Makes all tokens but the newest invalid.
    pub(crate) fn keep_only_the_newest(&self) {
        let newest = format!("token-{}", self.requests());
        self.state.valid.lock().unwrap().retain(|token| *token == newest);
    }

    pub(crate) fn rotate(&self) {
        self.state.generation.fetch_add(1, SeqCst);
    }

    pub(crate) fn knows(&self, authorization: &str) -> bool {
        authorization.strip_prefix("Bearer ").is_some_and(|token| self.state.valid.lock().unwrap().contains(token))
    }

    /// A layer for [`ORIGIN`] on paused time.
    pub(crate) fn layer(&self) -> AuthLayer {
        self.builder().build().unwrap()
    }

    pub(crate) fn builder(&self) -> AuthLayerBuilder {
        AuthLayer::builder(self.clone()).origin(ORIGIN)
    }
}

impl TokenSource for Issuer {
    fn fetch(
        &self,
        _request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        let number = self.state.requests.fetch_add(1, SeqCst) + 1;
        let settings = self.state.settings.lock().unwrap().clone();
        Box::pin(async move {
            tokio::time::sleep(settings.latency).await;
            assert!(!settings.panics, "a token source that panics");
            if let Some(failure) = settings.failure {
                return Err(failure);
            }
            let token = format!("token-{}", if settings.same_token { 0 } else { number });
            self.state.valid.lock().unwrap().insert(token.clone());
            AccessToken::new(token, settings.lifetime)
        })
    }

    fn generation(&self) -> u64 {
        self.state.generation.load(SeqCst)
    }
}

pub(crate) type Body = Full<Bytes>;

/// What an API got to see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    log: Arc<Mutex<Vec<Request<()>>>>,
}

impl Seen {
    pub(crate) fn push<B>(&self, request: &Request<B>) {
        let mut copy = Request::new(());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        self.log.lock().unwrap().push(copy);
    }

    pub(crate) fn requests(&self) -> Vec<Request<()>> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.log.lock().unwrap().len()
    }

    /// The tokens that arrived, in order.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.requests()
            .iter()
            .filter_map(|request| request.headers().get(AUTHORIZATION))
            .map(|value| value.to_str().unwrap().trim_start_matches("Bearer ").to_owned())
            .collect()
    }
}

pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

/// A service made of a function.
#[derive(Clone)]
pub(crate) struct Api<F> {
    pub(crate) answer: F,
}

impl<F: Fn(Request<Body>) -> Answering> tower::Service<Request<Body>> for Api<F> {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, _cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        (self.answer)(request)
    }
}

/// An API that takes the tokens of its issuer, and answers others with 401.
pub(crate) fn api(
    issuer: &Issuer,
    latency: Duration,
) -> (Seen, Api<impl Fn(Request<Body>) -> Answering + Clone + use<>>) {
    let seen = Seen::default();
    let (issuer, log) = (issuer.clone(), seen.clone());
    let answer = move |request: Request<Body>| -> Answering {
        log.push(&request);
        let issuer = issuer.clone();
        Box::pin(async move {
            tokio::time::sleep(latency).await;
            let authorization = request.headers().get(AUTHORIZATION);
            let known = authorization.is_some_and(|value| issuer.knows(value.to_str().unwrap()));
            Ok(answer(if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED }))
        })
    };
    (seen, Api { answer })
}

pub(crate) fn answer(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::from(status.as_str().to_owned()));
    *response.status_mut() = status;
    response
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(format!("{ORIGIN}{path}")).body(Full::default()).unwrap()
}
