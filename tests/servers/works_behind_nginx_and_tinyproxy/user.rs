//! Who authenticates over the ready-made transport.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthError, AuthLayer, BoxError, Credentials,
    client::{HttpsClient, HttpsClientBuilder},
    oauth::ClientCredentialsGrant,
    rejection::NotReplayed,
    token::{RefreshPolicy, TokenHandle},
};

#[derive(Clone)]
pub(crate) struct User {
    client: Auth<HttpsClient>,
    pub(crate) handle: TokenHandle,
    origin: String,
}

/// What came back to the caller.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) not_replayed: Option<NotReplayed>,
    pub(crate) body: String,
}

impl User {
    /// Connections are kept, unless the transport says otherwise. After a failed fetch there is a long rest.
    pub(crate) fn new(transport: HttpsClientBuilder, origin: &str) -> Result<Self, AuthError> {
        Self::with(transport, origin, origin)
    }

    pub(crate) fn with(transport: HttpsClientBuilder, tokens: &str, origin: &str) -> Result<Self, AuthError> {
        let transport = transport.build()?;
        let source = ClientCredentialsGrant::builder(&format!("{tokens}/token"), Credentials::new("client", SECRET));
        let rest = Duration::from_secs(600);
        let policy = RefreshPolicy::default().failure_backoff(rest, rest);
        let source = source.allow_insecure_http().transport(transport.clone()).build()?;
        let layer = AuthLayer::builder(source).origin(origin).allow_insecure_http().refresh(policy).build()?;
        Ok(Self { handle: layer.handle(), client: layer.layer(transport), origin: origin.to_owned() })
    }

    pub(crate) async fn call(&self) -> Result<Answer, BoxError> {
        let request = Request::get(format!("{}/api", self.origin)).body(Full::<Bytes>::default())?;
        let exchange = async {
            let (head, body) = self.client.clone().oneshot(request).await?.into_parts();
            let body = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
            let not_replayed = head.extensions.get().copied();
            Ok(Answer { status: head.status.as_u16(), version: head.version, not_replayed, body })
        };
        timeout(Duration::from_secs(60), exchange).await?
    }

    /// Which must be one of the layer's.
    pub(crate) async fn failure(&self) -> Result<AuthError, BoxError> {
        let error = self.call().await.err().ok_or("an answer all the same")?;
        Ok(AuthError::find(error.as_ref()).ok_or_else(|| format!("another error: {error:?}"))?.clone())
    }
}

pub(crate) fn trusting(root: &str) -> HttpsClientBuilder {
    HttpsClient::builder().root_certificates(root)
}

pub(crate) const SECRET: &str = "s3cret";
