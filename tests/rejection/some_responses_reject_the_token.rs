//! R1: which responses reject the token that the request carried.

use std::time::Duration;

use http::{HeaderValue, Request, StatusCode, header::WWW_AUTHENTICATE};
use http_body_util::Full;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    rejection::{NotReplayed, Rejection},
    token::TokenState,
};

use crate::{
    answering::{answering, assert_whole, refusal, refusing},
    support::{Issuer, answer, api, get},
};

#[tokio::test(start_paused = true)]
async fn r1_reject_when_tells_the_layer_how_an_api_rejects() {
    let issuer = Issuer::new();
    let (seen, api) = answering(|count, request| async move {
        match (count, request.uri().path()) {
            (1, _) => answer(StatusCode::PAYMENT_REQUIRED),
            (_, "/bad") => answer(StatusCode::BAD_REQUEST),
            _ => answer(StatusCode::OK),
        }
    });
    let by_status = |parts: &http::response::Parts| (parts.status == 402).then_some(Rejection::Token);
    let client = issuer.builder().reject_when(by_status).build().unwrap().layer(api);

    assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(seen.tokens(), ["token-1", "token-2"]);
    let other = client.oneshot(get("/bad")).await.unwrap();
    assert_eq!(other.status(), 400);
    assert!(other.extensions().get::<NotReplayed>().is_none(), "it was not rejected");
    assert_eq!((seen.count(), issuer.requests()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn r1_reject_when_that_sees_nothing_leaves_a_401_to_the_layer() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = issuer.builder().reject_when(|_| None).build().unwrap().layer(api);
    client.clone().oneshot(get("/a")).await.unwrap();
    issuer.revoke();
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(seen.tokens(), ["token-1", "token-1", "token-2"]);
}

#[tokio::test(start_paused = true)]
async fn r1_an_inner_layer_may_leave_a_rejection_whatever_the_status() {
    let issuer = Issuer::new();
    let (seen, api) = answering(|count, _| async move {
        let mut response = answer(StatusCode::OK);
        if count == 1 {
            response.extensions_mut().insert(Rejection::Token);
        }
        response
    });
    let response = issuer.layer().layer(api).oneshot(get("/a")).await.unwrap();
    assert!(response.extensions().get::<Rejection>().is_none(), "the second answer is the caller's");
    assert_eq!(seen.tokens(), ["token-1", "token-2"]);
}

#[tokio::test(start_paused = true)]
async fn r1_a_401_for_want_of_scope_is_not_replayed_and_costs_no_token() {
    let issuer = Issuer::new();
    let (seen, api) = answering(|_, _| async {
        let mut response = refusal();
        let challenge = HeaderValue::from_static(r#"Bearer error="insufficient_scope", scope="write""#);
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        response
    });
    let layer = issuer.layer();
    let response = layer.layer(api).oneshot(get("/a")).await.unwrap();
    assert_whole(response, NotReplayed::InsufficientScope).await;
    assert_eq!((seen.count(), issuer.requests()), (1, 1));
    assert_eq!(layer.handle().status().state, TokenState::Fresh);
}

#[tokio::test(start_paused = true)]
async fn r1_a_challenge_that_tells_of_the_token_has_it_renewed_and_the_request_replayed() {
    for (status, challenges) in [
        (401, &[r#"Bearer error="expired_token""#][..]),
        (401, &[r#"Bearer error="token_expired""#]),
        (401, &[r#"Bearer error="invalid_grant""#]),
        (401, &[r#"Bearer error="INVALID_TOKEN""#]),
        (401, &[r#"Bearer error="unauthorized", error_description="revoked""#]),
        (401, &[r#"Bearer error="insufficient_scope", Bearer error="Invalid_Token""#]),
        (401, &[r#"Bearer error="insufficient_scope""#, r#"bearer error="expired_token""#]),
        (401, &["Bearer error=\"unterminated"]),
        (401, &[r#"Basic realm="a""#]),
        (403, &[r#"Bearer error="invalid_token""#]),
        (403, &["BEARER realm=x, error=Invalid_Token"]),
        (400, &[r#"Bearer error="invalid_token", error_description="expired""#]),
        (404, &["Negotiate", r#"Bearer error="invalid_token""#]),
        (429, &[r#"Bearer error="INVALID_TOKEN""#]),
    ] {
        let issuer = Issuer::new();
        let (seen, api) = answering(move |count, _| async move {
            let mut response = answer(if count == 1 { StatusCode::from_u16(status).unwrap() } else { StatusCode::OK });
            for challenge in challenges.iter().filter(|_| count == 1) {
                response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            response
        });
        let response = issuer.layer().layer(api).oneshot(get("/a")).await.unwrap();
        assert_eq!(response.status(), 200, "{status} {challenges:?}");
        assert_eq!((seen.tokens(), issuer.requests()), (vec!["token-1".to_owned(), "token-2".to_owned()], 2));
    }
}

#[tokio::test(start_paused = true)]
async fn r1_a_challenge_is_read_though_its_realm_is_not_ascii() {
    for challenge in [
        &b"Bearer realm=\"caf\xe9\", error=\"insufficient_scope\""[..],
        "Bearer realm=\"é\", error=insufficient_scope".as_bytes(),
    ] {
        let (issuer, challenge) = (Issuer::new(), HeaderValue::from_bytes(challenge).unwrap());
        let (seen, api) = answering(move |_, _| {
            let mut response = refusal();
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge.clone());
            async { response }
        });
        let response = issuer.layer().layer(api).oneshot(get("/a")).await.unwrap();
        assert_whole(response, NotReplayed::InsufficientScope).await;
        assert_eq!((seen.count(), issuer.requests()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn r1_a_rejection_of_a_request_out_of_scope_is_its_callers() {
    let issuer = Issuer::new();
    let (seen, api) = refusing();
    let request = Request::get("https://elsewhere.example.com/a").body(Full::default()).unwrap();
    let response = issuer.layer().layer(api).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.extensions().get::<NotReplayed>().is_none());
    assert_eq!((seen.count(), issuer.requests()), (1, 0));
}
