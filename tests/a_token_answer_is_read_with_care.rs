//! Whatever a token server answers, it is read with care: no answer panics, overflows, or is taken for what it is not.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "time is paused, and is what some of these tests measure")]

#[path = "support/token_server.rs"]
mod token_server;

use std::{
    error::Error,
    fmt,
    future::{Future, pending},
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderName, Request, Response,
    header::{DATE, RETRY_AFTER},
};
use http_body::{Body, Frame};
use http_body_util::Full;
use proptest::prelude::*;
use serde_json::{Value, json};
use token_server::{Answer, GOOD, builder, endpoint, fetch, is_malformed, read, read_json, reply};
use tokio::time::Instant;
use tower::service_fn;
use tower_outbound_auth::{AuthError, BoxError, ErrorKind};

/// A body of as many kilobytes as it is asked for.
struct Endless(Arc<AtomicUsize>);

impl Body for Endless {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.fetch_add(1, SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 1024])))))
    }
}

#[tokio::test]
async fn o3_at_most_64_kib_of_an_answer_are_read() {
    let padded = |length: usize| format!("{GOOD}{}", " ".repeat(length - GOOD.len()));
    assert_eq!(read(200, &[], padded(64 * 1024)).await.unwrap().expose_secret(), "t");
    assert!(is_malformed(&read(200, &[], padded(64 * 1024 + 1)).await));

    let read = Arc::new(AtomicUsize::new(0));
    for status in [200, 400] {
        read.store(0, SeqCst);
        let body = Arc::clone(&read);
        let endless = service_fn(move |_: Request<Full<Bytes>>| {
            let response = Response::builder().status(status).body(Endless(Arc::clone(&body))).unwrap();
            async { Ok::<_, BoxError>(response) }
        });
        let error = fetch(&builder().transport(endless).build().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), if status == 200 { ErrorKind::Malformed } else { ErrorKind::Unavailable });
        assert!(read.load(SeqCst) <= 65, "{} KiB were read", read.load(SeqCst));
    }
}

#[tokio::test]
async fn o3_a_token_is_a_header_value_of_at_most_16_kib() {
    let token = |text: &str| json!({ "access_token": text });
    let longest = "x".repeat(16 * 1024);
    assert_eq!(read_json(&token(&longest)).await.unwrap().expose_secret(), longest);
    for bad in [&format!("{longest}x"), "", "a\nb", "a\r\nx-evil: 1", "a\0b", "\u{7f}"] {
        assert!(is_malformed(&read_json(&token(bad)).await), "{} bytes", bad.len());
    }
    for bad in
        [json!({}), json!({ "access_token": null }), json!({ "access_token": 5 }), json!([]), json!("t"), json!(null)]
    {
        assert!(is_malformed(&read_json(&bad).await), "{bad}");
    }
    for bad in ["", "{", "access_token=t&token_type=bearer", "<html>", "\u{feff}{}"] {
        assert!(is_malformed(&read(200, &[], bad).await), "{bad}");
    }
    assert_eq!(read(200, &[], "{ \"access_token\" :\n \"a b\" }").await.unwrap().expose_secret(), "a b");
    assert_eq!(read_json(&json!({ "access_token": "t", "scope": "a b" })).await.unwrap().scope(), Some("a b"));
}

#[tokio::test]
async fn o3_an_array_of_the_fields_values_is_no_answer() {
    assert!(is_malformed(&read_json(&json!(["t", "Bearer", 3600, null, null])).await));
    assert!(is_malformed(&read(200, &[], "\n[\"t\",null,null,null,\"invalid_client\"]").await));
    let error = read(400, &[], "[\"invalid_client\"]").await.unwrap_err();
    assert_eq!((error.kind(), error.oauth_error()), (ErrorKind::Unavailable, None));
}

#[tokio::test]
async fn o3_the_token_type_is_bearer_or_absent() {
    let of = |kind: Value| json!({ "access_token": "t", "token_type": kind });
    for good in ["Bearer", "bearer", "BEARER", "bEaReR", " Bearer "] {
        read_json(&of(json!(good))).await.unwrap();
    }
    read_json(&json!({ "access_token": "t" })).await.unwrap();
    for bad in [json!("mac"), json!("DPoP"), json!("N_A"), json!(""), json!("Bearers"), json!(5), json!(["Bearer"])] {
        assert!(is_malformed(&read_json(&of(bad.clone())).await), "{bad}");
    }
}

#[tokio::test]
async fn o3_an_error_is_an_error_though_the_status_is_200() {
    let error = read_json(&json!({ "error": "invalid_scope", "access_token": "t" })).await.unwrap_err();
    assert_eq!((error.kind(), error.oauth_error()), (ErrorKind::Denied, Some("invalid_scope")));
    let error = read_json(&json!({ "error": { "code": 1 }, "access_token": "t" })).await.unwrap_err();
    assert_eq!((error.kind(), error.oauth_error()), (ErrorKind::Unavailable, None));
}

#[tokio::test]
async fn o5_a_refusal_keeps_the_code_and_drops_the_rest() {
    let longest = "x".repeat(32);
    for code in ["invalid_client", "unauthorized_client", "odd_", longest.as_str()] {
        let body = json!({ "error": code, "error_uri": "https://NOBODY", "x": "NOBODY" });
        for status in [400, 401, 429, 500, 200] {
            let error =
                read(status, &[(HeaderName::from_static("x-a"), "NOBODY")], body.to_string()).await.unwrap_err();
            assert_eq!(error.oauth_error(), Some(code), "{status}");
            assert_eq!(error.to_string().matches(code).count(), 1, "{error}");
            assert!(!format!("{error}{error:?}{:?}", error.source()).contains("NOBODY"));
        }
    }
    for code in [&format!("{longest}x"), "A", "a b", "a1", "a\"b", "a\\b", "a\nb", "\u{e9}", "\u{7f}", "a\tb"] {
        for (status, kind) in [(401, ErrorKind::Denied), (400, ErrorKind::Unavailable), (200, ErrorKind::Unavailable)] {
            let error = read(status, &[], json!({ "error": code }).to_string()).await.unwrap_err();
            assert_eq!((error.kind(), error.oauth_error()), (kind, None), "{code:?}");
            assert!(code == "A" || !error.to_string().contains(code), "{error}");
        }
    }
}

#[tokio::test]
async fn t7_expires_in_is_read_in_every_form_and_never_overflows() {
    let of = async |lifetime: Value| {
        read_json(&json!({ "access_token": "t", "expires_in": lifetime })).await.map(|token| token.expires_in())
    };
    let (year, about) = (365.0 * 86_400.0, Duration::from_secs(1));
    for (lifetime, seconds) in [
        (json!(3600), 3600.0),
        (json!(3600.5), 3600.5),
        (json!("3600"), 3600.0),
        (json!(" 3600.5 "), 3600.5),
        (json!("1e999"), 10.0 * year),
        (json!(1e300), 10.0 * year),
        (json!(u64::MAX), 10.0 * year),
        (json!("99999999999999999999999"), 10.0 * year),
    ] {
        let read = of(lifetime.clone()).await.unwrap().unwrap();
        let distance = read.abs_diff(Duration::from_secs_f64(seconds));
        assert!(distance < about, "{lifetime} is read as {read:?}");
    }
    assert_eq!(of(Value::Null).await.unwrap(), None);
    assert_eq!(read(200, &[], r#"{"access_token":"t"}"#).await.unwrap().expires_in(), None);
    let odd = [json!("NaN"), json!("inf"), json!("soon"), json!(""), json!(true), json!([60]), json!({ "s": 60 })];
    for odd in odd.into_iter().chain([json!(0), json!("0.0"), json!(-5), json!("-5"), json!(-1e300), json!(1e-20)]) {
        assert_eq!(of(odd.clone()).await.unwrap(), None, "{odd}");
    }
    let raw = |lifetime: &str| format!(r#"{{"access_token":"t","expires_in":{lifetime}}}"#);
    for lifetime in ["NaN", "-", "0x10"] {
        assert!(is_malformed(&read(200, &[], raw(lifetime)).await), "{lifetime}");
    }
    let absurd = read(200, &[], raw("1e999")).await.unwrap().expires_in().unwrap();
    assert!(absurd.abs_diff(Duration::from_secs_f64(10.0 * year)) < about);
}

fn within_a_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn t7_no_answer_makes_the_reader_panic(status in 100_u16..1000, body: Vec<u8>, retry: Vec<u8>, value in any::<f64>()) {
        let mut response = reply(status, &[], body);
        if let Ok(retry) = http::HeaderValue::from_bytes(&retry) {
            response.headers_mut().insert(RETRY_AFTER, retry);
        }
        let (_, transport) = endpoint(move |_| Ok(response.clone()));
        let any = within_a_runtime(fetch(&builder().transport(transport).build().unwrap()));
        prop_assert!(any.is_err() || (200..300).contains(&status));
        let lifetime = within_a_runtime(read_json(&json!({ "access_token": "t", "expires_in": value })));
        prop_assert!(lifetime.is_ok());
        let text = within_a_runtime(read_json(&json!({ "access_token": "t", "expires_in": value.to_string() })));
        prop_assert!(text.is_ok());
    }
}

#[tokio::test]
async fn t9_the_status_tells_what_is_worth_another_try() {
    let oauth = r#"{"error":"invalid_client"}"#;
    for status in [500, 501, 502, 503, 504, 529, 599, 408, 425, 429] {
        for body in ["", oauth, "<html>"] {
            let error = read(status, &[], body).await.unwrap_err();
            assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, true), "{status} {body}");
        }
    }
    for status in [400, 401, 402, 403, 404, 405, 410, 418, 421, 422, 451, 499] {
        for body in ["", oauth, "<html>", GOOD] {
            let error = read(status, &[], body).await.unwrap_err();
            let kind = if status == 401 || body == oauth { ErrorKind::Denied } else { ErrorKind::Unavailable };
            assert_eq!(error.kind(), kind, "{status} {body}");
        }
    }
    for status in [100, 101, 204, 600, 999] {
        assert!(is_malformed(&read(status, &[], "").await), "{status}");
    }
}

#[tokio::test]
async fn t9_a_retry_after_with_a_sign_is_none() {
    for nonsense in ["+5", "+0", "-0"] {
        let error = read(503, &[(RETRY_AFTER, nonsense)], "").await.unwrap_err();
        assert_eq!(error.retry_after(), None, "{nonsense}");
    }
}

#[tokio::test]
async fn t9_retry_after_is_seconds_or_a_date() {
    let noon = (DATE, "Tue, 14 Nov 2023 12:00:00 GMT");
    let later = "Tue, 14 Nov 2023 12:01:30 GMT";
    for status in [429, 503] {
        let asked = async |headers: &[(HeaderName, &str)]| read(status, headers, "").await.unwrap_err().retry_after();
        assert_eq!(asked(&[(RETRY_AFTER, "7")]).await, Some(Duration::from_secs(7)));
        assert_eq!(asked(&[(RETRY_AFTER, "0")]).await, Some(Duration::ZERO));
        assert_eq!(asked(&[noon.clone(), (RETRY_AFTER, later)]).await, Some(Duration::from_secs(90)));
        assert_eq!(asked(&[(RETRY_AFTER, "86400")]).await, Some(Duration::from_secs(86_400)));
        for nonsense in
            ["86401", "18446744073709551615", "-1", "1.5", "soon", "99999999999999999999999", "Tue, 14 Nov 2023"]
        {
            assert_eq!(asked(&[(RETRY_AFTER, nonsense)]).await, None, "{nonsense}");
        }
        assert_eq!(asked(&[]).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn t9_an_exchange_that_takes_too_long_is_a_timeout() {
    let silent = service_fn(|_: Request<Full<Bytes>>| pending::<Answer>());
    let stalled = service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, BoxError>(Response::new(Stalled)) });
    for (limit, source) in [
        (10, builder().transport(silent)),
        (3, builder().timeout(Duration::from_secs(3)).transport(silent)),
        (3, builder().timeout(Duration::from_secs(3)).transport(stalled)),
    ] {
        let source = source.build().unwrap();
        let start = Instant::now();
        let error = fetch(&source).await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Timeout, true));
        assert_eq!(start.elapsed().as_secs(), limit);
    }
}

struct Stalled;

impl Body for Stalled {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn t9_trouble_of_the_transport_is_transient_and_keeps_its_cause() {
    let (_, transport) = endpoint(|_| Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut off").into()));
    let error = fetch(&builder().transport(transport).build().unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, true));
    let source = error.source().unwrap();
    assert_eq!(source.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::ConnectionReset);
    assert!(!error.to_string().contains("cut off"), "Display and source say nothing twice");
}

#[tokio::test]
async fn t9_an_auth_error_of_the_transport_keeps_its_kind() {
    for nested in [false, true] {
        let (_, transport) = endpoint(move |_| {
            let ours = AuthError::new(ErrorKind::Denied, "the proxy wants another client");
            Err(if nested { Wrapped(ours).into() } else { ours.into() })
        });
        let error = fetch(&builder().transport(transport).build().unwrap()).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Denied, "the proxy wants another client"));
    }
}

/// An error of somebody's middleware.
#[derive(Debug)]
struct Wrapped(AuthError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the middleware gave up")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn t7_a_lifetime_counts_from_the_moment_of_asking() {
    let of = async |lifetime: u64| {
        let slow = service_fn(move |_: Request<Full<Bytes>>| async move {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Ok::<_, BoxError>(reply(200, &[], json!({ "access_token": "t", "expires_in": lifetime }).to_string()))
        });
        fetch(&builder().transport(slow).build().unwrap()).await.unwrap().expires_in()
    };
    assert_eq!(of(100).await, Some(Duration::from_secs(96)), "it may have been made as soon as it was asked for");
    assert_eq!(of(3).await, Some(Duration::ZERO));
}
