//! Random operations of many tasks, beside a plain model: no request ever carries what belongs to another key.

use std::{
    env,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use tokio::task::JoinSet;
use tower::{Layer, Service};

use crate::{
    random_world::{FIRST_ENTRY, KEY, World},
    support::get,
    tenants::Tenant,
};

/// Acts in a random way; says whether it was a request that got an answer.
async fn act(world: &Arc<World>) {
    let tenant = Tenant(fastrand::u32(0..KEYS).min(fastrand::u32(0..KEYS)));
    let key = &world.keys[tenant.0 as usize];
    match fastrand::u32(0..100) {
        0..2 => key.remove(|| _ = world.keyed().remove(&tenant)),
        2..4 => key.revoke(),
        4..6 => key.rotate(),
        6..8 => {
            if let Ok(handle) = world.keyed().handle(&tenant) {
                let _ = handle.token().await;
            }
        }
        8 => _ = world.keyed().len(),
        9 if world.is_paused => tokio::time::sleep(Duration::from_millis(fastrand::u64(0..30_000))).await,
        kind => {
            let mut request = get("/");
            request.headers_mut().insert(KEY, tenant.0.into());
            request.headers_mut().insert(FIRST_ENTRY, key.first_entry().into());
            request.extensions_mut().insert(tenant);
            let mut call = Box::pin(world.keyed().layer(world.api()).call(request));
            if kind < 15 {
                // This caller gives up somewhere on the way.
                for _ in 0..fastrand::u32(0..5) {
                    let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx).is_ready()));
                    if poll.await || fastrand::bool() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
                return;
            }
            let _ = call.await;
        }
    }
}

async fn run(operations: u32, is_paused: bool) {
    let world = World::new(KEYS, CAPACITY, is_paused);
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            for _ in 0..operations / TASKS {
                act(&world).await;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let (served, rejected) = (world.served.load(SeqCst), world.rejected.load(SeqCst));
    assert!(served > u64::from(operations) / 3 && rejected > 0, "{served} served, {rejected} rejected");
    settle(&world).await;
    println!("{served} served, {rejected} rejected, {} layers at most", world.most_alive.load(SeqCst));
    // One for each key, and one for each task that is making another or uses one that was removed.
    assert!(world.most_alive.load(SeqCst) <= i64::from(KEYS + 2 * TASKS), "{}", world.most_alive.load(SeqCst));
}

/// When all is quiet, no more layers are left than the capacity allows, and every key works.
async fn settle(world: &Arc<World>) {
    world.keys.iter().for_each(|key| key.is_calm.store(true, SeqCst));
    for _ in 0..1_000 {
        // Backoffs end, and so do fetches that nobody waits for.
        tokio::time::sleep(Duration::from_millis(if world.is_paused { 1_000 } else { 10 })).await;
        let _ = world.keyed().handle(&Tenant(0));
        let len = world.keyed().len();
        if world.alive.load(SeqCst) == i64::try_from(len).unwrap() {
            assert!(len <= CAPACITY);
            break;
        }
        assert!(world.alive.load(SeqCst) > 0);
    }
    let len = world.keyed().len();
    assert_eq!(world.alive.load(SeqCst), i64::try_from(len).unwrap(), "what nobody uses is gone");
    for tenant in (0..KEYS).map(Tenant) {
        let token = world.keyed().handle(&tenant).unwrap().token().await.unwrap();
        assert!(token.expose_secret().starts_with(&format!("{}.", tenant.0)));
    }
    assert_eq!(world.keyed().len(), CAPACITY);
}

#[tokio::test(start_paused = true)]
async fn k1_random_operations_in_turn_agree_with_a_plain_model() {
    run(10_000, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k1_random_operations_at_once_agree_with_a_plain_model() {
    run(20_000, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes minutes; KEYED_OPERATIONS says how many"]
async fn k1_a_million_random_operations_agree_with_a_plain_model() {
    let operations = env::var("KEYED_OPERATIONS").ok().and_then(|number| number.parse().ok());
    run(operations.unwrap_or(1_000_000), false).await;
}

const KEYS: u32 = 100;
const CAPACITY: usize = 30;
const TASKS: u32 = 64;
