//! A layer that writes every kind of credential, and what arrives of a request sent through it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, header::AUTHORIZATION};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthLayer, AuthLayerBuilder, Credentials,
    rejection::NotReplayed,
    signing::{SignRules, TimestampHmac},
};

use crate::support::{Body, Issuer, Seen, api};

pub(crate) const X_STATIC: HeaderName = HeaderName::from_static("x-static");
pub(crate) const X_TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
pub(crate) const X_SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
pub(crate) const OURS: [HeaderName; 4] = [AUTHORIZATION, X_STATIC, X_TIMESTAMP, X_SIGNATURE];

/// A layer with all that it can write: a token, a static header and a signature. It has no origin yet.
pub(crate) fn dressed(issuer: &Issuer) -> AuthLayerBuilder {
    AuthLayer::builder(issuer.clone())
        .header(X_STATIC, HeaderValue::from_static("BANK"))
        .sign(SignRules::all(), TimestampHmac::sha256(Credentials::new("id", "a key")))
}

/// What arrives of one request, and what its answer is.
pub(crate) struct Sent {
    pub(crate) issuer: Issuer,
    pub(crate) seen: Seen,
    pub(crate) status: u16,
    pub(crate) marked: bool,
}

impl Sent {
    pub(crate) fn headers(&self) -> HeaderMap {
        self.seen.requests()[0].headers().clone()
    }

    /// Sent once with just these headers, no token fetched for it, and its 401 left to the caller.
    pub(crate) fn is_untouched(&self, headers: &HeaderMap) -> bool {
        let once = self.seen.count() == 1 && self.headers() == *headers;
        once && self.issuer.requests() == 0 && self.status == 401 && !self.marked
    }
}

pub(crate) async fn send(change: impl FnOnce(AuthLayerBuilder) -> AuthLayerBuilder, request: Request<Body>) -> Sent {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = change(dressed(&issuer)).build().unwrap();
    let response = layer.layer(api).oneshot(request).await.unwrap();
    // Whatever was begun behind the request's back has its time.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let marked = response.extensions().get::<NotReplayed>().is_some();
    Sent { issuer, seen, status: response.status().as_u16(), marked }
}
