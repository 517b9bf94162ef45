//! The response future: over a warm request hardly more than the inner one, with the rest in a box.

mod discard;
mod healing;
mod parked;
mod ticket;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use self::{
    healing::Healing,
    ticket::{Answered, Flow, Ticket},
};
pub(crate) use self::{
    parked::Parked,
    ticket::{Sent, send},
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
    pub(crate) fn untouched(response: S::Future) -> Self {
        Self { state: State::Sending { response, ticket: Ticket::Untouched } }
    }

    pub(crate) fn sent(sent: Result<Flow<S, R, B>, AuthError>) -> Self {
        Self { state: State::sent(sent) }
    }

    pub(crate) fn parked(parked: Parked<S, R, B>) -> Self {
        Self { state: State::Parked { parked: Some(Box::new(parked)) } }
    }
}

impl<S, R, B, RB> State<S, R, B, RB>
where
    S: Service<Request<B>>,
{
    fn sent(sent: Result<Flow<S, R, B>, AuthError>) -> Self {
        match sent {
            Ok((response, ticket)) => Self::Sending { response, ticket },
            Err(error) => Self::Failed { error: Some(error) },
        }
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

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Sending { response, ticket } => {
                    let response = ready!(response.poll(cx)).map_err(Into::into)?;
                    match std::mem::replace(ticket, Ticket::Untouched).answered(response) {
                        Answered::HandOn(response) => return Poll::Ready(Ok(response)),
                        Answered::Heal(healing) => State::Healing { healing },
                    }
                }
                StateProj::Parked { parked } => {
                    let issued = match parked {
                        Some(parked) => ready!(parked.poll_token(cx)),
                        None => Err(polled_again()),
                    };
                    match (issued, parked.take()) {
                        (Ok(issued), Some(parked)) => State::sent(parked.send(&issued)),
                        (Err(error), _) => State::Failed { error: Some(error) },
                        (Ok(_), None) => State::Failed { error: None },
                    }
                }
                StateProj::Healing { healing } => return healing.as_mut().poll(cx),
                StateProj::Failed { error } => {
                    return Poll::Ready(Err(error.take().unwrap_or_else(polled_again).into()));
                }
            };
            state.set(next);
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
