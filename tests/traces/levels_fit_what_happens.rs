//! At INFO there is nothing while all goes well, one line for each rejection, and one warning for each backoff.

use std::time::Duration;

use serde_json::json;
use tokio::time::{advance, sleep};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{AuthError, AuthLayer, ErrorKind};
use tracing::level_filters::LevelFilter;

use crate::{
    json::Log,
    support::{
        Issuer, api, get,
        planted::{self, dressed, source, token_number},
        token_server::reply,
    },
};

async fn call(layer: &AuthLayer, issuer: &Issuer) -> u16 {
    let (_, api) = api(issuer, Duration::ZERO);
    layer.layer(api).oneshot(get("/a")).await.map_or(0, |response| response.status().as_u16())
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_at_info_while_all_goes_well() {
    let (log, _guard) = Log::of_this_thread(LevelFilter::INFO);
    let answer = |number| if number == 0 { Ok(reply(503, &[], "")) } else { token_number(number) };
    let layer = dressed(source(answer).build().unwrap()).build().unwrap();
    for pause in [0, 0, 80, 1, 200, 1] {
        sleep(Duration::from_secs(pause)).await;
        layer.layer(planted::api(&[]).1).oneshot(get("/a")).await.unwrap();
    }
    assert_eq!(layer.handle().status().issued, 3, "one fetch with two attempts, an early refresh, a late one");
    let issuer = Issuer::new();
    let layer = issuer.layer();
    for _ in 0..2 {
        assert_eq!(call(&layer, &issuer).await, 200);
        issuer.rotate();
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!((issuer.requests(), log.0.heard().as_str()), (2, ""));
}

#[tokio::test(start_paused = true)]
async fn a_warm_request_writes_nothing_at_any_level() {
    let (log, _guard) = Log::of_this_thread(LevelFilter::TRACE);
    let issuer = Issuer::new();
    let layer = issuer.layer();
    assert_eq!(call(&layer, &issuer).await, 200);
    assert_eq!(log.take_names(), ["DEBUG token obtained", "DEBUG span token_fetch"]);
    for _ in 0..100 {
        assert_eq!(call(&layer, &issuer).await, 200);
    }
    assert_eq!(log.0.heard(), "");
}

#[tokio::test(start_paused = true)]
async fn t8_an_outage_is_one_warning_for_each_backoff() {
    let (log, _guard) = Log::of_this_thread(LevelFilter::INFO);
    let said = json!({ "error": "server_error", "error_description": "the database is away" }).to_string();
    let layer = dressed(source(move |_| Ok(reply(500, &[], said.clone()))).build().unwrap()).name("reports");
    let layer = layer.build().unwrap();
    let fail = || async { layer.layer(planted::api(&[]).1).oneshot(get("/a")).await.unwrap_err() };
    for failures in 1..=3 {
        let waiting = futures_of(100, &fail).await;
        let backoff = waiting.iter().map(|error| error.retry_after().unwrap()).min().unwrap();
        for _ in 0..100 {
            fail().await;
        }
        let lines = log.take();
        let [line] = &lines[..] else { panic!("one line: {lines:#?}") };
        assert_eq!((line.level.as_str(), line.name.as_str()), ("WARN", "token fetch failed"));
        let texts = ["layer", "trigger", "error.type", "description"].map(|field| line.text(field));
        assert_eq!(texts, ["reports", "missing", "unavailable", "the database is away"]);
        assert!(line.text("error").ends_with(": server_error") && line.fields["backoff_ms"].is_u64(), "{line:?}");
        assert_eq!(layer.handle().status().failures, failures);
        advance(backoff).await;
    }
}

/// The errors of so many requests at once.
async fn futures_of<F: Future<Output = tower::BoxError>>(count: usize, fail: &impl Fn() -> F) -> Vec<AuthError> {
    let mut waiting: Vec<_> = (0..count).map(|_| Box::pin(fail())).collect();
    let mut errors = Vec::new();
    for request in &mut waiting {
        // All of them are polled before the first has an answer.
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(request.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
    }
    for request in waiting {
        errors.push(AuthError::find(request.await.as_ref()).unwrap().clone());
    }
    errors
}

#[tokio::test(start_paused = true)]
async fn t4_a_failed_early_refresh_is_a_warning_too() {
    let (log, _guard) = Log::of_this_thread(LevelFilter::INFO);
    let issuer = Issuer::new();
    let layer = issuer.layer();
    assert_eq!(call(&layer, &issuer).await, 200);
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "the client is locked")));
    advance(Duration::from_secs(3_000)).await;
    for _ in 0..100 {
        assert_eq!(call(&layer, &issuer).await, 200);
        sleep(Duration::from_millis(10)).await;
    }
    let lines = log.take();
    let [line] = &lines[..] else { panic!("one line: {lines:#?}") };
    let texts = ["trigger", "error.type", "error"].map(|field| line.text(field));
    assert_eq!(texts, ["stale", "denied", "the client is locked"]);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_is_one_line_at_info() {
    let (log, _guard) = Log::of_this_thread(LevelFilter::INFO);
    let issuer = Issuer::new();
    let layer = issuer.builder().name("reports").build().unwrap();
    assert_eq!(call(&layer, &issuer).await, 200);
    issuer.revoke();
    assert_eq!(call(&layer, &issuer).await, 200);
    let lines = log.take();
    let [line] = &lines[..] else { panic!("one line: {lines:#?}") };
    assert_eq!((line.level.as_str(), line.name.as_str()), ("INFO", "response rejected"));
    let fields = json!({ "layer": "reports", "kind": "token", "action": "replayed", "http.response.status_code": 401 });
    assert_eq!(json!(line.fields), fields);
}

/// Each request is rejected, and one warning has said so.
#[tokio::test(start_paused = true)]
async fn r5_an_api_that_rejects_everything_fills_no_log_at_info() {
    let (log, _guard) = Log::of_this_thread(LevelFilter::INFO);
    let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
    for _ in 0..1_000 {
        let response = layer.layer(planted::api(&[401; 2]).1).oneshot(get("/a")).await.unwrap();
        assert_eq!(response.status(), 401);
    }
    let names = log.take_names();
    let warnings: Vec<_> = names.iter().filter(|name| name.starts_with("WARN")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("as fast as they are renewed"), "{warnings:?}");
    assert!(names.len() <= 9, "{} lines", names.len());
}
