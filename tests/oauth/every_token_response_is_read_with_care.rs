//! Whatever a token server answers, it is read with care: no answer panics, overflows, or is taken for what it is not.

use std::{
    error::Error,
    future::Future,
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
use http::{HeaderName, Request, Response, header::RETRY_AFTER};
use http_body::{Body, Frame};
use http_body_util::Full;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::service_fn;
use tower_outbound_auth::{BoxError, ErrorKind};

use crate::support::token_server::{GOOD, builder, endpoint, fetch, is_malformed, read, read_json, reply};

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
    // One that is no string says nothing.
    for absent in [json!(null), json!(5), json!(0.5), json!(true), json!(["Bearer"]), json!({ "mac": 1 })] {
        assert_eq!(read_json(&of(absent.clone())).await.unwrap().expose_secret(), "t", "{absent}");
    }
    for bad in [json!("mac"), json!("DPoP"), json!("N_A"), json!(""), json!("Bearers"), json!("5")] {
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
        let body = json!({ "error": code, "error_uri": "https://UNWANTED", "x": "UNWANTED" });
        for status in [400, 401, 429, 500, 200] {
            let error =
                read(status, &[(HeaderName::from_static("x-a"), "UNWANTED")], body.to_string()).await.unwrap_err();
            assert_eq!(error.oauth_error(), Some(code), "{status}");
            assert_eq!(error.to_string().matches(code).count(), 1, "{error}");
            assert!(!format!("{error}{error:?}{:?}", error.source()).contains("UNWANTED"));
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
