//! A closure that finds the key may panic, block or call back: no other call notices.

use std::sync::{Arc, Barrier, OnceLock};

use tower::{Layer, ServiceExt};
use tower_outbound_auth::keyed::KeyedAuthLayer;

use crate::{
    support::get,
    tenants::{Tenant, Tenants, api},
};

#[tokio::test(start_paused = true)]
async fn k1_a_panic_of_the_key_closure_is_that_callers_panic_alone() {
    let (tenants, (seen, api)) = (Tenants::default(), api());
    let key = |head: &http::request::Parts| {
        assert_ne!(head.uri.path(), "/panic", "a key closure that panics");
        Some(Tenant(1))
    };
    let client = tenants.keyed().key(key).build().layer(api);
    for _ in 0..3 {
        let panicking = tokio::spawn(client.clone().oneshot(get("/panic")));
        assert!(panicking.await.unwrap_err().is_panic());
        client.clone().oneshot(get("/")).await.unwrap();
    }
    assert_eq!((seen.count(), tenants.all_fetched()), (3, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k3_while_the_key_closure_of_one_call_blocks_other_calls_are_served() {
    let (tenants, (seen, api)) = (Tenants::default(), api());
    let gate = Arc::new(Barrier::new(2));
    let gates = Arc::clone(&gate);
    let key = move |head: &http::request::Parts| {
        if head.uri.path() == "/block" {
            gates.wait();
        }
        Some(Tenant(1))
    };
    let client = tenants.keyed().key(key).build().layer(api);
    let blocked = tokio::spawn(client.clone().oneshot(get("/block")));
    for _ in 0..3 {
        client.clone().oneshot(get("/")).await.unwrap();
    }
    assert_eq!(seen.count(), 3, "the first call is not among them");
    tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
    blocked.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn k3_a_key_closure_may_call_the_layer_that_asks_it() {
    let (tenants, (seen, api)) = (Tenants::default(), api());
    let layer = Arc::new(OnceLock::<KeyedAuthLayer<Tenant>>::new());
    let own = Arc::clone(&layer);
    let key = move |_: &http::request::Parts| {
        let layer = own.get()?;
        layer.remove(&Tenant(2));
        drop(layer.handle(&Tenant(3)).ok()?);
        (!layer.is_empty()).then_some(Tenant(1))
    };
    let client = layer.get_or_init(|| tenants.keyed().key(key).build()).layer(api);
    for _ in 0..3 {
        client.clone().oneshot(get("/")).await.unwrap();
    }
    assert_eq!((seen.count(), tenants.fetched(1), tenants.made(3)), (3, 1, 1));
}
