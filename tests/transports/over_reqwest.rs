//! reqwest under the layer: its client is a Tower service of reqwest's types, so three lines translate.

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use reqwest::redirect::Policy;
use tower::{BoxError, Layer, ServiceBuilder, util::BoxCloneSyncService};
use tower_outbound_auth::{AuthLayer, Credentials, oauth::ClientCredentialsGrant};

use crate::{
    authenticated::{TestResult, is_authenticated},
    support::server::Server,
};

#[tokio::test]
async fn as_the_client_of_the_api() -> TestResult {
    let server = Server::new();
    let origin = format!("http://{}", server.listen().await?);
    let client = ServiceBuilder::new()
        .layer(server.layer(&origin)?)
        .map_response(Response::<reqwest::Body>::from)
        .filter(|request: Request<Bytes>| reqwest::Request::try_from(request))
        .service(plain()?);
    is_authenticated(client, &origin, &server, Version::HTTP_11).await
}

/// For bodies that are not bytes alone: `wrap` takes any `http_body::Body`.
#[tokio::test]
async fn as_the_client_of_the_api_and_of_the_token_endpoint() -> TestResult {
    let server = Server::new();
    let origin = format!("http://{}", server.listen().await?);
    let credentials = Credentials::new("client", "secret");
    let source =
        ClientCredentialsGrant::builder(&format!("{origin}/token"), credentials).transport(wrapped()?).build()?;
    let client = AuthLayer::builder(source).origin(&origin).build()?.layer(wrapped()?);
    is_authenticated(client, &origin, &server, Version::HTTP_11).await
}

fn wrapped() -> reqwest::Result<BoxCloneSyncService<Request<Full<Bytes>>, Response<reqwest::Body>, BoxError>> {
    let client = ServiceBuilder::new()
        .map_response(Response::<reqwest::Body>::from)
        .filter(|request: Request<Full<Bytes>>| reqwest::Request::try_from(request.map(reqwest::Body::wrap)))
        .service(plain()?);
    Ok(BoxCloneSyncService::new(client))
}

/// Without redirects, which would be followed below the layer, and without a proxy from the environment.
fn plain() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().redirect(Policy::none()).no_proxy().build()
}
