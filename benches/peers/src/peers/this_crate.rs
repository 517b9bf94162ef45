//! This crate, with a transport in process or the built-in one.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::{Layer, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, BoxError, Credentials,
    oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    replay::NoReplay,
};

use crate::{
    api::{Api, Client},
    endpoint::{TOKEN, response, token_response},
    world::World,
};

/// With default settings: requests are copied for a replay.
pub(crate) fn client(world: &World) -> Result<impl Client + use<>, BoxError> {
    Ok(builder(in_process(world))?.build()?.layer(Api::<BoxError>::of(world)))
}

pub(crate) fn no_replay(world: &World) -> Result<impl Client + use<>, BoxError> {
    Ok(builder(in_process(world))?.replay(NoReplay).build()?.layer(Api::<BoxError>::of(world)))
}

pub(crate) fn over_http(world: &World) -> Result<impl Client + use<>, BoxError> {
    Ok(builder(grant(world))?.build()?.layer(Api::<BoxError>::of(world)))
}

fn grant(world: &World) -> ClientCredentialsGrantBuilder {
    ClientCredentialsGrant::builder(&world.url(TOKEN), Credentials::new("my-client", "my-secret"))
}

fn in_process(world: &World) -> ClientCredentialsGrantBuilder {
    let issuer = Arc::clone(&world.issuer);
    grant(world).transport(service_fn(move |_: Request<Full<Bytes>>| {
        let issuer = Arc::clone(&issuer);
        async move { Ok::<_, Infallible>(response(issuer.issue().await, token_response)) }
    }))
}

fn builder(grant: ClientCredentialsGrantBuilder) -> Result<AuthLayerBuilder, AuthError> {
    Ok(AuthLayer::builder(grant.build()?).origin("https://api.example.com"))
}
