//! F3: rejected tokens.

use std::time::Duration;

use tokio::time::{advance, sleep};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    fleet::MemoryStore,
    token::{FetchRequest, TokenSource},
};

use super::{
    stage::{Fault, Faulty, SECOND, all, builder, fetch, fetch_after, layer, process},
    support::{Issuer, api, get},
};

#[tokio::test(start_paused = true)]
async fn f3_a_revocation_that_fifty_processes_see_costs_one_token_request() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    let processes: Vec<_> = (0..50).map(|_| process(&issuer, &store)).collect();
    all(&processes, None).await;
    assert_eq!(all(&processes, Some("token-1")).await, ["token-2"; 50]);
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn f3_a_token_that_another_process_has_renewed_is_taken_without_a_token_request() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    let (first, second) = (process(&issuer, &store), process(&issuer, &store));
    fetch(&first).await.unwrap();
    fetch(&second).await.unwrap();
    assert_eq!(fetch_after(&first, "token-1").await.unwrap(), "token-2");
    assert_eq!(fetch_after(&second, "token-1").await.unwrap(), "token-2");
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn f3_a_slow_process_cannot_publish_a_retired_token() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    issuer.set(|settings| settings.latency = 2 * SECOND);
    let slow = process(&issuer, &store);
    let leads = tokio::spawn(async move { fetch(&slow).await });
    sleep(SECOND).await;
    // Somebody else learnt already that the token it will get is revoked.
    let knowing = process(&issuer, &store);
    let next = tokio::spawn(async move { fetch_after(&knowing, "token-1").await });
    assert_eq!(leads.await.unwrap().unwrap(), "token-1", "it keeps that for itself");
    assert_eq!(next.await.unwrap().unwrap(), "token-2");
    assert_eq!(fetch(&process(&issuer, &store)).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn f3_a_server_that_issues_the_retired_token_again_is_believed_by_one_process_alone() {
    let (issuer, store) = (Issuer::new(), Faulty::default());
    issuer.set(|settings| settings.same_token = true);
    let process = process(&issuer, &store);
    assert_eq!(fetch(&process).await.unwrap(), "token-0");
    assert_eq!(fetch_after(&process, "token-0").await.unwrap(), "token-0");
    assert_eq!(store.count("publish"), 2);
    let other = || builder(&issuer, &store).build().unwrap();
    assert_eq!(fetch(&other()).await.unwrap(), "token-0");
    assert_eq!(issuer.requests(), 3, "nothing was published");
    advance(31 * SECOND).await;
    fetch(&other()).await.unwrap();
    fetch(&other()).await.unwrap();
    assert_eq!(issuer.requests(), 4, "after 30 s it is published again");
}

#[tokio::test(start_paused = true)]
async fn f3_a_refresh_replaces_the_token_of_the_whole_fleet() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    let layer = layer(&process(&issuer, &store));
    layer.handle().token().await.unwrap();
    assert_eq!(layer.handle().refresh().await.unwrap().expose_secret(), "token-2");
    assert_eq!(fetch(&process(&issuer, &store)).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn f3_fifty_layers_survive_a_server_that_keeps_one_token_per_client() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    issuer.set(|settings| settings.lifetime = Some(40 * SECOND));
    let layers: Vec<_> = (0..50).map(|_| layer(&process(&issuer, &store))).collect();
    let (_, api) = api(&issuer, Duration::from_millis(5));
    let mut newest = 0;
    for _ in 0..120 {
        for layer in &layers {
            let response = layer.layer(api.clone()).oneshot(get("/")).await.unwrap();
            assert_eq!(response.status(), 200);
            if issuer.requests() > newest {
                newest = issuer.requests();
                issuer.keep_only_the_newest();
            }
        }
        sleep(SECOND / 2).await;
    }
    // A minute and a half of tokens that are renewed after 26 to 32 s.
    assert!(issuer.requests() <= 5, "{}", issuer.requests());
}

#[tokio::test(start_paused = true)]
async fn f3_a_store_that_still_has_the_rejected_token_is_done_without() {
    let (issuer, store) = (Issuer::new(), Faulty::default());
    let process = process(&issuer, &store);
    fetch(&process).await.unwrap();
    store.set(Fault::Forgets("retire"));
    assert_eq!(fetch_after(&process, "token-1").await.unwrap(), "token-2");
    let request = FetchRequest::new();
    assert_eq!(process.fetch(request).await.unwrap().expose_secret(), "token-1", "nobody else knows");
}
