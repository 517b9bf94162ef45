//! One call through the middleware: what its sends have in common, and the rest of the chain as a Tower service.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use ::reqwest::{Body, Request};
use http::{
    Extensions, HeaderMap,
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, WWW_AUTHENTICATE},
};
use reqwest_middleware::{Error, Next};
use tower_service::Service;

use super::{body::RequestBody, response::into_http};
use crate::{
    error::{AuthError, BoxError, ErrorKind},
    telemetry,
    time::{self, Instant},
};

/// What the sends of one call have in common.
pub(super) struct Call {
    /// By the request's own timeout; each send gets what is left of it.
    deadline: Option<Instant>,
    /// A send is under way, in which reqwest minds the time.
    is_sending: AtomicBool,
    /// As the last send left them.
    extensions: Mutex<Option<Extensions>>,
}

impl Call {
    pub(super) fn new(request: &Request) -> Self {
        let deadline = request.timeout().and_then(|timeout| time::instant().checked_add(*timeout));
        Self { deadline, is_sending: AtomicBool::new(false), extensions: Mutex::new(None) }
    }

    /// The output of the future, unless the deadline passes while nothing is being sent.
    pub(super) async fn run<T>(&self, call: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(time::instant()));
        let (mut call, mut timer) = (pin!(call), pin!(left.and_then(time::sleep)));
        poll_fn(|cx| {
            if let Poll::Ready(output) = call.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            match timer.as_mut().as_pin_mut() {
                Some(timer) if !self.is_sending.load(Relaxed) => timer.poll(cx).map(|()| Err(timed_out().into())),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// The extensions as the last send left them, if there was one.
    pub(super) fn take_extensions(&self) -> Option<Extensions> {
        self.extensions.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn send(&self, next: Next<'_>, mut request: Request, mut extensions: Extensions) -> SendResult {
        let _sending = Sending::begin(&self.is_sending);
        if let Some(deadline) = self.deadline {
            *request.timeout_mut() = Some(deadline.saturating_duration_since(time::instant()));
        }
        let origin = follows_a_redirect(request.headers()).then(|| request.url().origin());
        let response = next.run(request, &mut extensions).await;
        *self.extensions.lock().unwrap_or_else(PoisonError::into_inner) = Some(extensions);
        let response = response?;
        if origin.is_some_and(|origin| origin != response.url().origin()) {
            telemetry::answered_by_another_origin(&response.url().origin().ascii_serialization());
        }
        Ok(into_http(response))
    }
}

type SendResult = Result<http::Response<Body>, Error>;

/// The rest of the middleware chain, as the service inside of a layer.
#[derive(Clone)]
pub(super) struct NextService<'a> {
    next: Next<'a>,
    call: &'a Call,
}

impl<'a> NextService<'a> {
    pub(super) fn new(next: Next<'a>, call: &'a Call) -> Self {
        Self { next, call }
    }
}

impl<'a> Service<http::Request<RequestBody>> for NextService<'a> {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = SendResult> + Send + 'a>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<RequestBody>) -> Self::Future {
        let (head, body) = request.into_parts();
        Box::pin(self.call.send(self.next.clone(), body.unwrap_with(head.headers), head.extensions))
    }
}

/// Says that a send is under way, until it is dropped.
struct Sending<'a>(&'a AtomicBool);

impl<'a> Sending<'a> {
    fn begin(is_sending: &'a AtomicBool) -> Self {
        is_sending.store(true, Relaxed);
        Self(is_sending)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// Whether there is a credential among these headers that reqwest does not remove when a redirect leaves the origin.
fn follows_a_redirect(headers: &HeaderMap) -> bool {
    let removed = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, WWW_AUTHENTICATE];
    headers.iter().any(|(name, value)| value.is_sensitive() && !removed.contains(name))
}

fn timed_out() -> AuthError {
    AuthError::new(
        ErrorKind::Timeout,
        "`RequestBuilder::timeout`: it passed while the request waited for a token; use a longer one, or fetch the token \
         ahead with `TokenHandle::keep_warm`",
    )
}
