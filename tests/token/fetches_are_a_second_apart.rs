//! However short tokens live, they are used for a second each, and fetches are a second apart.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use http::{Request, StatusCode, header::AUTHORIZATION};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthLayer, BoxError,
    token::{AccessToken, RefreshPolicy, source_fn},
};

use crate::support::{Body, Issuer, ORIGIN, answer, api, get};

/// An authorization server that notes when it is asked and when it answers.
#[derive(Clone)]
struct Server {
    start: Instant,
    latency: Duration,
    lifetime: Duration,
    asked: Arc<Mutex<Vec<Duration>>>,
    answered: Arc<Mutex<Vec<Duration>>>,
}

impl Server {
    fn new(lifetime: Duration, latency: Duration) -> Self {
        Self { start: Instant::now(), latency, lifetime, asked: Arc::default(), answered: Arc::default() }
    }

    fn layer(&self) -> AuthLayer {
        let server = self.clone();
        let source = source_fn(move |_| {
            let server = server.clone();
            server.asked.lock().unwrap().push(server.start.elapsed());
            async move {
                sleep(server.latency).await;
                let mut answered = server.answered.lock().unwrap();
                answered.push(server.start.elapsed());
                AccessToken::new((answered.len() - 1).to_string(), Some(server.lifetime))
            }
        });
        AuthLayer::builder(source).origin(ORIGIN).refresh(RefreshPolicy::default().jitter(0.0)).build().unwrap()
    }

    fn asked(&self) -> Vec<Duration> {
        self.asked.lock().unwrap().clone()
    }

    /// When this token came, by its `Authorization`.
    fn came(&self, request: &Request<Body>) -> Duration {
        let bearer = request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap();
        let number: usize = bearer.trim_start_matches("Bearer ").parse().unwrap();
        self.answered.lock().unwrap().get(number).copied().unwrap()
    }

    /// Calls every 10 ms for so long, of an API that takes a token for `accepted_for` after it came: how many failed.
    async fn load(&self, accepted_for: Duration, lasting: Duration) -> usize {
        let server = self.clone();
        let api = service_fn(move |request: Request<Body>| {
            let age = server.start.elapsed().saturating_sub(server.came(&request));
            let status = if age < accepted_for { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            async move { Ok::<_, BoxError>(answer(status)) }
        });
        let client = self.layer().layer(api);
        let mut calls = Vec::new();
        while self.start.elapsed() < lasting {
            calls.push(tokio::spawn(client.clone().oneshot(get("/a"))));
            sleep(Duration::from_millis(10)).await;
        }
        let mut failed = 0;
        for call in calls {
            failed += usize::from(call.await.unwrap().unwrap().status() != StatusCode::OK);
        }
        failed
    }
}

#[tokio::test(start_paused = true)]
async fn t6_fetches_of_short_lived_tokens_are_a_second_apart() {
    for lifetime in [0, 1, 100, 999, 1_000, 1_100, 1_300].map(Duration::from_millis) {
        for latency in [0, 50, 700].map(Duration::from_millis) {
            let server = Server::new(lifetime, latency);
            let failed = server.load(Duration::MAX, Duration::from_secs(10)).await;
            assert_eq!(failed, 0, "tokens of {lifetime:?} that take {latency:?}");
            let asked = server.asked();
            let case = format!("tokens of {lifetime:?} that take {latency:?}: asked at {asked:?}");
            assert!(asked.is_sorted_by(|earlier, later| *later >= *earlier + Duration::from_secs(1)), "{case}");
            assert!(asked.len() >= 5, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t6_a_token_that_comes_when_its_life_is_over_is_used_for_a_second() {
    let server = Server::new(Duration::ZERO, Duration::from_secs(5));
    let layer = server.layer();
    let handle = layer.handle();
    let token = handle.token().await.unwrap();
    for _ in 0..9 {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(handle.token().await.unwrap().expose_secret(), token.expose_secret());
    }
    sleep(Duration::from_millis(110)).await;
    assert_ne!(handle.token().await.unwrap().expose_secret(), token.expose_secret());
}

#[tokio::test(start_paused = true)]
async fn t6_an_early_refresh_begins_a_second_after_the_token_came_and_not_before() {
    // Stale after 0.9 s, usable for 1.08 s: a refresh at 1 s is early all the same.
    let server = Server::new(Duration::from_millis(1_200), Duration::from_millis(20));
    let failed = server.load(Duration::MAX, Duration::from_secs(5)).await;
    assert_eq!(failed, 0);
    let came = server.answered.lock().unwrap().clone();
    for (came, asked) in came.iter().zip(server.asked().iter().skip(1)) {
        let age = asked.saturating_sub(*came);
        assert!((1_000..=1_020).contains(&age.as_millis()), "a refresh of a token of {age:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn t6_a_token_of_two_seconds_is_used_for_most_of_them() {
    let server = Server::new(Duration::from_secs(2), Duration::from_millis(50));
    let failed = server.load(Duration::from_secs(2), Duration::from_secs(60)).await;
    assert_eq!(failed, 0, "none was sent after its end");
    assert!((35..=42).contains(&server.asked().len()), "{} token requests in a minute", server.asked().len());
}

#[tokio::test(start_paused = true)]
async fn t6_an_api_that_rejects_a_token_at_its_end_costs_no_more_than_the_renewal_budget() {
    let lifetime = Duration::from_millis(300);
    let server = Server::new(lifetime, Duration::from_millis(20));
    server.load(lifetime, Duration::from_secs(60)).await;
    // One in each second, and what rejections may cause at the most.
    let asked = server.asked().len();
    assert!(asked <= 60 + 250, "{asked} token requests in a minute");
}

#[tokio::test(start_paused = true)]
async fn t6_a_token_without_any_lifetime_serves_everyone_who_waited_for_it() {
    for lifetime in [Duration::ZERO, Duration::from_nanos(1)] {
        let issuer = Issuer::new();
        issuer.set(|settings| settings.lifetime = Some(lifetime));
        let (seen, api) = api(&issuer, Duration::ZERO);
        let client = issuer.layer().layer(api);
        for round in 1..=3 {
            let calls: Vec<_> = (0..100).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
            for call in calls {
                assert_eq!(call.await.unwrap().unwrap().status(), 200);
            }
            sleep(Duration::from_millis(1_100)).await;
            assert_eq!(issuer.requests(), round, "tokens of {lifetime:?}");
            assert_eq!(seen.tokens().iter().filter(|token| **token == format!("token-{round}")).count(), 100);
        }
    }
}

/// What a caller gets who begins a fetch and looks again after so long, and how many token requests that takes.
async fn late(lifetime: Duration, after: Duration) -> (String, u64) {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.lifetime = Some(lifetime));
    let handle = issuer.layer().handle();
    let mut call = pin!(handle.token());
    poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
    sleep(after).await;
    (call.await.unwrap().expose_secret().to_owned(), issuer.requests())
}

#[tokio::test(start_paused = true)]
async fn t5_a_caller_that_comes_late_for_its_token_gets_no_expired_one() {
    // The token comes after 50 ms. The bounds are not tried closely, as the wall clock runs on while tokio's is paused.
    for (lifetime, after, token) in [(2_000, 1_500, 1), (2_000, 1_900, 2), (500, 700, 1), (0, 700, 1), (0, 1_100, 2)] {
        let expected = (format!("token-{token}"), token);
        let case = format!("{after} ms after it asked for a token of {lifetime} ms");
        assert_eq!(late(Duration::from_millis(lifetime), Duration::from_millis(after)).await, expected, "{case}");
    }
}
