//! This crate, over a transport in process or its ready-made one.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::{Layer, service_fn};
use tower_outbound_auth::{AuthError, AuthLayer, BoxError, Credentials, NoReplay, oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder}};

use crate::{
    api::{Api, Client},
    endpoint::{TOKEN, response, token_response},
    world::World,
};

/// As it comes: requests are kept to be sent again.
pub(crate) fn client(world: &World) -> Result<impl Client + use<>, BoxError> {
    Ok(layer(in_process(world))?.layer(Api::<BoxError>::of(world)))
}

pub(crate) fn no_replay(world: &World) -> Result<impl Client + use<>, BoxError> {
    Ok(layer(in_process(world))?.replay(NoReplay).layer(Api::<BoxError>::of(world)))
}

pub(crate) fn over_http(world: &World) -> Result<impl Client + use<>, BoxError> {
    Ok(layer(source(world))?.layer(Api::<BoxError>::of(world)))
}

fn source(world: &World) -> ClientCredentialsGrantBuilder {
    ClientCredentialsGrant::builder(&world.url(TOKEN), Credentials::new("id", "secret"))
}

fn in_process(world: &World) -> ClientCredentialsGrantBuilder {
    let issuer = Arc::clone(&world.issuer);
    source(world).transport(service_fn(move |_: Request<Full<Bytes>>| {
        let issuer = Arc::clone(&issuer);
        async move { Ok::<_, Infallible>(response(issuer.issue().await, token_response)) }
    }))
}

fn layer(source: ClientCredentialsGrantBuilder) -> Result<AuthLayer, AuthError> {
    AuthLayer::builder(source.build()?).origin("https://api.example.com").build()
}
