//! A client built of layers around the one that authenticates, and the servers that it talks to.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneService};
use tower_outbound_auth::{
    BoxError,
    paynet::RejectionLayer,
    signing::{SignRules, SignatureHeaders, SigningContext, signer_fn},
    token::TokenHandle,
};

use super::layers::Spans;
use crate::support::{Body, Issuer, ORIGIN, Seen};

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;
pub(crate) type Client = BoxCloneService<Request<Body>, Answer, BoxError>;
/// Puts a layer around a client.
pub(crate) type Wrap = fn(Client, &Spans) -> Client;

/// Which layers stand outside of the one that authenticates, and which inside. Both lists go from the outside in.
#[derive(Clone, Default)]
pub(crate) struct Order {
    pub(crate) outside: Vec<Wrap>,
    pub(crate) inside: Vec<Wrap>,
}

/// A client of one order, with servers of its own.
pub(crate) struct Stack {
    client: Client,
    pub(crate) issuer: Issuer,
    pub(crate) seen: Seen,
    pub(crate) spans: Spans,
}

/// What a call came to, and how long it took.
pub(crate) struct Outcome {
    pub(crate) result: Result<Answer, BoxError>,
    pub(crate) took: Duration,
}

impl Order {
    pub(crate) fn stack(&self) -> Stack {
        self.build().0
    }

    /// Its client has a token already.
    pub(crate) async fn warm_stack(&self) -> Stack {
        let (stack, handle) = self.build();
        handle.token().await.unwrap();
        stack
    }

    fn build(&self) -> (Stack, TokenHandle) {
        let (issuer, seen, spans) = (Issuer::new(), Seen::default(), Spans::default());
        let signatures = AtomicUsize::new(0);
        // Numbered, as paused time does not move the wall clock that `TimestampHmac` reads.
        let signer = signer_fn(move |_: &SigningContext<'_>| {
            let mut headers = SignatureHeaders::new();
            headers.insert(HeaderName::from_static("x-timestamp"), signatures.fetch_add(1, SeqCst).into());
            headers.insert(HeaderName::from_static("x-signature"), HeaderValue::from_static("signed"));
            Ok(headers)
        });
        let (name, value) = (HeaderName::from_static("x-fiid"), HeaderValue::from_static("FI0001"));
        let auth = issuer.builder().sign(SignRules::all(), signer).header(name, value).build().unwrap();
        let wrap = |client, wraps: &[Wrap]| wraps.iter().rev().fold(client, |client, wrap| wrap(client, &spans));
        let inner = wrap(servers(&issuer, &seen), &self.inside);
        let client = wrap(boxed(auth.layer(RejectionLayer.layer(inner))), &self.outside);
        (Stack { client, issuer, seen, spans }, auth.handle())
    }
}

impl Stack {
    pub(crate) async fn get(&self, url: &str) -> Outcome {
        let url = if url.starts_with('/') { format!("{ORIGIN}{url}") } else { url.to_owned() };
        let (client, began) = (self.client.clone(), Instant::now());
        let result = client.oneshot(Request::get(url).body(Body::default()).unwrap()).await;
        Outcome { result, took: began.elapsed() }
    }
}

impl Outcome {
    pub(crate) fn status(&self) -> Option<StatusCode> {
        self.result.as_ref().ok().map(Response::status)
    }

    pub(crate) fn is<E: std::error::Error + 'static>(&self) -> bool {
        self.result.as_ref().is_err_and(|error| error.is::<E>())
    }

    /// Whether it went well without waiting for anything.
    pub(crate) fn went_at_once(&self) -> bool {
        self.status() == Some(StatusCode::OK) && self.took < Duration::from_millis(500)
    }
}

/// Gives every client one type, whatever the bodies of its responses.
pub(crate) fn boxed<S, RB>(service: S) -> Client
where
    S: Service<Request<Body>, Response = Response<RB>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    RB: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    BoxCloneService::new(service.map_response(|response| response.map(|body| body.map_err(Into::into).boxed_unsync())))
}

/// The API, and another server beside it, to which a redirect may lead.
fn servers(issuer: &Issuer, seen: &Seen) -> Client {
    let (issuer, seen, busy) = (issuer.clone(), seen.clone(), Arc::new(AtomicUsize::new(1)));
    boxed(service_fn(move |request: Request<Body>| {
        seen.push(&request);
        let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let known = authorization.is_some_and(|value| issuer.knows(value));
        let is_busy = request.uri().path() == "/busy" && busy.swap(0, SeqCst) == 1;
        async move {
            let status = if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            Ok(match request.uri().path() {
                _ if request.uri().host() == Some("files.example.net") => reply(StatusCode::OK, &[]),
                _ if is_busy => reply(StatusCode::SERVICE_UNAVAILABLE, &[(header::RETRY_AFTER, "1")]),
                "/slow" => {
                    sleep(SLOW).await;
                    reply(status, &[])
                }
                "/unhurried" => {
                    sleep(UNHURRIED).await;
                    reply(status, &[])
                }
                "/moved" if known => reply(StatusCode::FOUND, &[(header::LOCATION, ELSEWHERE)]),
                "/compressed" if !known => compressed_rejection(),
                _ => reply(status, &[]),
            })
        }
    }))
}

fn reply(status: StatusCode, headers: &[(HeaderName, &'static str)]) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("an answer"));
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// PayNet's message that a token is no good, in gzip.
fn compressed_rejection() -> Response<Full<Bytes>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(br#"{"error":{"message":"Access to this resource is forbidden"}}"#).unwrap();
    let response = reply(StatusCode::BAD_REQUEST, &[(header::CONTENT_ENCODING, "gzip")]);
    response.map(|_| Full::from(gzip.finish().unwrap()))
}

pub(crate) const ELSEWHERE: &str = "https://files.example.net/report";
/// Longer than the timeout of [`layers`](super::layers).
pub(crate) const SLOW: Duration = Duration::from_secs(3);
/// Shorter than the timeout, and twice that is longer.
const UNHURRIED: Duration = Duration::from_millis(1_200);
