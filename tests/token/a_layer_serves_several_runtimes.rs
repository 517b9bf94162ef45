//! A layer is built outside of a runtime, and serves several of them one after the other.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{AuthError, AuthLayerBuilder, ErrorKind, token::RefreshPolicy};

use crate::{
    runtime,
    support::{Issuer, api, get},
};

/// Polls once where no runtime is.
fn poll_alone<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn t11_a_layer_needs_no_runtime_to_be_built_and_serves_three_one_after_the_other() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.builder().build().unwrap();
    let (client, handle) = (layer.clone().layer(api), layer.handle());
    for round in 1..=3_u64 {
        let runtime = runtime();
        for _ in 0..3 {
            assert_eq!(runtime.block_on(client.clone().oneshot(get("/a"))).unwrap().status(), 200);
        }
        assert_eq!(issuer.requests(), round);
        let token = runtime.block_on(handle.token()).unwrap();
        handle.invalidate(&token);
    }
    assert_eq!(seen.count(), 9);
}

#[test]
fn t11_a_call_outside_of_any_runtime_fails_with_a_typed_error() {
    for max_wait in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
        let issuer = Issuer::new();
        let (_, api) = api(&issuer, Duration::ZERO);
        let builder = max_wait.into_iter().fold(issuer.builder(), AuthLayerBuilder::max_wait);
        let layer = builder.build().unwrap();
        let Poll::Ready(Err(error)) = poll_alone(layer.layer(api.clone()).oneshot(get("/a"))) else {
            panic!("it must fail at once");
        };
        assert_eq!(error.downcast_ref::<AuthError>().unwrap().kind(), ErrorKind::Config);
        let Poll::Ready(Err(error)) = poll_alone(layer.handle().refresh()) else {
            panic!("it must fail at once");
        };
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(issuer.requests(), 0);

        let served = runtime().block_on(layer.layer(api).oneshot(get("/a")));
        assert_eq!(served.is_ok(), max_wait != Some(Duration::ZERO), "the failure leaves no trace");
    }
}

#[test]
fn t11_a_warm_token_is_of_use_outside_of_any_runtime_even_when_it_is_old() {
    let issuer = Issuer::new();
    let policy = RefreshPolicy::default().refresh_at(f64::MIN_POSITIVE).jitter(0.0);
    let handle = issuer.builder().refresh(policy).build().unwrap().handle();
    runtime().block_on(handle.token()).unwrap();
    let Poll::Ready(Ok(token)) = poll_alone(handle.token()) else {
        panic!("it must be there at once");
    };
    assert_eq!(token.expose_secret(), "token-1");
    issuer.rotate();
    assert!(matches!(poll_alone(handle.token()), Poll::Ready(Ok(_))));
    assert_eq!((issuer.requests(), handle.status().failures), (1, 0), "nothing was started that could not run");

    let next = runtime();
    next.block_on(async {
        assert!(handle.token().await.is_ok());
        sleep(Duration::from_secs(1)).await;
        assert_eq!(handle.status().issued, 2, "the next request in a runtime sees to the successor");
    });
}
