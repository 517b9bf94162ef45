//! S2, S5 and S6: which headers of a request are replaced, and how a caller keeps credentials off a single request.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header::AUTHORIZATION};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    Credentials, NoAuth,
    rejection::NotReplayed,
    signing::{Sign, SignRules, TimestampHmac},
};

use crate::{
    sending::{OURS, X_SIGNATURE, X_STATIC, X_TIMESTAMP, dressed, send},
    support::{Body, Issuer, ORIGIN, api, get},
};

#[tokio::test(start_paused = true)]
async fn s2_headers_of_the_same_names_are_replaced_and_marked_sensitive() {
    let mut request = get("/a");
    for name in OURS {
        request.headers_mut().append(name.clone(), HeaderValue::from_static("caller's first"));
        request.headers_mut().append(name, HeaderValue::from_static("caller's second"));
    }
    let sent = send(|builder| builder.origin(ORIGIN).overwrite_authorization(), request).await;
    let headers = sent.headers();
    assert_eq!((sent.status, headers.len()), (200, 4), "each name once: {headers:?}");
    assert_eq!(
        (&headers[AUTHORIZATION], &headers[X_STATIC]),
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
    let before = with_own_authorization().headers().clone();
    assert!(send(|builder| builder.origin(ORIGIN), with_own_authorization()).await.is_untouched(&before));
}

/// Not all of them sensitive, and with others before, between and after them.
fn with_several_authorizations() -> Request<Body> {
    let mut request = get("/a");
    let mut secret = HeaderValue::from_static("Digest a=\"b\"");
    secret.set_sensitive(true);
    request.headers_mut().insert("x-first", HeaderValue::from_static("1"));
    request.headers_mut().append(AUTHORIZATION, HeaderValue::from_static("Basic b3du"));
    request.headers_mut().append("x-second", HeaderValue::from_static("2"));
    request.headers_mut().append(AUTHORIZATION, secret);
    request.headers_mut().append(AUTHORIZATION, HeaderValue::from_static("Bearer token-1"));
    request.headers_mut().append("x-first", HeaderValue::from_static("3"));
    request
}

fn in_detail(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue, bool)> {
    headers.iter().map(|(name, value)| (name.clone(), value.clone(), value.is_sensitive())).collect()
}

#[tokio::test(start_paused = true)]
async fn s5_several_authorizations_are_kept_with_and_without_a_current_token() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = dressed(&issuer).origin(ORIGIN).build().unwrap().layer(api);
    client.clone().oneshot(with_several_authorizations()).await.unwrap();
    assert_eq!(issuer.requests(), 0, "no token is fetched for it");
    client.clone().oneshot(get("/a")).await.unwrap();
    client.oneshot(with_several_authorizations()).await.unwrap();
    let before = in_detail(with_several_authorizations().headers());
    for sent in [&seen.requests()[0], &seen.requests()[2]] {
        let mut after = in_detail(sent.headers());
        // Which name comes first is no part of a request's meaning; the order of one name's values is.
        after.sort_by_key(|(name, ..)| before.iter().position(|(other, ..)| other == name));
        assert_eq!(after, before);
    }
}

#[tokio::test(start_paused = true)]
async fn s5_a_401_to_a_callers_own_authorization_does_not_reject_the_token() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = dressed(&issuer).origin(ORIGIN).build().unwrap();
    let client = layer.layer(api);
    client.clone().oneshot(get("/a")).await.unwrap();
    let response = client.clone().oneshot(with_own_authorization()).await.unwrap();
    assert_eq!((response.status(), response.extensions().get::<NotReplayed>()), (StatusCode::UNAUTHORIZED, None));
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!((issuer.requests(), seen.count(), layer.handle().status().issued), (1, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn s5_a_callers_own_authorization_is_replaced_where_that_is_asked_for() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = dressed(&issuer).origin(ORIGIN).overwrite_authorization().build().unwrap().layer(api);
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
    assert!(send(|builder| builder.origin(ORIGIN).overwrite_authorization(), request).await.is_untouched(&before));
}

#[tokio::test(start_paused = true)]
async fn s6_a_request_marked_no_auth_goes_out_untouched() {
    for own in [get("/a"), with_own_authorization()] {
        let mut request = own;
        request.extensions_mut().insert(NoAuth);
        request.extensions_mut().insert(Sign::Always);
        let before = request.headers().clone();
        assert!(send(|builder| builder.origin(ORIGIN).overwrite_authorization(), request).await.is_untouched(&before));
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
        assert!(sent.headers().contains_key(AUTHORIZATION) && sent.headers().contains_key(X_STATIC));
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
