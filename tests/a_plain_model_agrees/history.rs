//! What may happen to a layer: a list of steps in virtual time, and how to make one up.
//!
//! No two things may happen in the same millisecond, or their order would be the scheduler's. So each kind of wait has its
//! own residue modulo 64 ms: steps and jumps 0, a call's two answers an odd one of its own and twice that, a token request
//! 32, a flight's deadline 48, a caller's patience 16, the moment it is dropped 8. Sums of them can still meet; the model then gives up on the
//! history, which counts as not tried.

use std::fmt;

use proptest::{collection::vec, option, prelude::*};

/// Times are in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// For the layer's random numbers, so that a failure can be repeated.
    pub(crate) seed: u64,
    /// `CloneBody`, or else `NoReplay`.
    pub(crate) sends_again: bool,
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
    pub(crate) cool_down: (u64, u64),
}

pub(crate) const DEFAULT: Settings = Settings {
    refresh_at: 75,
    expiry_margin: 30_000,
    default_lifetime: 300_000,
    deadline: 30_000,
    attempts: 3,
    cool_down: (1_000, 60_000),
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
    Ask { forced: bool, dropped_after: Option<u64> },
    /// `TokenHandle::reject` of the newest token that `Ask` brought.
    Reject,
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

/// What the API says to a request, if the token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// 200.
    Good,
    /// 404: the token was accepted all the same.
    Missing,
    /// 403, which tells nothing about the token.
    Forbidden,
    /// 503 whatever the token, which tells nothing about it.
    Broken,
    /// 401 whatever the token.
    Bad,
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

#[derive(Clone, Copy, Debug)]
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

/// After the last step everything is left to end for so long.
pub(crate) const RUN_OUT: u64 = 64 * 640;

pub(crate) fn histories() -> impl Strategy<Value = History> {
    let max_wait = prop_oneof![
        6 => Just(None),
        1 => Just(Some(0)),
        3 => (0_u64..40).prop_map(|n| Some(64 * n + 16)),
    ];
    (any::<u64>(), prop::bool::weighted(0.7), max_wait, settings(), working(), vec(steps(), 1..24)).prop_map(
        |(seed, sends_again, max_wait, settings, endpoint, steps)| {
            let mut history = History { seed, sends_again, max_wait, settings, endpoint, steps: steps.concat() };
            keep_apart(&mut history.steps);
            history
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    let own = (
        prop::sample::select(vec![20, 50, 75, 90]),
        prop::sample::select(vec![0, 500, 2_000, 60_000]),
        prop::sample::select(vec![0, 4_000, 300_000]),
        (0_u64..600).prop_map(|n| 64 * n + 48),
        1_u32..7,
        prop::sample::select(vec![(0, 0), (200, 1_000), (5_000, 8_000), (1_000, 60_000)]),
    );
    let own = own.prop_map(|(refresh_at, expiry_margin, default_lifetime, deadline, attempts, cool_down)| Settings {
        refresh_at,
        expiry_margin,
        default_lifetime,
        deadline,
        attempts,
        cool_down,
    });
    prop_oneof![2 => Just(DEFAULT), 1 => own]
}

/// Gives each call's latency its own residue, and time to what a step sets going beside the steps.
fn keep_apart(steps: &mut [Step]) {
    let mut residue = 1;
    let mut busy = false;
    for step in steps {
        step.after += if busy { 64 } else { 0 };
        busy = matches!(step.what, What::Jump(_) | What::Warm(_) | What::Reject);
        if let What::Call { latency, .. } = &mut step.what {
            *latency += residue;
            residue = (residue + 2) % 64;
        }
    }
}

/// One step; or the same call over and over; or a caller whose requests are rejected for a minute, and others meanwhile;
/// or an outage in which somebody forces a refresh.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = (pause(), what()).prop_map(|(after, what)| vec![Step { after, what }]);
    let many = (pause(), call(), 2_usize..12).prop_map(|(after, what, times)| vec![Step { after, what }; times]);
    let siege = (8_u64..24, 0_u64..3, 16_usize..40).prop_map(|(every, latency, times)| {
        let call = |path| What::Call { path, latency: 64 * latency, dropped_after: None };
        let bad = Step { after: 64 * every, what: call(Path::Bad) };
        vec![[bad, bad, Step { after: 64, what: call(Path::Good) }]; times / 2].concat()
    });
    let outage = (pause(), failing(), pause(), prop_oneof![failing(), working()], pause()).prop_map(
        |(after, down, then, next, later)| {
            let call = What::Call { path: Path::Good, latency: 0, dropped_after: None };
            let refresh = What::Ask { forced: true, dropped_after: None };
            let what = [What::Revoke, What::Endpoint(down), call, What::Endpoint(next), refresh, call];
            let pauses = [after, 0, 0, then, 0, later];
            std::iter::zip(pauses, what).map(|(after, what)| Step { after, what }).collect()
        },
    );
    prop_oneof![30 => one, 2 => many, 1 => siege, 2 => outage]
}

/// From none at all to longer than everything but an hour's token.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => Just(0),
        8 => 1_u64..10,
        8 => 10_u64..40,
        4 => 40_u64..200,
        1 => 900_u64..1000,
    ]
    .prop_map(|n| 64 * n)
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        24 => call(),
        3 => (any::<bool>(), dropped()).prop_map(|(forced, dropped_after)| What::Ask { forced, dropped_after }),
        1 => Just(What::Reject),
        4 => Just(What::Revoke),
        2 => prop::bool::weighted(0.6).prop_map(What::Takes),
        3 => working().prop_map(What::Endpoint),
        2 => failing().prop_map(What::Endpoint),
        2 => Just(What::Rotate),
        2 => prop_oneof![1_u64..200, 40_000_u64..60_000].prop_map(|n| What::Jump(64 * n)),
        1 => any::<bool>().prop_map(What::Warm),
    ]
}

fn call() -> impl Strategy<Value = What> {
    let path = prop_oneof![
        12 => Just(Path::Good),
        1 => Just(Path::Missing),
        1 => Just(Path::Forbidden),
        1 => Just(Path::Broken),
        5 => Just(Path::Bad),
        1 => Just(Path::Told),
        1 => Just(Path::Scope),
    ];
    let latency = prop_oneof![4 => 0_u64..3, 1 => 3_u64..50].prop_map(|n| 64 * n);
    (path, latency, dropped()).prop_map(|(path, latency, dropped_after)| What::Call { path, latency, dropped_after })
}

fn dropped() -> impl Strategy<Value = Option<u64>> {
    option::weighted(0.1, (0_u64..10).prop_map(|n| 64 * n + 8))
}

fn working() -> impl Strategy<Value = Endpoint> {
    let seconds = prop_oneof![
        1 => Just(Some(0)),
        3 => Just(Some(2)),
        5 => Just(Some(10)),
        4 => Just(Some(3600)),
        1 => Just(None),
    ];
    let answer = (seconds, prop::bool::weighted(0.1)).prop_map(|(seconds, same)| Answer::Token { seconds, same });
    (latency(), answer).prop_map(|(latency, answer)| Endpoint { latency, answer })
}

fn failing() -> impl Strategy<Value = Endpoint> {
    let retry_after = prop_oneof![Just(None), Just(Some(2)), Just(Some(7)), Just(Some(50)), Just(Some(7200))];
    let answer = prop_oneof![
        4 => retry_after.prop_map(|retry_after| Answer::Down { retry_after }),
        2 => Just(Answer::Refuses),
        1 => Just(Answer::Garbage),
        1 => Just(Answer::Panics),
    ];
    (latency(), answer).prop_map(|(latency, answer)| Endpoint { latency, answer })
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, sends_again, max_wait, settings, endpoint, steps } = self;
        writeln!(
            f,
            "seed {seed}, sends again: {sends_again}, max_wait {max_wait:?}, {settings:?}, at first {endpoint:?}"
        )?;
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

/// Far from a flight's deadline of 30 s, alone or three in a row.
fn latency() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..4, 3 => 4_u64..32, 1 => Just(170), 1 => Just(600)].prop_map(|n| 64 * n + 32)
}
