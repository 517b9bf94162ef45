//! Client of such a server through the layer, with hyper's client on both ways.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Layer, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_outbound_auth::{
    Auth, AuthLayer, BoxError, Credentials,
    oauth::{ClientAuth, ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    paynet,
    rejection::Rejection,
    token::{RefreshPolicy, TokenHandle},
};

use super::{
    reads_bodies::read_json,
    server::{CLIENT_ID, CLIENT_SECRET, Server},
};

type Http = BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, BoxError>;

/// What a user does for a server that is not as others are.
#[derive(Clone, Copy)]
pub(crate) enum Setting {
    Nothing,
    ClientAuth(ClientAuth),
    DefaultLifetime,
    AcceptTokenType(&'static str),
    GrantType(&'static str),
    Param(&'static str, &'static str),
    Scope(&'static str),
    Audience(&'static str),
    Resource(&'static str),
    JsonBody,
    Header(&'static str, &'static str),
    CredentialsInHeaders,
    ClientIdBesideBasic,
    TokenHeader(&'static str, &'static str),
    RejectWhen(fn(StatusCode) -> bool),
    RejectionLayer,
    ReadBodies,
}

pub(crate) struct User {
    client: Auth<Http>,
    pub(crate) handle: TokenHandle,
    url: String,
}

impl User {
    pub(crate) fn new(server: &Server, (id, secret): (&str, &str), setting: Setting) -> Self {
        let credentials = Credentials::new(id, secret.to_owned());
        let source = ClientCredentialsGrant::builder(&format!("http://{}/token", server.address), credentials);
        let source = setting.source(source, (id, secret)).transport(http()).build().unwrap();
        let auth = AuthLayer::builder(source).origin(&format!("http://{}", server.address));
        let policy = RefreshPolicy::default();
        let auth = match setting {
            Setting::TokenHeader(name, scheme) => auth.token_header(HeaderName::from_static(name), scheme),
            Setting::ClientAuth(_) => auth.refresh(policy.attempts(1)),
            Setting::DefaultLifetime => auth.refresh(policy.default_lifetime(Duration::from_secs(3600))),
            Setting::RejectWhen(rejects) => {
                auth.reject_when(move |head| rejects(head.status).then_some(Rejection::Token))
            }
            _ => auth,
        };
        let auth = auth.build().unwrap();
        let url = format!("http://{}/greeting", server.address);
        Self { handle: auth.handle(), client: auth.layer(setting.below()), url }
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
            Self::GrantType(_) => "`grant_type`",
            Self::Param(..) => "`param`",
            Self::Scope(_) => "`scope`",
            Self::Audience(_) => "`audience`",
            Self::Resource(_) => "`resource`",
            Self::JsonBody => "`json_body`",
            Self::Header(..) => "`header`",
            Self::CredentialsInHeaders => "`header`, for each",
            Self::ClientIdBesideBasic => "`client_auth` and `param`",
            Self::TokenHeader(..) => "`token_header`",
            Self::RejectWhen(_) => "`reject_when`",
            Self::RejectionLayer => "`paynet::RejectionLayer`",
            Self::ReadBodies => "[a layer that reads the body](#rejections-in-a-body)",
        }
    }

    fn source(
        self,
        source: ClientCredentialsGrantBuilder,
        (id, secret): (&str, &str),
    ) -> ClientCredentialsGrantBuilder {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        match self {
            Self::ClientAuth(method) => source.client_auth(method),
            Self::AcceptTokenType(token_type) => source.accept_token_type(token_type),
            Self::GrantType(grant_type) => source.grant_type(grant_type),
            Self::Param(name, value) => source.param(name, value),
            Self::Scope(scope) => source.scope(scope),
            Self::Audience(audience) => source.audience(audience),
            Self::Resource(resource) => source.resource(resource),
            Self::JsonBody => source.json_body(),
            Self::Header(name, text) => source.header(HeaderName::from_static(name), value(text)),
            Self::CredentialsInHeaders => source
                .header(HeaderName::from_static(CLIENT_ID), value(id))
                .header(HeaderName::from_static(CLIENT_SECRET), value(secret)),
            Self::ClientIdBesideBasic => source.client_auth(ClientAuth::Basic).param("client_id", id),
            _ => source,
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
