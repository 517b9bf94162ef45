use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use tower_outbound_auth::{AuthError, ErrorKind, keyed::KeyedAuthLayer};

use crate::tenants::{Tenant, Tenants, api, send};

#[tokio::test(start_paused = true)]
async fn k5_a_removed_key_is_made_anew_and_others_are_left_alone() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().build();
    for tenant in [1, 2] {
        send(&keyed, &api, tenant).await.unwrap();
    }
    assert!(keyed.remove(&Tenant(1)) && !keyed.remove(&Tenant(1)) && !keyed.remove(&Tenant(3)));
    assert_eq!(keyed.len(), 1);
    assert_eq!(send(&keyed, &api, 1).await.unwrap(), "token-1-2");
    assert_eq!(send(&keyed, &api, 2).await.unwrap(), "token-2-1");
}

#[tokio::test(start_paused = true)]
async fn k5_a_tenant_that_is_gone_stays_gone() {
    let (tenants, api) = (Tenants::default(), api());
    let (of_make, active) = (tenants.clone(), Arc::new(std::sync::atomic::AtomicBool::new(true)));
    let is_active = Arc::clone(&active);
    let keyed = KeyedAuthLayer::builder(move |tenant: &Tenant| {
        let left = || AuthError::new(ErrorKind::Denied, "the tenant has left");
        if is_active.load(SeqCst) { of_make.layer(*tenant).build() } else { Err(left()) }
    })
    .build();
    let handle = keyed.handle(&Tenant(1)).unwrap();
    send(&keyed, &api, 1).await.unwrap();
    active.store(false, SeqCst);
    send(&keyed, &api, 1).await.unwrap();
    assert!(keyed.remove(&Tenant(1)));
    assert!(send(&keyed, &api, 1).await.is_err());
    assert_eq!((keyed.len(), api.0.count()), (0, 2));
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-1-1", "a handle keeps what it is of");
}

#[tokio::test(start_paused = true)]
async fn k5_requests_that_wait_finish_and_those_that_come_after_the_removal_have_an_entry_of_their_own() {
    let (tenants, api) = (Tenants::default(), api());
    tenants.slow_down(Duration::from_secs(5));
    let keyed = tenants.keyed().build();
    let waiting = tokio::spawn(send(&keyed, &api, 1));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(keyed.remove(&Tenant(1)));
    let later = tokio::spawn(send(&keyed, &api, 1));
    waiting.await.unwrap().unwrap();
    later.await.unwrap().unwrap();
    assert_eq!((tenants.made(1), tenants.fetched(1), keyed.len()), (2, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn k5_an_entry_that_is_evicted_and_in_use_can_be_removed() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().capacity(1).build();
    let _handle = keyed.handle(&Tenant(1)).unwrap();
    send(&keyed, &api, 2).await.unwrap();
    assert_eq!(keyed.len(), 1);
    assert!(keyed.remove(&Tenant(1)));
    send(&keyed, &api, 1).await.unwrap();
    assert_eq!((tenants.made(1), keyed.len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn k5_a_removal_ends_a_backoff_too() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().build();
    tenants.fail(Some(AuthError::new(ErrorKind::Denied, "no")));
    assert!(send(&keyed, &api, 1).await.is_err());
    tenants.fail(None);
    assert!(send(&keyed, &api, 1).await.is_err());
    assert!(keyed.remove(&Tenant(1)));
    send(&keyed, &api, 1).await.unwrap();
}

/// What `make` has read before the removal must not come into use after it.
#[test]
fn k5_what_is_being_made_during_a_removal_is_made_anew() {
    let (tenants, steps) = (Tenants::default(), Arc::new(Barrier::new(2)));
    let (of_make, at) = (tenants.clone(), Arc::clone(&steps));
    let first = AtomicU32::new(0);
    let keyed = KeyedAuthLayer::builder(move |tenant: &Tenant| {
        let layer = of_make.layer(*tenant).build();
        if first.fetch_add(1, SeqCst) == 0 {
            at.wait();
            at.wait();
        }
        layer
    })
    .build();
    std::thread::scope(|threads| {
        let making = threads.spawn(|| keyed.handle(&Tenant(1)).is_ok());
        steps.wait();
        assert!(!keyed.remove(&Tenant(1)), "it is not there yet");
        steps.wait();
        assert!(making.join().unwrap());
    });
    assert_eq!((tenants.made(1), keyed.len()), (2, 1));
}
