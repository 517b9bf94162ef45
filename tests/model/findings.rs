//! Histories on which the layer and the model once disagreed, as short as they get.

use crate::{
    compare,
    history::{Answer, DEFAULT, Endpoint, History, Path, Step, What},
};

const CALL: What = What::Call { path: Path::Good, latency: 1, dropped_after: None };
const BAD: What = What::Call { path: Path::Bad, latency: 3, dropped_after: None };

/// Plays these steps, each so many milliseconds after the one before.
#[expect(clippy::panic, reason = "it stands for an assertion")]
fn agrees(replays: bool, seconds: u64, steps: &[(u64, What)]) {
    let answer = Answer::Token { seconds: Some(seconds), same: false };
    let steps = steps.iter().map(|(after, what)| Step { after: *after, what: *what }).collect();
    let endpoint = Endpoint { latency: 32, answer };
    let history = History { seed: 0, replays, max_wait: None, settings: DEFAULT, endpoint, steps };
    if let Err(why) = compare(&history, None) {
        panic!("{history}\n{why}");
    }
}

/// The renewal was of the token before, and was of use.
#[test]
fn r5_a_revocation_soon_after_an_early_refresh_is_renewed_at_once() {
    let steps = [(0, CALL), (640, What::Revoke), (64, CALL), (8_000, CALL), (640, What::Revoke), (64, CALL)];
    agrees(true, 10, &steps);
}

#[test]
fn r5_a_token_from_after_a_rotation_is_no_renewal() {
    agrees(false, 3600, &[(0, BAD), (64, What::Rotate), (64, CALL), (64, BAD)]);
}

#[test]
fn r5_a_token_that_was_kept_warm_is_no_renewal() {
    agrees(
        true,
        10,
        &[(0, CALL), (640, What::Revoke), (64, CALL), (64, What::Warm(true)), (9_000, What::Revoke), (64, CALL)],
    );
}

/// Each token came by a renewal and expired before a request was accepted with it: units stayed out for ever, until none
/// was left and no revocation was renewed.
#[test]
fn r5_a_renewed_token_that_expires_unused_loses_its_unit_for_ten_seconds_only() {
    agrees(false, 10, &[(0, BAD), (11_008, BAD), (11_008, BAD), (11_008, BAD), (11_008, BAD), (11_008, BAD)]);
}

/// The token was retired before the fetch began, so that it kept no note of it when it came back.
#[test]
fn t8_a_backoff_holds_after_a_rotation_and_two_rejections() {
    let down = What::Endpoint(Endpoint { latency: 32, answer: Answer::Down { retry_after: Some(50) } });
    let late = What::Call { path: Path::Bad, latency: 645, dropped_after: None };
    agrees(false, 3_600, &[(0, CALL), (64, down), (64, BAD), (0, late), (640, What::Rotate), (640, CALL)]);
}
