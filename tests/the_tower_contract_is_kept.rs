//! The layer works inside and outside of other Tower layers: no service is called before it is ready, and nothing hangs.
#![expect(clippy::disallowed_methods, reason = "the tests sleep on paused time")]
#![expect(clippy::unwrap_used, reason = "a counterpart in a test may panic")]

#[path = "the_tower_contract_is_kept/errors.rs"]
mod errors;
#[path = "the_tower_contract_is_kept/not_send.rs"]
mod not_send;
#[path = "the_tower_contract_is_kept/redirects.rs"]
mod redirects;
mod support;

use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use support::{Answering, Body, Issuer, Seen, answer, get};
use tokio::time::{sleep, timeout};
use tower::{
    Layer, Service, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit, load_shed::LoadShed, retry::Retry,
    timeout::Timeout,
};
use tower_http::follow_redirect::FollowRedirect;
use tower_outbound_auth::{AuthLayer, BoxError};
use tower_test::mock;

/// An API that takes the tokens of its issuer, and counts every call of an instance that was not ready.
struct Strict {
    issuer: Issuer,
    shared: Arc<Shared>,
    /// Whether a new instance says `Pending` first.
    hesitates: bool,
    readiness: Readiness,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Seen,
    violations: AtomicUsize,
    /// So many of the next requests are answered with 503.
    unavailable: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Unasked,
    Hesitating,
    Ready,
}

impl Strict {
    fn new(issuer: &Issuer, hesitates: bool) -> Self {
        Self { issuer: issuer.clone(), shared: Arc::default(), hesitates, readiness: Readiness::Unasked }
    }
}

/// A clone has to be made ready by itself.
impl Clone for Strict {
    fn clone(&self) -> Self {
        let (issuer, shared) = (self.issuer.clone(), Arc::clone(&self.shared));
        Self { issuer, shared, hesitates: self.hesitates, readiness: Readiness::Unasked }
    }
}

impl Service<Request<Body>> for Strict {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.hesitates && self.readiness == Readiness::Unasked {
            self.readiness = Readiness::Hesitating;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.readiness = Readiness::Ready;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        if self.readiness != Readiness::Ready {
            self.shared.violations.fetch_add(1, SeqCst);
        }
        self.readiness = Readiness::Unasked;
        self.shared.seen.push(&request);
        let unavailable = self.shared.unavailable.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        let issuer = self.issuer.clone();
        Box::pin(async move {
            sleep(Duration::from_millis(10)).await;
            let known = issuer.knows(request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap());
            Ok(answer(match (unavailable, known) {
                (true, _) => StatusCode::SERVICE_UNAVAILABLE,
                (false, true) => StatusCode::OK,
                (false, false) => StatusCode::UNAUTHORIZED,
            }))
        })
    }
}

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

/// Cold, warm, and five times rejected and sent again: every call succeeds, and on services that are ready alone.
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
    let sent_again = shared.seen.count() - 7 * how.at_once;
    assert!(sent_again >= 5, "each revocation had a request sent again: {sent_again}");
}

/// Tries once more, up to three times, if the API is unavailable.
#[derive(Clone)]
struct Again(usize);

impl tower::retry::Policy<Request<Body>, Response<Body>, BoxError> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _request: &mut Request<Body>,
        result: &mut Result<Response<Body>, BoxError>,
    ) -> Option<Ready<()>> {
        let again = result.as_ref().is_ok_and(|response| response.status() == StatusCode::SERVICE_UNAVAILABLE);
        self.0 = self.0.checked_sub(1)?;
        again.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

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

#[tokio::test(start_paused = true)]
async fn s9_the_permit_of_the_first_request_is_given_back_before_the_second_asks_for_one() {
    let issuer = Issuer::new();
    let layer = issuer.layer();
    layer.handle().token().await.unwrap();
    let shed = LoadShed::new(ConcurrencyLimit::new(Strict::new(&issuer, false), 1));
    let call = tokio::spawn(layer.layer(shed).oneshot(get("/a")));
    tokio::task::yield_now().await;
    // The newer token is there when the rejection comes, so that nothing is waited for in between.
    issuer.revoke();
    issuer.set(|settings| settings.latency = Duration::ZERO);
    layer.handle().refresh().await.unwrap();
    assert_eq!(call.await.unwrap().unwrap().status(), 200, "load is not shed");
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn s9_the_second_request_waits_until_the_service_is_ready() {
    let issuer = Issuer::new();
    let (api, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    handle.allow(1);
    let call = tokio::spawn(issuer.layer().layer(api).oneshot(get("/a")));
    let (first, respond) = handle.next_request().await.unwrap();
    assert_eq!(first.headers().get(AUTHORIZATION).unwrap(), "Bearer token-1");
    respond.send_response(answer(StatusCode::UNAUTHORIZED));
    sleep(Duration::from_secs(10)).await;
    assert!(!call.is_finished(), "the service is not ready again");
    handle.allow(1);
    let (second, respond) = handle.next_request().await.unwrap();
    assert_eq!(second.headers().get(AUTHORIZATION).unwrap(), "Bearer token-2");
    respond.send_response(answer(StatusCode::OK));
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn s9_a_service_that_fails_to_get_ready_again_fails_the_request() {
    let (api, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    handle.allow(1);
    let call = tokio::spawn(Issuer::new().layer().layer(api).oneshot(get("/a")));
    let (_, respond) = handle.next_request().await.unwrap();
    handle.send_error("the connection is gone");
    respond.send_response(answer(StatusCode::UNAUTHORIZED));
    assert_eq!(call.await.unwrap().unwrap_err().to_string(), "the connection is gone");
}

#[tokio::test(start_paused = true)]
async fn s9_a_parked_request_goes_to_the_instance_that_was_made_ready() {
    let issuer = Issuer::new();
    let api = Strict::new(&issuer, true);
    let shared = Arc::clone(&api.shared);
    let mut client = issuer.layer().layer(api);
    // Two calls of one client, the second made ready while the first is parked.
    let first = client.ready().await.unwrap().call(get("/a"));
    let second = client.ready().await.unwrap().call(get("/b"));
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap().status(), second.unwrap().status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!((shared.violations.load(SeqCst), shared.seen.count()), (0, 2));
}
