//! `token_header`: which header carries the token, and after which scheme.

use std::{future::ready, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{AuthLayerBuilder, BoxError};

use crate::support::{Body, Issuer, Seen, answer, get};

const OWN: HeaderName = HeaderName::from_static("x-access-token");

/// An API that takes the tokens of its issuer in this header, after this scheme.
fn api(
    issuer: &Issuer,
    name: HeaderName,
    scheme: &'static str,
) -> (Seen, impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone + use<>) {
    let (seen, issuer) = (Seen::default(), issuer.clone());
    let log = seen.clone();
    let service = service_fn(move |request: Request<Body>| {
        log.push(&request);
        let token = request.headers().get(&name).and_then(|value| value.to_str().ok()?.strip_prefix(scheme));
        let known = token.is_some_and(|token| issuer.knows(&format!("Bearer {token}")));
        ready(Ok(answer(if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED })))
    });
    (seen, service)
}

/// Sends a request without a current token, one with it, and one whose token was revoked; returns the headers of all four.
async fn sent(
    change: impl FnOnce(AuthLayerBuilder) -> AuthLayerBuilder,
    (name, scheme): (HeaderName, &'static str),
) -> Vec<HeaderMap> {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, name, scheme);
    let client = change(issuer.builder()).build().unwrap().layer(api);
    for revoked in [false, false, true] {
        if revoked {
            issuer.revoke();
        }
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    }
    seen.requests().iter().map(|request| request.headers().clone()).collect()
}

fn values(sent: &[HeaderMap], name: &HeaderName) -> Vec<HeaderValue> {
    sent.iter().flat_map(|headers| headers.get_all(name)).cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn s2_by_default_it_is_bearer_in_authorization() {
    let sent = sent(|builder| builder, (AUTHORIZATION, "Bearer ")).await;
    assert_eq!(values(&sent, &AUTHORIZATION), ["Bearer token-1", "Bearer token-1", "Bearer token-1", "Bearer token-2"]);
}

#[tokio::test(start_paused = true)]
async fn s2_another_scheme_is_written_as_it_was_set() {
    for (scheme, prefix) in [("Token", "Token "), ("bearer", "bearer "), ("DPoP", "DPoP ")] {
        let sent = sent(|builder| builder.token_header(AUTHORIZATION, scheme), (AUTHORIZATION, prefix)).await;
        let expected = ["token-1", "token-1", "token-1", "token-2"].map(|token| format!("{prefix}{token}"));
        assert_eq!(values(&sent, &AUTHORIZATION), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn s2_an_empty_scheme_sends_the_bare_token_and_another_header_leaves_authorization_out() {
    for (scheme, prefix) in [("", ""), ("Bearer", "Bearer "), ("Token", "Token ")] {
        let sent = sent(|builder| builder.token_header(OWN, scheme), (OWN, prefix)).await;
        assert_eq!(values(&sent, &OWN), [1, 1, 1, 2].map(|number| format!("{prefix}token-{number}")));
        assert!(values(&sent, &AUTHORIZATION).is_empty());
    }
    let bare = sent(|builder| builder.token_header(AUTHORIZATION, ""), (AUTHORIZATION, "")).await;
    assert_eq!(values(&bare, &AUTHORIZATION), ["token-1", "token-1", "token-1", "token-2"]);
}

#[tokio::test(start_paused = true)]
async fn s2_it_is_built_once_for_a_token_and_marked_sensitive_whatever_the_scheme() {
    for (name, scheme, prefix) in [(AUTHORIZATION, "Token", "Token "), (OWN, "", ""), (OWN, "Bearer", "Bearer ")] {
        let sent = sent(|builder| builder.token_header(name.clone(), scheme), (name.clone(), prefix)).await;
        let [first, second, third, renewed] = &values(&sent, &name)[..] else { panic!("{sent:?}") };
        let place = |value: &HeaderValue| value.as_bytes().as_ptr();
        assert_eq!([place(second), place(third)], [place(first); 2]);
        assert_ne!(place(renewed), place(first));
        assert!([first, second, third, renewed].iter().all(|value| value.is_sensitive()));
    }
}

#[tokio::test(start_paused = true)]
async fn s5_a_callers_own_value_of_that_header_is_kept_and_the_request_passes_untouched() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, OWN, "");
    let client = issuer.builder().token_header(OWN, "").build().unwrap().layer(api);
    let own = || {
        let mut request = get("/a");
        request.headers_mut().append(OWN, HeaderValue::from_static("first"));
        request.headers_mut().append(OWN, HeaderValue::from_static("second"));
        request
    };
    assert_eq!(client.clone().oneshot(own()).await.unwrap().status(), 401);
    assert_eq!(issuer.requests(), 0);
    client.clone().oneshot(get("/a")).await.unwrap();
    assert_eq!(client.oneshot(own()).await.unwrap().status(), 401);
    let seen = seen.requests();
    assert_eq!((seen[0].headers(), seen[2].headers()), (own().headers(), own().headers()));
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn s2_with_overwrite_authorization_it_replaces_every_value_of_the_caller() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, OWN, "");
    let builder = issuer.builder().token_header(OWN, "").overwrite_authorization();
    let client = builder.build().unwrap().layer(api);
    let mut own = get("/a");
    own.headers_mut().append(OWN, HeaderValue::from_static("first"));
    own.headers_mut().append(OWN, HeaderValue::from_static("second"));
    for _ in 0..2 {
        assert_eq!(client.clone().oneshot(own.clone()).await.unwrap().status(), 200);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent: Vec<_> = seen.requests().iter().map(|request| request.headers().clone()).collect();
    assert_eq!(values(&sent, &OWN), ["token-1", "token-1"]);
}
