//! huskarl's authorizer over its cache and client-credentials grant; repeated once after a 401, as its guide says.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use huskarl::{
    authorizer::HttpAuthorizer,
    cache::{GrantTokenSource, InMemoryRefreshTokenStore, InMemoryTokenCache},
    core::{
        Error,
        client_auth::NoAuth,
        http::{HttpClient, HttpResponse, Idempotency},
        platform::MaybeSendBoxFuture,
    },
    grant::client_credentials::{ClientCredentialsGrant, ClientCredentialsGrantParameters},
};
use tower::{Service, service_fn};
use tower_outbound_auth::BoxError;

use crate::{
    api::{Api, Body, Client},
    endpoint::{response, token_response},
    world::{Issuer, World},
};

pub(crate) fn client(world: &World) -> Result<impl Client + use<>, BoxError> {
    let grant = ClientCredentialsGrant::builder()
        .client_id("id")
        .client_auth(NoAuth)
        .token_endpoint("https://login.example.com/token".parse()?)
        .http_client(InProcess(Arc::clone(&world.issuer)))
        .build();
    let source = GrantTokenSource::builder()
        .grant(grant)
        .grant_parameters(ClientCredentialsGrantParameters::builder().build())
        .refresh_store(InMemoryRefreshTokenStore::default())
        .build();
    let cache = InMemoryTokenCache::builder().source(source).build();
    let authorizer = Arc::new(HttpAuthorizer::builder().cache(cache).build());
    let api = Api::<BoxError>::of(world);
    Ok(service_fn(move |mut request: Request<Body>| {
        let (authorizer, mut api) = (Arc::clone(&authorizer), api.clone());
        async move {
            let copy = request.clone();
            request.headers_mut().extend(authorizer.get_headers(copy.method(), copy.uri()).await?);
            let response = api.call(request).await?;
            authorizer.process_response(copy.uri(), response.headers());
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok::<_, BoxError>(response);
            }
            let mut request = copy;
            let headers = authorizer.get_headers(request.method(), request.uri()).await?;
            request.headers_mut().extend(headers);
            api.call(request).await
        }
    }))
}

struct InProcess(Arc<Issuer>);

impl HttpClient for InProcess {
    fn execute(&self, _: Request<Bytes>, _: Idempotency) -> MaybeSendBoxFuture<'_, Result<HttpResponse, Error>> {
        Box::pin(async {
            let (head, body) = response(self.0.issue().await, token_response).into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            Ok(HttpResponse { status: head.status, headers: head.headers, body })
        })
    }
}
