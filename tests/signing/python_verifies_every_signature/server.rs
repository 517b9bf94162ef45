//! The Python process that checks signatures, and a client that it knows.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::{ServiceBuilder, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthError, BoxError, Credentials,
    paynet::{self, Environment, RejectionLayer, Rejections, X_FIID},
    token::TokenHandle,
};

/// `tests/vendor/server.py`; it ends with this.
pub(crate) struct Server {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) origin: String,
}

/// What the server saw so far.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) token_requests: u64,
    /// By the secret of the signature, `none` where none was asked for.
    pub(crate) accepted: HashMap<String, u64>,
    /// By the message.
    pub(crate) refused: HashMap<String, u64>,
}

impl Server {
    pub(crate) fn knowing(secret: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vendor/server.py");
        let process = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.expect("Python 3 is needed here");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let origin = lines.next().expect("tests/vendor/server.py has to start").unwrap();
        let mut server = Self { process, lines, origin };
        server.set(&json!({ "secrets": [secret] }));
        server
    }

    /// Changes settings of the server.
    pub(crate) fn set(&mut self, change: &Value) -> Seen {
        writeln!(self.process.stdin.as_mut().unwrap(), "{change}").unwrap();
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    pub(crate) fn seen(&mut self) -> Seen {
        self.set(&json!({}))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Seen {
    pub(crate) fn accepted_with(&self, secret: &str) -> u64 {
        self.accepted.get(secret).copied().unwrap_or_default()
    }

    pub(crate) fn refused_as(&self, message: &str) -> u64 {
        self.refused.get(message).copied().unwrap_or_default()
    }
}

/// A caller of the server through the whole stack, over a socket.
#[derive(Clone)]
pub(crate) struct User {
    origin: String,
    pub(crate) credentials: Credentials,
    pub(crate) handle: TokenHandle,
    client: Auth<Rejections<legacy::Client<HttpConnector, Full<Bytes>>>>,
}

impl User {
    pub(crate) fn of(server: &Server, secret: &str) -> Result<Self, AuthError> {
        let origin = server.origin.clone();
        let credentials = Credentials::new(CLIENT_ID, secret);
        let environment = Environment::custom(&format!("{origin}/token"), &origin)?;
        let auth = paynet::auth(&environment, credentials.clone())?
            .header(X_FIID, HeaderValue::from_static("FIID0001"))
            .build()?;
        let handle = auth.handle();
        let http = legacy::Client::builder(TokioExecutor::new()).build_http();
        let client = ServiceBuilder::new().layer(auth).layer(RejectionLayer).service(http);
        Ok(Self { origin, credentials, handle, client })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(StatusCode, Value), BoxError> {
        self.send(Request::get(format!("{}{path}", self.origin)).body(Full::default())?).await
    }

    pub(crate) async fn post(&self, path: &str, content: &Value) -> Result<(StatusCode, Value), BoxError> {
        let request = Request::post(format!("{}{path}", self.origin)).header(CONTENT_TYPE, "application/json");
        self.send(request.body(Full::from(content.to_string()))?).await
    }

    /// A call that has to be let in.
    pub(crate) async fn types(&self) -> Result<(), BoxError> {
        match self.get(TYPES).await? {
            (StatusCode::OK, _) => Ok(()),
            refused => Err(format!("{refused:?}").into()),
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Value), BoxError> {
        let exchange = async {
            let (head, body) = self.client.clone().oneshot(request).await?.into_parts();
            Ok((head.status, serde_json::from_slice(&body.collect().await?.to_bytes())?))
        };
        // Longer than any call takes: a call that hangs becomes one that fails.
        timeout(Duration::from_secs(20), exchange).await?
    }
}

pub(crate) const TYPES: &str = "/v1/reports/types";
const CLIENT_ID: &str = "id of & for +%";
