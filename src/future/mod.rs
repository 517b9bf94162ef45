//! The response future: for a request with a token little more than the inner one, with the rest in a box.

mod attempt;
mod discard;
mod sent;
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
    metrics::Replayed,
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
        // The request on its way; `None` while it waits.
        #[pin]
        response: Option<S::Future>,
        stage: Stage<S, R, B, RB>,
    }
}

enum Stage<S, R, B, RB> {
    Sending(Attempt<S, R, B>),
    Waiting(Box<Waiting<S, R, B, RB>>),
    Failed(AuthError),
    Ended,
}

impl<S, R, B, RB> ResponseFuture<S, R, B, RB>
where
    S: Service<Request<B>>,
{
    #[inline]
    pub(crate) fn passthrough(response: S::Future) -> Self {
        Self::sending(response, Attempt::Passthrough)
    }

    #[inline]
    pub(crate) fn sending(response: S::Future, attempt: Attempt<S, R, B>) -> Self {
        Self { response: Some(response), stage: Stage::Sending(attempt) }
    }

    pub(crate) fn waiting(settings: Arc<Settings>, saved: SavedRequest<S, R, B>) -> Self {
        Self { response: None, stage: Stage::Waiting(Box::new(Waiting::for_token(settings, saved))) }
    }

    #[cold]
    pub(crate) fn failed(error: AuthError) -> Self {
        Self { response: None, stage: Stage::Failed(error) }
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
        let ResponseFutureProj { mut response, stage } = self.project();
        loop {
            let Some(sent) = response.as_mut().as_pin_mut() else {
                match ready!(stage.poll(cx))? {
                    Progress::Sent(sent) => response.set(Some(sent)),
                    Progress::Return(response) => return Poll::Ready(Ok(response)),
                }
                continue;
            };
            let polled = ready!(sent.poll(cx));
            let Stage::Sending(attempt) = stage else {
                return Poll::Ready(polled.map_err(Into::into));
            };
            let rejected = match polled {
                Ok(response) if attempt.is_accepted(&response) => return Poll::Ready(Ok(response)),
                Ok(response) => response,
                Err(error) => {
                    if let Some(sent) = attempt.sent() {
                        sent.replay_ended(Replayed::Error);
                    }
                    return Poll::Ready(Err(error.into()));
                }
            };
            match mem::replace(attempt, Attempt::Passthrough).classify(rejected) {
                Next::Return(response) => return Poll::Ready(Ok(response)),
                Next::Replay(replay) => {
                    response.set(None);
                    *stage = Stage::Waiting(Box::new(Waiting::for_replay(*replay)));
                }
            }
        }
    }
}

/// What a wait has led to.
enum Progress<F, RB> {
    Sent(F),
    Return(Response<RB>),
}

impl<S, R, B, RB> Stage<S, R, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
    R: Replay<B>,
    RB: Body,
{
    /// Polls what a request waits for, and sends it.
    #[cold]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress<S::Future, RB>, BoxError>> {
        let waited = if let Self::Waiting(waiting) = self { Some(ready!(waiting.poll(cx))) } else { None };
        Poll::Ready(match (mem::replace(self, Self::Ended), waited.transpose()?) {
            (Self::Waiting(waiting), Some(Waited::Ready(token, now))) => {
                let (sent, attempt) = waiting.send(&token, now)?;
                *self = Self::Sending(attempt);
                Ok(Progress::Sent(sent))
            }
            (_, Some(Waited::Return(response))) => Ok(Progress::Return(response)),
            (Self::Failed(error), _) => Err(error.into()),
            _ => Err(polled_again().into()),
        })
    }
}

impl<S, R, B, RB> fmt::Debug for ResponseFuture<S, R, B, RB>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Sending(_) => "Sending",
            Stage::Waiting(_) => "Waiting",
            Stage::Failed(_) => "Failed",
            Stage::Ended => "Ended",
        };
        f.debug_struct("ResponseFuture").field("stage", &stage).finish_non_exhaustive()
    }
}

fn polled_again() -> AuthError {
    AuthError::config("the response future was polled after it had ended; poll it no more once it is ready")
}
