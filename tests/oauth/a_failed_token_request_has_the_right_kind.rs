//! The kind of a failed token request, and whether it is worth another attempt.

use std::{
    error::Error,
    fmt,
    future::pending,
    io,
    pin::Pin,
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
use serde_json::json;
use tokio::time::Instant;
use tower::service_fn;
use tower_outbound_auth::{AuthError, BoxError, ErrorKind};

use crate::support::token_server::{Answer, GOOD, builder, endpoint, fetch, is_malformed, read};

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
            let is_transient = kind == ErrorKind::Unavailable;
            assert_eq!((error.kind(), error.is_transient()), (kind, is_transient), "{status} {body}");
        }
    }
    for status in [100, 101, 204, 600, 999] {
        assert!(is_malformed(&read(status, &[], "").await), "{status}");
    }
}

#[tokio::test]
async fn o5_the_kind_of_an_error_is_that_of_its_code_or_else_of_its_status() {
    use ErrorKind::{Denied, Malformed, Unavailable};
    let refusals = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let kind = async |status, body: &str| read(status, &[], body.to_owned()).await.unwrap_err().kind();
    let code = |code: &str| json!({ "error": code }).to_string();
    for refusal in refusals {
        for status in [200, 400, 401, 403, 404] {
            assert_eq!(kind(status, &code(refusal)).await, Denied, "{status} {refusal}");
        }
    }
    for trouble in ["temporarily_unavailable", "server_error", "slow_down"] {
        for status in [200, 302, 400, 401, 403, 429, 500, 600] {
            assert_eq!(kind(status, &code(trouble)).await, Unavailable, "{status} {trouble}");
        }
    }
    for (status, body, expected) in [
        (401, "", Denied),
        (401, "<html>", Denied),
        (401, r#"{"error":"Unauthorized"}"#, Denied),
        (401, r#"{"error":"access_denied"}"#, Unavailable),
        (400, "", Unavailable),
        (400, r#"{"error":"invalid_target"}"#, Unavailable),
        (400, r#"{"error":"INVALID_CLIENT"}"#, Unavailable),
        (403, "<html>", Unavailable),
        (404, "", Unavailable),
        (409, r#"{"message":"conflict"}"#, Unavailable),
        (421, "", Unavailable),
        (503, r#"{"error":"invalid_client"}"#, Unavailable),
        (200, r#"{"error":"odd","access_token":"t"}"#, Unavailable),
        (302, r#"{"error":"invalid_client"}"#, Malformed),
        (600, "", Malformed),
    ] {
        assert_eq!(kind(status, body).await, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn a_proxy_that_wants_credentials_is_told_apart_from_the_server() {
    let told = read(407, &[], "<html>").await.unwrap_err().to_string();
    assert!(told.contains("a proxy on the way") && told.contains("`proxy_credentials`"), "{told}");
}

#[tokio::test]
async fn t8_a_retry_after_of_more_than_a_day_is_ignored() {
    for (asked, expected) in [
        ("86400", Some(Duration::from_secs(86_400))),
        ("86401", None),
        ("1700000000", None),
        ("1771404540", None),
        ("1771404540000", None),
        ("90000000", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("18446744073709551615", None),
    ] {
        let error = read(429, &[(RETRY_AFTER, asked)], "").await.unwrap_err();
        assert_eq!(error.retry_after(), expected, "{asked}");
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
        for nonsense in ["-1", "1.5", "soon", "99999999999999999999999", "Tue, 14 Nov 2023"] {
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

/// An error of another middleware.
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
