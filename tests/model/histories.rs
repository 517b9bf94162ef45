//! Random histories.
//!
//! No two things may happen in the same millisecond, or their order would be the scheduler's. So each kind of wait has its
//! residue modulo 64 ms: steps and jumps 0, a call's two answers an odd one and twice that, a token request 32, a fetch's deadline 48, a caller's patience 16, the moment it is dropped 8. Sums of them can still meet; the model
//! then gives up on the history, which counts as not tried.

use proptest::{collection::vec, option, prelude::*};

use crate::history::{Answer, DEFAULT, Endpoint, History, Path, Settings, Step, What};

pub(crate) fn histories() -> impl Strategy<Value = History> {
    let max_wait = prop_oneof![
        6 => Just(None),
        1 => Just(Some(0)),
        3 => (0_u64..40).prop_map(|n| Some(64 * n + 16)),
    ];
    (any::<u64>(), prop::bool::weighted(0.7), max_wait, settings(), working(), vec(steps(), 1..24)).prop_map(
        |(seed, replays, max_wait, settings, endpoint, steps)| {
            let mut history = History { seed, replays, max_wait, settings, endpoint, steps: steps.concat() };
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
        prop::sample::select(vec![(0, 0), (2_000, 6_000), (10_000, 300_000)]),
        budget(),
    );
    let own = own.prop_map(|own| {
        let (refresh_at, expiry_margin, default_lifetime, deadline, attempts, ..) = own;
        let (.., failure_backoff, refusal_backoff, budget) = own;
        Settings {
            refresh_at,
            expiry_margin,
            default_lifetime,
            deadline,
            attempts,
            failure_backoff,
            refusal_backoff,
            budget,
        }
    });
    // Short of units, so that few renewals tell much about the budget.
    let poor = budget().prop_map(|budget| Settings { budget, ..DEFAULT });
    prop_oneof![3 => Just(DEFAULT), 2 => poor, 2 => own]
}

fn budget() -> impl Strategy<Value = (u32, u64)> {
    prop::sample::select(vec![(0, 1_000), (1, 5_000), (1, 600_000), (2, 10_000), (4, 10_000)])
}

/// Gives each call's latency its own residue, and time to what a step sets going beside the steps.
fn keep_apart(steps: &mut [Step]) {
    let mut residue = 1;
    let mut busy = false;
    for step in steps {
        step.after += if busy { 64 } else { 0 };
        busy = matches!(step.what, What::Jump(_) | What::Warm(_) | What::Invalidate);
        if let What::Call { latency, .. } = &mut step.what {
            *latency += residue;
            residue = (residue + 2) % 64;
        }
    }
}

/// One step, or a few that belong together.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = (pause(), what()).prop_map(|(after, what)| vec![Step { after, what }]);
    let many = (pause(), call(), 2_usize..12).prop_map(|(after, what, times)| vec![Step { after, what }; times]);
    prop_oneof![30 => one, 2 => many, 1 => siege(), 3 => outage(), 4 => revocations(), 1 => misused()]
}

/// A caller whose requests are rejected for a minute, and others meanwhile.
fn siege() -> impl Strategy<Value = Vec<Step>> {
    let path = prop::sample::select(vec![Path::Bad, Path::Node]);
    (path, 8_u64..24, 0_u64..3, 1_usize..3, 16_usize..40).prop_map(|(path, every, latency, in_a_row, times)| {
        let call = |path| What::Call { path, latency: 64 * latency, dropped_after: None };
        let mut round = vec![Step { after: 64 * every, what: call(path) }; in_a_row];
        round.push(Step { after: 64, what: call(Path::Good) });
        round.repeat(times / 2)
    })
}

/// A revocation while the token endpoint fails, and a forced refresh.
fn outage() -> impl Strategy<Value = Vec<Step>> {
    (pause(), failing(), 1_usize..4, pause(), prop_oneof![failing(), working()], pause()).prop_map(
        |(after, down, calls, then, next, later)| {
            let refresh = What::Ask { refresh: true, dropped_after: None };
            let mut steps = vec![Step { after, what: What::Revoke }, Step { after: 0, what: What::Endpoint(down) }];
            steps.extend(vec![Step { after: 0, what: GOOD }; calls]);
            steps.push(Step { after: then, what: What::Endpoint(next) });
            steps.push(Step { after: 0, what: refresh });
            steps.extend(vec![Step { after: later, what: GOOD }; calls]);
            steps
        },
    )
}

/// Revocations, each followed by a few calls.
fn revocations() -> impl Strategy<Value = Vec<Step>> {
    (pause(), 1_usize..4, 0_u64..12, 1_usize..6).prop_map(|(after, calls, apart, times)| {
        let mut round = vec![Step { after, what: What::Revoke }];
        round.extend(vec![Step { after: 64 * apart, what: GOOD }; calls]);
        round.repeat(times)
    })
}

/// A good token is invalidated.
fn misused() -> impl Strategy<Value = Vec<Step>> {
    (pause(), pause(), pause()).prop_map(|(after, then, later)| {
        let token = What::Ask { refresh: false, dropped_after: None };
        let what = [token, GOOD, What::Invalidate, GOOD];
        std::iter::zip([after, 0, then, later], what).map(|(after, what)| Step { after, what }).collect()
    })
}

const GOOD: What = What::Call { path: Path::Good, latency: 0, dropped_after: None };

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
        3 => (any::<bool>(), dropped()).prop_map(|(refresh, dropped_after)| What::Ask { refresh, dropped_after }),
        1 => Just(What::Invalidate),
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
        1 => Just(Path::Limited),
        1 => Just(Path::Broken),
        4 => Just(Path::Bad),
        3 => Just(Path::Node),
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
        2 => Just(Some(1)),
        3 => Just(Some(2)),
        5 => Just(Some(10)),
        4 => Just(Some(3600)),
        1 => Just(None),
    ];
    let answer = (seconds, prop::bool::weighted(0.1)).prop_map(|(seconds, same)| Answer::Token { seconds, same });
    (latency(), answer).prop_map(|(latency, answer)| Endpoint { latency, answer })
}

fn failing() -> impl Strategy<Value = Endpoint> {
    let retry_after = prop::sample::select(vec![None, Some(2), Some(7), Some(50), Some(7_200), Some(100_000)]);
    let answer = prop_oneof![
        4 => retry_after.prop_map(|retry_after| Answer::Down { retry_after }),
        2 => Just(Answer::Refuses),
        1 => Just(Answer::Garbage),
        1 => Just(Answer::Panics),
    ];
    (latency(), answer).prop_map(|(latency, answer)| Endpoint { latency, answer })
}

/// Far from a fetch's deadline of 30 s, alone or three in a row.
fn latency() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..4, 3 => 4_u64..32, 1 => Just(170), 1 => Just(600)].prop_map(|n| 64 * n + 32)
}
