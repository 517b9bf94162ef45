//! A callback that panics: in the task of one caller it is that caller's panic, in a token fetch it is a failed fetch.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tower::{
    ServiceExt,
    buffer::{Buffer, error::Closed},
};
use tower_outbound_auth::{AuthError, ErrorKind, token::TokenState};

use super::{
    Place::{
        self, AcceptWhen, CloneBody, Fetching, Generation, IsComplete, RejectWhen, Reserve, Rules, Signer, Source,
    },
    Scene::{self, Cold, Rejected, Rotated, Warm},
    World,
};
use crate::support::get;

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

/// As with any service: the worker of a buffer is the caller.
#[tokio::test(start_paused = true)]
async fn s8_a_callback_that_panics_in_a_buffers_worker_ends_that_buffer_alone() {
    let world = World::new();
    world.set(Warm).await;
    let buffer = Buffer::new(world.client(), 4);
    world.hooks.plan(Signer, 0, || panic!("a callback that panics"));
    for _ in 0..3 {
        let call = timeout(Duration::from_secs(20), buffer.clone().oneshot(get("/a"))).await;
        assert!(call.expect("it hangs").is_err_and(|error| error.is::<Closed>()));
    }
    assert_eq!(Buffer::new(world.client(), 4).oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(world.issuer.requests(), 1);
}
