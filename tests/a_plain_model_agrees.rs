//! What the layer does in made-up histories is what its promises say, as a second and much plainer implementation tells.
//!
//! The model was written from the promises and not from the code. Where the layer draws at random, the model is told what
//! was drawn, checks that it lies within what is promised, and goes on with it: a pause between two tries and the end of a
//! cool-down by the moment of the next token request, a cool-down also by what its callers are told. The draw of
//! `refresh_at` is turned off.
//!
//! `PROPTEST_CASES` says how many histories are tried, and `PROPTEST_RNG_SEED` which. A history that the two did not agree
//! on is shrunk, shown, and kept by its seed in `a_plain_model_agrees/regressions.txt`, which is tried first.
#![expect(clippy::unwrap_used, reason = "a counterpart in a test may panic")]
#![expect(clippy::indexing_slicing, reason = "a model in a test may panic")]
#![expect(clippy::disallowed_methods, reason = "tokio's clock is paused")]

#[path = "a_plain_model_agrees/caller.rs"]
mod caller;
#[path = "a_plain_model_agrees/findings.rs"]
mod findings;
#[path = "a_plain_model_agrees/flight.rs"]
mod flight;
#[path = "a_plain_model_agrees/history.rs"]
mod history;
#[path = "a_plain_model_agrees/log.rs"]
mod log;
#[path = "a_plain_model_agrees/model.rs"]
mod model;
#[path = "a_plain_model_agrees/notes.rs"]
mod notes;
#[path = "a_plain_model_agrees/server.rs"]
mod server;
#[path = "a_plain_model_agrees/storm.rs"]
mod storm;
#[path = "a_plain_model_agrees/token.rs"]
mod token;
#[path = "a_plain_model_agrees/twist.rs"]
mod twist;
#[path = "a_plain_model_agrees/warm.rs"]
mod warm;
#[path = "a_plain_model_agrees/world.rs"]
mod world;

use history::{History, histories};
use model::{Model, Stop};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{
        Config, FileFailurePersistence, RngAlgorithm, TestCaseError, TestCaseResult, TestError, TestRng, TestRunner,
    },
};
use twist::Twist;

/// Plays the history to both, and compares.
fn compare(history: &History, twist: Option<Twist>) -> TestCaseResult {
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
        // Histories with a tie: too many of them would say that too little is tried.
        max_global_rejects: 100 + cases / 2,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/a_plain_model_agrees/regressions.txt",
        ))),
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

/// How many histories it takes until the comparison notices.
fn noticed_after(twist: Twist) -> Option<usize> {
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    (1..=1_000).find(|_| {
        let history = histories().new_tree(&mut runner).unwrap().current();
        disagrees(&history, Some(twist)) && !disagrees(&history, None)
    })
}

#[test]
fn a_model_that_breaks_a_promise_is_noticed() {
    for twist in Twist::ALL {
        let after = noticed_after(twist);
        assert!(after.is_some(), "{twist:?}");
        println!("{twist:?}: noticed in history {}", after.unwrap());
    }
}
