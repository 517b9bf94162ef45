//! S3: credentials go to the configured origins and nowhere else.

use std::time::Duration;

use http::{HeaderMap, Request};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::AuthLayerBuilder;

use crate::{
    sending::{OURS, dressed, send},
    support::{Body, Issuer, ORIGIN, api, get},
};

/// Whether a request to this URI is given credentials: all of them, or else none at all.
async fn gets_credentials(change: impl FnOnce(AuthLayerBuilder) -> AuthLayerBuilder, uri: &str) -> bool {
    let request = Request::get(uri).header("x-own", "kept").body(Body::default()).unwrap();
    let before = request.headers().clone();
    let sent = send(change, request).await;
    let headers = sent.headers();
    if headers == before {
        assert!(sent.is_untouched(&before), "{uri} is handled though it is out of scope");
        return false;
    }
    assert!(OURS.iter().all(|name| headers.contains_key(name)), "{uri} gets a part: {headers:?}");
    assert_eq!((sent.status, sent.issuer.requests(), headers.len()), (200, 1, 5), "{uri}");
    true
}

async fn origin_admits(origin: &str, uri: &str) -> bool {
    gets_credentials(|builder| builder.origin(origin), uri).await
}

#[tokio::test(start_paused = true)]
async fn s3_requests_to_the_origin_get_credentials_however_its_name_is_written() {
    for uri in [
        "https://api.example.com",
        "https://api.example.com/a?b=c",
        "https://api.example.com:443/",
        "https://api.example.com:/",
        "https://API.Example.COM/",
        "HTTPS://api.example.com/",
    ] {
        assert!(origin_admits("https://api.example.com", uri).await, "{uri}");
        assert!(origin_admits("HTTPS://API.example.com:443", uri).await, "{uri}");
    }
    assert!(origin_admits("https://api.example.com:8443", "https://api.example.com:8443/").await);
    assert!(origin_admits("https://[2001:db8::1]", "https://[2001:DB8::1]:443/").await);
}

#[tokio::test(start_paused = true)]
async fn s3_requests_to_any_other_place_go_out_untouched() {
    for uri in [
        "http://api.example.com/",
        "http://api.example.com:443/",
        "https://api.example.com./",
        "https://api.example.com:8443/",
        "https://api.example.com:80/",
        "https://api.example.com:0/",
        "https://api.example.com:99999/",
        "https://api.example.com@evil.example/",
        "https://api.example.com:443@evil.example/",
        "https://api.example.com.evil.example/",
        "https://evil.example/https://api.example.com/",
        "https://evil.example/?https://api.example.com/",
        "https://example.com/",
        "https://sub.api.example.com/",
        "https://xapi.example.com/",
        "wss://api.example.com/",
        "ftp://api.example.com/",
        "httpss://api.example.com/",
    ] {
        assert!(!origin_admits("https://api.example.com", uri).await, "{uri}");
    }
    assert!(!origin_admits("https://api.example.com:8443", "https://api.example.com/").await);
    assert!(!origin_admits("https://api.example.com.", "https://api.example.com/").await);
}

#[tokio::test(start_paused = true)]
async fn s3_a_port_with_a_sign_is_no_port() {
    for uri in ["https://api.example.com:+443/", "https://api.example.com:+8443/", "https://api.example.com:-443/"] {
        let Ok(request) = Request::get(uri).body(Body::default()) else {
            continue;
        };
        let sent = send(|builder| builder.origin(ORIGIN), request).await;
        assert!(sent.is_untouched(&HeaderMap::new()), "{uri}: RFC 3986 has digits only, and other readers refuse it");
    }
}

#[tokio::test(start_paused = true)]
async fn s3_each_of_several_origins_is_in_scope() {
    let both = |builder: AuthLayerBuilder| builder.origin("https://a.example").origin("https://b.example:8443");
    assert!(gets_credentials(both, "https://a.example/").await);
    assert!(gets_credentials(both, "https://b.example:8443/").await);
    assert!(!gets_credentials(both, "https://a.example:8443/").await);
    assert!(!gets_credentials(both, "https://b.example/").await);
}

#[tokio::test(start_paused = true)]
async fn s3_plain_http_is_for_this_machine_only() {
    for host in ["127.0.0.1", "127.8.9.254:8080", "[::1]", "[0:0:0:0:0:0:0:1]:81", "localhost", "LocalHost:3000"] {
        let origin = format!("http://{host}");
        assert!(origin_admits(&origin, &format!("{origin}/a")).await, "{origin}");
        assert!(gets_credentials(AuthLayerBuilder::any_origin, &origin).await, "{origin}");
    }
    for host in [
        "10.0.0.1",
        "0.0.0.0",
        "128.0.0.1",
        "[::2]",
        "[::ffff:10.0.0.1]",
        "localhost.",
        "localhost.example",
        "127.0.0.1.example",
        "127.0.0.1@example.com",
        "api.example.com",
    ] {
        let uri = format!("http://{host}/");
        assert!(!gets_credentials(AuthLayerBuilder::any_origin, &uri).await, "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn s3_any_origin_is_every_https_server_and_no_other_scheme() {
    for uri in ["https://a.example/", "https://10.0.0.1:8443/", "https://b.example./"] {
        assert!(gets_credentials(AuthLayerBuilder::any_origin, uri).await, "{uri}");
    }
    for uri in ["http://a.example/", "ws://a.example/", "ftp://127.0.0.1/", "a.example:443"] {
        assert!(!gets_credentials(AuthLayerBuilder::any_origin, uri).await, "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn s3_insecure_http_is_possible_where_it_is_meant() {
    let meant = |builder: AuthLayerBuilder| builder.origin("http://10.0.0.1").allow_insecure_http();
    assert!(gets_credentials(meant, "http://10.0.0.1/").await);
    assert!(gets_credentials(meant, "http://10.0.0.1:80/").await);
    assert!(!gets_credentials(meant, "https://10.0.0.1/").await);
    assert!(!gets_credentials(meant, "http://10.0.0.2/").await);
    assert!(gets_credentials(|builder| meant(builder).any_origin(), "http://10.0.0.2/").await);
    let secure = |builder: AuthLayerBuilder| builder.origin("https://10.0.0.1").allow_insecure_http();
    assert!(!gets_credentials(secure, "http://10.0.0.1/").await, "the scheme still has to be the same");
}

#[tokio::test(start_paused = true)]
async fn s3_an_authority_alone_is_no_origin() {
    for uri in ["api.example.com:443", "api.example.com"] {
        assert!(!origin_admits(ORIGIN, uri).await, "{uri}");
        assert!(!gets_credentials(|builder| builder.origin(ORIGIN).allow_relative_uri(), uri).await, "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn s3_a_current_token_goes_to_no_other_origin_either() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = dressed(&issuer).origin(ORIGIN).build().unwrap().layer(api);
    assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    let elsewhere = Request::get("https://evil.example/").body(Body::default()).unwrap();
    assert_eq!(client.clone().oneshot(elsewhere).await.unwrap().status(), 401);
    assert!(seen.requests()[1].headers().is_empty());
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!((issuer.requests(), seen.count()), (1, 3), "the 401 of another origin does not reject the token");
}
