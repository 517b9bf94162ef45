//! Reads the small bodies in which PayNet says no, and hands them on whole.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response, StatusCode, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::peek::{LONGEST, Peek, PeekedBody};
use crate::rejection::Rejection;

/// Tells an [`AuthLayer`](crate::AuthLayer) above it which of PayNet's answers reject the token or the timestamp.
///
/// It reads the body of a 400, 401 or 403 if that is at most 4 KiB, leaves a [`Rejection`] in the response's extensions if
/// one of the two messages is in it, and hands the body on whole: frames, trailers and errors as they came. A compressed
/// body has to be decompressed below this layer.
///
/// Such a response waits for its body: put a timeout around the stack, as for any server that may stall.
#[derive(Clone, Copy, Debug, Default)]
pub struct RejectionLayer;

impl<S> Layer<S> for RejectionLayer {
    type Service = Rejections<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Rejections { inner }
    }
}

/// The service of a [`RejectionLayer`].
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
        RejectionFuture { state: State::Waiting { response: self.inner.call(request) } }
    }
}

pin_project! {
    /// The response of a [`RejectionLayer`]'s service.
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
        Waiting { #[pin] response: F },
        Peeking { peeking: Option<Box<Peeking<B>>> },
    }
}

/// A response whose body is being read.
struct Peeking<B: Body> {
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
                StateProj::Waiting { response } => ready!(response.poll(cx))?,
                StateProj::Peeking { peeking } => {
                    if let Some(peeking) = peeking {
                        ready!(peeking.peek.poll(cx));
                    }
                    // None only after the end, when nobody may poll.
                    return peeking.take().map_or(Poll::Pending, |peeking| Poll::Ready(Ok(peeking.finish())));
                }
            };
            if !may_reject(&response) {
                return Poll::Ready(Ok(response.map(PeekedBody::untouched)));
            }
            let (head, body) = response.into_parts();
            let peeking = Peeking { head, peek: Peek::new(body) };
            state.set(State::Peeking { peeking: Some(Box::new(peeking)) });
        }
    }
}

impl<F, B: Body> fmt::Debug for RejectionFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectionFuture").finish_non_exhaustive()
    }
}

impl<B: Body> Peeking<B> {
    fn finish(self) -> Response<PeekedBody<B>> {
        let mut head = self.head;
        if let Some(text) = self.peek.whole_text() {
            let said = MESSAGES.iter().find(|(message, _)| contains(text, message));
            if let Some((_, rejection)) = said {
                head.extensions.insert(*rejection);
            }
        }
        Response::from_parts(head, self.peek.into_body())
    }
}

fn may_reject<B: Body>(response: &Response<B>) -> bool {
    let status = response.status();
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        && response.body().size_hint().lower() <= LONGEST
}

fn contains(text: &[u8], message: &str) -> bool {
    text.windows(message.len()).any(|window| window == message.as_bytes())
}

const MESSAGES: [(&str, Rejection); 2] = [
    ("Access to this resource is forbidden", Rejection::Token),
    ("Timestamp not within valid range", Rejection::ClockSkew),
];
