//! R5: the renewal budget, as plain as a bank account.

use crate::{model::Model, twist::Twist};

/// What a layer may still spend on fetches that a rejection causes. One unit is as many parts as it takes milliseconds to
/// regain.
#[derive(Debug)]
pub(crate) struct Budget {
    burst: u64,
    refill: u64,
    parts: u64,
    /// Up to when regained parts are in `parts`.
    counted: u64,
    /// Units taken and not settled yet.
    out: u64,
    twist: Option<Twist>,
}

/// A unit that the renewal which brought a token took.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// The token that was renewed.
    pub(crate) of: usize,
    /// Whether the rejected request could be replayed.
    pub(crate) replayable: bool,
    pub(crate) settled: bool,
}

impl Budget {
    pub(crate) fn new((burst, refill): (u32, u64), twist: Option<Twist>) -> Self {
        let burst = u64::from(burst);
        Self { burst, refill, parts: burst * refill, counted: 0, out: 0, twist }
    }

    pub(crate) fn take(&mut self, now: u64) -> bool {
        let has_one = self.has_one(now);
        if has_one {
            self.parts -= self.refill;
            self.out += 1;
        }
        has_one
    }

    pub(crate) fn has_one(&mut self, now: u64) -> bool {
        self.regain(now);
        self.parts >= self.refill
    }

    pub(crate) fn settle(&mut self, now: u64, give_back: bool) {
        self.regain(now);
        self.out -= 1;
        self.parts += if give_back { self.refill } else { 0 };
    }

    fn regain(&mut self, now: u64) {
        let regained = if self.twist == Some(Twist::NothingIsRegained) { 0 } else { now - self.counted };
        let out = if self.twist == Some(Twist::UnitsOutDoNotCount) { 0 } else { self.out };
        self.parts = (self.parts + regained).min((self.burst - out) * self.refill);
        self.counted = now;
    }
}

impl Model<'_> {
    pub(crate) fn may_renew(&mut self) -> bool {
        self.twist == Some(Twist::NoBudget) || self.budget.take(self.now)
    }

    /// Settles each unit whose new token was first accepted a second ago.
    pub(crate) fn settle_what_is_due(&mut self, now: u64) {
        let wait = if self.twist == Some(Twist::GivenBackAtOnce) { 0 } else { 1_000 };
        let due = |token: usize, model: &Self| {
            let token = &model.tokens[token];
            let open = token.unit.as_ref().is_some_and(|unit| !unit.settled);
            token.first_accepted.map(|at| at + wait).filter(|at| open && *at <= now)
        };
        loop {
            let next = (0..self.tokens.len()).filter_map(|token| Some((due(token, self)?, token))).min();
            let Some((at, token)) = next else { return };
            let helped = self.helped(token);
            self.settle(token, at, helped);
        }
    }

    /// Whether the renewal that brought this token was of use.
    fn helped(&self, token: usize) -> bool {
        let Some(unit) = &self.tokens[token].unit else { return false };
        let replay_failed = self.tokens[token].first_replay == Some(false);
        let contradicted = self.tokens[unit.of].contradicted;
        match self.twist {
            Some(Twist::NothingHelps) => false,
            Some(Twist::RejectedReplayHelps) => !contradicted && unit.replayable,
            Some(Twist::ContradictionHelps) => !replay_failed && unit.replayable,
            Some(Twist::UnreplayedHelps) => !replay_failed && !contradicted,
            _ => !replay_failed && !contradicted && unit.replayable,
        }
    }

    /// Whether it cost a unit, and no request was accepted with it yet.
    pub(crate) fn awaits_acceptance(&self, token: usize) -> bool {
        let token = &self.tokens[token];
        token.unit.as_ref().is_some_and(|unit| !unit.settled) && token.first_accepted.is_none()
    }

    /// A token that is succeeded, or is to be, before a request was accepted with it has lost its unit.
    pub(crate) fn settle_as_lost(&mut self, token: usize) {
        if self.awaits_acceptance(token) {
            self.settle(token, self.now, self.twist == Some(Twist::UnacceptedHelps));
        }
    }

    fn settle(&mut self, token: usize, at: u64, give_back: bool) {
        if let Some(unit) = &mut self.tokens[token].unit {
            unit.settled = true;
        }
        if self.twist != Some(Twist::NoBudget) {
            self.budget.settle(at, give_back);
        }
    }
}
