//! The Node process with oidc-provider and the API that it protects, one for all tests; it ends with them.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde::{Deserialize, de::DeserializeOwned};
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthError, AuthLayer, BoxError, Credentials, ErrorKind,
    client::{HttpsClient, HttpsClientBuilder},
    oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    token::{AccessToken, FetchRequest, TokenHandle, TokenSource},
};

#[derive(Deserialize)]
pub(crate) struct Server {
    pub(crate) issuer: String,
    pub(crate) api: String,
    /// Where no client gets in whose certificate it does not know.
    pub(crate) strict: String,
    /// The private authority, PEM.
    pub(crate) root: String,
    #[cfg(feature = "jwt")]
    /// Private keys that sign assertions, by the name of the algorithm, PEM.
    pub(crate) keys: std::collections::BTreeMap<String, String>,
    pub(crate) clients: Clients,
    #[serde(skip)]
    #[expect(dead_code, reason = "it holds the process's input, which ends when this process does, however it ends")]
    process: Option<Child>,
}

#[derive(Deserialize)]
pub(crate) struct Clients {
    pub(crate) pkcs8: Identity,
    pub(crate) pkcs1: Identity,
    pub(crate) sec1: Identity,
    pub(crate) stranger: Identity,
    #[serde(rename = "self")]
    pub(crate) self_signed: Identity,
}

/// PEM.
#[derive(Deserialize)]
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// What the servers saw.
#[derive(Deserialize)]
pub(crate) struct Log {
    asked: Vec<Asked>,
    calls: Vec<Call>,
}

/// A token request: when it came, in milliseconds.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Asked {
    client: Option<String>,
    pub(crate) at: u64,
}

/// A request to the API; without client if the token was no good.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Call {
    client: Option<String>,
    pub(crate) version: String,
    pub(crate) status: u16,
}

pub(crate) static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oidc/server.mjs");
    let mut command = Command::new("node");
    let child = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("Node.js is needed here: see tests/all.sh");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let server: Option<Server> = serde_json::from_str(&line).ok();
    let server = server.expect("tests/oidc/server.mjs has to start: run `npm ci` in tests/oidc first");
    Server { process: Some(child), ..server }
});

impl Server {
    pub(crate) fn trusting(&self) -> HttpsClientBuilder {
        HttpsClient::builder().root_certificates(&self.root).pool_idle_timeout(Duration::from_secs(5))
    }

    /// A source over the private authority.
    pub(crate) fn source(&self, id: &str, secret: &str) -> Result<ClientCredentialsGrantBuilder, AuthError> {
        self.source_at(&format!("{}/token", self.issuer), Credentials::new(id, secret))
    }

    pub(crate) fn source_at(&self, url: &str, of: Credentials) -> Result<ClientCredentialsGrantBuilder, AuthError> {
        Ok(ClientCredentialsGrant::builder(url, of).transport(self.trusting().build()?))
    }

    /// A client of the API.
    pub(crate) fn user(&self, source: ClientCredentialsGrant, transport: HttpsClient) -> Result<User, AuthError> {
        let auth = AuthLayer::builder(source).origin(&self.api).build()?;
        Ok(User { handle: auth.handle(), client: auth.layer(transport) })
    }

    async fn log(&self) -> Result<Log, BoxError> {
        let request = Request::get(format!("{}/log", self.api)).body(Full::default())?;
        Ok(read(self.trusting().build()?, request).await?.1)
    }

    /// The token requests of one client.
    pub(crate) async fn asked(&self, client: &str) -> Result<Vec<Asked>, BoxError> {
        let asked = self.log().await?.asked;
        Ok(asked.into_iter().filter(|asked| asked.client.as_deref() == Some(client)).collect())
    }

    /// The API requests of one client with a token that was alive.
    pub(crate) async fn calls(&self, client: &str) -> Result<Vec<Call>, BoxError> {
        let calls = self.log().await?.calls;
        Ok(calls.into_iter().filter(|call| call.client.as_deref() == Some(client)).collect())
    }
}

pub(crate) struct User {
    pub(crate) handle: TokenHandle,
    client: Auth<HttpsClient>,
}

impl User {
    /// Asks the API, which answers with what it knows of the token.
    pub(crate) async fn get(&self, path: &str) -> Result<(StatusCode, serde_json::Value), BoxError> {
        let request = Request::get(format!("{}{path}", SERVER.api)).body(Full::default())?;
        read(self.client.clone(), request).await
    }
}

async fn read<S, B, T>(client: S, request: Request<Full<Bytes>>) -> Result<(StatusCode, T), BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<B>, Error = BoxError>,
    B: http_body::Body<Error: Into<BoxError>>,
    T: DeserializeOwned,
{
    let response = client.oneshot(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
    Ok((status, serde_json::from_slice(&body)?))
}

pub(crate) async fn token(source: ClientCredentialsGrantBuilder) -> Result<AccessToken, AuthError> {
    source.build()?.fetch(FetchRequest::new()).await
}

/// Asserts that the server refuses, with this code of RFC 6749.
pub(crate) async fn refused(source: ClientCredentialsGrantBuilder, code: &str) {
    fails(source, ErrorKind::Denied, code).await;
}

/// Asserts that the server answers with this code.
pub(crate) async fn fails(source: ClientCredentialsGrantBuilder, kind: ErrorKind, code: &str) {
    let error = token(source).await.expect_err(code);
    assert_eq!((error.kind(), error.oauth_error()), (kind, Some(code)), "{error:?}");
}
