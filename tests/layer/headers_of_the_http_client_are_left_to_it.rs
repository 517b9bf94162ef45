//! Headers that belong to the HTTP client or to the token are written by nobody else, and no proxy is told to remove ours.

use std::time::Duration;

use http::{
    HeaderName, HeaderValue, Request,
    header::{AUTHORIZATION, CONNECTION, HOST},
};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, Credentials, ErrorKind,
    signing::{Sign, SignRules, SignatureHeaders, SigningContext, TimestampHmac, signer_fn},
};

use crate::{
    bad_settings_are_refused_at_build::refused,
    sending::{OURS, X_SIGNATURE, X_TIMESTAMP, dressed, send},
    support::{Body, Issuer, ORIGIN, api, get},
};

const OF_THE_CLIENT: [&str; 8] = [
    "host",
    "Content-Length",
    "TRANSFER-ENCODING",
    "connection",
    "Keep-Alive",
    "proxy-connection",
    "upgrade",
    "trailer",
];

fn builder() -> AuthLayerBuilder {
    AuthLayer::builder(Issuer::new()).origin(ORIGIN)
}

fn name(name: &str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes()).unwrap()
}

#[test]
fn a_static_header_of_the_http_client_is_refused() {
    let value = HeaderValue::from_static("a");
    for of_client in OF_THE_CLIENT {
        refused(builder().header(name(of_client), value.clone()).build(), "the HTTP client sets this header");
        refused(builder().token_header(name(of_client), "").build(), "the HTTP client sets this header");
    }
    refused(builder().header(AUTHORIZATION, value.clone()).build(), "this header carries the token");
    let own = || builder().token_header(name("x-token"), "");
    refused(own().header(name("X-Token"), value.clone()).build(), "this header carries the token");
    own().header(AUTHORIZATION, value).build().unwrap();
}

#[test]
fn a_static_header_that_is_set_twice_is_refused() {
    for (first, second) in [("a", "a"), ("a", "b")] {
        let twice = builder().header(name("x-fiid"), HeaderValue::from_static(first));
        let twice = twice.header(name("x-other"), HeaderValue::from_static("a"));
        refused(
            twice.header(name("X-FIID"), HeaderValue::from_static(second)).build(),
            "header(\"x-fiid\"): this header is set twice",
        );
    }
}

#[test]
fn a_timestamp_and_a_signature_in_one_header_are_refused() {
    let signer = || TimestampHmac::sha256(Credentials::new("id", "a key"));
    refused(
        builder().sign(SignRules::all(), signer().headers(X_TIMESTAMP, X_TIMESTAMP)).build(),
        "x-timestamp is there twice",
    );
    refused(
        builder().sign(SignRules::all(), signer().headers(name("x-signature"), X_SIGNATURE)).build(),
        "use two names",
    );
    refused(
        builder().sign(SignRules::all(), std::sync::Arc::new(signer().headers(X_SIGNATURE, X_SIGNATURE))).build(),
        "use two names",
    );
}

fn writing(name: HeaderName) -> impl tower_outbound_auth::signing::Signer {
    signer_fn(move |_: &SigningContext<'_>| {
        let mut headers = SignatureHeaders::new();
        headers.insert(X_SIGNATURE, HeaderValue::from_static("signature"));
        headers.insert(name.clone(), HeaderValue::from_static("Bearer forged"));
        Ok(headers)
    })
}

/// What a request fails with that a signer like this was to sign; it is not sent.
async fn fails(builder: AuthLayerBuilder, header: &str) {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = builder.sign(SignRules::all(), writing(name(header))).build().unwrap().layer(api);
    for _ in 0..2 {
        let error = client.clone().oneshot(get("/a")).await.unwrap_err();
        let error = AuthError::find(error.as_ref()).unwrap();
        assert_eq!(error.kind(), ErrorKind::Signing, "{error}");
        assert!(error.to_string().contains(&header.to_lowercase()) && !error.to_string().contains("forged"), "{error}");
    }
    assert_eq!(seen.count(), 0, "{header}");
}

#[tokio::test(start_paused = true)]
async fn a_signer_that_writes_the_token_or_a_header_of_the_http_client_fails_the_request() {
    fails(builder(), "Authorization").await;
    fails(builder().overwrite_authorization(), "authorization").await;
    fails(builder().token_header(name("x-token"), ""), "X-Token").await;
    for of_client in OF_THE_CLIENT {
        fails(builder(), of_client).await;
    }
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.builder().sign(SignRules::all(), writing(name("x-other"))).build().unwrap();
    assert_eq!(layer.layer(api).oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(seen.requests()[0].headers()["x-other"], "Bearer forged");
}

fn connection(values: &[&str]) -> Request<Body> {
    let mut request = get("/a");
    for value in values {
        request.headers_mut().append(CONNECTION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request
}

/// What is left of the caller's `Connection`, and whether all of our headers arrive.
async fn left_of(request: Request<Body>) -> Option<String> {
    let sent = send(|builder| builder.origin(ORIGIN).allow_relative_uri(), request).await;
    assert_eq!(sent.status, 200);
    assert!(OURS.iter().all(|name| sent.headers().contains_key(name)));
    let all: Vec<_> = sent.headers().get_all(CONNECTION).iter().cloned().collect();
    (!all.is_empty())
        .then(|| all.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(" | "))
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_names_in_connection_is_still_sent_to_the_end() {
    for (values, left) in [
        (&["authorization, x-signature"][..], None),
        (&["Authorization"], None),
        (&["close, AUTHORIZATION"], Some("close")),
        (&["x-timestamp,close,x-signature,X-Static, x-hop"], Some("close, x-hop")),
        (&["keep-alive", "X-Signature"], Some("keep-alive")),
        (&["x-signature", "authorization"], None),
        (&["\tx-static\t, te\u{e9}"], Some("te\u{e9}")),
        (&["close"], Some("close")),
        (&["x-hop, close", "te"], Some("x-hop, close | te")),
        (&["authorizations, not-x-signature"], Some("authorizations, not-x-signature")),
        (&[""], Some("")),
        (&[], None),
    ] {
        assert_eq!(left_of(connection(values)).await.as_deref(), left, "{values:?}");
    }
    let mut relative = connection(&["authorization, close"]);
    *relative.uri_mut() = "/a".parse().unwrap();
    relative.headers_mut().insert(HOST, HeaderValue::from_static("api.example.com"));
    assert_eq!(left_of(relative).await.as_deref(), Some("close"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_written_may_be_named_in_connection() {
    let mut unsigned = connection(&["x-signature, x-timestamp, authorization"]);
    unsigned.extensions_mut().insert(Sign::Never);
    let sent = send(|builder| builder.origin(ORIGIN), unsigned).await;
    assert_eq!(sent.headers()[CONNECTION], "x-signature, x-timestamp");

    let mut elsewhere = connection(&["authorization"]);
    *elsewhere.uri_mut() = "https://other.example.com".parse().unwrap();
    let before = elsewhere.headers().clone();
    assert!(send(|builder| builder.origin(ORIGIN), elsewhere).await.is_untouched(&before));

    let mut own = connection(&["authorization"]);
    own.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic abc"));
    let before = own.headers().clone();
    assert!(send(|builder| builder.origin(ORIGIN), own).await.is_untouched(&before));
}

#[tokio::test(start_paused = true)]
async fn r4_what_a_caller_names_in_connection_is_sent_to_the_end_by_the_replay_too() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = dressed(&issuer).origin(ORIGIN).any_origin().build().unwrap();
    layer.handle().token().await.unwrap();
    issuer.revoke();
    let request = connection(&["close, x-signature, authorization"]);
    assert_eq!(layer.layer(api).oneshot(request).await.unwrap().status(), 200);
    let connections: Vec<_> = seen.requests().iter().map(|request| request.headers()[CONNECTION].clone()).collect();
    assert_eq!(connections, ["close", "close"]);
}
