//! A token that lives for seconds, or for no time at all, still serves everybody who may have it.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use http::{Request, StatusCode, header::AUTHORIZATION};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt, service_fn, util::ServiceFn};
use tower_outbound_auth::{
    AuthError, AuthLayer,
    token::{AccessToken, FetchRequest, TokenSource},
};

use crate::support::{Answering, Body, Issuer, ORIGIN, answer, api, get};

/// Gives out tokens whose text says when they end, in microseconds.
#[derive(Clone)]
struct Dated {
    start: Instant,
    latency: Duration,
    lifetime: Duration,
    requests: Arc<AtomicU64>,
}

impl Dated {
    fn new(lifetime: Duration, latency: Duration) -> Self {
        Self { start: Instant::now(), latency, lifetime, requests: Arc::default() }
    }

    fn layer(&self) -> AuthLayer {
        AuthLayer::builder(self.clone()).origin(ORIGIN).build().unwrap()
    }

    /// An API that answers 401 to a token after its end.
    fn api(&self) -> ServiceFn<impl Fn(Request<Body>) -> Answering + Clone + use<>> {
        let start = self.start;
        let judge = move |request: Request<Body>| -> Answering {
            let token = request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap();
            let end: u128 = token.rsplit('-').next().unwrap().parse().unwrap();
            let good = start.elapsed().as_micros() < end;
            Box::pin(async move { Ok(answer(if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED })) })
        };
        service_fn(judge)
    }
}

impl TokenSource for Dated {
    fn fetch(
        &self,
        _request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        Box::pin(async {
            self.requests.fetch_add(1, SeqCst);
            sleep(self.latency).await;
            let end = self.start.elapsed() + self.lifetime;
            AccessToken::new(format!("ends-{}", end.as_micros()), Some(self.lifetime))
        })
    }
}

/// Sends a request each millisecond; each has to succeed. Gives the number of token requests.
async fn load(lifetime: Duration, latency: Duration, lasting: Duration) -> u64 {
    let source = Dated::new(lifetime, latency);
    let client = source.layer().layer(source.api());
    let mut calls = Vec::new();
    while source.start.elapsed() < lasting {
        calls.push(tokio::spawn(client.clone().oneshot(get("/a"))));
        sleep(Duration::from_millis(1)).await;
    }
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200, "a token of {lifetime:?} was sent after its end");
    }
    source.requests.load(SeqCst)
}

#[tokio::test(start_paused = true)]
async fn t6_a_token_of_two_seconds_is_used_for_most_of_them() {
    for _ in 0..20 {
        let requests = load(Duration::from_secs(2), Duration::from_millis(50), Duration::from_secs(6)).await;
        assert!((4..=5).contains(&requests), "{requests} token requests in 6 s");
    }
}

#[tokio::test(start_paused = true)]
async fn t6_tokens_shorter_than_their_own_request_fail_no_caller() {
    let second = Duration::from_secs(1);
    for (lifetime, latency, most) in [(1, 0, 1000), (1, 50, 20), (5, 20, 50), (30, 50, 20), (100, 50, 20)] {
        let requests = load(Duration::from_millis(lifetime), Duration::from_millis(latency), second).await;
        assert!(requests <= most, "{requests} token requests for tokens of {lifetime} ms that take {latency} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn t6_a_token_without_any_lifetime_is_used_once_for_all_who_waited() {
    for lifetime in [Duration::ZERO, Duration::from_nanos(1)] {
        let issuer = Issuer::new();
        issuer.set(|settings| settings.lifetime = Some(lifetime));
        let (seen, api) = api(&issuer, Duration::ZERO);
        let client = issuer.layer().layer(api);
        for round in 1..=3 {
            let calls: Vec<_> = (0..100).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
            for call in calls {
                let response = timeout(Duration::from_secs(60), call).await.expect("fetched again and again");
                assert_eq!(response.unwrap().unwrap().status(), 200);
            }
            sleep(Duration::from_secs(1)).await;
            assert_eq!(issuer.requests(), round, "tokens of {lifetime:?}");
            assert_eq!(seen.tokens().iter().filter(|token| **token == format!("token-{round}")).count(), 100);
        }
    }
}

/// What a caller gets who starts a fetch and then is busy elsewhere, and how many token requests that takes.
async fn late(lifetime: Duration) -> (String, u64) {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.lifetime = Some(lifetime));
    let handle = issuer.layer().handle();
    let mut call = pin!(handle.token());
    poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
    sleep(Duration::from_secs(1)).await;
    (call.await.unwrap().expose_secret().to_owned(), issuer.requests())
}

#[tokio::test(start_paused = true)]
async fn t5_a_caller_that_comes_late_for_its_token_gets_no_dead_one() {
    assert_eq!(late(Duration::from_secs(2)).await, ("token-1".to_owned(), 1));
    assert_eq!(late(Duration::from_millis(500)).await, ("token-2".to_owned(), 2));
}

#[tokio::test(start_paused = true)]
async fn t6_a_caller_that_comes_late_for_a_token_without_any_lifetime_may_have_it() {
    assert_eq!(late(Duration::ZERO).await, ("token-1".to_owned(), 1));
}
