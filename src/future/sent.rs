//! What a request was sent with.

use std::{sync::Arc, time::Duration};

use http::Response;

use crate::{
    metrics::{self, Replayed},
    rejection::Rejection,
    server_clocks::SignedBy,
    settings::Settings,
    time::{self, Instant, Moment, RequestTime},
    token::{CachedToken, SentWith},
};

/// Which credentials a request carries, and since when.
pub(crate) struct SentToken {
    pub(super) settings: Arc<Settings>,
    /// By the clock of requests.
    at: i64,
    /// The clock that its signature was made by, if the response may teach it.
    clock: Option<SignedBy>,
    pub(super) version: u32,
    /// What rejected the first request, if this is its replay.
    pub(super) replay_of: Option<Rejection>,
}

impl SentToken {
    #[inline]
    pub(super) fn new(settings: &Arc<Settings>, token: &CachedToken, at: RequestTime, clock: Option<SignedBy>) -> Self {
        Self { settings: Arc::clone(settings), at: at.passed(), clock, version: token.version, replay_of: None }
    }

    fn sent_at(&self) -> Instant {
        self.settings.fetcher.cache.clock.instant(self.at)
    }

    pub(super) fn with(&self) -> SentWith {
        let is_replay = self.replay_of == Some(Rejection::Token);
        SentWith { version: self.version, at: self.sent_at(), is_replay }
    }

    /// Counts how its replay ended, if this is one.
    #[inline]
    pub(super) fn replay_ended(&self, outcome: Replayed) {
        if self.replay_of.is_some() {
            metrics::replay_ended(outcome);
        }
    }

    #[inline]
    pub(super) fn accepted(&self) {
        self.replay_ended(Replayed::Accepted);
        let cache = &self.settings.fetcher.cache;
        if cache.awaits_acceptance() {
            cache.accepted(self.with());
        }
    }

    /// Learns the clock that the response tells; says whether the same request would be signed with another time now: by this
    /// response, by another one meanwhile, or because it was signed a while ago and a retry layer inside sent it again.
    pub(super) fn learn_clock<RB>(&self, response: &Response<RB>, smallest_step: Duration) -> bool {
        let Some(SignedBy { origin, offset }) = self.clock else {
            return false;
        };
        let clocks = &self.settings.fetcher.clocks;
        if let Some(date) = time::date(response.headers()) {
            clocks.learn(origin, date, self.sent_at(), Moment::now(), smallest_step);
        }
        let age = time::instant().saturating_duration_since(self.sent_at());
        clocks.offset_of(Some(origin)).differs_by(offset, smallest_step) || age >= smallest_step
    }
}
