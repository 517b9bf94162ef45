//! A callback that calls the layer: its service, and every method of its handle.

use std::{
    future::Future,
    pin::pin,
    sync::mpsc::channel,
    task::{Context, Waker},
    thread,
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer, ErrorKind,
    token::{AccessToken, TokenHandle, source_fn},
};

use super::{
    Place::{
        self, AcceptWhen, CloneBody, Fetching, Generation, IsComplete, RejectWhen, Reserve, Rules, Signer, Source,
        WakerDropped,
    },
    Scene::{self, Cold, Rejected, Rotated, Warm},
    World,
    world::Listener,
};
use crate::support::{Issuer, ORIGIN, api, get};

fn poll_once<F: Future>(future: F) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

/// All that code with a client and a handle can call.
fn call_everything(world: &World) {
    let _ = world.handle.status();
    poll_once(world.handle.token());
    poll_once(world.handle.refresh());
    poll_once(world.call());
    world.handle.invalidate(&AccessToken::new("another", None).unwrap());
    let _ = format!("{:?}", world.handle);
    drop(world.handle.keep_warm());
}

/// Three requests, during which the place calls everything; all are served.
fn run(place: Place, scene: Scene) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new();
        world.set(scene).await;
        let _guard = tracing::subscriber::set_default(Listener(world.hooks.clone()));
        let inner = world.clone();
        world.hooks.plan(place, 0, move || call_everything(&inner));
        for call in [(); 3].map(|()| tokio::spawn(world.call())) {
            let status = timeout(Duration::from_secs(20), call).await;
            assert_eq!(status.unwrap().unwrap().unwrap(), 200, "{place:?}, {scene:?}");
        }
        // A refresh that goes on behind them ends.
        sleep(Duration::from_secs(1)).await;
        assert!(world.hooks.is_done(), "{place:?}, {scene:?}: never reached");
    });
}

/// In another thread, which a deadlock would block.
fn ends(place: Place, scene: Scene) {
    let (end, ended) = channel();
    thread::spawn(move || {
        run(place, scene);
        end.send(()).unwrap();
    });
    assert!(
        ended.recv_timeout(Duration::from_secs(20)).is_ok(),
        "{place:?}, {scene:?}: a deadlock, or a failure above"
    );
}

#[test]
fn t3_a_callback_that_calls_back_into_the_layer_and_its_handle_is_served() {
    for place in [Source, Fetching, Generation, Signer, Rules, CloneBody, RejectWhen, Place::Waker, WakerDropped] {
        ends(place, Cold);
    }
    for place in [Generation, Signer, Rules, CloneBody, RejectWhen, WakerDropped] {
        ends(place, Warm);
    }
    for place in [Source, Fetching, Generation] {
        ends(place, Rotated);
    }
    for place in [Source, Generation, Signer, IsComplete, Reserve, RejectWhen, AcceptWhen, Place::Waker, WakerDropped] {
        ends(place, Rejected);
    }
}

#[cfg(feature = "tracing")]
#[test]
fn t3_a_subscriber_that_calls_back_into_the_layer_and_its_handle_is_served() {
    for place in [Place::NewSpan, Place::Record, Place::Enter, Place::Event] {
        for scene in [Cold, Rotated, Rejected] {
            ends(place, scene);
        }
    }
}

/// It waits for itself, which the deadline of a fetch ends.
#[tokio::test(start_paused = true)]
async fn t2_a_source_that_waits_for_the_token_that_it_is_to_bring_fails_by_the_deadline() {
    let handle = std::sync::Arc::new(std::sync::OnceLock::<TokenHandle>::new());
    let waits = std::sync::Arc::clone(&handle);
    let source = source_fn(move |_| {
        let handle = waits.get().cloned();
        async move { handle.unwrap().token().await }
    });
    let layer = AuthLayer::builder(source).origin(ORIGIN).build().unwrap();
    handle.set(layer.handle()).unwrap();
    let (seen, api) = api(&Issuer::new(), Duration::ZERO);
    let client = layer.layer(api);
    for _ in 0..2 {
        let call = timeout(Duration::from_secs(31), client.clone().oneshot(get("/a"))).await;
        let error = call.expect("it hangs").unwrap_err();
        assert_eq!(AuthError::find(error.as_ref()).map(AuthError::kind), Some(ErrorKind::Timeout));
    }
    assert_eq!(seen.count(), 0, "no request is sent without its token");
}
