use std::{sync::Arc, time::Duration};

use tower::{Layer, Service};
use tower_outbound_auth::keyed::KeyedAuthLayer;

use crate::tenants::{Tenant, Tenants, api, request, send};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn k3_the_least_recently_used_entry_is_evicted_first() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().capacity(2).build();
    for tenant in [1, 2, 1, 3, 1] {
        send(&keyed, &api, tenant).await.unwrap();
    }
    assert_eq!((keyed.len(), tenants.made(1), tenants.made(2)), (2, 1, 1));
    send(&keyed, &api, 2).await.unwrap();
    assert_eq!((tenants.made(1), tenants.made(2), tenants.made(3)), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn k3_a_capacity_of_zero_is_one_and_the_default_is_a_thousand() {
    let (tenants, api) = (Tenants::default(), api());
    for (keyed, len) in [(tenants.keyed().capacity(0).build(), 1), (tenants.keyed().build(), 1_000)] {
        assert!(keyed.is_empty());
        for tenant in 0..1_100 {
            send(&keyed, &api, tenant).await.unwrap();
        }
        assert_eq!(keyed.len(), len);
    }
}

#[tokio::test(start_paused = true)]
async fn k3_an_entry_goes_after_its_idle_time_and_no_task_sees_to_it() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().build();
    for (minutes, len, made) in [(0, 1, 1), (59, 1, 1), (59, 1, 1), (61, 1, 2)] {
        tokio::time::advance(Duration::from_secs(minutes * 60)).await;
        send(&keyed, &api, 1).await.unwrap();
        assert_eq!((keyed.len(), tenants.made(1)), (len, made), "after {minutes} minutes");
    }
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    tokio::time::advance(HOUR).await;
    assert!(keyed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn k3_an_idle_time_of_zero_keeps_what_is_in_use_and_that_of_ever_keeps_all() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().idle_timeout(Duration::ZERO).build();
    send(&keyed, &api, 1).await.unwrap();
    send(&keyed, &api, 1).await.unwrap();
    assert_eq!((tenants.made(1), keyed.len()), (2, 0));
    let _handle = keyed.handle(&Tenant(1)).unwrap();
    send(&keyed, &api, 1).await.unwrap();
    send(&keyed, &api, 1).await.unwrap();
    assert_eq!(tenants.made(1), 3);
    let keyed = tenants.keyed().idle_timeout(Duration::MAX).build();
    send(&keyed, &api, 2).await.unwrap();
    tokio::time::advance(10_000 * HOUR).await;
    assert_eq!(keyed.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn k3_an_entry_that_is_evicted_while_its_fetch_is_under_way_serves_those_who_wait_and_those_who_come() {
    let (tenants, api) = (Tenants::default(), api());
    tenants.slow_down(Duration::from_secs(5));
    let keyed = tenants.keyed().capacity(1).build();
    let spawn = |tenant| tokio::spawn(send(&keyed, &api, tenant));
    let waiting = [spawn(1), spawn(2), spawn(3)];
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    let late = [spawn(1), spawn(2), spawn(3)];
    for call in waiting.into_iter().chain(late) {
        call.await.unwrap().unwrap();
    }
    assert_eq!([1, 2, 3].map(|tenant| (tenants.made(tenant), tenants.fetched(tenant))), [(1, 1); 3]);
    assert_eq!(keyed.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn k3_a_fetch_under_way_that_nobody_waits_for_keeps_its_entry() {
    let (tenants, api) = (Tenants::default(), api());
    tenants.slow_down(Duration::from_secs(5));
    let keyed = tenants.keyed().capacity(1).build();
    let mut client = keyed.layer(api.1.clone());
    let given_up = tokio::time::timeout(Duration::from_secs(1), client.call(request(1))).await;
    assert!(given_up.is_err());
    send(&keyed, &api, 2).await.unwrap();
    assert_eq!(send(&keyed, &api, 1).await.unwrap(), "token-1-1");
    assert_eq!((tenants.made(1), tenants.fetched(1)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn k3_a_response_that_is_awaited_keeps_its_entry() {
    let tenants = Tenants::default();
    let keyed = tenants.keyed().capacity(1).build();
    let gate = Arc::new(tokio::sync::Notify::new());
    let open = Arc::clone(&gate);
    let slow = tower::service_fn(move |_: http::Request<crate::support::Body>| {
        let open = Arc::clone(&open);
        async move {
            open.notified().await;
            Ok::<_, tower::BoxError>(crate::support::answer(http::StatusCode::OK))
        }
    });
    let first = tokio::spawn(tower::ServiceExt::oneshot(keyed.layer(slow), request(1)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let api = api();
    send(&keyed, &api, 2).await.unwrap();
    assert_eq!(send(&keyed, &api, 1).await.unwrap(), "token-1-1");
    gate.notify_one();
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    assert_eq!((tenants.made(1), tenants.fetched(1)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn k3_a_key_that_is_kept_warm_stays_the_same_entry() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().capacity(1).build();
    let warm = keyed.handle(&Tenant(1)).unwrap().keep_warm();
    for tenant in 2..50 {
        send(&keyed, &api, tenant).await.unwrap();
    }
    tokio::time::advance(2 * HOUR).await;
    send(&keyed, &api, 1).await.unwrap();
    assert_eq!(tenants.made(1), 1);
    drop(warm);
    tokio::task::yield_now().await;
    for tenant in 2..5 {
        send(&keyed, &api, tenant).await.unwrap();
    }
    send(&keyed, &api, 1).await.unwrap();
    assert_eq!(tenants.made(1), 2);
}

#[tokio::test(start_paused = true)]
async fn k3_a_layer_that_make_returns_again_and_again_keeps_no_entry() {
    let (tenants, api) = (Tenants::default(), api());
    let shared = tenants.layer(Tenant(7)).build().unwrap();
    let keyed = KeyedAuthLayer::builder(move |_: &Counted| Ok(shared.clone())).capacity(10).build();
    let alive = Arc::new(());
    for number in 0..100 {
        let mut request = request(number);
        request.extensions_mut().insert(Counted(number, Arc::clone(&alive)));
        tower::ServiceExt::oneshot(keyed.layer(api.1.clone()), request).await.unwrap();
    }
    assert_eq!((keyed.len(), tenants.fetched(7)), (10, 1));
    assert_eq!(Arc::strong_count(&alive), 11, "the test has one, and ten entries have the others");
}

/// A key that can be counted.
#[derive(Clone)]
struct Counted(u32, #[expect(dead_code, reason = "its references are counted")] Arc<()>);

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Counted {}

impl std::hash::Hash for Counted {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Counts the layers that are alive by what their sources hold.
#[tokio::test(start_paused = true)]
async fn k3_a_hundred_thousand_keys_in_a_row_need_no_more_layers_than_the_capacity() {
    use tower_outbound_auth::{
        AuthLayer,
        token::{AccessToken, source_fn},
    };

    let alive = Arc::new(());
    let of_make = Arc::clone(&alive);
    let keyed = KeyedAuthLayer::builder(move |_: &u32| {
        let held = Arc::clone(&of_make);
        let source = source_fn(move |_| {
            assert!(Arc::strong_count(&held) > 1);
            std::future::ready(AccessToken::new("t", None))
        });
        AuthLayer::builder(source).origin(crate::support::ORIGIN).build()
    })
    .capacity(30)
    .build();
    for key in 0..100_000 {
        let handle = keyed.handle(&key).unwrap();
        if key % 16 == 0 {
            handle.token().await.unwrap();
            tokio::task::yield_now().await;
        }
        // Besides these: that of the test, that of `make`, and an entry that is about to be let go of.
        assert!(Arc::strong_count(&alive) <= 30 + 3, "{} at key {key}", Arc::strong_count(&alive));
    }
    assert_eq!(keyed.len(), 30);
    drop(keyed);
    assert_eq!(Arc::strong_count(&alive), 1);
}
