//! S3: a request whose URI has no host fails, unless the inner service is said to be bound to one origin.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, header::HOST};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{AuthError, AuthLayerBuilder, ErrorKind, NoAuth};

use crate::{
    sending::{OURS, dressed, send},
    support::{Body, Issuer, ORIGIN, api, get},
};

fn relative(uri: &str, hosts: &[&str]) -> Request<Body> {
    let mut request = Request::get(uri).body(Body::default()).unwrap();
    assert_eq!(request.uri().host(), None);
    for host in hosts {
        request.headers_mut().append(HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
    }
    request
}

fn allowed(builder: AuthLayerBuilder) -> AuthLayerBuilder {
    builder.origin(ORIGIN).allow_relative_uri()
}

/// Holds the request to a `Config` error, sent nowhere and with no token fetched for it. Returns the message.
async fn is_refused(change: impl FnOnce(AuthLayerBuilder) -> AuthLayerBuilder, request: Request<Body>) -> String {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = change(dressed(&issuer)).build().unwrap();
    let error = layer.layer(api).oneshot(request).await.unwrap_err();
    let error = AuthError::find(error.as_ref()).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((error.kind(), seen.count(), issuer.requests()), (ErrorKind::Config, 0, 0), "{error}");
    error.to_string()
}

async fn gets_credentials(request: Request<Body>) {
    let what = format!("{request:?}");
    let sent = send(allowed, request).await;
    assert_eq!((sent.status, sent.seen.count()), (200, 1), "{what}");
    assert!(OURS.iter().all(|name| sent.headers().contains_key(name)), "{what}");
}

#[tokio::test(start_paused = true)]
async fn s3_without_permission_it_fails_and_the_error_names_the_setting() {
    for uri in ["/v1/a?b", "/", "//evil.example/a", "*"] {
        for hosts in [&[][..], &["api.example.com"]] {
            let message = is_refused(|builder| builder.origin(ORIGIN), relative(uri, hosts)).await;
            assert!(message.contains("allow_relative_uri"), "{message}");
            is_refused(AuthLayerBuilder::any_origin, relative(uri, hosts)).await;
            is_refused(|builder| builder.origin(ORIGIN).overwrite_authorization(), relative(uri, hosts)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s3_with_permission_it_gets_credentials() {
    for uri in ["/v1/a?b", "/", "/a//b", "/?//", "/.//a", "*"] {
        gets_credentials(relative(uri, &[])).await;
    }
    for host in ["api.example.com", "API.Example.com", "api.example.com:443"] {
        gets_credentials(relative("/a", &[host])).await;
    }
    let two = |builder| allowed(builder).origin("https://b.example:8443");
    for host in ["api.example.com", "b.example:8443"] {
        assert_eq!(send(two, relative("/a", &[host])).await.seen.tokens().len(), 1, "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn s3_its_host_must_be_that_of_a_configured_origin() {
    for host in [
        "evil.example",
        "",
        "api.example.com.",
        "api.example.com:8443",
        "api.example.com:80",
        "user@api.example.com",
        "api.example.com@evil.example",
        "api.example.com, evil.example",
        "api.example.com\u{e9}",
    ] {
        for hosts in [&[host][..], &["api.example.com", host], &[host, "api.example.com"]] {
            let message = is_refused(allowed, relative("/a", hosts)).await;
            assert!(message.contains("Host header that names none of the configured origins"), "{message}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s3_its_path_must_not_begin_as_a_host_would() {
    for uri in ["//evil.example/a", "//", "///a", "//api.example.com/a", r"/\evil.example/a", r"/\/evil.example"] {
        let message = is_refused(allowed, relative(uri, &[])).await;
        assert!(message.contains("two slashes"), "{message}");
        is_refused(allowed, relative(uri, &["api.example.com"])).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s3_with_permission_an_absolute_uri_is_checked_as_ever() {
    let elsewhere = Request::get("https://evil.example/").body(Body::default()).unwrap();
    assert!(send(allowed, elsewhere).await.is_untouched(&HeaderMap::new()));
    assert_eq!(send(allowed, get("/a")).await.seen.tokens().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn s3_trace_passes_untouched_with_and_without_permission() {
    for change in [allowed, |builder: AuthLayerBuilder| builder.origin(ORIGIN)] {
        let mut request = relative("/a", &[]);
        *request.method_mut() = Method::TRACE;
        assert!(send(change, request).await.is_untouched(&HeaderMap::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn s6_without_permission_one_marked_no_auth_passes_untouched() {
    let mut request = relative("/a", &[]);
    request.extensions_mut().insert(NoAuth);
    assert!(send(|builder| builder.origin(ORIGIN), request).await.is_untouched(&HeaderMap::new()));
}

#[tokio::test(start_paused = true)]
async fn r4_its_rejection_is_answered_by_a_replay_of_the_same_uri() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = allowed(dressed(&issuer)).build().unwrap().layer(api);
    assert_eq!(client.clone().oneshot(relative("/a", &[])).await.unwrap().status(), 200);
    issuer.revoke();
    assert_eq!(client.oneshot(relative("/a?b", &["api.example.com"])).await.unwrap().status(), 200);
    let sent: Vec<_> = seen.requests().iter().map(|request| request.uri().to_string()).collect();
    assert_eq!((sent, issuer.requests()), (["/a", "/a?b", "/a?b"].map(str::to_owned).to_vec(), 2));
}
