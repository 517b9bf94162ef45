//! What may happen to a layer: a list of steps in virtual time.

use std::fmt;

/// Times are in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// For the layer's random numbers, so that a failure can be repeated.
    pub(crate) seed: u64,
    /// Whether rejected requests can be replayed.
    pub(crate) replays: bool,
    pub(crate) max_wait: Option<u64>,
    pub(crate) settings: Settings,
    pub(crate) endpoint: Endpoint,
    pub(crate) steps: Vec<Step>,
}

/// Of the `RefreshPolicy`, less the jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// In percent.
    pub(crate) refresh_at: u64,
    pub(crate) expiry_margin: u64,
    pub(crate) default_lifetime: u64,
    pub(crate) deadline: u64,
    pub(crate) attempts: u32,
    pub(crate) failure_backoff: (u64, u64),
    pub(crate) refusal_backoff: (u64, u64),
    pub(crate) budget: (u32, u64),
}

pub(crate) const DEFAULT: Settings = Settings {
    refresh_at: 75,
    expiry_margin: 30_000,
    default_lifetime: 300_000,
    deadline: 30_000,
    attempts: 3,
    failure_backoff: (1_000, 60_000),
    refusal_backoff: (10_000, 300_000),
    budget: (4, 10_000),
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Since the step before.
    pub(crate) after: u64,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A request through the layer; its second answer takes as long as its first.
    Call { path: Path, latency: u64, dropped_after: Option<u64> },
    /// `TokenHandle::token`, or `refresh`.
    Ask { refresh: bool, dropped_after: Option<u64> },
    /// `TokenHandle::invalidate` of the newest token that `Ask` brought.
    Invalidate,
    /// The API forgets all tokens of so far.
    Revoke,
    /// Whether the API takes any token at all.
    Takes(bool),
    /// From now on the token endpoint is like this.
    Endpoint(Endpoint),
    /// `Credentials::rotate`.
    Rotate,
    /// `tokio::time::advance`.
    Jump(u64),
    /// `TokenHandle::keep_warm`, or the end of it.
    Warm(bool),
}

/// How the API answers to a request, if the token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// 200.
    Good,
    /// 404: the token was accepted all the same.
    Missing,
    /// 403, which tells nothing about the token.
    Forbidden,
    /// 429, which tells nothing about the token.
    Limited,
    /// 503 whatever the token, which tells nothing about it.
    Broken,
    /// 401 whatever the token.
    Bad,
    /// 401, and to a replay 200: the trouble of one node.
    Node,
    /// 400 whatever the token, which the layer is told to take for a rejection.
    Told,
    /// 401 with a challenge that names `insufficient_scope`, which tells nothing about the token.
    Scope,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    pub(crate) latency: u64,
    pub(crate) answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    /// A token for so many seconds; `same`: the one that was given out last.
    Token { seconds: Option<u64>, same: bool },
    /// 503, with so many seconds of `Retry-After`.
    Down { retry_after: Option<u64> },
    /// 401 `invalid_client`.
    Refuses,
    /// 200, and no token in it.
    Garbage,
    /// The token source panics.
    Panics,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, replays, max_wait, settings, endpoint, steps } = self;
        writeln!(f, "seed {seed}, replays: {replays}, max_wait {max_wait:?}, {settings:?}, at first {endpoint:?}")?;
        let mut at = 0;
        for (number, Step { after, what }) in steps.iter().enumerate() {
            at += after;
            writeln!(f, "{at:>9} ms  step {number}: {what:?}")?;
            if let What::Jump(over) = what {
                at += over;
            }
        }
        Ok(())
    }
}

/// After the last step everything is left to end for so long.
pub(crate) const RUN_OUT: u64 = 64 * 640;
