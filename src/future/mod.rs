//! The response future: over a warm request hardly more than the inner one, with the rest in a box.

mod discard;
mod healing;
mod parked;
mod ticket;

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use self::{healing::Healing, ticket::Answered};
pub(crate) use self::{
    parked::Parked,
    ticket::{Sent, Ticket},
};
use crate::{
    error::{AuthError, BoxError, ErrorKind},
    replay::Replay,
};

pin_project! {
    /// The response of an [`Auth`](crate::Auth) service.
    ///
    /// `Send` exactly when the inner service, its future and its bodies are.
    ///
    /// # Cancellation
    ///
    /// Dropping it drops the request. A token that is on its way is fetched all the same, for the requests after it.
    pub struct ResponseFuture<S, R, B, RB>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, R, B, RB>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, R, B, RB>
    where
        S: Service<Request<B>>,
    {
        Sending { #[pin] response: S::Future, ticket: Ticket<S, R, B> },
        Parked { parked: Option<Box<Parked<S, R, B>>> },
        Healing { healing: Pin<Box<Healing<S, R, B, RB>>> },
        Failed { error: Option<AuthError> },
    }
}

impl<S, R, B, RB> ResponseFuture<S, R, B, RB>
where
    S: Service<Request<B>>,
{
    #[inline]
    pub(crate) fn sending(response: S::Future, ticket: Ticket<S, R, B>) -> Self {
        Self { state: State::Sending { response, ticket } }
    }

    pub(crate) fn parked(parked: Parked<S, R, B>) -> Self {
        Self { state: State::Parked { parked: Some(Box::new(parked)) } }
    }

    #[cold]
    pub(crate) fn failed(error: AuthError) -> Self {
        Self { state: State::Failed { error: Some(error) } }
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
        let mut state = self.project().state;
        loop {
            let StateProj::Sending { response, ticket } = state.as_mut().project() else {
                match ready!(state.as_mut().poll_cold(cx))? {
                    Some(response) => return Poll::Ready(Ok(response)),
                    None => continue,
                }
            };
            let response = match ready!(response.poll(cx)) {
                Ok(response) if ticket.is_content_with(&response) => return Poll::Ready(Ok(response)),
                Ok(response) => response,
                Err(error) => return Poll::Ready(Err(error.into())),
            };
            match mem::replace(ticket, Ticket::Untouched).answered(response) {
                Answered::HandOn(response) => return Poll::Ready(Ok(response)),
                Answered::Heal(healing) => state.set(State::Healing { healing }),
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
    /// Polls whatever is not a request on its way; the response, or `None` once one is.
    #[cold]
    fn poll_cold(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Option<Response<RB>>, BoxError>> {
        match self.as_mut().project() {
            StateProj::Sending { .. } => Poll::Ready(Ok(None)),
            StateProj::Parked { parked } => {
                let Some(waiting) = parked else {
                    return Poll::Ready(Err(polled_again().into()));
                };
                let token = ready!(waiting.poll_token(cx));
                let sent = token.and_then(|issued| parked.take().ok_or_else(polled_again)?.send(&issued));
                let next = match sent {
                    Ok((response, ticket)) => Self::Sending { response, ticket },
                    Err(error) => Self::Failed { error: Some(error) },
                };
                self.set(next);
                Poll::Ready(Ok(None))
            }
            StateProj::Healing { healing } => healing.as_mut().poll(cx).map_ok(Some),
            StateProj::Failed { error } => Poll::Ready(Err(error.take().unwrap_or_else(polled_again).into())),
        }
    }
}

impl<S, R, B, RB> fmt::Debug for ResponseFuture<S, R, B, RB>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Sending { .. } => "Sending",
            State::Parked { .. } => "Parked",
            State::Healing { .. } => "Healing",
            State::Failed { .. } => "Failed",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}

fn polled_again() -> AuthError {
    AuthError::new(ErrorKind::Aborted, "the response future was polled after it had ended")
}
