//! The response future: for a request with a token little more than the inner one, with the rest in a box.

mod attempt;
mod discard;
mod waiting;

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

pub(crate) use self::attempt::{Attempt, SavedRequest};
use self::{
    attempt::Next,
    waiting::{Waited, Waiting},
};
use crate::{
    error::{AuthError, BoxError},
    replay::Replay,
    settings::Settings,
};

pin_project! {
    #[project = ResponseFutureProj]
    /// Response future of an [`Auth`](crate::Auth) service.
    ///
    /// `Send` exactly when the inner service, its future and its bodies are.
    ///
    /// # Cancellation
    ///
    /// Dropping it drops the request. A token fetch under way goes on, for later requests.
    pub struct ResponseFuture<S, R, B, RB>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, R, B, RB>,
        attempt: Attempt<S, R, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, R, B, RB>
    where
        S: Service<Request<B>>,
    {
        Sending { #[pin] response: S::Future },
        Waiting { waiting: Option<Box<Waiting<S, R, B, RB>>> },
        Failed { error: Option<AuthError> },
    }
}

impl<S, R, B, RB> ResponseFuture<S, R, B, RB>
where
    S: Service<Request<B>>,
{
    #[inline]
    pub(crate) fn passthrough(response: S::Future) -> Self {
        Self { state: State::Sending { response }, attempt: Attempt::Passthrough }
    }

    /// The attempt is set last, so that the compiler can have the response written where it is to stay.
    #[inline]
    pub(crate) fn sending(response: S::Future, attempt: Attempt<S, R, B>) -> Self {
        Self { state: State::Sending { response }, attempt }
    }

    pub(crate) fn waiting(settings: Arc<Settings>, saved: SavedRequest<S, R, B>) -> Self {
        let waiting = Some(Box::new(Waiting::for_token(settings, saved)));
        Self { state: State::Waiting { waiting }, attempt: Attempt::Passthrough }
    }

    #[cold]
    pub(crate) fn failed(error: AuthError) -> Self {
        Self { state: State::Failed { error: Some(error) }, attempt: Attempt::Passthrough }
    }
}

impl<S, R, B, RB> Future for ResponseFuture<S, R, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
    R: Replay<B>,
    RB: Body,
{
    type Output = Result<Response<RB>, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ResponseFutureProj { mut state, attempt } = self.project();
        loop {
            let response = match state.as_mut().project() {
                StateProj::Sending { response } => response,
                StateProj::Waiting { .. } | StateProj::Failed { .. } => {
                    match ready!(state.as_mut().poll_cold(cx, attempt))? {
                        Some(response) => return Poll::Ready(Ok(response)),
                        None => continue,
                    }
                }
            };
            let response = match ready!(response.poll(cx)) {
                Ok(response) if attempt.is_accepted(&response) => return Poll::Ready(Ok(response)),
                Ok(response) => response,
                Err(error) => return Poll::Ready(Err(error.into())),
            };
            match mem::replace(attempt, Attempt::Passthrough).classify(response) {
                Next::Return(response) => return Poll::Ready(Ok(response)),
                Next::Replay(replay) => {
                    let waiting = Box::new(Waiting::for_replay(*replay));
                    state.set(State::Waiting { waiting: Some(waiting) });
                }
            }
        }
    }
}

impl<S, R, B, RB> State<S, R, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
    R: Replay<B>,
    RB: Body,
{
    /// Polls whatever is not a request on its way; the response, or `None` once a request is.
    #[cold]
    fn poll_cold(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        attempt: &mut Attempt<S, R, B>,
    ) -> Poll<Result<Option<Response<RB>>, BoxError>> {
        let next = match self.as_mut().project() {
            StateProj::Sending { .. } => return Poll::Ready(Ok(None)),
            StateProj::Failed { error } => return Poll::Ready(Err(error.take().unwrap_or_else(polled_again).into())),
            StateProj::Waiting { waiting } => {
                let waited = match waiting {
                    Some(waiting) => ready!(waiting.poll(cx)),
                    None => Err(polled_again().into()),
                };
                match (waited, waiting.take()) {
                    (Ok(Waited::Ready(token)), Some(waiting)) => match waiting.send(&token) {
                        Ok((response, sent)) => {
                            *attempt = sent;
                            State::Sending { response }
                        }
                        Err(error) => State::Failed { error: Some(error) },
                    },
                    (Ok(Waited::Return(response)), _) => return Poll::Ready(Ok(Some(response))),
                    (Ok(Waited::Ready(_)), None) => State::Failed { error: None },
                    (Err(error), _) => return Poll::Ready(Err(error)),
                }
            }
        };
        self.set(next);
        Poll::Ready(Ok(None))
    }
}

impl<S, R, B, RB> fmt::Debug for ResponseFuture<S, R, B, RB>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Sending { .. } => "Sending",
            State::Waiting { .. } => "Waiting",
            State::Failed { .. } => "Failed",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}

fn polled_again() -> AuthError {
    AuthError::config("the response future was polled after it had ended; poll it no more once it is ready")
}
