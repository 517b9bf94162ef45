//! In a tokio runtime that was built without timers, whatever needs one is an error, and nothing panics.

use std::{
    future::{Future, pending, poll_fn, ready},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::yield_now,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, BoxError, Credentials, ErrorKind,
    oauth::ClientCredentialsGrant,
    rejection::NotReplayed,
    token::{AccessToken, FetchRequest, TokenSource, TokenState, source_fn},
};

use crate::{
    runtime,
    support::{Body, ORIGIN, get},
};

fn without_timers() -> [Runtime; 3] {
    let several = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    [
        Builder::new_current_thread().build().unwrap(),
        Builder::new_current_thread().enable_io().build().unwrap(),
        several,
    ]
}

/// A layer whose tokens, numbered from 1, are there at once.
fn builder() -> AuthLayerBuilder {
    let issued = Arc::new(AtomicUsize::new(0));
    let source = source_fn(move |_| {
        let number = issued.fetch_add(1, SeqCst) + 1;
        async move { AccessToken::new(number.to_string(), Some(Duration::from_secs(3_600))) }
    });
    AuthLayer::builder(source).origin(ORIGIN)
}

fn layer() -> AuthLayer {
    builder().build().unwrap()
}

fn is_told(error: &AuthError) {
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Config, false), "{error:?}");
    assert!(error.to_string().contains("no timers: call enable_time()"), "{error}");
}

async fn call(layer: &AuthLayer) -> Result<Response<Body>, AuthError> {
    let api = service_fn(|_: Request<Body>| ready(Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))));
    layer.layer(api).oneshot(get("/a")).await.map_err(|error| AuthError::find(error.as_ref()).unwrap().clone())
}

#[test]
fn s7_a_request_that_has_to_wait_fails() {
    for bare in without_timers() {
        for max_wait in [None, Some(Duration::ZERO), Some(Duration::from_secs(1)), Some(Duration::MAX)] {
            let layer = max_wait.into_iter().fold(builder(), AuthLayerBuilder::max_wait).build().unwrap();
            for _ in 0..3 {
                is_told(&bare.block_on(call(&layer)).unwrap_err());
            }
            let served = runtime().block_on(call(&layer)).is_ok();
            assert_eq!(served, max_wait != Some(Duration::ZERO), "the failure leaves no trace elsewhere");
        }
    }
}

#[test]
fn t11_a_handle_that_has_to_fetch_fails() {
    for bare in without_timers() {
        let handle = layer().handle();
        is_told(&bare.block_on(handle.token()).unwrap_err());
        is_told(&bare.block_on(handle.refresh()).unwrap_err());
        is_told(&handle.status().last_error.unwrap());
    }
}

#[test]
fn s1_a_request_with_a_token_needs_no_timer() {
    for bare in without_timers() {
        let layer = builder().max_wait(Duration::from_secs(1)).build().unwrap();
        runtime().block_on(layer.handle().token()).unwrap();
        assert_eq!(bare.block_on(call(&layer)).unwrap().status(), 200);
        is_told(&bare.block_on(layer.handle().refresh()).unwrap_err());
        assert_eq!(bare.block_on(call(&layer)).unwrap().status(), 200, "the old token stays in use");
    }
}

#[test]
fn r6_a_rejected_response_goes_to_its_caller() {
    for bare in without_timers() {
        let layer = builder().max_wait(Duration::from_secs(1)).build().unwrap();
        runtime().block_on(layer.handle().token()).unwrap();
        let api = service_fn(|_: Request<Body>| {
            let mut response = Response::new(Full::<Bytes>::default());
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            ready(Ok::<_, BoxError>(response))
        });
        let response = bare.block_on(layer.layer(api).oneshot(get("/a"))).unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(response.extensions().get(), Some(&NotReplayed::FetchFailed));
    }
}

/// A body that never ends.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Pending
    }
}

#[test]
fn r9_a_rejected_body_that_does_not_end_is_dropped_at_once() {
    for bare in without_timers() {
        let (layer, timed) = (layer(), runtime());
        timed.block_on(layer.handle().token()).unwrap();
        let (answer, answered) = oneshot::channel();
        let answered = Arc::new(std::sync::Mutex::new(Some(answered)));
        let api = service_fn(move |_: Request<Body>| {
            let first = answered.lock().unwrap().take();
            async move {
                let mut response = Response::new(Endless);
                if let Some(first) = first {
                    first.await?;
                    *response.status_mut() = StatusCode::UNAUTHORIZED;
                }
                Ok::<_, BoxError>(response)
            }
        });
        let mut call = Box::pin(layer.layer(api).oneshot(get("/a")));
        assert!(timed.block_on(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending()))));
        timed.block_on(layer.handle().refresh()).unwrap();
        answer.send(()).unwrap();
        let response = bare.block_on(call).unwrap();
        assert_eq!(response.status(), 200, "replayed with the token that is there already");
        assert!(!response.body().is_end_stream());
    }
}

#[test]
fn s7_a_fetch_of_another_runtime_cannot_be_waited_for() {
    let source = source_fn(|_| pending());
    let layer = AuthLayer::builder(source).origin(ORIGIN).max_wait(Duration::from_secs(1)).build().unwrap();
    let timed = runtime();
    timed.block_on(async {
        let handle = layer.handle();
        let mut token = pin!(handle.token());
        assert!(poll_fn(|cx| Poll::Ready(token.as_mut().poll(cx).is_pending())).await);
        yield_now().await;
    });
    for bare in without_timers() {
        is_told(&bare.block_on(layer.handle().token()).unwrap_err());
        is_told(&bare.block_on(layer.handle().refresh()).unwrap_err());
        is_told(&bare.block_on(call(&layer)).unwrap_err());
    }
    let mut outside = pin!(call(&layer));
    let Poll::Ready(Err(error)) = outside.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("nobody would end the wait");
    };
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[test]
fn t10_keep_warm_does_nothing() {
    for bare in without_timers() {
        let handle = layer().handle();
        bare.block_on(async {
            let _warm = handle.keep_warm();
            for _ in 0..100 {
                yield_now().await;
            }
        });
        assert_eq!((handle.status().state, handle.status().issued), (TokenState::Missing, 0));
    }
}

#[test]
fn o1_a_token_request_by_hand_fails() {
    let transport = service_fn(|_: Request<Full<Bytes>>| pending::<Result<Response<Full<Bytes>>, BoxError>>());
    let grant = ClientCredentialsGrant::builder("https://login.example.com/token", Credentials::new("id", "secret"));
    let grant = grant.transport(transport).timeout(Duration::from_secs(3)).build().unwrap();
    for bare in without_timers() {
        is_told(&bare.block_on(grant.fetch(FetchRequest::new())).unwrap_err());
    }
}

#[cfg(feature = "client")]
#[test]
fn the_https_client_fails() {
    use tower_outbound_auth::client::HttpsClient;

    for bare in without_timers() {
        for idle in [Duration::ZERO, Duration::from_secs(1)] {
            let client = HttpsClient::builder().pool_idle_timeout(idle).build().unwrap();
            let request = Request::get("http://127.0.0.1:9").body(Body::default()).unwrap();
            let error = bare.block_on(client.oneshot(request)).unwrap_err();
            is_told(AuthError::find(error.as_ref()).unwrap());
        }
    }
}
