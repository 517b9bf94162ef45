//! S9: neither `Send` nor `'static` is asked of the inner service, its future or its bodies.

use std::{
    cell::Cell,
    convert::Infallible,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    sync::LazyLock,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body::Frame;
use static_assertions::{assert_impl_all, assert_not_impl_any};
use tokio::{task::LocalSet, time::sleep};
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthLayer, BoxError, ResponseFuture,
    replay::{CloneBody, NoReplay},
    token::TokenHandle,
};

use crate::support::{Issuer, ORIGIN};

/// A body that stays on its thread if its marker does.
#[derive(Clone, Default)]
struct Empty<M>(PhantomData<M>);

impl<M> http_body::Body for Empty<M> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

/// A service with parts that stay on their thread or do not: itself, its future, the response's body.
#[derive(Clone)]
struct Parts<S, F, RB>(PhantomData<(S, F, RB)>);

struct Answering<F, RB>(PhantomData<(F, RB)>);

impl<F, RB> Future for Answering<F, RB> {
    type Output = Result<Response<Empty<RB>>, BoxError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl<S, F, RB, B> Service<Request<B>> for Parts<S, F, RB> {
    type Response = Response<Empty<RB>>;
    type Error = BoxError;
    type Future = Answering<F, RB>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        Answering(PhantomData)
    }
}

type FutureOf<S, F, B, RB, R = CloneBody> = ResponseFuture<Parts<S, F, RB>, R, Empty<B>, Empty<RB>>;
type Local = Rc<()>;

assert_impl_all!(FutureOf<(), (), (), ()>: Send);
assert_impl_all!(FutureOf<(), (), (), (), NoReplay>: Send);
assert_not_impl_any!(FutureOf<Local, (), (), ()>: Send);
assert_not_impl_any!(FutureOf<(), Local, (), ()>: Send);
assert_not_impl_any!(FutureOf<(), (), Local, ()>: Send);
assert_not_impl_any!(FutureOf<(), (), (), Local>: Send);
assert_impl_all!(Auth<Parts<(), (), ()>>: Clone, Send, Sync);
assert_not_impl_any!(Auth<Parts<Local, (), ()>>: Send, Sync);
assert_impl_all!(AuthLayer: Clone, Send, Sync);
assert_impl_all!(TokenHandle: Clone, Send, Sync);

/// An API on one thread, with borrowed and counted parts.
#[derive(Clone)]
struct OneThread<'a> {
    issuer: &'a Issuer,
    calls: Rc<Cell<u32>>,
}

impl Service<Request<Empty<Local>>> for OneThread<'_> {
    type Response = Response<Empty<Local>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Empty<Local>>, BoxError>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Local>>) -> Self::Future {
        let calls = Rc::clone(&self.calls);
        let known = self.issuer.knows(request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap());
        Box::pin(async move {
            sleep(Duration::from_millis(1)).await;
            calls.set(calls.get() + 1);
            let mut response = Response::new(Empty::default());
            *response.status_mut() = if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            Ok(response)
        })
    }
}

fn request() -> Request<Empty<Local>> {
    Request::get(format!("{ORIGIN}/a")).body(Empty::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn s9_a_service_that_stays_on_its_thread_works_on_a_local_set() {
    static ISSUER: LazyLock<Issuer> = LazyLock::new(Issuer::new);
    let issuer = &*ISSUER;
    let calls = Rc::new(Cell::new(0));
    let client = issuer.layer().layer(OneThread { issuer, calls: Rc::clone(&calls) });
    let local = LocalSet::new();
    local
        .run_until(async {
            for round in 0..3 {
                let spawned: Vec<_> =
                    (0..10).map(|_| tokio::task::spawn_local(client.clone().oneshot(request()))).collect();
                for call in spawned {
                    assert_eq!(call.await.unwrap().unwrap().status(), 200, "round {round}");
                }
                issuer.revoke();
            }
        })
        .await;
    // Ten cold, then twice ten rejected and replayed.
    assert_eq!((calls.get(), issuer.requests()), (50, 3));
}

#[tokio::test(start_paused = true)]
async fn s9_a_service_that_borrows_works_where_it_lives() {
    let issuer = Issuer::new();
    let calls = Rc::new(Cell::new(0));
    let client = issuer.layer().layer(OneThread { issuer: &issuer, calls: Rc::clone(&calls) });
    assert_eq!(client.clone().oneshot(request()).await.unwrap().status(), 200);
    issuer.revoke();
    assert_eq!(client.oneshot(request()).await.unwrap().status(), 200);
    assert_eq!((calls.get(), issuer.requests()), (3, 2));
}
