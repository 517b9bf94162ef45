//! Who asks for tokens and calls the API, through a proxy.

use std::{error::Error, sync::LazyLock, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthError, AuthLayer, BoxError, Credentials,
    client::HttpsClient,
    oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    rejection::NotReplayed,
    token::{TokenHandle, TokenState},
};

use crate::{
    proxy::Proxy,
    server::{Framing, SIZE},
    support::Issuer,
};

/// A source whose secret makes its requests as long as they have to be.
pub(crate) fn source(proxy: &Proxy, framing: Framing) -> ClientCredentialsGrantBuilder {
    // Making it anew would be most of a case.
    static TRANSPORT: LazyLock<HttpsClient> =
        LazyLock::new(|| HttpsClient::builder().pool_idle_timeout(Duration::ZERO).build().unwrap());
    let url = format!("{}{}", proxy.origin(), framing.path());
    let credentials = Credentials::new("client", "s".repeat(SIZE));
    ClientCredentialsGrant::builder(&url, credentials).transport(TRANSPORT.clone())
}

pub(crate) struct User {
    pub(crate) issuer: Issuer,
    origin: String,
    client: Auth<HttpsClient>,
    handle: TokenHandle,
}

/// What came back to the caller.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) not_replayed: Option<NotReplayed>,
}

impl User {
    /// One whose tokens come from elsewhere.
    pub(crate) fn new(proxy: &Proxy, transport: &HttpsClient) -> Result<Self, AuthError> {
        let issuer = Issuer::new();
        issuer.set(|settings| settings.latency = Duration::ZERO);
        let layer = AuthLayer::builder(issuer.clone()).origin(&proxy.origin()).build()?;
        Ok(Self { issuer, ..Self::of(proxy, transport, &layer) })
    }

    pub(crate) fn of(proxy: &Proxy, transport: &HttpsClient, layer: &AuthLayer) -> Self {
        let (client, handle) = (layer.layer(transport.clone()), layer.handle());
        Self { issuer: Issuer::new(), origin: proxy.origin(), client, handle }
    }

    pub(crate) fn state(&self) -> TokenState {
        self.handle.status().state
    }

    /// Sends as much as there is in an answer, and reads that to its end.
    pub(crate) async fn call(&self, path: &str) -> Result<Answer, BoxError> {
        let request = Request::post(format!("{}{path}", self.origin)).body(Full::new(Bytes::from(vec![b'b'; SIZE])))?;
        let (head, body) = self.client.clone().oneshot(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        if body.len() != SIZE {
            return Err(format!("{} bytes of an answer", body.len()).into());
        }
        Ok(Answer { status: head.status, not_replayed: head.extensions.get().copied() })
    }
}

/// Whether an error is the transport's own, which a caller can know it by, and none of the layer's.
pub(crate) fn is_of_transport(error: &BoxError) -> bool {
    let error: &(dyn Error + 'static) = error.as_ref();
    AuthError::find(error).is_none() && (error.is::<legacy::Error>() || error.is::<hyper::Error>())
}

pub(crate) const OK: Answer = Answer { status: StatusCode::OK, not_replayed: None };
