//! A request that waits: for a token, for the rejected response to be read, for the service to be ready.

use std::{
    future::Future,
    mem,
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    authorize::Authorized,
    error::{AuthError, BoxError, ErrorKind},
    future::{
        attempt::{self, Attempt, SavedRequest, marked, tell},
        discard::Discard,
        sent::SentToken,
    },
    labels::Action,
    metrics::WaitTimer,
    rejection::{NotReplayed, Rejection},
    replay::Replay,
    settings::Settings,
    time::{self, RequestTime},
    token::{CachedToken, TokenWait},
};

/// A request that is sent later, for the first time or again.
pub(crate) struct Waiting<S, R, B, RB> {
    settings: Arc<Settings>,
    saved: SavedRequest<S, R, B>,
    stage: Stage<RB>,
    replay_of: Option<Box<Rejected<RB>>>,
    /// Runs while it waits for a token.
    timer: Option<WaitTimer>,
}

/// What a replay is caused by.
struct Rejected<RB> {
    by: Rejection,
    /// The version of the rejected token, if the same text again must not be sent.
    not_again: Option<u32>,
    /// Unread, since it is the caller's if there is no token. `None` once it was given up.
    response: Option<Response<RB>>,
}

enum Stage<RB> {
    Acquiring(TokenWait),
    Discarding(Pin<Box<Discard<RB>>>),
    /// The token that it waited for, unless the service was not ready at once.
    Readying(Option<Arc<CachedToken>>),
}

/// What the wait ended with.
pub(super) enum Waited<RB> {
    /// The service is ready, and this token is to be sent, at this time.
    Ready(Arc<CachedToken>, RequestTime),
    Return(Response<RB>),
}

/// A request that was sent.
pub(super) type Sent<S, R, B> = (<S as Service<Request<B>>>::Future, Attempt<S, R, B>);

impl<S, R, B, RB> Waiting<S, R, B, RB> {
    /// For a request that found no token.
    pub(super) fn for_token(settings: Arc<Settings>, saved: SavedRequest<S, R, B>) -> Self {
        let wait = TokenWait::for_any(&settings.fetcher, settings.max_wait);
        Self { settings, saved, stage: Stage::Acquiring(wait), replay_of: None, timer: None }
    }

    /// For a rejected request.
    pub(super) fn for_replay(replay: attempt::Replay<S, R, B, RB>) -> Self {
        let attempt::Replay { by, waiter, sent, saved, response } = replay;
        let not_again = waiter.is_some().then_some(sent.version);
        let (fetcher, max_wait) = (&sent.settings.fetcher, saved.max_wait(&sent.settings));
        let wait = match waiter {
            Some(waiter) => TokenWait::for_successor(fetcher, sent.version, waiter, max_wait),
            None => TokenWait::for_any(fetcher, max_wait),
        };
        let replay_of = Some(Box::new(Rejected { by, not_again, response: Some(response) }));
        Self { settings: sent.settings, saved, stage: Stage::Acquiring(wait), replay_of, timer: None }
    }
}

impl<S, R, B, RB> Waiting<S, R, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
    R: Replay<B>,
    RB: Body,
{
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Waited<RB>, BoxError>> {
        loop {
            match &mut self.stage {
                Stage::Acquiring(wait) => {
                    let Poll::Ready(acquired) = wait.poll(&self.settings.fetcher, cx) else {
                        self.timer.get_or_insert_with(WaitTimer::start);
                        return Poll::Pending;
                    };
                    self.timer = None;
                    let max_wait = self.settings.max_wait.zip(wait.time_left(&self.settings.fetcher));
                    let waited = max_wait.map_or(Duration::ZERO, |(limit, left)| limit.saturating_sub(left));
                    self.saved.waited = u32::try_from(waited.as_millis()).unwrap_or(u32::MAX);
                    self.stage = match self.acquired(acquired)? {
                        ControlFlow::Continue(stage) => stage,
                        ControlFlow::Break(response) => return Poll::Ready(Ok(Waited::Return(response))),
                    };
                }
                Stage::Discarding(body) => {
                    ready!(body.as_mut().poll(cx));
                    self.stage = Stage::Readying(None);
                }
                Stage::Readying(token) => {
                    let acquired = token.take();
                    ready!(self.saved.service.poll_ready(cx)).map_err(Into::into)?;
                    let cache = &self.settings.fetcher.cache;
                    let now = cache.clock.now();
                    let acquired = acquired.filter(|token| token.usable_age(now).is_some());
                    if let Some(token) = acquired.or_else(|| cache.usable_at(now)) {
                        return Poll::Ready(Ok(Waited::Ready(token, now)));
                    }
                    // It has ended meanwhile. What is ready may hold a permit, and must not wait with it.
                    let clone = self.saved.service.clone();
                    drop(mem::replace(&mut self.saved.service, clone));
                    let max_wait = self.saved.max_wait(&self.settings);
                    self.stage = Stage::Acquiring(TokenWait::for_any(&self.settings.fetcher, max_wait));
                }
            }
        }
    }

    /// What follows on the wait for a token: the next stage, or the rejected response for its caller.
    fn acquired(
        &mut self,
        acquired: Result<Arc<CachedToken>, AuthError>,
    ) -> Result<ControlFlow<Response<RB>, Stage<RB>>, AuthError> {
        let layer = self.settings.fetcher.name();
        let rejected = self.replay_of.as_mut();
        let rejected = rejected.and_then(|replay| Some((replay.by, replay.not_again, replay.response.take()?)));
        Ok(match (acquired, rejected) {
            (Ok(token), Some((by, not_again, response))) => {
                if let Some(reason) = self.reason_against(not_again, &token) {
                    return Ok(ControlFlow::Break(marked(layer, response, by, reason)));
                }
                tell(layer, by, Action::Replayed, response.status());
                ControlFlow::Continue(Stage::Discarding(Box::pin(Discard::new(response.into_body()))))
            }
            (Ok(token), None) => ControlFlow::Continue(Stage::Readying(Some(token))),
            (Err(_), Some((by, _, response))) => {
                ControlFlow::Break(marked(layer, response, by, NotReplayed::FetchFailed))
            }
            (Err(error), None) => return Err(error),
        })
    }

    /// Why the replay would not help, or is not possible. If there is no reason, the kept body stays complete from now on.
    fn reason_against(&self, not_again: Option<u32>, token: &CachedToken) -> Option<NotReplayed> {
        if not_again.is_some_and(|version| token.has_value_of_version(version)) {
            self.settings.fetcher.cache.replay_rejected(token.version, time::instant());
            return Some(NotReplayed::SameToken);
        }
        let stays_complete = self.saved.policy.reserve(self.saved.request.body());
        (!stays_complete).then_some(NotReplayed::BodyNotReplayable)
    }

    /// Sends the request by the service that is ready.
    pub(super) fn send(self, token: &CachedToken, now: RequestTime) -> Result<Sent<S, R, B>, AuthError> {
        let Self { settings, saved, replay_of, .. } = self;
        let SavedRequest { mut service, policy, mut request, target, waited } = saved;
        let Some(rejected) = replay_of else {
            let mut attempt = Attempt::first(&settings, &service, &policy, &mut request, target, token, now)?;
            attempt.set_waited(waited);
            return Ok((service.call(request), attempt));
        };
        if !policy.is_complete(request.body()) {
            return Err(AuthError::new(
                ErrorKind::Config,
                "ReplayBody: the copy for the replay is not complete: its stream failed or exceeded the limit; use another limit",
            ));
        }
        let authorized = settings.authorizer.authorize(&mut request, token, target, &settings.fetcher, now)?;
        let clock = if let Authorized::Signed(clock) = authorized { clock } else { None };
        let mut sent = SentToken::new(&settings, token, now, clock);
        sent.replay_of = Some(rejected.by);
        Ok((service.call(request), Attempt::Final(sent)))
    }
}
