//! As often written by hand: a token in an `RwLock`, a header formatted for each request, a boxed future.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Request, Response, header::AUTHORIZATION};
use tokio::sync::RwLock;
use tower::Service;
use tower_outbound_auth::BoxError;

use crate::{
    api::{Api, Body, Client, bearer},
    world::{Issuer, World},
};

pub(crate) fn client(world: &World) -> impl Client + use<> {
    let margin = world.margin.unwrap_or(Duration::from_secs(30));
    let cache = Cache { issuer: Arc::clone(&world.issuer), margin, token: RwLock::new(None) };
    ByHand { inner: Api::of(world), cache: Arc::new(cache) }
}

struct Cache {
    issuer: Arc<Issuer>,
    margin: Duration,
    token: RwLock<Option<(String, Instant)>>,
}

impl Cache {
    async fn token(&self) -> Result<String, BoxError> {
        if let Some((token, end)) = &*self.token.read().await
            && Instant::now() + self.margin < *end
        {
            return Ok(token.clone());
        }
        let mut kept = self.token.write().await;
        if let Some((token, end)) = &*kept
            && Instant::now() + self.margin < *end
        {
            return Ok(token.clone());
        }
        let issued = self.issuer.issue().await.ok_or("no token")?;
        *kept = Some((issued.token.clone(), Instant::now() + Duration::from_secs(issued.seconds)));
        Ok(issued.token)
    }
}

#[derive(Clone)]
struct ByHand {
    inner: Api,
    cache: Arc<Cache>,
}

impl Service<Request<Body>> for ByHand {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (mut inner, cache) = (self.inner.clone(), Arc::clone(&self.cache));
        Box::pin(async move {
            let header = bearer(&cache.token().await?)?;
            request.headers_mut().insert(AUTHORIZATION, header);
            inner.call(request).await
        })
    }
}
