//! Client of such a server through the layer, with hyper's client on both ways.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Layer, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_outbound_auth::{
    Auth, AuthLayer, BoxError, Credentials,
    oauth::{ClientAuth, ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    paynet,
    rejection::Rejection,
    token::RefreshPolicy,
};

use super::{reads_bodies::read_json, server::Server};

type Http = BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, BoxError>;

/// What a user does for a server that is not as others are.
#[derive(Clone, Copy)]
pub(crate) enum Setting {
    Nothing,
    ClientAuth(ClientAuth),
    DefaultLifetime,
    AcceptTokenType(&'static str),
    RejectWhen(fn(StatusCode) -> bool),
    RejectionLayer,
    ReadBodies,
}

pub(crate) struct User {
    client: Auth<Http>,
    url: String,
}

impl User {
    pub(crate) fn new(server: &Server, (id, secret): (&str, &str), setting: Setting) -> Self {
        let source = ClientCredentialsGrant::builder(
            &format!("http://{}/token", server.address),
            Credentials::new(id, secret.to_owned()),
        );
        let auth =
            AuthLayer::builder(setting.source(source).build().unwrap()).origin(&format!("http://{}", server.address));
        let policy = RefreshPolicy::default();
        let auth = match setting {
            Setting::ClientAuth(_) => auth.refresh(policy.attempts(1)),
            Setting::DefaultLifetime => auth.refresh(policy.default_lifetime(Duration::from_secs(3600))),
            Setting::RejectWhen(rejects) => {
                auth.reject_when(move |head| rejects(head.status).then_some(Rejection::Token))
            }
            _ => auth,
        };
        let auth = auth.build().unwrap();
        let url = format!("http://{}/greeting", server.address);
        Self { client: auth.layer(setting.below()), url }
    }

    /// What comes of a call.
    pub(crate) async fn call(&self) -> Result<(u16, String), BoxError> {
        let request = Request::get(&self.url).body(Full::default())?;
        let response = self.client.clone().oneshot(request).await?;
        let (status, body) = (response.status().as_u16(), response.into_body().collect().await?.to_bytes());
        Ok((status, String::from_utf8(body.to_vec())?))
    }
}

impl Setting {
    /// Its name in the guide.
    pub(crate) fn cell(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::ClientAuth(_) => "`client_auth`",
            Self::DefaultLifetime => "`default_lifetime`",
            Self::AcceptTokenType(_) => "`accept_token_type`",
            Self::RejectWhen(_) => "`reject_when`",
            Self::RejectionLayer => "`paynet::RejectionLayer`",
            Self::ReadBodies => "[a layer that reads the body](#rejections-in-a-body)",
        }
    }

    fn source(self, source: ClientCredentialsGrantBuilder) -> ClientCredentialsGrantBuilder {
        match self {
            Self::ClientAuth(method) => source.client_auth(method).transport(http()),
            Self::AcceptTokenType(token_type) => source.accept_token_type(token_type).transport(http()),
            _ => source.transport(http()),
        }
    }

    /// What stands under the layer.
    fn below(self) -> Http {
        let same_type = ServiceBuilder::new().map_response(|response: Response<_>| response.map(Body::new));
        match self {
            Self::RejectionLayer => {
                let service = paynet::RejectionLayer.layer(http());
                BoxCloneSyncService::new(service.map_response(|response| response.map(Body::new)))
            }
            Self::ReadBodies => BoxCloneSyncService::new(same_type.and_then(read_json::<Body>).service(http())),
            _ => http(),
        }
    }
}

fn http() -> Http {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let service = ServiceBuilder::new()
        .map_err(BoxError::from)
        .map_response(|response: Response<Incoming>| response.map(Body::new))
        .service(client);
    BoxCloneSyncService::new(service)
}
