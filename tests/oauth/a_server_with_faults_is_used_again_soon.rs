//! Faults of an authorization server that end: how soon after their end a caller is served, and what that costs.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, ErrorKind,
    token::{AccessToken, RefreshPolicy, TokenSource, source_fn},
};

use crate::support::{
    ORIGIN, answer, get,
    token_server::{GOOD, builder, endpoint, reply},
};

/// When the authorization server was asked.
type Asked = Arc<Mutex<Vec<Duration>>>;

/// A source whose server answers as the function says at each time.
fn source(
    answer: impl Fn(Duration) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
) -> (Asked, impl TokenSource) {
    let (asked, start) = (Asked::default(), Instant::now());
    let log = Arc::clone(&asked);
    let (_, transport) = endpoint(move |_| {
        log.lock().unwrap().push(start.elapsed());
        Ok(answer(start.elapsed()))
    });
    (asked, builder().transport(transport).build().unwrap())
}

/// Calls every 100 ms until one is served: when that was, and what the others failed with.
async fn served(source: impl TokenSource, policy: RefreshPolicy) -> (Duration, Vec<AuthError>) {
    let api = service_fn(|_| async { Ok::<_, BoxError>(answer(StatusCode::OK)) });
    let client = AuthLayer::builder(source).origin(ORIGIN).refresh(policy).build().unwrap().layer(api);
    let (start, mut errors) = (Instant::now(), Vec::new());
    while let Err(error) = client.clone().oneshot(get("/a")).await {
        errors.push(AuthError::find(error.as_ref()).unwrap().clone());
        assert!(start.elapsed() < Duration::from_secs(3_600), "never served");
        sleep(Duration::from_millis(100)).await;
    }
    (start.elapsed(), errors)
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn t8_an_outage_of_a_minute_is_over_within_another_whatever_it_was_answered_with() {
    for (status, body) in [
        (404, "no such application"),
        (403, "<html>Request blocked</html>"),
        (407, "<html>"),
        (409, ""),
        (410, ""),
        (421, "misdirected"),
        (451, ""),
        (400, r#"{"error":"temporarily_unavailable"}"#),
        (200, r#"{"error":"server_error"}"#),
        (401, r#"{"error":"slow_down"}"#),
        (400, "<html>400 The plain HTTP request was sent to HTTPS port</html>"),
        (502, "<html>"),
        (503, r#"{"error":"invalid_client"}"#),
    ] {
        let (asked, source) =
            source(move |now| if now < MINUTE { reply(status, &[], body) } else { reply(200, &[], GOOD) });
        let (served, errors) = served(source, RefreshPolicy::default()).await;
        assert!((MINUTE..=2 * MINUTE + Duration::from_secs(1)).contains(&served), "{status} {body}: after {served:?}");
        let right = |error: &AuthError| error.kind() == ErrorKind::Unavailable && error.is_transient();
        assert!(errors.iter().all(right), "{status} {body}: {:?}", errors.first());
        let asked = asked.lock().unwrap();
        let in_the_first_fetch = asked.iter().filter(|at| **at < Duration::from_millis(700)).count();
        assert!(in_the_first_fetch >= 3 && asked.len() <= 30, "{status} {body}: asked at {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn t8_a_retry_after_that_is_a_point_in_time_holds_nothing_up() {
    for asked_for in [
        "1771404540",
        "1771404540000",
        "1771404540.5",
        "99999999999999999999",
        "86401",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
    ] {
        for status in [400, 429, 503] {
            let after = move |name: HeaderName| reply(status, &[(name, asked_for)], "");
            let end = Duration::from_secs(5);
            let (_, source) = source(move |now| if now < end { after(RETRY_AFTER) } else { reply(200, &[], GOOD) });
            let (served, errors) = served(source, RefreshPolicy::default()).await;
            assert!(served <= 3 * end, "{status} with {asked_for}: after {served:?}");
            assert!(errors.iter().all(|error| error.retry_after() <= Some(Duration::from_secs(8))), "{errors:?}");
        }
    }
    let (_, source) = source(|now| match now.as_secs() {
        0..5 => reply(429, &[(RETRY_AFTER, "40")], ""),
        _ => reply(200, &[], GOOD),
    });
    let (served, _) = served(source, RefreshPolicy::default()).await;
    assert!((40..42).contains(&served.as_secs()), "one that can be meant is obeyed: after {served:?}");
}

/// The pause after a refusal, where a new secret takes a minute to reach all authorization servers.
fn patient() -> RefreshPolicy {
    RefreshPolicy::default().refusal_backoff(Duration::from_secs(2), Duration::from_secs(20))
}

#[tokio::test(start_paused = true)]
async fn t8_a_secret_that_is_known_after_a_minute_is_used_within_twenty_seconds_where_that_is_set() {
    let soon = MINUTE..=MINUTE + Duration::from_millis(20_200);
    for (status, code) in [(401, "invalid_client"), (400, "invalid_client"), (400, "unauthorized_client")] {
        let refusal = json!({ "error": code }).to_string();
        let (asked, source) =
            source(move |now| if now < MINUTE { reply(status, &[], refusal.clone()) } else { reply(200, &[], GOOD) });
        let (served, errors) = served(source, patient()).await;
        assert!(soon.contains(&served), "after {served:?}");
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::Denied && !error.is_transient()));
        assert!(errors.iter().all(|error| error.retry_after() <= Some(Duration::from_secs(20))));
        let asked = asked.lock().unwrap();
        assert!(
            asked.is_sorted_by(|a, b| *b >= *a + Duration::from_secs(1)) && asked.len() <= 16,
            "asked at {asked:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn t8_the_pause_after_a_refusal_is_also_for_errors_of_other_sources() {
    for kind in [ErrorKind::Denied, ErrorKind::Malformed, ErrorKind::Config] {
        let start = Instant::now();
        let source = source_fn(move |_| async move {
            let is_known = start.elapsed() >= MINUTE;
            if is_known { AccessToken::new("t", None) } else { Err(AuthError::new(kind, "not known here yet")) }
        });
        let (served, _) = served(source, patient()).await;
        assert!((60_000..=80_200).contains(&served.as_millis()), "{kind:?}: after {served:?}");
    }
    // The pause after other failures is another setting.
    let start = Instant::now();
    let source = source_fn(move |_| async move {
        let is_up = start.elapsed() >= MINUTE;
        if is_up { AccessToken::new("t", None) } else { Err(AuthError::new(ErrorKind::Unavailable, "down")) }
    });
    let long = Duration::from_secs(1_000);
    let (served, _) = served(source, patient().failure_backoff(long, long)).await;
    assert!((500..=1_002).contains(&served.as_secs()), "after {served:?}");
}

#[tokio::test(start_paused = true)]
async fn t7_a_lifetime_that_means_nothing_costs_no_token_request_for_each_call() {
    let texts = ["0", "-1", "", "3600s", "soon", "2026-11-28T13:00:00Z", "Sat, 28 Nov 2026 13:00:00 GMT", "null"];
    let odd = [json!(0), json!(-1), json!(-0.0), json!(true), json!([3600]), json!({}), json!(1e-20), json!(0.001)];
    for lifetime in odd.into_iter().chain(texts.map(Value::from)) {
        let body = json!({ "access_token": "t", "expires_in": lifetime }).to_string();
        let (asked, source) = source(move |_| reply(200, &[], body.clone()));
        let api = service_fn(|_| async { Ok::<_, BoxError>(answer(StatusCode::OK)) });
        let client = AuthLayer::builder(source).origin(ORIGIN).build().unwrap().layer(api);
        for _ in 0..20 {
            client.clone().oneshot(get("/a")).await.unwrap();
            sleep(Duration::from_millis(50)).await;
        }
        let asked = asked.lock().unwrap().len();
        assert!((1..=2).contains(&asked), "{lifetime}: {asked} token requests");
    }
}

/// A server that has one token for its client, as long as that lives, and tells its seconds left.
#[tokio::test(start_paused = true)]
async fn t6_a_server_that_gives_the_same_token_until_its_end_is_asked_five_times_in_its_last_two_seconds_at_most() {
    let as_integer: fn(f64) -> Value = |left| json!(left.floor());
    let rounded_up: fn(f64) -> Value = |left| json!(left.ceil());
    let in_quotes: fn(f64) -> Value = |left| json!(left.round().to_string());
    let exactly: fn(f64) -> Value = |left| json!(left);
    for told in [as_integer, rounded_up, in_quotes, exactly] {
        for (lifetime, every) in [(300_u32, 10), (300, 100), (60, 10), (10, 10)] {
            let number = move |now: Duration| 1 + now.as_millis() / u128::from(lifetime * 1_000);
            let start = Instant::now();
            let (asked, source) = source(move |now| {
                let left = f64::from(lifetime) - now.as_secs_f64() % f64::from(lifetime);
                let body = json!({ "access_token": format!("t{}", number(now)), "expires_in": told(left) });
                reply(200, &[], body.to_string())
            });
            let api = service_fn(move |request: http::Request<Full<Bytes>>| {
                let token = format!("Bearer t{}", number(start.elapsed()));
                let is_known = request.headers()["authorization"] == token;
                async move { Ok::<_, BoxError>(answer(if is_known { StatusCode::OK } else { StatusCode::UNAUTHORIZED })) }
            });
            let client = AuthLayer::builder(source).origin(ORIGIN).build().unwrap().layer(api);
            let end = Duration::from_secs(u64::from(lifetime));
            let begin_of_the_end = Duration::from_secs(u64::from(lifetime) - 2);
            while start.elapsed() < end + Duration::from_secs(3) {
                let response = client.clone().oneshot(get("/a")).await.unwrap();
                assert_eq!(response.status(), 200, "a call of {:?}", start.elapsed());
                sleep(Duration::from_millis(every)).await;
            }
            let asked = asked.lock().unwrap();
            let last = asked.iter().filter(|at| (begin_of_the_end..end).contains(*at)).count();
            assert!(last <= 5, "{last} token requests in the last two seconds of {lifetime}");
            assert!(asked.len() <= 40, "{} token requests in all: {asked:?}", asked.len());
        }
    }
}
