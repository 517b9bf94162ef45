//! One sending of a request: what is remembered of it, and what its response means.

use std::{sync::Arc, time::Duration};

use http::{Request, Response, StatusCode};
use tower_service::Service;

use crate::{
    authorize::Authorized,
    error::AuthError,
    future::sent::SentToken,
    labels::Action,
    metrics::{self, Replayed},
    origin::{Target, near::OtherOrigin},
    rejection::{NotReplayed, Rejection, Verdict},
    replay, server_clocks,
    settings::Settings,
    telemetry,
    time::{self, RequestTime},
    token::{CachedToken, Renewal, Waiter},
};

/// A request on its way.
pub(crate) enum Attempt<S, R, B> {
    /// Without credentials of ours.
    Passthrough,
    /// The same, perhaps by mistake.
    OtherOrigin(Box<OtherOrigin>),
    /// Not to be sent again: it cannot be, or this was the replay.
    Final(SentToken),
    Replayable(Box<Replayable<S, R, B>>),
}

pub(crate) struct Replayable<S, R, B> {
    sent: SentToken,
    pub(super) saved: SavedRequest<S, R, B>,
}

/// All that it takes to send a request later.
pub(crate) struct SavedRequest<S, R, B> {
    /// Not ready.
    pub(crate) service: S,
    pub(crate) policy: R,
    /// As the caller made it.
    pub(crate) request: Request<B>,
    pub(crate) target: Target,
    /// How long it has waited for a token so far, in milliseconds.
    pub(crate) waited: u32,
}

/// What comes of a response that is not accepted at first sight.
pub(super) enum Next<S, R, B, RB> {
    Return(Response<RB>),
    Replay(Box<Replay<S, R, B, RB>>),
}

/// A request to replay.
pub(super) struct Replay<S, R, B, RB> {
    pub(super) by: Rejection,
    /// For the successor of its token; without one it takes whatever token is current.
    pub(super) waiter: Option<Waiter>,
    pub(super) sent: SentToken,
    pub(super) saved: SavedRequest<S, R, B>,
    pub(super) response: Response<RB>,
}

impl<S, R, B> Attempt<S, R, B>
where
    S: Service<Request<B>>,
    R: replay::Replay<B>,
{
    /// Puts aside what a replay takes, and writes the credentials into a request that is sent next.
    #[inline]
    pub(crate) fn first(
        settings: &Arc<Settings>,
        service: &S,
        policy: &R,
        request: &mut Request<B>,
        target: Target,
        token: &CachedToken,
        now: RequestTime,
    ) -> Result<Self, AuthError>
    where
        S: Clone,
    {
        let copy = policy.clone_body(request.body()).map(|body| copy_with(request, body));
        let clock = match settings.authorizer.authorize(request, token, target, &settings.fetcher, now)? {
            Authorized::KeptOwn => return Ok(Self::Passthrough),
            Authorized::Bearer => None,
            Authorized::Signed(clock) => clock,
        };
        let sent = SentToken::new(settings, token, now, clock);
        Ok(match copy {
            None => Self::Final(sent),
            Some(request) => {
                let (service, policy) = (service.clone(), policy.clone());
                let saved = SavedRequest { service, policy, request, target, waited: 0 };
                Self::Replayable(Box::new(Replayable { sent, saved }))
            }
        })
    }

    pub(super) fn set_waited(&mut self, waited: u32) {
        if let Self::Replayable(replayable) = self {
            replayable.saved.waited = waited;
        }
    }

    /// Whether the response can be returned as it is, as almost all can.
    #[inline]
    pub(super) fn is_accepted<RB>(&self, response: &Response<RB>) -> bool {
        let Some(sent) = self.sent() else {
            return !matches!(self, Self::OtherOrigin(_)) || response.status() != StatusCode::UNAUTHORIZED;
        };
        let accepted = sent.settings.classifier.is_accepted(response);
        if accepted {
            sent.accepted();
        }
        accepted
    }

    /// What any other response means.
    #[cold]
    pub(super) fn classify<RB>(self, mut response: Response<RB>) -> Next<S, R, B, RB> {
        if let Self::OtherOrigin(origins) = self {
            response.extensions_mut().insert(*origins);
            return Next::Return(response);
        }
        let Some(sent) = self.sent() else {
            return Next::Return(response);
        };
        let layer = sent.settings.fetcher.name();
        let (response, verdict) = sent.settings.classifier.classify(response);
        match verdict {
            Verdict::Accepted => sent.accepted(),
            Verdict::Unknown => sent.replay_ended(Replayed::Accepted),
            Verdict::InsufficientScope => {
                sent.replay_ended(Replayed::Accepted);
                return Next::Return(marked(layer, response, Rejection::Token, NotReplayed::InsufficientScope));
            }
            Verdict::Rejected(rejection) => {
                return match (sent.replay_of, rejection) {
                    (Some(first), _) => Next::Return(rejected_again(sent, first, rejection, response)),
                    (None, Rejection::Token) => self.token_rejected(response),
                    (None, Rejection::ClockSkew) => self.clock_rejected(response),
                };
            }
        }
        Next::Return(response)
    }

    fn token_rejected<RB>(self, response: Response<RB>) -> Next<S, R, B, RB> {
        let replayable = matches!(&self, Self::Replayable(replayable) if replayable.saved.is_complete());
        let Some(sent) = self.sent() else {
            return Next::Return(response);
        };
        if response.status() == StatusCode::UNAUTHORIZED {
            sent.learn_clock(&response, CLEARLY_ANOTHER_TIME);
        }
        let layer = sent.settings.fetcher.name();
        match (sent.settings.fetcher.rejected(sent.with(), replayable), self) {
            (Renewal::Return(reason), _) => Next::Return(marked(layer, response, Rejection::Token, reason)),
            (Renewal::ReplayNow, Self::Replayable(attempt)) if replayable => {
                let Replayable { sent, saved } = *attempt;
                Next::Replay(Box::new(Replay { by: Rejection::Token, waiter: None, sent, saved, response }))
            }
            (Renewal::Wait(waiter), Self::Replayable(attempt)) if replayable => {
                let Replayable { sent, saved } = *attempt;
                Next::Replay(Box::new(Replay { by: Rejection::Token, waiter: Some(waiter), sent, saved, response }))
            }
            _ => Next::Return(marked(layer, response, Rejection::Token, NotReplayed::BodyNotReplayable)),
        }
    }

    fn clock_rejected<RB>(self, response: Response<RB>) -> Next<S, R, B, RB> {
        let Some(sent) = self.sent() else {
            return Next::Return(response);
        };
        let layer = sent.settings.fetcher.name();
        let has_learnt = sent.learn_clock(&response, server_clocks::DATE_RESOLUTION);
        match self {
            // It would be signed as before.
            _ if !has_learnt => {
                tell(layer, Rejection::ClockSkew, Action::NotLearnt, response.status());
                Next::Return(response)
            }
            Self::Replayable(attempt) if attempt.saved.is_complete() => {
                let Replayable { sent, saved } = *attempt;
                Next::Replay(Box::new(Replay { by: Rejection::ClockSkew, waiter: None, sent, saved, response }))
            }
            _ => Next::Return(marked(layer, response, Rejection::ClockSkew, NotReplayed::BodyNotReplayable)),
        }
    }

    #[inline]
    pub(super) fn sent(&self) -> Option<&SentToken> {
        match self {
            Self::Passthrough | Self::OtherOrigin(_) => None,
            Self::Final(sent) => Some(sent),
            Self::Replayable(replayable) => Some(&replayable.sent),
        }
    }
}

impl<S, R, B> SavedRequest<S, R, B> {
    /// How long it may still wait for a token.
    pub(super) fn max_wait(&self, settings: &Settings) -> Option<Duration> {
        Some(settings.max_wait?.saturating_sub(Duration::from_millis(self.waited.into())))
    }
}

impl<S, R: replay::Replay<B>, B> SavedRequest<S, R, B> {
    pub(super) fn is_complete(&self) -> bool {
        self.policy.is_complete(self.request.body())
    }
}

/// There is one replay, so this response is the caller's; others may profit from what it tells.
fn rejected_again<RB>(
    sent: &SentToken,
    first: Rejection,
    rejection: Rejection,
    response: Response<RB>,
) -> Response<RB> {
    match (first, rejection) {
        (_, Rejection::ClockSkew) => _ = sent.learn_clock(&response, server_clocks::DATE_RESOLUTION),
        (Rejection::Token, Rejection::Token) => {
            sent.settings.fetcher.cache.replay_rejected(sent.version, time::instant());
        }
        (Rejection::ClockSkew, Rejection::Token) => _ = sent.settings.fetcher.rejected(sent.with(), false),
    }
    sent.replay_ended(Replayed::Rejected);
    marked(sent.settings.fetcher.name(), response, rejection, NotReplayed::RejectedAgain)
}

/// The response, with the reason why its request was not replayed.
pub(super) fn marked<RB>(
    layer: &'static str,
    mut response: Response<RB>,
    by: Rejection,
    reason: NotReplayed,
) -> Response<RB> {
    response.extensions_mut().insert(reason);
    tell(layer, by, Action::NotReplayed(reason), response.status());
    response
}

/// Counts a rejection and traces it, once what becomes of it is known.
pub(super) fn tell(layer: &'static str, rejection: Rejection, action: Action, status: StatusCode) {
    metrics::rejected(rejection, action);
    telemetry::rejected(layer, rejection, action, status);
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

/// A 401 to a signed request whose `Date` is further from the signed time than this is about the time.
const CLEARLY_ANOTHER_TIME: Duration = Duration::from_secs(30);
