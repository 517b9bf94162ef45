//! What a request leaves behind when it is sent, so that its response can be judged and a rejection healed.

use std::{pin::Pin, time::Duration};

use http::{Request, Response};
use tower_service::Service;

use crate::{
    clock::{Moment, ShortMoment},
    dates,
    error::AuthError,
    future::healing::Healing,
    origin::Admission,
    rejection::{Judgement, NotReplayed, Rejection},
    replay::Replay,
    settings::Hold,
    telemetry,
    token::{Course, Issued},
};

/// What is known of a request that is on its way.
pub(crate) enum Ticket<S, R, B> {
    /// It carries no credentials of ours.
    Untouched,
    /// It cannot be sent again.
    Once(Sent),
    /// It may be sent again.
    Twice(Box<Kept<S, R, B>>),
}

/// Which credentials a request carries, and since when.
pub(crate) struct Sent {
    pub(super) settings: Hold,
    pub(super) ordinal: u32,
    pub(super) at: ShortMoment,
    /// Whether the clock may be learnt from the response.
    trusted: bool,
}

/// All that it takes to send a request again.
pub(crate) struct Kept<S, R, B> {
    pub(super) sent: Sent,
    pub(super) service: S,
    pub(super) policy: R,
    /// As the caller made it; taken when it is sent again.
    pub(super) request: Option<Request<B>>,
    /// How long it may still wait for a token.
    pub(super) max_wait: Option<Duration>,
}

/// A request that was sent.
pub(super) type Flow<S, R, B> = (<S as Service<Request<B>>>::Future, Ticket<S, R, B>);

/// What comes of a response that is not simply handed on.
pub(crate) enum Answered<S: Service<Request<B>>, R, B, RB> {
    HandOn(Response<RB>),
    Heal(Pin<Box<Healing<S, R, B, RB>>>),
}

impl Sent {
    #[inline]
    pub(crate) fn new(settings: Hold, admission: Admission, issued: &Issued, now: Moment) -> Self {
        Self { settings, ordinal: issued.ordinal, at: now.into(), trusted: admission == Admission::Trusted }
    }

    /// Retires the token if that may be done now; if not, why not.
    pub(super) fn reject_token(&self) -> Option<NotReplayed> {
        let refresher = &self.settings.refresher;
        match refresher.store.rejected(self.ordinal, refresher.now(), refresher.generation()) {
            Course::Renew => None,
            Course::TooSoon => Some(NotReplayed::TooSoon),
            Course::CoolingDown => Some(NotReplayed::RefreshFailed),
        }
    }

    pub(super) fn learn_clock<RB>(&self, response: &Response<RB>) {
        let clock = &self.settings.refresher.clock;
        if self.trusted
            && let Some(date) = dates::date(response.headers())
        {
            clock.learn(date, self.at.before(clock.now()));
        }
    }
}

impl<S, R, B> Ticket<S, R, B>
where
    S: Service<Request<B>>,
    R: Replay<B>,
{
    /// Writes the credentials into a request that is sent next, having put aside what a second try takes.
    #[inline]
    pub(crate) fn stamp(
        service: &S,
        policy: &R,
        request: &mut Request<B>,
        sent: Sent,
        max_wait: Option<Duration>,
        issued: &Issued,
    ) -> Result<Self, AuthError>
    where
        S: Clone,
    {
        let kept = policy.clone_body(request.body()).map(|body| copy_with(request, body));
        let settings = &sent.settings;
        settings.stamp.write(request, issued, || settings.refresher.clock.server_now())?;
        Ok(match kept {
            None => Self::Once(sent),
            Some(kept) => Self::Twice(Box::new(Kept {
                sent,
                service: service.clone(),
                policy: policy.clone(),
                request: Some(kept),
                max_wait,
            })),
        })
    }

    /// Whether the response can be handed on as it is, as almost all can.
    #[inline]
    pub(super) fn is_content_with<RB>(&self, response: &Response<RB>) -> bool {
        self.sent().is_none_or(|sent| {
            let accepted = sent.settings.judge.accepts(response);
            if accepted {
                sent.settings.refresher.store.accepted(sent.ordinal);
            }
            accepted
        })
    }

    /// Judges any other response.
    #[cold]
    pub(super) fn answered<RB>(self, response: Response<RB>) -> Answered<S, R, B, RB> {
        let Some(sent) = self.sent() else {
            return Answered::HandOn(response);
        };
        let (response, judgement) = sent.settings.judge.judge(response);
        match judgement {
            Judgement::Accepted => sent.settings.refresher.store.accepted(sent.ordinal),
            Judgement::Unknown => {}
            Judgement::InsufficientScope => return Answered::HandOn(marked(response, NotReplayed::InsufficientScope)),
            Judgement::Rejected(rejection) => return self.rejected(rejection, response),
        }
        Answered::HandOn(response)
    }

    fn rejected<RB>(self, rejection: Rejection, response: Response<RB>) -> Answered<S, R, B, RB> {
        telemetry::rejected(rejection, response.status());
        let refused = self.sent().and_then(|sent| match rejection {
            Rejection::Token => sent.reject_token(),
            Rejection::ClockSkew => {
                sent.learn_clock(&response);
                None
            }
        });
        let reason = match (refused, self) {
            (Some(reason), _) => reason,
            (None, Self::Twice(kept)) if kept.is_complete() => {
                return Answered::Heal(Box::pin(Healing::new(*kept, rejection, response)));
            }
            (None, ticket) => ticket.heal_for_others(rejection),
        };
        Answered::HandOn(marked(response, reason))
    }

    /// The token is renewed though this request cannot be sent again.
    fn heal_for_others(&self, rejection: Rejection) -> NotReplayed {
        let renewed = match (rejection, self.sent()) {
            (Rejection::Token, Some(sent)) => sent.settings.refresher.renew(),
            _ => Ok(()),
        };
        renewed.map_or(NotReplayed::RefreshFailed, |()| NotReplayed::BodyNotReplayable)
    }

    #[inline]
    fn sent(&self) -> Option<&Sent> {
        match self {
            Self::Untouched => None,
            Self::Once(sent) => Some(sent),
            Self::Twice(kept) => Some(&kept.sent),
        }
    }
}

impl<S, R: Replay<B>, B> Kept<S, R, B> {
    pub(super) fn is_complete(&self) -> bool {
        self.request.as_ref().is_some_and(|request| self.policy.is_complete(request.body()))
    }

    pub(super) fn reserve(&self) -> bool {
        self.request.as_ref().is_some_and(|request| self.policy.reserve(request.body()))
    }
}

/// The response, with the reason why its request was not sent again.
pub(super) fn marked<RB>(mut response: Response<RB>, reason: NotReplayed) -> Response<RB> {
    telemetry::not_sent_again(reason);
    response.extensions_mut().insert(reason);
    response
}

fn copy_with<B>(request: &Request<B>, body: B) -> Request<B> {
    let mut copy = Request::new(body);
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    *copy.version_mut() = request.version();
    request.headers().clone_into(copy.headers_mut());
    request.extensions().clone_into(copy.extensions_mut());
    copy
}
