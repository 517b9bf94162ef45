//! F1, F2: the lease.

use std::time::Duration;

use tokio::time::{advance, sleep};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, ErrorKind,
    fleet::MemoryStore,
    token::{FetchRequest, TokenSource},
};

use super::{
    stage::{Fault, Faulty, SECOND, all, builder, fetch, layer, process},
    support::{Issuer, api, get},
};

#[tokio::test(start_paused = true)]
async fn f1_fifty_processes_start_with_one_token_request() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    let processes: Vec<_> = (0..50).map(|_| process(&issuer, &store)).collect();
    let tokens = all(&processes, None).await;
    assert_eq!((tokens.len(), issuer.requests()), (50, 1));
    assert!(tokens.iter().all(|token| token == "token-1"));
}

#[tokio::test(start_paused = true)]
async fn f1_fifty_layers_pay_one_token_request_for_each_lifetime() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    issuer.set(|settings| settings.lifetime = Some(100 * SECOND));
    let (_, api) = api(&issuer, Duration::from_millis(5));
    let layers: Vec<_> = (0..50).map(|_| layer(&process(&issuer, &store))).collect();
    for _ in 0..600 {
        for layer in &layers {
            assert_eq!(layer.layer(api.clone()).oneshot(get("/")).await.unwrap().status(), 200);
        }
        sleep(SECOND / 2).await;
    }
    // Five and a half minutes: a token is renewed after 65 to 80 of its 100 s.
    assert!((4..=9).contains(&issuer.requests()), "{}", issuer.requests());
}

#[tokio::test(start_paused = true)]
async fn f1_a_second_process_starts_with_one_look_into_the_store() {
    let (issuer, store) = (Issuer::new(), Faulty::default());
    fetch(&process(&issuer, &store)).await.unwrap();
    let before = store.uses().len();
    assert_eq!(fetch(&process(&issuer, &store)).await.unwrap(), "token-1");
    assert_eq!(store.uses()[before..], ["read_or_lease"]);
}

#[tokio::test(start_paused = true)]
async fn f1_a_token_is_replaced_after_65_percent_of_its_lifetime() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    issuer.set(|settings| settings.lifetime = Some(100 * SECOND));
    let process = process(&issuer, &store);
    assert_eq!(fetch(&process).await.unwrap(), "token-1");
    advance(64 * SECOND).await;
    assert_eq!(fetch(&process).await.unwrap(), "token-1");
    advance(2 * SECOND).await;
    assert_eq!(fetch(&process).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn f2_a_token_from_the_store_has_the_life_that_is_left() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    issuer.set(|settings| settings.lifetime = Some(100 * SECOND));
    process(&issuer, &store).fetch(FetchRequest::new()).await.unwrap();
    advance(40 * SECOND).await;
    let token = process(&issuer, &store).fetch(FetchRequest::new()).await.unwrap();
    let left = token.expires_in().unwrap();
    assert!(left <= 60 * SECOND && left > 59 * SECOND, "{left:?}");
    advance(60 * SECOND).await;
    assert_eq!(token.expires_in(), Some(Duration::ZERO));
    assert_eq!(fetch(&process(&issuer, &store)).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn f2_a_token_without_a_lifetime_is_shared_for_five_minutes() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    issuer.set(|settings| settings.lifetime = None);
    let own = process(&issuer, &store).fetch(FetchRequest::new()).await.unwrap();
    assert_eq!(own.expires_in(), None, "who fetched it knows nothing of its end");
    let token = process(&issuer, &store).fetch(FetchRequest::new()).await.unwrap();
    let left = token.expires_in().unwrap();
    assert!(left <= 300 * SECOND && left > 299 * SECOND, "{left:?}");
    advance(300 * SECOND).await;
    assert_eq!(fetch(&process(&issuer, &store)).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn f2_a_holder_that_dies_is_replaced_within_five_seconds() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    issuer.set(|settings| settings.latency = 60 * SECOND);
    let dead = process(&issuer, &store);
    let task = tokio::spawn(async move { fetch(&dead).await });
    sleep(SECOND).await;
    task.abort();
    issuer.set(|settings| settings.latency = SECOND / 100);
    let start = tokio::time::Instant::now();
    assert_eq!(fetch(&process(&issuer, &store)).await.unwrap(), "token-2");
    assert!(start.elapsed() <= 5 * SECOND && start.elapsed() > 2 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn f2_a_slow_fetch_keeps_its_lease_and_the_others_wait() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    issuer.set(|settings| settings.latency = 9 * SECOND);
    let processes: Vec<_> = (0..5).map(|_| process(&issuer, &store)).collect();
    assert_eq!(all(&processes, None).await, ["token-1"; 5]);
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn f2_nobody_waits_for_another_process_for_longer_than_ten_seconds() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    issuer.set(|settings| settings.latency = 25 * SECOND);
    let leader = process(&issuer, &store);
    let leads = tokio::spawn(async move { fetch(&leader).await });
    sleep(SECOND).await;
    issuer.set(|settings| settings.latency = SECOND);
    let start = tokio::time::Instant::now();
    assert_eq!(fetch(&process(&issuer, &store)).await.unwrap(), "token-2");
    let took = start.elapsed();
    assert!(took > 10 * SECOND && took < 12 * SECOND, "{took:?}");
    assert_eq!(leads.await.unwrap().unwrap(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn f2_a_failed_fetch_hands_the_lease_on_at_once() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Unavailable, "busy")));
    assert_eq!(process(&issuer, &store).fetch(FetchRequest::new()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    issuer.set(|settings| settings.failure = None);
    let start = tokio::time::Instant::now();
    assert_eq!(fetch(&process(&issuer, &store)).await.unwrap(), "token-2");
    assert!(start.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn f2_a_holder_that_was_stopped_publishes_nothing() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    let mut late = Box::pin({
        let process = process(&issuer, &store);
        async move { fetch(&process).await }
    });
    // It begins its fetch, and then is not run any more.
    assert!(tokio::time::timeout(SECOND / 100, &mut late).await.is_err());
    advance(5 * SECOND).await;
    assert_eq!(fetch(&process(&issuer, &store)).await.unwrap(), "token-2");
    assert_eq!(late.await.unwrap(), "token-1", "it keeps its token for itself");
    assert_eq!(fetch(&process(&issuer, &store)).await.unwrap(), "token-2", "the newer token is still there");
}

#[tokio::test(start_paused = true)]
async fn f1_layers_over_clones_of_one_source_wait_as_one() {
    let (issuer, store) = (Issuer::new(), Faulty::default());
    issuer.set(|settings| settings.latency = 5 * SECOND);
    let leader = process(&issuer, &store);
    let leads = tokio::spawn(async move { fetch(&leader).await });
    sleep(SECOND).await;
    let before = store.count("read_or_lease");
    let source = process(&issuer, &store);
    let clones: Vec<_> = (0..20).map(|_| source.clone()).collect();
    assert_eq!(all(&clones, None).await, ["token-1"; 20]);
    let polls = store.count("read_or_lease") - before;
    assert!(polls < 4_000 / 25 + 20, "{polls} looks");
    assert_eq!((leads.await.unwrap().unwrap(), issuer.requests()), ("token-1".to_owned(), 1));
}

#[tokio::test(start_paused = true)]
async fn f2_a_new_process_takes_an_old_token_when_the_server_is_down() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    issuer.set(|settings| settings.lifetime = Some(100 * SECOND));
    let old = process(&issuer, &store);
    fetch(&old).await.unwrap();
    advance(70 * SECOND).await;
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Unavailable, "busy")));
    assert_eq!(fetch(&process(&issuer, &store)).await.unwrap(), "token-1");
    assert!(fetch(&old).await.is_err(), "it has that token already, and should learn that there is no new one");
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "the client is locked")));
    assert!(fetch(&process(&issuer, &store)).await.is_err(), "a refusal is a refusal");
}

#[tokio::test(start_paused = true)]
async fn f2_the_life_that_is_left_is_counted_from_the_question_and_not_from_the_answer() {
    let (issuer, store) = (Issuer::new(), Faulty::default());
    issuer.set(|settings| settings.lifetime = Some(100 * SECOND));
    fetch(&process(&issuer, &store)).await.unwrap();
    store.set(Fault::AnswersLate);
    let token = process(&issuer, &store).fetch(FetchRequest::new()).await.unwrap();
    assert!(token.expires_in().unwrap() <= Duration::from_millis(99_800), "{token:?}");
}

#[tokio::test(start_paused = true)]
async fn f1_a_store_that_shows_a_token_only_after_it_gave_the_lease_costs_no_token_request() {
    let (issuer, store) = (Issuer::new(), Faulty::default());
    fetch(&process(&issuer, &store)).await.unwrap();
    store.set(Fault::SeesLate);
    assert_eq!(fetch(&process(&issuer, &store)).await.unwrap(), "token-1");
    assert_eq!((issuer.requests(), store.uses().last()), (1, Some(&"release")));
}

#[tokio::test(start_paused = true)]
async fn f7_a_token_that_was_fetched_during_a_rotation_is_not_published() {
    let (issuer, store) = (Issuer::new(), Faulty::default());
    issuer.set(|settings| settings.latency = SECOND);
    let process = process(&issuer, &store);
    let fetching = tokio::spawn(async move { fetch(&process).await });
    sleep(SECOND / 2).await;
    issuer.rotate();
    assert_eq!(fetching.await.unwrap().unwrap(), "token-1");
    assert_eq!((store.count("publish"), store.count("release")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn f1_scope_and_response_fields_are_shared_too() {
    let store = MemoryStore::new();
    let source = || {
        let inner = tower_outbound_auth::token::source_fn(|_| async {
            let token = tower_outbound_auth::token::AccessToken::new("abc", Some(100 * SECOND))?;
            Ok(token.with_scope("read").with_response_field("instance_url", "https://eu7.example.com"))
        });
        let builder = tower_outbound_auth::fleet::SharedTokenSource::builder(inner, store.clone());
        builder.sealing_key("key", None).identity("a").build().unwrap()
    };
    source().fetch(FetchRequest::new()).await.unwrap();
    let token = source().fetch(FetchRequest::new()).await.unwrap();
    assert_eq!(token.scope(), Some("read"));
    assert_eq!(token.response_field("instance_url"), Some("https://eu7.example.com"));
}

#[tokio::test(start_paused = true)]
async fn f1_settings_that_cannot_work_are_refused() {
    use tower_outbound_auth::{Credentials, fleet::SharedTokenSource};
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    let config = |built: Result<SharedTokenSource<Issuer>, AuthError>| built.unwrap_err().kind() == ErrorKind::Config;
    let start = || SharedTokenSource::builder(issuer.clone(), store.clone());
    assert!(config(start().identity("a").build()), "no key");
    assert!(config(start().sealing_key("key", None).build()), "no identity");
    assert!(config(start().sealing_key("", None).identity("a").build()));
    assert!(config(start().sealing_key("key", Some(String::new().into())).identity("a").build()));
    assert!(config(start().credentials(&Credentials::without_secret("id")).identity("a").build()));
    assert!(config(start().sealing_key("key", None).identity("").build()));
    assert!(config(builder(&issuer, &store).lease(Duration::ZERO).build()));
    assert!(start().credentials(&Credentials::new("id", "secret")).identity("a").build().is_ok());
}
