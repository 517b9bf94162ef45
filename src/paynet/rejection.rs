//! `RejectionLayer`: recognizes PayNet's rejections in response bodies.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_LENGTH, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use serde_json::Value;
use tower_layer::Layer;
use tower_service::Service;

use super::peek::{MAX_BODY_BYTES, Peek, PeekedBody};
use crate::rejection::Rejection;

/// Layer that recognizes PayNet's rejections in response bodies.
///
/// It reads the body of a `400`, `401` or `403` response of at most 4 KiB. If the body has one of the two
/// [messages](super#messages) of a rejected token or timestamp, the layer adds a [`Rejection`] to the response's extensions,
/// where an [`AuthLayer`](crate::AuthLayer) outside of it finds it. The body is handed on whole: frames, trailers and errors
/// are as they came.
///
/// [`PayNetLayer`](super::PayNetLayer) contains this layer. Use it directly if the two need a layer between them.
///
/// # Example
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
/// use tower_outbound_auth::{paynet::RejectionLayer, rejection::Rejection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let api = service_fn(|_: Request<()>| async {
///     let body = Full::<Bytes>::from(r#"{ "message": "Timestamp not within valid range" }"#);
///     Response::builder().status(400).body(body)
/// });
/// let response = RejectionLayer.layer(api).oneshot(Request::new(())).await?;
/// assert_eq!(response.extensions().get(), Some(&Rejection::ClockSkew));
/// # Ok(()) }
/// ```
///
/// # When a body is not read
///
/// - The status is another one, or the `Content-Length` or the size hint is larger than 4 KiB: the response is handed on at
///   once.
/// - The length is not known: the body is read to its end, or until it exceeds 4 KiB or 256 frames.
/// - The body fails, or is compressed: it is handed on without a `Rejection`. Put a layer that decompresses inside.
///
/// A response whose body is read is delayed until its body has arrived. There is no timeout here: put one outside of the
/// stack.
#[derive(Clone, Copy, Debug, Default)]
pub struct RejectionLayer;

impl<S> Layer<S> for RejectionLayer {
    type Service = Rejections<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Rejections { inner }
    }
}

/// Service of a [`RejectionLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Rejections<S> {
    inner: S,
}

impl<S, B, RB> Service<Request<B>> for Rejections<S>
where
    S: Service<Request<B>, Response = Response<RB>>,
    RB: Body,
{
    type Response = Response<PeekedBody<RB>>;
    type Error = S::Error;
    type Future = RejectionFuture<S::Future, RB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        RejectionFuture { state: State::Calling { response: self.inner.call(request) } }
    }
}

pin_project! {
    /// Response future of [`Rejections`].
    pub struct RejectionFuture<F, B>
    where
        B: Body,
    {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B>
    where
        B: Body,
    {
        Calling { #[pin] response: F },
        Reading { reading: Option<Box<Reading<B>>> },
    }
}

/// A response whose body is being read.
struct Reading<B: Body> {
    head: Parts,
    peek: Peek<B>,
}

impl<F, B, E> Future for RejectionFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<PeekedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let response = match state.as_mut().project() {
                StateProj::Calling { response } => ready!(response.poll(cx))?,
                StateProj::Reading { reading } => {
                    if let Some(reading) = reading {
                        ready!(reading.peek.poll(cx));
                    }
                    // `None` only if polled after completion.
                    return reading.take().map_or(Poll::Pending, |reading| Poll::Ready(Ok(reading.finish())));
                }
            };
            if !may_be_rejection(&response) {
                return Poll::Ready(Ok(response.map(PeekedBody::unread)));
            }
            let (head, body) = response.into_parts();
            let reading = Reading { head, peek: Peek::new(body) };
            state.set(State::Reading { reading: Some(Box::new(reading)) });
        }
    }
}

impl<F, B: Body> fmt::Debug for RejectionFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectionFuture").finish_non_exhaustive()
    }
}

impl<B: Body> Reading<B> {
    fn finish(mut self) -> Response<PeekedBody<B>> {
        if let Some(rejection) = self.peek.whole_text().and_then(rejection) {
            self.head.extensions.insert(rejection);
        }
        Response::from_parts(self.head, self.peek.into_body())
    }
}

fn may_be_rejection<B: Body>(response: &Response<B>) -> bool {
    matches!(response.status(), StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        && response.body().size_hint().lower() <= MAX_BODY_BYTES
        && response.headers().get_all(CONTENT_LENGTH).iter().all(may_be_small)
}

/// Whether the body may be small: one number, or the same several times (RFC 9110, section 8.6), however many digits it
/// has. What is no number says nothing.
fn may_be_small(content_length: &HeaderValue) -> bool {
    let is_large = |length: &str| {
        let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        is_number && !length.parse::<u64>().is_ok_and(|length| length <= MAX_BODY_BYTES)
    };
    !content_length.to_str().is_ok_and(|lengths| lengths.split(',').any(|length| is_large(length.trim())))
}

/// The rejection that a body reports.
fn rejection(body: &[u8]) -> Option<Rejection> {
    let text = body.trim_ascii();
    let json = serde_json::from_slice(text).unwrap_or(Value::Null);
    let is_reported = |message: &str| text == message.as_bytes() || has_string(&json, message);
    MESSAGES.iter().find(|(message, _)| is_reported(message)).map(|(_, rejection)| *rejection)
}

/// Whether the text is a string value anywhere in the document.
///
/// A member's name is not a value. The recursion is limited by `serde_json`, to 128 levels.
fn has_string(json: &Value, text: &str) -> bool {
    match json {
        Value::String(value) => value == text,
        Value::Array(values) => values.iter().any(|value| has_string(value, text)),
        Value::Object(members) => members.values().any(|value| has_string(value, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

const MESSAGES: [(&str, Rejection); 2] = [
    ("Access to this resource is forbidden", Rejection::Token),
    ("Timestamp not within valid range", Rejection::ClockSkew),
];
