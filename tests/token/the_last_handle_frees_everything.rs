//! Once the last handle of a layer is dropped, nothing of it remains but a fetch that may end.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, task::yield_now, time::sleep};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer,
    token::{AccessToken, FetchRequest, TokenSource},
};

use crate::support::{Issuer, ORIGIN, api, get};

/// A source that can be seen to be gone.
struct Watched {
    issuer: Issuer,
    _alive: Arc<()>,
}

impl TokenSource for Watched {
    fn fetch(
        &self,
        request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        self.issuer.fetch(request)
    }
}

fn watched(issuer: &Issuer) -> (Weak<()>, AuthLayer) {
    let alive = Arc::new(());
    let watch = Arc::downgrade(&alive);
    let source = Watched { issuer: issuer.clone(), _alive: alive };
    (watch, AuthLayer::builder(source).origin(ORIGIN).build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn t12_when_the_last_handle_goes_during_a_fetch_nothing_remains_after_it() {
    let issuer = Issuer::new();
    let (watch, layer) = watched(&issuer);
    let (_, api) = api(&issuer, Duration::ZERO);
    let client = layer.clone().layer(api);
    let call = tokio::spawn(client.clone().oneshot(get("/a")));
    sleep(Duration::from_millis(10)).await;
    call.abort();
    drop((call, client, layer));
    sleep(Duration::from_millis(50)).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    assert_eq!(watch.strong_count(), 0, "the token source is still held");
}

#[tokio::test(start_paused = true)]
async fn t12_when_the_last_handle_goes_between_fetches_all_is_freed_at_once() {
    let issuer = Issuer::new();
    let (watch, layer) = watched(&issuer);
    let handle = layer.handle();
    let token = handle.token().await.unwrap();
    let warm = handle.keep_warm();
    sleep(Duration::from_secs(7200)).await;
    drop((layer, handle));
    assert_eq!(watch.strong_count(), 1, "it is still kept warm");
    drop(warm);
    yield_now().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    assert_eq!(watch.strong_count(), 0, "the token source is still held");
    assert_eq!(token.expires_in(), Some(Duration::ZERO), "a token outlives its layer, and knows its age");
}
