//! S3: a request to a configured origin gets no credentials if they could end up elsewhere all the same.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Version, header::HOST};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::AuthLayerBuilder;

use crate::{
    sending::{OURS, dressed, send},
    support::{Body, Issuer, ORIGIN, api, get},
};

/// Holds the layer to leaving a request alone: without a token, with one, and with settings that allow more than usual.
async fn passes_untouched(request: &Request<Body>) {
    let what = format!("{request:?}");
    let before = request.headers().clone();
    let settings: [fn(AuthLayerBuilder) -> AuthLayerBuilder; 3] = [
        |builder| builder.origin(ORIGIN),
        AuthLayerBuilder::any_origin,
        |builder| builder.origin(ORIGIN).allow_relative_uri().allow_insecure_http().overwrite_authorization(),
    ];
    for setting in settings {
        assert!(send(setting, request.clone()).await.is_untouched(&before), "{what}");
    }
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = dressed(&issuer).origin(ORIGIN).build().unwrap().layer(api);
    assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(client.clone().oneshot(request.clone()).await.unwrap().status(), 401, "{what}");
    assert_eq!(*seen.requests()[1].headers(), before, "{what}");
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!((issuer.requests(), seen.count()), (1, 3), "its 401 does not reject the token: {what}");
}

async fn gets_credentials(request: Request<Body>) {
    let what = format!("{request:?}");
    let sent = send(|builder| builder.origin(ORIGIN), request).await;
    assert_eq!((sent.status, sent.seen.count()), (200, 1), "{what}");
    assert!(OURS.iter().all(|name| sent.headers().contains_key(name)), "{what}");
}

#[tokio::test(start_paused = true)]
async fn s3_trace_whose_answer_repeats_the_headers() {
    let mut request = get("/a");
    // As some servers call it, and in letters that some servers take for the same.
    for method in ["TRACE", "trace", "Trace", "TRACK", "track"] {
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        passes_untouched(&request).await;
    }
    for method in ["OPTIONS", "HEAD", "PATCH", "TRACER", "XTRACE", "TRAC", "BREW"] {
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        gets_credentials(request.clone()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s3_a_uri_with_userinfo() {
    for userinfo in ["user:password", "user", ":password", "evil.example", "api.example.com", "api.example.com:443"] {
        for uri in
            [format!("https://{userinfo}@api.example.com/a"), format!("https://{userinfo}@api.example.com:443/a")]
        {
            passes_untouched(&Request::get(uri).body(Body::default()).unwrap()).await;
        }
    }
    gets_credentials(get("/user@api.example.com?to=user@evil.example")).await;
}

fn with_hosts(uri: &str, version: Version, hosts: &[&str]) -> Request<Body> {
    let mut request = Request::get(uri).version(version).body(Body::default()).unwrap();
    for host in hosts {
        request.headers_mut().append(HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
    }
    request
}

#[tokio::test(start_paused = true)]
async fn s3_a_host_that_names_another_authority_than_the_uri() {
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        for host in [
            "evil.example",
            "",
            "api.example.com.",
            "api.example.com:8443",
            "api.example.com:80",
            "api.example.com:+443",
            "api.example.com:https",
            "sub.api.example.com",
            "api.example.com.evil.example",
            "user@api.example.com",
            "api.example.com@evil.example",
            "api.example.com/",
            "https://api.example.com",
            "api.example.com, evil.example",
            " api.example.com",
            "api.example.com\u{e9}",
        ] {
            passes_untouched(&with_hosts(&format!("{ORIGIN}/a"), version, &[host])).await;
            let both = ["api.example.com", host];
            passes_untouched(&with_hosts(&format!("{ORIGIN}/a"), version, &both)).await;
            passes_untouched(&with_hosts(&format!("{ORIGIN}/a"), version, &[host, "api.example.com"])).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s3_a_host_that_names_the_same_authority_changes_nothing() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for uri in ["https://api.example.com/a", "https://api.example.com:443/a", "https://API.example.com/a"] {
            for host in ["api.example.com", "API.Example.COM", "api.example.com:443", "api.example.com:"] {
                gets_credentials(with_hosts(uri, version, &[host])).await;
            }
        }
    }
    let on_another_port = |host| async move {
        let request = with_hosts("https://api.example.com:8443/", Version::HTTP_11, &[host]);
        let sent = send(|builder| builder.origin("https://api.example.com:8443"), request).await;
        !sent.seen.tokens().is_empty()
    };
    assert!(on_another_port("api.example.com:8443").await);
    assert!(on_another_port("API.example.com:8443").await);
    assert!(!on_another_port("api.example.com").await, "that is port 443");
}

#[tokio::test(start_paused = true)]
async fn s3_a_host_of_another_configured_origin_than_the_uris() {
    let two = |builder: AuthLayerBuilder| builder.origin(ORIGIN).origin("https://b.example");
    let request = with_hosts("https://api.example.com/a", Version::HTTP_11, &["b.example"]);
    let before = request.headers().clone();
    assert!(send(two, request).await.is_untouched(&before));
}

#[tokio::test(start_paused = true)]
async fn s3_a_request_out_of_scope_stays_so_whatever_its_host() {
    let request = with_hosts("https://evil.example/a", Version::HTTP_11, &["api.example.com"]);
    let before: HeaderMap = request.headers().clone();
    assert!(send(|builder| builder.origin(ORIGIN), request).await.is_untouched(&before));
}
