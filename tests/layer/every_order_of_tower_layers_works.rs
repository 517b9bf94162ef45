//! The layer works inside and outside of other Tower layers: no service is called before it is ready, and nothing hangs.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use http::{Request, Response};
use tokio::time::{sleep, timeout};
use tower::{
    Layer, Service, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit, load_shed::LoadShed, retry::Retry,
    timeout::Timeout,
};
use tower_http::follow_redirect::FollowRedirect;
use tower_outbound_auth::{AuthLayer, BoxError};

use crate::{
    strict_api::{Again, PATIENCE, Strict},
    support::{Body, Issuer, get},
};

/// What a test does with a client: how many calls at once, and whether its API is unavailable now and then.
#[derive(Clone, Copy)]
struct Use {
    at_once: usize,
    flaky: bool,
    hesitates: bool,
}

const MANY: Use = Use { at_once: 20, flaky: false, hesitates: true };
/// `LoadShed` refuses a second call at a time, and a service that hesitates.
const ONE_BY_ONE: Use = Use { at_once: 1, flaky: false, hesitates: false };
const FLAKY: Use = Use { at_once: 20, flaky: true, hesitates: true };

/// Cold, warm, and five times rejected and replayed: every call succeeds, and no service is called before it is ready.
async fn lives<C>(how: Use, make: impl FnOnce(AuthLayer, Strict) -> C)
where
    C: Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone + Send + 'static,
{
    let issuer = Issuer::new();
    let api = Strict::new(&issuer, how.hesitates);
    let shared = Arc::clone(&api.shared);
    let client = make(issuer.layer(), api);
    for round in 0..7 {
        if round > 1 {
            // r5: the renewal budget is given back a second after the new token was first accepted.
            sleep(Duration::from_secs(2)).await;
            issuer.revoke();
        }
        if how.flaky {
            shared.unavailable.store(3, SeqCst);
        }
        let calls: Vec<_> = (0..how.at_once).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
        for call in calls {
            let ended = timeout(Duration::from_secs(60), call).await;
            assert!(ended.is_ok(), "a call of round {round} hangs");
            assert_eq!(ended.unwrap().unwrap().unwrap().status(), 200, "round {round}");
        }
    }
    assert_eq!(shared.violations.load(SeqCst), 0, "calls of a service that was not ready");
    assert_eq!(issuer.requests(), 6);
    let replays = shared.seen.count() - 7 * how.at_once;
    assert!(replays >= 5, "each revocation had a request replayed: {replays}");
}

#[tokio::test(start_paused = true)]
async fn s9_alone() {
    lives(MANY, |layer, api| layer.layer(api)).await;
}

#[tokio::test(start_paused = true)]
async fn s9_with_one_permit_inside_and_outside() {
    lives(MANY, |layer, api| layer.layer(ConcurrencyLimit::new(api, 1))).await;
    lives(MANY, |layer, api| ConcurrencyLimit::new(layer.layer(api), 1)).await;
    lives(MANY, |layer, api| ConcurrencyLimit::new(layer.layer(ConcurrencyLimit::new(api, 1)), 1)).await;
}

#[tokio::test(start_paused = true)]
async fn s9_with_a_buffer_of_one_inside_and_outside() {
    lives(MANY, |layer, api| layer.layer(Buffer::new(api, 1))).await;
    lives(MANY, |layer, api| Buffer::new(layer.layer(api), 1)).await;
    lives(MANY, |layer, api| layer.layer(Buffer::new(ConcurrencyLimit::new(api, 1), 1))).await;
    lives(MANY, |layer, api| Buffer::new(layer.layer(ConcurrencyLimit::new(api, 1)), 1)).await;
    lives(MANY, |layer, api| Buffer::new(layer.layer(Buffer::new(api, 1)), 1)).await;
}

#[tokio::test(start_paused = true)]
async fn s9_with_load_shed_inside_and_outside() {
    lives(ONE_BY_ONE, |layer, api| layer.layer(LoadShed::new(api))).await;
    lives(ONE_BY_ONE, |layer, api| LoadShed::new(layer.layer(api))).await;
    // It would refuse the second request if the first still held the permit.
    lives(ONE_BY_ONE, |layer, api| layer.layer(LoadShed::new(ConcurrencyLimit::new(api, 1)))).await;
    lives(ONE_BY_ONE, |layer, api| LoadShed::new(ConcurrencyLimit::new(layer.layer(api), 1))).await;
}

#[tokio::test(start_paused = true)]
async fn s9_with_retry_inside_and_outside() {
    lives(FLAKY, |layer, api| layer.layer(Retry::new(Again(3), api))).await;
    lives(FLAKY, |layer, api| Retry::new(Again(3), layer.layer(api))).await;
    lives(FLAKY, |layer, api| layer.layer(Retry::new(Again(3), ConcurrencyLimit::new(api, 1)))).await;
    lives(FLAKY, |layer, api| Retry::new(Again(3), layer.layer(ConcurrencyLimit::new(api, 1)))).await;
}

#[tokio::test(start_paused = true)]
async fn s9_with_a_timeout_inside_and_outside() {
    lives(MANY, |layer, api| layer.layer(Timeout::new(api, PATIENCE))).await;
    lives(MANY, |layer, api| Timeout::new(layer.layer(api), PATIENCE)).await;
    lives(MANY, |layer, api| Timeout::new(layer.layer(ConcurrencyLimit::new(api, 1)), PATIENCE)).await;
}

#[tokio::test(start_paused = true)]
async fn s9_with_follow_redirect_inside_and_outside() {
    lives(MANY, |layer, api| layer.layer(FollowRedirect::new(api))).await;
    lives(MANY, |layer, api| FollowRedirect::new(layer.layer(api))).await;
    lives(MANY, |layer, api| FollowRedirect::new(layer.layer(ConcurrencyLimit::new(api, 1)))).await;
}

#[tokio::test(start_paused = true)]
async fn s9_in_a_stack_of_all() {
    lives(FLAKY, |layer, api| {
        let inner = Timeout::new(Buffer::new(ConcurrencyLimit::new(api, 1), 1), PATIENCE);
        let client = FollowRedirect::new(Retry::new(Again(3), layer.layer(inner)));
        Buffer::new(Timeout::new(ConcurrencyLimit::new(client, 20), PATIENCE), 1)
    })
    .await;
}
