//! Each token fetch is a span, each rejection an event, and a warm request neither.

use http::Request;
use serde_json::json;
use tower::{Layer, ServiceExt};

use crate::support::{
    Body, get,
    planted::{api, dressed, run, source, token_number},
    secrets::Ears,
    token_server::reply,
};

#[tokio::test(start_paused = true)]
async fn a_fetch_is_a_span_with_its_trigger_attempts_and_outcome() {
    let (ears, _guard) = Ears::of_this_thread();
    let answer = |number| match number {
        0 => Ok(reply(503, &[], "")),
        2.. => Ok(reply(400, &[], json!({ "error": "invalid_client" }).to_string())),
        number => token_number(number),
    };
    let layer = dressed(source(answer).build().unwrap()).build().unwrap();
    assert_eq!(run(&ears, &layer, &[], &[0, 80, 30]).await, [200, 200, 0]);
    let heard = ears.heard();
    let closed: Vec<_> = heard.lines().filter(|line| line.contains(": close")).collect();
    let first = closed.first().unwrap();
    for field in ["token_fetch{layer=\"default\" trigger=\"missing\"", "outcome=\"ok\"", "next_refresh_ms="] {
        assert!(first.contains(field), "{field} is missing in {first}");
    }
    // A field that is recorded twice would be twice on the line, and twice an attribute in OpenTelemetry.
    let attempts: Vec<_> = first.split(" attempt=").skip(1).collect();
    assert!(attempts.len() == 1 && attempts[0].starts_with('2'), "{first}");
    assert!(closed.iter().any(|line| line.contains("trigger=\"stale\"") && line.contains("outcome=\"denied\"")));
    for event in ["token request failed, will try again", "token obtained", "token fetch failed"] {
        assert!(heard.contains(event), "{event} is missing in {heard}");
    }
    assert!(heard.contains("invalid_client") && heard.contains("error.type=\"denied\""));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_and_what_comes_of_it_are_events() {
    let (ears, _guard) = Ears::of_this_thread();
    let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
    assert_eq!(run(&ears, &layer, &[401], &[0]).await, [200]);
    let heard = ears.heard();
    let told = r#"response rejected layer="default" kind="token" action="replayed" http.response.status_code=401"#;
    assert!(heard.contains(told) && heard.contains("trigger=\"rejected\""), "{heard}");
    assert!(heard.contains("token obtained") && !heard.contains("token fetch failed"), "both brought one: {heard}");

    assert_eq!(run(&ears, &layer, &[401, 401], &[0]).await, [401]);
    assert!(ears.heard().contains(r#"action="rejected_again""#));
}

#[test]
fn t10_keep_warm_outside_of_a_runtime_warns_that_it_does_nothing() {
    let (ears, _guard) = Ears::of_this_thread();
    drop(dressed(source(token_number).build().unwrap()).build().unwrap().handle().keep_warm());
    let heard = ears.heard();
    assert!(heard.contains("WARN") && heard.contains("keep_warm() outside of a tokio runtime does nothing"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_warm_request_is_not_traced_at_all() {
    let (ears, _guard) = Ears::of_this_thread();
    let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
    let service = layer.layer(api(&[]).1);
    service.clone().oneshot(get("/a")).await.unwrap();
    assert!(!ears.heard().is_empty());
    ears.forget();
    service.clone().oneshot(get("/a")).await.unwrap();
    let elsewhere = Request::get("https://evil.example").body(Body::default()).unwrap();
    service.oneshot(elsewhere).await.unwrap();
    assert_eq!(ears.heard(), "");
}

#[tokio::test(start_paused = true)]
async fn spans_and_warnings_have_the_name_of_their_layer() {
    let (ears, _guard) = Ears::of_this_thread();
    let layer = dressed(source(token_number).build().unwrap()).name("payments").build().unwrap();
    run(&ears, &layer, &[], &[0]).await;
    let heard = ears.heard();
    assert!(heard.contains("token_fetch{layer=\"payments\""), "{heard}");
    assert!(!heard.contains("layer=\"default\""));
}

#[tokio::test(start_paused = true)]
async fn r5_one_warning_says_that_tokens_are_rejected_as_fast_as_they_are_renewed() {
    let (ears, _guard) = Ears::of_this_thread();
    let layer = dressed(source(token_number).build().unwrap()).name("payments").build().unwrap();
    let warnings = || {
        let heard = ears.heard();
        let warnings = heard.lines().filter(|line| line.contains("WARN"));
        warnings.filter(|line| line.contains("layer=\"payments\"")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(run(&ears, &layer, &[401; 40], &[0, 0, 0, 0]).await, [401; 4]);
    assert_eq!(warnings().len(), 0, "the renewal budget allows four");
    assert_eq!(run(&ears, &layer, &[401; 40], &[0, 0, 0, 0]).await, [401; 4]);
    let [warning] = &warnings()[..] else { panic!("once, and not for each rejection: {:?}", warnings()) };
    assert!(warning.contains("tokens are rejected as fast as they are renewed"), "{warning}");
    assert!(ears.heard().contains(r#"action="throttled""#));
}

#[tokio::test(start_paused = true)]
async fn o5_the_description_of_a_refusal_is_in_the_event_of_the_failed_fetch() {
    let (ears, _guard) = Ears::of_this_thread();
    let refusal = json!({ "error": "invalid_client", "error_description": "the client is locked" });
    let answer = move |_| Ok(reply(400, &[], refusal.to_string()));
    let layer = dressed(source(answer).build().unwrap()).build().unwrap();
    layer.layer(api(&[]).1).oneshot(get("/a")).await.unwrap_err();
    let heard = ears.heard();
    let line = heard.lines().find(|line| line.contains("token fetch failed")).unwrap();
    assert!(line.contains("WARN") && line.contains(r#"description="the client is locked""#), "{line}");
    assert_eq!(heard.matches("the client is locked").count(), 1, "{heard}");
}
