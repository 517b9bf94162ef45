//! google-cloud-auth: the headers of a user's credentials, which a task renews.

use google_cloud_auth::credentials::{CacheableResource, user_account::Builder};
use http::{Extensions, Request};
use serde_json::json;
use tower::{Service, service_fn};
use tower_outbound_auth::BoxError;

use crate::{
    api::{Api, Body, Client},
    endpoint::TOKEN,
    world::World,
};

pub(crate) fn client(world: &World) -> Result<impl Client + use<>, BoxError> {
    let user = json!({ "type": "authorized_user", "client_id": "id", "client_secret": "secret", "refresh_token": "r" });
    let credentials = Builder::new(user).with_token_uri(world.url(TOKEN)).build()?;
    let api = Api::<BoxError>::of(world);
    Ok(service_fn(move |mut request: Request<Body>| {
        let (credentials, mut api) = (credentials.clone(), api.clone());
        async move {
            if let CacheableResource::New { data, .. } = credentials.headers(Extensions::new()).await? {
                request.headers_mut().extend(data);
            }
            api.call(request).await
        }
    }))
}
