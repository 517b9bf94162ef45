//! A callback that panics: in the task of one caller it is that caller's panic, in a token fetch it is a failed fetch.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tower_outbound_auth::{AuthError, ErrorKind, token::TokenState};

use super::{
    Place::{
        self, AcceptWhen, CloneBody, Fetching, Generation, IsComplete, RejectWhen, Reserve, Rules, Signer, Source,
    },
    Scene::{self, Cold, Rejected, Rotated, Warm},
    World,
    world::Listener,
};

/// What comes of three requests at once: 200, a 401 that was not replayed, an `Aborted` error, a panic.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    served: usize,
    refused: usize,
    aborted: usize,
    panicked: usize,
}

const OF_ONE_CALLER: Outcome = Outcome { served: 2, refused: 0, aborted: 0, panicked: 1 };
const UNNOTICED: Outcome = Outcome { served: 3, refused: 0, aborted: 0, panicked: 0 };
const FAILED_FETCH: Outcome = Outcome { served: 0, refused: 0, aborted: 3, panicked: 0 };
const FAILED_RENEWAL: Outcome = Outcome { served: 0, refused: 3, aborted: 0, panicked: 0 };

/// Holds the layer to this outcome of a panic in this place, after it was reached so many times, and to serving as before
/// after it.
async fn comes_of(expected: Outcome, place: Place, scene: Scene, after: usize) {
    let what = format!("{place:?}, {scene:?}, after {after}");
    let world = World::new();
    world.set(scene).await;
    let _guard = tracing::subscriber::set_default(Listener(world.hooks.clone()));
    world.hooks.plan(place, after, || panic!("a callback that panics"));
    let calls = [(); 3].map(|()| tokio::spawn(world.call()));
    let mut outcome = Outcome::default();
    for call in calls {
        match timeout(Duration::from_secs(20), call).await.unwrap_or_else(|_| panic!("{what}: a caller hangs")) {
            Ok(Ok(200)) => outcome.served += 1,
            Ok(Ok(401)) => outcome.refused += 1,
            Ok(Ok(status)) => panic!("{what}: {status}"),
            Ok(Err(error)) => {
                assert_eq!(AuthError::find(error.as_ref()).map(AuthError::kind), Some(ErrorKind::Aborted), "{what}");
                outcome.aborted += 1;
            }
            Err(end) => outcome.panicked += usize::from(end.is_panic()),
        }
    }
    // A refresh that goes on behind them ends, and so does any backoff.
    sleep(Duration::from_secs(2)).await;
    assert!(world.hooks.is_done(), "{what}: never reached");
    assert_eq!(outcome, expected, "{what}");
    for _ in 0..2 {
        for _ in 0..3 {
            assert_eq!(world.call().await.unwrap(), 200, "{what}: afterwards");
        }
        world.issuer.revoke();
    }
    world.handle.refresh().await.unwrap();
    assert_eq!(world.handle.status().state, TokenState::Fresh, "{what}");
}

#[tokio::test(start_paused = true)]
async fn s8_a_callback_that_panics_in_a_call_is_that_callers_panic_alone() {
    for scene in [Cold, Warm] {
        for place in [Generation, Signer, Rules, CloneBody, RejectWhen] {
            comes_of(OF_ONE_CALLER, place, scene, 0).await;
        }
    }
    for place in [Generation, IsComplete, Reserve, RejectWhen, AcceptWhen] {
        comes_of(OF_ONE_CALLER, place, Rejected, 0).await;
    }
    // In the replay, as all three were sent before.
    for place in [Signer, Rules, IsComplete, RejectWhen] {
        comes_of(OF_ONE_CALLER, place, Rejected, 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t2_a_source_that_panics_before_or_in_its_future_is_a_failed_fetch() {
    for place in [Source, Fetching] {
        comes_of(FAILED_FETCH, place, Cold, 0).await;
        comes_of(UNNOTICED, place, Rotated, 0).await;
        comes_of(FAILED_RENEWAL, place, Rejected, 0).await;
    }
}

/// Of those who wait for the fetch, the first has a waker that panics.
#[tokio::test(start_paused = true)]
async fn t3_a_waker_that_panics_keeps_nobody_else_from_being_woken() {
    comes_of(UNNOTICED, Place::Waker, Cold, 0).await;
    comes_of(UNNOTICED, Place::Waker, Rejected, 0).await;
}

#[tokio::test(start_paused = true)]
async fn t10_a_panic_of_the_generation_does_not_end_keep_warm() {
    let world = World::new();
    let _warm = world.handle.keep_warm();
    sleep(Duration::from_secs(1)).await;
    world.hooks.plan(Generation, 0, || panic!("a callback that panics"));
    sleep(Duration::from_secs(60)).await;
    assert!(world.hooks.is_done() && world.issuer.requests() == 1);
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(world.issuer.requests(), 2, "it is refreshed without any traffic");
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn t2_a_subscriber_that_panics_fails_at_most_the_fetch_or_the_call_that_it_is_told_of() {
    // Told of a span as a caller begins the fetch.
    comes_of(Outcome { served: 0, refused: 0, aborted: 2, panicked: 1 }, Place::NewSpan, Cold, 0).await;
    comes_of(OF_ONE_CALLER, Place::NewSpan, Rotated, 0).await;
    comes_of(Outcome { served: 0, refused: 2, aborted: 0, panicked: 1 }, Place::NewSpan, Rejected, 0).await;
    // Within the fetch.
    for place in [Place::Record, Place::Enter] {
        comes_of(FAILED_FETCH, place, Cold, 0).await;
        comes_of(UNNOTICED, place, Rotated, 0).await;
        comes_of(FAILED_RENEWAL, place, Rejected, 0).await;
    }
    // Once there is a token.
    for place in [Place::Record, Place::Event] {
        let after = usize::from(place == Place::Record);
        comes_of(UNNOTICED, place, Cold, after).await;
        comes_of(UNNOTICED, place, Rotated, after).await;
    }
    // "response rejected".
    comes_of(OF_ONE_CALLER, Place::Event, Rejected, 0).await;
}
