//! A callback that blocks: calls that do not depend on it go on.

use std::{
    mem,
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use tower_outbound_auth::{AuthError, ErrorKind};

use super::{
    Place::{
        self, AcceptWhen, CloneBody, Fetching, Generation, IsComplete, RejectWhen, Reserve, Rules, Signer, Source,
    },
    Scene::{self, Cold, Rejected, Rotated, Warm},
    World,
    world::{Hooks, Listener},
};

/// Blocks one caller in this place, until another has been served.
///
/// It blocks until the others have been served, however long that takes. If a lock is held meanwhile, they are not, and the test
/// fails.
fn others_go_on(place: Place, scene: Scene) {
    let what = format!("{place:?}, {scene:?}");
    let world = World::new();
    world.issuer.set(|settings| settings.latency = Duration::ZERO);
    let runtime = runtime(&world.hooks);
    runtime.block_on(world.set(scene));
    let ((enter, has_entered), (release, is_released)) = (channel(), channel());
    let is_released: Mutex<Receiver<()>> = Mutex::new(is_released);
    world.hooks.plan(place, 0, move || {
        enter.send(()).unwrap();
        let _ = is_released.lock().unwrap().recv_timeout(A_HANG);
    });
    runtime.block_on(async {
        let blocked = tokio::spawn(world.call());
        let entered = spawn_blocking(move || has_entered.recv_timeout(A_HANG)).await.unwrap();
        assert!(entered.is_ok(), "{what}: never reached");
        let others = world.clone();
        let others = tokio::spawn(async move {
            for _ in 0..10 {
                assert_eq!(others.call().await.unwrap(), 200);
                let _ = others.handle.status();
                others.handle.token().await.unwrap();
            }
        });
        assert!(timeout(A_HANG / 2, others).await.is_ok_and(|end| end.is_ok()), "{what}: others wait for it");
        release.send(()).unwrap();
        assert_eq!(timeout(A_HANG, blocked).await.unwrap().unwrap().unwrap(), 200, "{what}");
        assert_eq!(world.call().await.unwrap(), 200, "{what}: afterwards");
    });
}

/// The subscriber listens on all of its threads.
fn runtime(hooks: &Hooks) -> Runtime {
    let hooks = hooks.clone();
    let listen = move || mem::forget(tracing::subscriber::set_default(Listener(hooks.clone())));
    Builder::new_multi_thread().worker_threads(3).enable_all().on_thread_start(listen).build().unwrap()
}

#[test]
fn s8_while_a_callback_of_one_call_blocks_other_calls_are_served() {
    for place in [Generation, Signer, Rules, CloneBody, RejectWhen] {
        others_go_on(place, Warm);
    }
    for place in [IsComplete, Reserve, AcceptWhen] {
        others_go_on(place, Rejected);
    }
}

#[test]
fn t4_while_a_refresh_blocks_calls_go_on_with_the_old_token() {
    for place in [Source, Fetching] {
        others_go_on(place, Rotated);
    }
}

#[test]
fn s7_a_call_waits_for_a_source_that_blocks_no_longer_than_max_wait() {
    let world = World::with(|builder| builder.max_wait(Duration::from_millis(50)));
    let runtime = runtime(&world.hooks);
    let (release, is_released) = channel();
    let is_released: Mutex<Receiver<()>> = Mutex::new(is_released);
    world.hooks.plan(Source, 0, move || _ = is_released.lock().unwrap().recv_timeout(A_HANG));
    runtime.block_on(async {
        for _ in 0..2 {
            let call = timeout(A_HANG / 2, tokio::spawn(world.call())).await;
            let error = call.expect("it hangs").unwrap().unwrap_err();
            assert_eq!(AuthError::find(error.as_ref()).map(AuthError::kind), Some(ErrorKind::Timeout));
        }
        while !world.hooks.is_done() {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(world.issuer.requests(), 0, "it blocks still");
        release.send(()).unwrap();
        world.handle.token().await.unwrap();
        assert_eq!((world.call().await.unwrap(), world.issuer.requests()), (200, 1));
    });
}

#[test]
fn t3_while_a_waker_blocks_the_token_is_there_for_everybody_else() {
    others_go_on(Place::Waker, Cold);
}

#[cfg(feature = "tracing")]
#[test]
fn t4_while_the_subscriber_blocks_in_a_refresh_calls_go_on() {
    for place in [Place::NewSpan, Place::Record, Place::Enter, Place::Event] {
        others_go_on(place, Rotated);
    }
}

/// For what never comes.
const A_HANG: Duration = Duration::from_secs(10);
