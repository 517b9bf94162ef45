//! T9: what a failed token request is told as, and whether it is worth another attempt.

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
    for status in [400, 401, 402, 403, 404, 405, 410, 418, 422, 451, 499] {
        for body in ["", oauth, "<html>", GOOD] {
            let error = read(status, &[], body).await.unwrap_err();
            assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Denied, false), "{status} {body}");
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
        assert_eq!(asked(&[(RETRY_AFTER, &u64::MAX.to_string())]).await, Some(Duration::from_secs(u64::MAX)));
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
