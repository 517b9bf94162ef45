//! R12: a token that `TokenHandle::invalidate` has retired is not used again, and renewing it costs no budget.

use std::time::Duration;

use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{AuthError, ErrorKind, rejection::NotReplayed, token::TokenState};

use crate::{
    answering::refusing,
    support::{Issuer, api, get},
};

#[tokio::test(start_paused = true)]
async fn r12_an_invalidated_token_is_renewed_by_the_next_caller() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let (client, handle) = (layer.layer(api), layer.handle());
    let first = handle.token().await.unwrap();
    handle.invalidate(&first);
    assert_eq!(handle.status().state, TokenState::Missing);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(issuer.requests(), 1, "nothing is started");
    assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(seen.tokens(), ["token-2"]);

    handle.invalidate(&first);
    assert_eq!(handle.status().state, TokenState::Fresh, "only the current token can be retired");
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn r12_an_invalidated_token_is_renewed_whatever_the_budget() {
    let issuer = Issuer::new();
    let (_seen, api) = refusing();
    let layer = issuer.layer();
    let (client, handle) = (layer.layer(api), layer.handle());
    for _ in 0..4 {
        client.clone().oneshot(get("/a")).await.unwrap();
    }
    let response = client.oneshot(get("/a")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::Throttled), "the budget is used up");
    for round in 6..11 {
        handle.invalidate(&handle.token().await.unwrap());
        assert_eq!(handle.token().await.unwrap().expose_secret(), format!("token-{round}"));
    }
    assert_eq!(issuer.requests(), 10);
}

#[tokio::test(start_paused = true)]
async fn r12_an_invalidated_token_is_not_used_again_though_no_other_can_be_had() {
    let issuer = Issuer::new();
    let (_, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let handle = layer.handle();
    handle.invalidate(&handle.token().await.unwrap());
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "locked")));
    let error = layer.layer(api).oneshot(get("/a")).await.unwrap_err();
    assert_eq!(AuthError::find(&*error).unwrap().kind(), ErrorKind::Denied);
    assert_eq!(handle.status().state, TokenState::Missing);
}
