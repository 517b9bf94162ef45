//! A lower limit for a layer that fetches tokens: a header in an `ArcSwap`, a coarse clock, and nothing else with a token.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures_util::future::Either;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Mutex;
use tower::Service;
use tower_outbound_auth::BoxError;

use crate::{
    api::{Api, Body, Client, bearer},
    world::{Issuer, World},
};

pub(crate) fn client(world: &World) -> impl Client + use<> {
    let margin = world.margin.unwrap_or(Duration::from_secs(30));
    let cache = Cache { issuer: Arc::clone(&world.issuer), margin, token: ArcSwapOption::empty(), one: Mutex::new(()) };
    Prototype { inner: Api::of(world), cache: Arc::new(cache) }
}

struct Token {
    header: HeaderValue,
    /// On the coarse clock, minus the margin.
    end: Duration,
}

struct Cache {
    issuer: Arc<Issuer>,
    margin: Duration,
    token: ArcSwapOption<Token>,
    one: Mutex<()>,
}

impl Cache {
    fn warm(&self) -> Option<HeaderValue> {
        self.token.load().as_ref().filter(|token| now() < token.end).map(|token| token.header.clone())
    }

    async fn cold(&self) -> Result<HeaderValue, BoxError> {
        let _one = self.one.lock().await;
        if let Some(header) = self.warm() {
            return Ok(header);
        }
        let issued = self.issuer.issue().await.ok_or("no token")?;
        let header = bearer(&issued.token)?;
        let end = now() + Duration::from_secs(issued.seconds).saturating_sub(self.margin);
        self.token.store(Some(Arc::new(Token { header: header.clone(), end })));
        Ok(header)
    }
}

#[derive(Clone)]
struct Prototype {
    inner: Api,
    cache: Arc<Cache>,
}

impl Service<Request<Body>> for Prototype {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Either<
        <Api as Service<Request<Body>>>::Future,
        Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(header) = self.cache.warm() {
            request.headers_mut().insert(AUTHORIZATION, header);
            return Either::Left(self.inner.call(request));
        }
        let (mut inner, cache) = (self.inner.clone(), Arc::clone(&self.cache));
        Either::Right(Box::pin(async move {
            request.headers_mut().insert(AUTHORIZATION, cache.cold().await?);
            inner.call(request).await
        }))
    }
}

fn now() -> Duration {
    clock_gettime(ClockId::MonotonicCoarse).try_into().unwrap_or_default()
}
