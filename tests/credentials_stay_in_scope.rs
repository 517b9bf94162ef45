//! Credentials go to the configured origins and nowhere else, and a caller can keep them off a single request.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "time is paused")]

mod support;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header::AUTHORIZATION};
use proptest::prelude::*;
use support::{Body, Issuer, ORIGIN, Seen, api, get};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthLayer, AuthLayerBuilder, Clock, Credentials, NoAuth, NotReplayed, Overwrite, Sign, SignRules, TimestampHmac,
    paynet::{X_FIID, X_SIGNATURE, X_TIMESTAMP},
};

const OURS: [HeaderName; 4] = [AUTHORIZATION, X_FIID, X_TIMESTAMP, X_SIGNATURE];

/// A layer with all that it can write: a token, a static header and a signature. It has no origin yet.
fn dressed(issuer: &Issuer) -> AuthLayerBuilder {
    AuthLayer::builder(issuer.clone())
        .clock(Clock::Tokio)
        .header(X_FIID, HeaderValue::from_static("BANK"))
        .sign(SignRules::all(), TimestampHmac::sha256(Credentials::new("id", "a key")))
}

/// What arrives of one request, and what its answer is.
struct Sent {
    issuer: Issuer,
    seen: Seen,
    status: u16,
    marked: bool,
}

impl Sent {
    fn headers(&self) -> HeaderMap {
        self.seen.requests()[0].headers().clone()
    }

    /// Sent once with just these headers, no token fetched for it, and its 401 left to the caller.
    fn is_untouched(&self, headers: &HeaderMap) -> bool {
        let once = self.seen.count() == 1 && self.headers() == *headers;
        once && self.issuer.requests() == 0 && self.status == 401 && !self.marked
    }
}

async fn send(change: impl FnOnce(AuthLayerBuilder) -> AuthLayerBuilder, request: Request<Body>) -> Sent {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = change(dressed(&issuer)).build().unwrap();
    let response = layer.layer(api).oneshot(request).await.unwrap();
    // Whatever was begun behind the request's back has its time.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let marked = response.extensions().get::<NotReplayed>().is_some();
    Sent { issuer, seen, status: response.status().as_u16(), marked }
}

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
        "https://user:password@api.example.com/",
        "https://evil.example@api.example.com/",
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
    for uri in ["https://a.example/", "https://10.0.0.1:8443/", "https://user@b.example./"] {
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
async fn s3_a_path_alone_is_in_scope_and_an_authority_alone_is_not() {
    for uri in ["/v1/a?b", "/", "//evil.example/a", "*"] {
        assert!(origin_admits(ORIGIN, uri).await, "{uri}");
    }
    assert!(!origin_admits(ORIGIN, "api.example.com:443").await);
    assert!(!origin_admits(ORIGIN, "api.example.com").await);
}

#[tokio::test(start_paused = true)]
async fn s3_a_token_at_hand_stays_at_home_too() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = dressed(&issuer).origin(ORIGIN).build().unwrap().layer(api);
    assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    let elsewhere = Request::get("https://evil.example/").body(Body::default()).unwrap();
    assert_eq!(client.clone().oneshot(elsewhere).await.unwrap().status(), 401);
    assert!(seen.requests()[1].headers().is_empty());
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!((issuer.requests(), seen.count()), (1, 3), "the 401 from elsewhere says nothing of the token");
}

#[tokio::test(start_paused = true)]
async fn s2_headers_of_the_same_names_are_replaced_and_marked_sensitive() {
    let mut request = get("/a");
    for name in OURS {
        request.headers_mut().append(name.clone(), HeaderValue::from_static("caller's first"));
        request.headers_mut().append(name, HeaderValue::from_static("caller's second"));
    }
    let sent = send(|builder| builder.origin(ORIGIN).overwrite(Overwrite::Replace), request).await;
    let headers = sent.headers();
    assert_eq!((sent.status, headers.len()), (200, 4), "each name once: {headers:?}");
    assert_eq!(
        (&headers[AUTHORIZATION], &headers[X_FIID]),
        (&"Bearer token-1".parse().unwrap(), &"BANK".parse().unwrap())
    );
    assert!(headers.values().all(HeaderValue::is_sensitive));
}

#[tokio::test(start_paused = true)]
async fn s2_the_bearer_header_is_built_once_for_a_token() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = issuer.layer().layer(api);
    for _ in 0..2 {
        client.clone().oneshot(get("/a")).await.unwrap();
    }
    let place = |request: &Request<()>| request.headers()[AUTHORIZATION].as_bytes().as_ptr();
    assert_eq!(place(&seen.requests()[0]), place(&seen.requests()[1]));
}

fn with_own_authorization() -> Request<Body> {
    let mut request = get("/a");
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic b3du"));
    request
}

#[tokio::test(start_paused = true)]
async fn s5_a_callers_own_authorization_is_kept_and_its_401_is_the_callers() {
    for change in [|builder: AuthLayerBuilder| builder, |builder: AuthLayerBuilder| builder.overwrite(Overwrite::Keep)]
    {
        let before = with_own_authorization().headers().clone();
        let sent = send(|builder| change(builder.origin(ORIGIN)), with_own_authorization()).await;
        assert!(sent.is_untouched(&before));
    }
}

#[tokio::test(start_paused = true)]
async fn s5_a_callers_own_authorization_is_replaced_where_that_is_asked_for() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = dressed(&issuer).origin(ORIGIN).overwrite(Overwrite::Replace).build().unwrap().layer(api);
    assert_eq!(client.clone().oneshot(with_own_authorization()).await.unwrap().status(), 200);
    issuer.revoke();
    assert_eq!(client.oneshot(with_own_authorization()).await.unwrap().status(), 200);
    assert_eq!(seen.tokens(), ["token-1", "token-1", "token-2"], "in the replay too");
}

#[tokio::test(start_paused = true)]
async fn s5_a_replaced_authorization_still_stays_in_scope() {
    let mut request = with_own_authorization();
    *request.uri_mut() = "https://evil.example/".parse().unwrap();
    let before = request.headers().clone();
    assert!(send(|builder| builder.origin(ORIGIN).overwrite(Overwrite::Replace), request).await.is_untouched(&before));
}

#[tokio::test(start_paused = true)]
async fn s6_a_request_marked_no_auth_goes_out_untouched() {
    for own in [get("/a"), with_own_authorization()] {
        let mut request = own;
        request.extensions_mut().insert(NoAuth);
        request.extensions_mut().insert(Sign::Always);
        let before = request.headers().clone();
        assert!(
            send(|builder| builder.origin(ORIGIN).overwrite(Overwrite::Replace), request).await.is_untouched(&before)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn s6_sign_overrides_the_rules_for_one_request() {
    let signs = async |path: &str, mark: Option<Sign>| {
        let mut request = get(path);
        mark.map(|mark| request.extensions_mut().insert(mark));
        let signer = TimestampHmac::sha256(Credentials::new("id", "a key"));
        let rules = SignRules::paths(["/signed"]).unwrap().only([Method::GET]);
        let sent = send(|builder| builder.origin(ORIGIN).sign(rules, signer), request).await;
        assert!(sent.headers().contains_key(AUTHORIZATION) && sent.headers().contains_key(X_FIID));
        assert_eq!(sent.headers().contains_key(X_SIGNATURE), sent.headers().contains_key(X_TIMESTAMP));
        sent.headers().contains_key(X_SIGNATURE)
    };
    assert!(signs("/signed", None).await);
    assert!(!signs("/signed", Some(Sign::Never)).await);
    assert!(signs("/signed", Some(Sign::Always)).await);
    assert!(!signs("/other", None).await);
    assert!(signs("/other", Some(Sign::Always)).await);
    let mut elsewhere = Request::get("https://evil.example/").body(Body::default()).unwrap();
    elsewhere.extensions_mut().insert(Sign::Always);
    assert!(send(|builder| builder.origin(ORIGIN), elsewhere).await.is_untouched(&HeaderMap::new()));
}

/// Sends outside of a test's runtime, as a property has to. None where `http` cannot read the URI or no layer is built.
fn decide(origin: &str, uri: &str) -> Option<bool> {
    let issuer = Issuer::new();
    let layer = AuthLayer::builder(issuer.clone()).origin(origin).clock(Clock::Tokio).build().ok()?;
    let request = Request::get(uri).body(Body::default()).ok().filter(|request| request.uri().authority().is_some())?;
    let (seen, api) = api(&issuer, Duration::ZERO);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(layer.layer(api).oneshot(request)).unwrap();
    Some(!seen.tokens().is_empty())
}

fn same_origin(origin: &str, uri: &str) -> bool {
    let parse = |text| url::Url::parse(text).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
    parse(origin).is_some_and(|origin| parse(uri) == Some(origin))
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("api.example.com".to_owned()),
        1 => "(api|API|evil)[.](example|eXample)[.]com[.]?",
        1 => prop::sample::select(vec!["127.0.0.1", "127.1", "0x7f.1", "[::1]", "[0:0:0:0:0:0:0:1]", "localhost", "a%70i.example.com"])
            .prop_map(str::to_owned),
        1 => "[-a-z0-9.@:\\[\\]%_~!$&'()*+,;=]{1,12}",
    ]
}

fn port() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        2 => prop::sample::select(vec![":", ":443", ":80", ":0443", ":8443", ":65535", ":65536", ":99999", ":+443", ":-1", ":4 43"])
            .prop_map(str::to_owned),
        1 => ":[0-9]{0,6}",
    ]
}

fn scheme() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["https", "https", "https", "http", "HTTPS", "hTTp", "wss", "ftp"])
}

fn userinfo() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(String::new()), 1 => "[-a-z0-9.:@/?#\\\\%]{0,10}@"]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("/".to_owned()), 1 => "[/?#\\\\@:.a-z]{0,10}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s3_no_credential_goes_where_a_second_reader_of_urls_sees_another_origin(
        (scheme_a, host_a, port_a) in (scheme(), host(), port()),
        (scheme_b, user, host_b, port_b, path) in (scheme(), userinfo(), host(), port(), path()),
    ) {
        let origin = format!("{scheme_a}://{host_a}{port_a}");
        let uri = format!("{scheme_b}://{user}{host_b}{port_b}{path}");
        if let Some(sent) = decide(&origin, &uri) {
            let same = same_origin(&origin, &uri);
            prop_assert!(!sent || same, "{origin} admits {uri}");
            let plain = user.is_empty() && path == "/" && host_a.eq_ignore_ascii_case(&host_b);
            prop_assert!(sent || !(same && plain), "{origin} refuses {uri}");
        }
    }
}
