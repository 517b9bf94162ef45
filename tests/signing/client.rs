//! A client that signs, and what arrives of its requests.

use std::time::Duration;

use http::{HeaderMap, Request};
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{
    BoxError,
    paynet::{X_SIGNATURE, X_TIMESTAMP},
    signing::{SignRules, Signer},
};

use crate::support::{Body, Issuer, Seen, api};

/// A client that signs, and what arrives of its requests.
pub(crate) struct Client<A> {
    pub(crate) seen: Seen,
    pub(crate) service: tower_outbound_auth::Auth<A>,
}

pub(crate) fn client(
    rules: SignRules,
    signer: impl Signer,
) -> Client<impl Service<Request<Body>, Response = http::Response<Body>, Error = BoxError, Future: Send> + Clone> {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    Client { seen, service: issuer.builder().sign(rules, signer).build().unwrap().layer(api) }
}

impl<A: Service<Request<Body>, Response = http::Response<Body>, Error = BoxError> + Clone> Client<A> {
    /// The headers of this request as they arrive.
    pub(crate) async fn headers(&self, request: Request<Body>) -> HeaderMap {
        self.service.clone().oneshot(request).await.unwrap();
        self.seen.requests().pop().unwrap().headers().clone()
    }
}

/// Timestamp and signature of a request.
pub(crate) fn pair(headers: &HeaderMap) -> (&str, &str) {
    (headers[X_TIMESTAMP].to_str().unwrap(), headers[X_SIGNATURE].to_str().unwrap())
}
