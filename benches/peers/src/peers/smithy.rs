//! The identity cache of the AWS SDKs, with the header of their bearer scheme.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_smithy_async::{rt::sleep::TokioSleep, time::SystemTimeSource};
use aws_smithy_runtime::client::identity::LazyCacheBuilder;
use aws_smithy_runtime_api::client::{
    identity::{
        Identity, IdentityFuture, ResolveCachedIdentity, ResolveIdentity, SharedIdentityCache, SharedIdentityResolver,
        http::Token,
    },
    runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
};
use aws_smithy_types::config_bag::ConfigBag;
use http::{Request, header::AUTHORIZATION};
use tower::{Service, service_fn};
use tower_outbound_auth::BoxError;

use crate::{
    api::{Api, Body, Client, bearer},
    world::{Issuer, World},
};

pub(crate) fn client(world: &World) -> Result<impl Client + use<>, BoxError> {
    let mut cache = LazyCacheBuilder::new();
    cache.set_buffer_time(world.margin);
    let parts = Arc::new(Parts {
        cache: cache.build(),
        resolver: SharedIdentityResolver::new(Resolver(Arc::clone(&world.issuer))),
        components: RuntimeComponentsBuilder::for_tests()
            .with_time_source(Some(SystemTimeSource::new()))
            .with_sleep_impl(Some(TokioSleep::new()))
            .build()?,
        config: ConfigBag::base(),
    });
    let api = Api::<BoxError>::of(world);
    Ok(service_fn(move |mut request: Request<Body>| {
        let (parts, mut api) = (Arc::clone(&parts), api.clone());
        async move {
            let Parts { cache, resolver, components, config } = &*parts;
            let identity = cache.resolve_cached_identity(resolver.clone(), components, config).await?;
            let token = identity.data::<Token>().ok_or("no token")?;
            request.headers_mut().insert(AUTHORIZATION, bearer(token.token())?);
            api.call(request).await
        }
    }))
}

/// What one of their clients holds.
struct Parts {
    cache: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    components: RuntimeComponents,
    config: ConfigBag,
}

struct Resolver(Arc<Issuer>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolveIdentity for Resolver {
    fn resolve_identity<'a>(&'a self, _: &'a RuntimeComponents, _: &'a ConfigBag) -> IdentityFuture<'a> {
        IdentityFuture::new(async {
            let issued = self.0.issue().await.ok_or("no token")?;
            let end = SystemTime::now() + Duration::from_secs(issued.seconds);
            Ok(Identity::new(Token::new(issued.token, Some(end)), Some(end)))
        })
    }
}
