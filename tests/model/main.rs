//! Compares the layer with a second, much plainer implementation of its guarantees, on random histories.
//!
//! The model was written from the guarantees, not from the code. Where the layer draws at random, the model is told what
//! was drawn, checks that it lies within what is guaranteed, and goes on with it: the pause between two attempts and the
//! end of a backoff by the moment of the next token request, a backoff also by the `retry_after` of its errors. The jitter
//! of `refresh_at` is turned off.
//!
//! `PROPTEST_CASES` sets the number of histories, `PROPTEST_RNG_SEED` selects them. A history on which the two disagree is
//! shrunk, printed, and kept by its seed in `regressions.txt`, which is tried first.
#![expect(clippy::unwrap_used, reason = "a counterpart in a test may panic")]
#![expect(clippy::indexing_slicing, reason = "a model in a test may panic")]
#![expect(clippy::disallowed_methods, reason = "tokio's clock is paused")]

mod budget;
mod caller;
mod fetch;
mod findings;
mod histories;
mod history;
mod log;
mod model;
mod notes;
mod rejection;
mod server;
mod steps;
mod token;
mod twist;
mod warm;
mod world;

use histories::histories;
use history::History;
use model::{Model, Stop};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{
        Config, FileFailurePersistence, RngAlgorithm, TestCaseError, TestCaseResult, TestError, TestRng, TestRunner,
    },
};
use twist::Twist;

/// Plays the history to both, and compares what was seen. A machine that stalls ages tokens as well, by the wall clock
/// (T13), so that only a difference that appears three times counts.
fn compare(history: &History, twist: Option<Twist>) -> TestCaseResult {
    let mut result = compare_once(history, twist);
    for _ in 0..2 {
        if matches!(result, Err(TestCaseError::Fail(_))) {
            result = compare_once(history, twist);
        }
    }
    result
}

fn compare_once(history: &History, twist: Option<Twist>) -> TestCaseResult {
    let (layer, draws) = world::play(history);
    let (model, stopped) = Model::run(history, &draws, twist);
    let difference = log::difference(&layer, &model);
    match stopped {
        Some(Stop::Tie(at)) => Err(TestCaseError::reject(format!("two things at once, at {at} ms"))),
        Some(Stop::Disagrees(why)) => Err(TestCaseError::fail(format!("{}\n{why}", difference.unwrap_or_default()))),
        None => difference.map_or(Ok(()), |difference| Err(TestCaseError::fail(difference))),
    }
}

fn disagrees(history: &History, twist: Option<Twist>) -> bool {
    matches!(compare(history, twist), Err(TestCaseError::Fail(_)))
}

fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(500);
    Config {
        cases,
        // Histories with a tie: more of them would mean that too little is tried.
        max_global_rejects: 100 + cases / 2,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/model/regressions.txt"))),
        ..Config::default()
    }
}

#[test]
fn the_layer_does_what_the_model_says() {
    match TestRunner::new(config()).run(&histories(), |history| compare(&history, None)) {
        Ok(()) => {}
        Err(TestError::Fail(why, history)) => panic!("{history}\n{why}"),
        Err(error) => panic!("{error}"),
    }
}

/// The number of histories after which the comparison notices.
fn noticed_after(twist: Twist) -> Option<usize> {
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    (1..=2_000).find(|_| {
        let history = histories().new_tree(&mut runner).unwrap().current();
        disagrees(&history, Some(twist)) && !disagrees(&history, None)
    })
}

#[test]
fn a_model_that_breaks_a_guarantee_is_noticed() {
    let unnoticed: Vec<_> = Twist::ALL.into_iter().filter(|twist| noticed_after(*twist).is_none()).collect();
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}
