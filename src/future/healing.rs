//! A rejected request on its way to a second answer: get a token, put the first answer away, send again.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    error::{AuthError, BoxError, ErrorKind},
    future::{
        discard::Discard,
        ticket::{Kept, Sent, marked},
    },
    rejection::{Judgement, NotReplayed, Rejection},
    replay::Replay,
    telemetry,
    token::{Acquisition, Issued, Replayed},
};

pin_project! {
    pub(crate) struct Healing<S, R, B, RB>
    where
        S: Service<Request<B>>,
    {
        kept: Kept<S, R, B>,
        rejection: Rejection,
        #[pin]
        stage: Stage<S::Future, RB>,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<F, RB> {
        /// The rejected response is kept unread, since it is the caller's if there is no token. None if it is gone.
        Acquiring { acquisition: Acquisition, response: Option<Response<RB>> },
        Discarding { #[pin] body: Discard<RB>, issued: Arc<Issued> },
        Readying { issued: Arc<Issued> },
        Sending { #[pin] response: F, issued: Arc<Issued> },
    }
}

impl<S, R, B, RB> Healing<S, R, B, RB>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(kept: Kept<S, R, B>, rejection: Rejection, response: Response<RB>) -> Self {
        let refresher = &kept.sent.settings.refresher;
        let acquisition = match rejection {
            Rejection::Token => Acquisition::of_next(refresher, kept.max_wait),
            Rejection::ClockSkew => Acquisition::of_any(refresher, kept.max_wait),
        };
        Self { kept, rejection, stage: Stage::Acquiring { acquisition, response: Some(response) } }
    }
}

impl<S, R, B, RB> Healing<S, R, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>>,
    S::Error: Into<BoxError>,
    R: Replay<B>,
    RB: Body,
{
    pub(super) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Response<RB>, BoxError>> {
        let mut this = self.project();
        loop {
            let next = match this.stage.as_mut().project() {
                StageProj::Acquiring { acquisition, response } => {
                    let acquired = ready!(Pin::new(acquisition).poll(cx));
                    match (acquired, response.take()) {
                        (Ok(issued), Some(response)) => match this.kept.refuses(*this.rejection, &issued) {
                            Some(reason) => return Poll::Ready(Ok(marked(response, reason))),
                            None => Stage::Discarding { body: Discard::new(response.into_body()), issued },
                        },
                        (Ok(issued), None) => Stage::Readying { issued },
                        (Err(_), Some(response)) => {
                            return Poll::Ready(Ok(marked(response, NotReplayed::RefreshFailed)));
                        }
                        (Err(error), None) => return Poll::Ready(Err(error.into())),
                    }
                }
                StageProj::Discarding { body, issued } => {
                    ready!(body.poll(cx));
                    Stage::Readying { issued: Arc::clone(issued) }
                }
                StageProj::Readying { issued } => {
                    ready!(this.kept.service.poll_ready(cx)).map_err(Into::into)?;
                    this.kept.send_again(issued)?
                }
                StageProj::Sending { response, issued } => {
                    let response = ready!(response.poll(cx)).map_err(Into::into)?;
                    return Poll::Ready(Ok(this.kept.answered_again(response, *this.rejection, issued)));
                }
            };
            this.stage.set(next);
        }
    }
}

impl<S, R, B> Kept<S, R, B>
where
    S: Service<Request<B>>,
    R: Replay<B>,
{
    /// Why this token does not help this request. If it does, the kept body stays whole from now on.
    fn refuses(&self, rejection: Rejection, issued: &Issued) -> Option<NotReplayed> {
        if rejection == Rejection::Token && issued.is_same_as(self.sent.ordinal) {
            self.note_replay(issued, Replayed::Rejected);
            return Some(NotReplayed::SameToken);
        }
        (!self.reserve()).then_some(NotReplayed::BodyNotReplayable)
    }

    /// Sends the request again; unless the token has ended meanwhile, which takes another.
    fn send_again<RB>(&mut self, issued: &Arc<Issued>) -> Result<Stage<S::Future, RB>, AuthError> {
        let settings = Arc::clone(&self.sent.settings);
        let refresher = &settings.refresher;
        let Some(issued) = refresher.store.after_flight(Arc::clone(issued), refresher.now()) else {
            let acquisition = Acquisition::of_any(refresher, self.max_wait);
            return Ok(Stage::Acquiring { acquisition, response: None });
        };
        let Some(mut request) = self.request.take_if(|request| self.policy.is_complete(request.body())) else {
            return Err(AuthError::new(
                ErrorKind::Unavailable,
                "the kept body outgrew its limit before it was sent again",
            ));
        };
        settings.stamp.write(&mut request, &issued, || refresher.clock.server_now())?;
        self.sent.ordinal = issued.ordinal;
        self.sent.at = refresher.now().into();
        telemetry::sent_again();
        Ok(Stage::Sending { response: self.service.call(request), issued })
    }

    fn answered_again<RB>(&self, response: Response<RB>, first: Rejection, issued: &Issued) -> Response<RB> {
        let settings = &self.sent.settings;
        let (response, judgement) = settings.judge.judge(response);
        match judgement {
            Judgement::Accepted => {
                settings.refresher.store.accepted(issued.ordinal);
                if first == Rejection::Token {
                    self.note_replay(issued, Replayed::Accepted);
                }
                return response;
            }
            Judgement::Unknown => {
                self.note_replay(issued, Replayed::Answered);
                return response;
            }
            Judgement::InsufficientScope => {
                self.note_replay(issued, Replayed::Answered);
                return marked(response, NotReplayed::InsufficientScope);
            }
            Judgement::Rejected(Rejection::ClockSkew) => self.sent.learn_clock(&response),
            Judgement::Rejected(Rejection::Token) if first == Rejection::Token => {
                self.note_replay(issued, Replayed::Rejected);
            }
            Judgement::Rejected(Rejection::Token) => {
                Sent::reject_token(&self.sent);
            }
        }
        marked(response, NotReplayed::RejectedAgain)
    }

    fn note_replay(&self, issued: &Issued, replayed: Replayed) {
        let refresher = &self.sent.settings.refresher;
        refresher.store.replayed(issued, replayed, refresher.now());
    }
}
