use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier, OnceLock,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{AuthError, ErrorKind, keyed::KeyedAuthLayer};

use crate::tenants::{Tenant, Tenants, api, request, send};

#[tokio::test(start_paused = true)]
async fn t1_a_thousand_callers_of_a_new_key_cause_one_token_request() {
    let (tenants, api) = (Tenants::default(), api());
    tenants.slow_down(Duration::from_secs(1));
    let keyed = tenants.keyed().build();
    let mut calls: JoinSet<_> = (0..1_000).map(|number| send(&keyed, &api, number % 2)).collect();
    while let Some(call) = calls.join_next().await {
        call.unwrap().unwrap();
    }
    assert_eq!([0, 1].map(|tenant| (tenants.made(tenant), tenants.fetched(tenant))), [(1, 1); 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn t1_of_several_entries_made_at_once_one_is_kept_and_used_by_all() {
    const THREADS: u32 = 4;
    let (tenants, api) = (Tenants::default(), api());
    for tenant in 0..20 {
        let (of_make, all_make) = (tenants.clone(), Barrier::new(THREADS as usize));
        let keyed = KeyedAuthLayer::builder(move |tenant: &Tenant| {
            all_make.wait();
            of_make.layer(*tenant).build()
        })
        .build();
        let calls: JoinSet<_> = (0..THREADS).map(|_| send(&keyed, &api, tenant)).collect();
        let tokens = calls.join_all().await;
        assert!(tokens.iter().all(|token| token.as_ref().is_ok_and(|token| *token == format!("token-{tenant}-1"))));
        assert_eq!((tenants.made(tenant), tenants.fetched(tenant), keyed.len()), (THREADS, 1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn k3_an_error_of_make_is_its_callers_and_nothing_is_kept_of_it() {
    let (tenants, api) = (Tenants::default(), api());
    let (of_make, asked) = (tenants.clone(), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&asked);
    let keyed = KeyedAuthLayer::builder(move |tenant: &Tenant| match count.fetch_add(1, SeqCst) {
        0..3 => Err(AuthError::new(ErrorKind::Denied, "the tenant is not known here")),
        _ => of_make.layer(*tenant).build(),
    })
    .build();
    for _ in 0..2 {
        let error = send(&keyed, &api, 1).await.unwrap_err();
        let error = AuthError::find(error.as_ref()).unwrap();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Denied, "the tenant is not known here"));
    }
    assert_eq!(keyed.handle(&Tenant(1)).unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!((keyed.len(), api.0.count()), (0, 0));
    send(&keyed, &api, 1).await.unwrap();
    assert_eq!((keyed.len(), asked.load(SeqCst)), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn k3_a_make_that_panics_harms_its_caller_alone() {
    let (tenants, api) = (Tenants::default(), api());
    let of_make = tenants.clone();
    let keyed = KeyedAuthLayer::builder(move |tenant: &Tenant| {
        assert_ne!(tenant.0, 13, "a make that panics");
        of_make.layer(*tenant).build()
    })
    .build();
    send(&keyed, &api, 1).await.unwrap();
    for _ in 0..3 {
        assert!(tokio::spawn(send(&keyed, &api, 13)).await.unwrap_err().is_panic());
        assert!(catch_unwind(AssertUnwindSafe(|| keyed.handle(&Tenant(13)))).is_err());
        assert_eq!(send(&keyed, &api, 1).await.unwrap(), "token-1-1");
        send(&keyed, &api, 2).await.unwrap();
    }
    assert_eq!(keyed.len(), 2);
}

#[test]
fn k3_a_slow_make_holds_up_its_callers_alone() {
    let (tenants, slow) = (Tenants::default(), Arc::new(Barrier::new(2)));
    let (of_make, held_up) = (tenants.clone(), Arc::clone(&slow));
    let keyed = KeyedAuthLayer::builder(move |tenant: &Tenant| {
        if tenant.0 == 1 {
            held_up.wait();
            held_up.wait();
        }
        of_make.layer(*tenant).build()
    })
    .capacity(2)
    .build();
    std::thread::scope(|threads| {
        let making = threads.spawn(|| keyed.handle(&Tenant(1)).is_ok());
        slow.wait();
        for tenant in 2..10 {
            assert!(keyed.handle(&Tenant(tenant)).is_ok());
            assert!(tenant % 2 == 0 || keyed.remove(&Tenant(tenant)));
        }
        slow.wait();
        assert!(making.join().unwrap());
    });
    assert_eq!((tenants.made(1), keyed.len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn k3_make_may_use_the_layer_that_it_makes_entries_for() {
    let (tenants, api) = (Tenants::default(), api());
    let (of_make, own) = (tenants.clone(), Arc::new(OnceLock::<KeyedAuthLayer<Tenant>>::new()));
    let of_itself = Arc::clone(&own);
    let keyed = KeyedAuthLayer::builder(move |tenant: &Tenant| {
        let keyed = of_itself.get().unwrap();
        if tenant.0 > 0 {
            keyed.handle(&Tenant(tenant.0 - 1))?;
            keyed.remove(&Tenant(100));
        }
        of_make.layer(*tenant).build()
    })
    .capacity(3)
    .build();
    own.set(keyed.clone()).unwrap();
    send(&keyed, &api, 9).await.unwrap();
    assert_eq!(keyed.len(), 3);
    // The layer holds `make`, which holds the layer.
    drop(own);
}

#[tokio::test(start_paused = true)]
async fn t3_the_callers_of_one_key_share_its_error_and_no_other_key_has_it() {
    let (tenants, (_, api)) = (Tenants::default(), api());
    let keyed = tenants.keyed().build();
    tenants.fail(Some(AuthError::new(ErrorKind::Denied, "no")));
    tenants.slow_down(Duration::from_secs(1));
    let mut calls: JoinSet<_> = (0..20).map(|_| keyed.layer(api.clone()).oneshot(request(1))).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    while let Some(call) = calls.join_next().await {
        let error = call.unwrap().unwrap_err();
        assert_eq!(AuthError::find(error.as_ref()).unwrap().kind(), ErrorKind::Denied);
    }
    tenants.fail(None);
    keyed.layer(api.clone()).oneshot(request(2)).await.unwrap();
    assert!(keyed.layer(api).oneshot(request(1)).await.is_err(), "its backoff runs");
    assert_eq!((tenants.fetched(1), tenants.fetched(2)), (1, 1));
}
