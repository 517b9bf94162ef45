//! middle, which renews in a task and returns a prebuilt header.

use std::future::ready;

use http::{Request, header::AUTHORIZATION};
use middle::{Authorizer, BasicClientCredentialAuthorizer};
use tower::{Service, service_fn};
use tower_outbound_auth::BoxError;

use crate::{
    api::{Api, Body, Client},
    endpoint::TOKEN,
    world::World,
};

/// Fetches its first token here.
pub(crate) async fn client(world: &World) -> Result<impl Client + use<>, BoxError> {
    let url = world.url(TOKEN).parse()?;
    let mut builder = BasicClientCredentialAuthorizer::basic_builder("id", "secret", url);
    if let Some(margin) = world.margin {
        builder = builder.refresh_tolerance(margin);
    }
    let (authorizer, mut api) = (builder.build().await?, Api::<BoxError>::of(world));
    Ok(service_fn(move |mut request: Request<Body>| match authorizer.authorization_header() {
        Ok(header) => {
            request.headers_mut().insert(AUTHORIZATION, (*header).clone());
            api.call(request)
        }
        Err(error) => ready(Err(error.into())),
    }))
}
