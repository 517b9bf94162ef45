//! The span of a fetch says whether a shared token was found, fetched or done without, and why; and no secret.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "tokio's clock is paused")]

use std::time::Duration;

use tokio::time::advance;
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    fleet::{Lookup, MemoryStore, SealedToken, SharedTokenSource, StoreFuture, TokenStore},
    token::{AccessToken, source_fn},
};

use crate::support::{
    ORIGIN,
    secrets::{Ears, SECRET, TOKEN},
};

/// A store that is down.
struct Down;

impl TokenStore for Down {
    fn read_or_lease<'a>(&'a self, _key: &'a str, _owner: &'a str, _lease: Duration) -> StoreFuture<'a, Lookup> {
        Box::pin(async { Err::<_, BoxError>("a reason of the store's".into()) })
    }

    fn renew<'a>(&'a self, _key: &'a str, _owner: &'a str, _lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    fn publish<'a>(&'a self, _key: &'a str, _owner: &'a str, _token: &'a SealedToken) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    fn retire<'a>(&'a self, _key: &'a str, _fingerprint: &'a str, _tombstone: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(false) })
    }
}

fn layer(store: impl TokenStore) -> AuthLayer {
    let inner = source_fn(|_| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        AccessToken::new(TOKEN, Some(Duration::from_secs(100)))
    });
    let source = SharedTokenSource::builder(inner, store).credentials(&Credentials::new("id", SECRET)).identity("a");
    AuthLayer::builder(source.build().unwrap()).origin(ORIGIN).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn f4_the_span_of_a_fetch_says_what_came_of_the_store() {
    let (ears, _guard) = Ears::of_this_thread();
    let store = MemoryStore::new();
    let (first, second) = (layer(store.clone()), layer(store.clone()));
    let tokens = tokio::join!(async { first.handle().token().await }, async { second.handle().token().await });
    assert!(tokens.0.is_ok() && tokens.1.is_ok());
    layer(store).handle().token().await.unwrap();
    let heard = ears.heard();
    let closed = |what: &str| heard.lines().filter(|line| line.contains(": close") && line.contains(what)).count();
    assert_eq!(
        ["fleet=\"led\"", "fleet=\"followed\"", "fleet=\"hit\"", "degraded"].map(closed),
        [1, 1, 1, 0],
        "{heard}"
    );
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn f4_a_store_that_fails_is_a_warning_once_per_pause_and_a_reason_in_every_span() {
    let (ears, _guard) = Ears::of_this_thread();
    let layer = layer(Down);
    for _ in 0..3 {
        layer.handle().refresh().await.unwrap();
        advance(Duration::from_millis(200)).await;
    }
    let heard = ears.heard();
    let warnings: Vec<_> = heard.lines().filter(|line| line.contains("WARN")).collect();
    assert!(warnings.len() <= 2, "{warnings:?}");
    assert!(
        warnings[0].contains("the token store failed") && warnings[0].contains("a reason of the store's"),
        "{heard}"
    );
    for reason in ["the token store failed", "the token store failed a moment ago"] {
        let told = format!("fleet=\"degraded\" fleet_reason=\"{reason}\"");
        assert!(heard.lines().any(|line| line.contains(": close") && line.contains(&told)), "{told} in {heard}");
    }
    ears.check();
}
