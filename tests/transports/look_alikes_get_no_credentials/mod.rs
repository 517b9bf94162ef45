//! S3 on the wire: over a hundred URIs and ninety `Host` fields that look like the configured origin, through the layer and
//! hyper's client over real sockets. All bytes that arrive are searched, at every server.

mod servers;
mod uris;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};
use tower_outbound_auth::{
    AuthLayerBuilder, BoxError, Credentials,
    signing::{SignRules, TimestampHmac},
};

use self::{
    servers::{CREDENTIALS, Servers},
    uris::{HOSTS, OTHERS, SAME},
};
use crate::{authenticated::TestResult, support::Issuer};

type Http = BoxCloneSyncService<Request<Full<Bytes>>, http::Response<hyper::body::Incoming>, BoxError>;

/// A client with a current token, and all that it could give away.
struct User {
    servers: Servers,
    issuer: Issuer,
    client: Http,
}

impl User {
    async fn new<C>(
        servers: Servers,
        client: Client<C, Full<Bytes>>,
        set: impl FnOnce(AuthLayerBuilder) -> AuthLayerBuilder,
    ) -> Result<Self, BoxError>
    where
        C: hyper_util::client::legacy::connect::Connect + Clone + Send + Sync + 'static,
    {
        let issuer = servers.issuer.clone();
        let layer = set(issuer.builder())
            .header(HeaderName::from_static("x-static"), HeaderValue::from_static("the-bank"))
            .sign(SignRules::all(), TimestampHmac::sha256(Credentials::new("id", "a key")))
            .build()?;
        layer.handle().token().await?;
        Ok(Self { servers, issuer, client: BoxCloneSyncService::new(layer.layer(client)) })
    }

    /// Names the servers that were reached, and those of them that got some credential. `None` if there was no response.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Option<Reached>, BoxError> {
        let exchange = async {
            let response = self.client.clone().oneshot(request).await?;
            response.into_body().collect().await.map_err(BoxError::from)
        };
        let answered = timeout(Duration::from_secs(20), exchange).await?.is_ok();
        let arrived = self.servers.take();
        let told = arrived.iter().filter(|(_, bytes)| holds_credentials(bytes)).map(|(server, _)| server.clone());
        let reached = Reached { told: told.collect(), all: arrived.keys().cloned().collect() };
        Ok(answered.then_some(reached))
    }

    /// Holds the layer to giving nothing away, whichever server is reached. Says whether one was.
    async fn gives_nothing_away(&self, request: Request<Full<Bytes>>) -> Result<bool, BoxError> {
        let what = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        let reached = self.send(request).await?;
        if let Some(reached) = &reached {
            assert!(!reached.all.is_empty(), "{what}: a response from nowhere");
            assert!(reached.told.is_empty(), "{what}: credentials at {:?}", reached.told);
        }
        assert_eq!(self.issuer.requests(), 1, "{what}: its 401 is not about the token");
        Ok(reached.is_some())
    }
}

struct Reached {
    told: Vec<String>,
    all: Vec<String>,
}

/// A name or a value of a header that is the layer's.
fn holds_credentials(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    CREDENTIALS.iter().any(|word| text.contains(word))
}

/// Both versions of HTTP, over connections that a name leads to.
async fn users() -> Result<[User; 2], BoxError> {
    let user = async |http2| {
        let servers = Servers::new();
        let client = Client::builder(TokioExecutor::new()).http2_only(http2).build(servers.connector());
        User::new(servers, client, |builder| builder).await
    };
    Ok([user(false).await?, user(true).await?])
}

fn get(uri: &str) -> Option<Request<Full<Bytes>>> {
    Some(Request::new(Full::default())).zip(uri.parse::<Uri>().ok()).map(|(mut request, uri)| {
        *request.uri_mut() = uri;
        request
    })
}

#[tokio::test]
async fn s3_bytes_of_a_request_to_the_origin_carry_credentials_to_its_server_alone() -> TestResult {
    for user in users().await? {
        for uri in SAME {
            let reached = user.send(get(uri).ok_or(*uri)?).await?.ok_or(*uri)?;
            assert_eq!((&reached.told, &reached.all), (&vec![ORIGIN.to_owned()], &reached.told), "{uri}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn s3_no_byte_of_a_credential_reaches_a_server_by_a_uri_that_looks_like_the_origin() -> TestResult {
    for user in users().await? {
        let mut arrived = 0;
        for request in OTHERS.iter().filter_map(|uri| get(uri)) {
            arrived += usize::from(user.gives_nothing_away(request).await?);
        }
        assert!(arrived >= 60, "{arrived} of {} URIs led to a server", OTHERS.len());
    }
    Ok(())
}

#[tokio::test]
async fn s3_no_byte_of_a_credential_is_sent_beside_a_host_that_looks_like_the_origin() -> TestResult {
    for user in users().await? {
        let mut arrived = 0;
        for host in HOSTS {
            for hosts in [&[*host][..], &["api.example.com", host], &[host, "api.example.com"]] {
                let mut request = get("https://api.example.com/a").ok_or("no URI")?;
                for host in hosts {
                    request.headers_mut().append(HOST, HeaderValue::from_bytes(host.as_bytes())?);
                }
                arrived += usize::from(user.gives_nothing_away(request).await?);
            }
        }
        assert!(arrived >= HOSTS.len(), "{arrived} requests led to a server");
    }
    Ok(())
}

#[tokio::test]
async fn s3_no_byte_of_a_credential_is_sent_with_trace() -> TestResult {
    for user in users().await? {
        for uri in SAME {
            let mut request = get(uri).ok_or(*uri)?;
            *request.method_mut() = Method::TRACE;
            assert!(user.gives_nothing_away(request).await?, "{uri}: no response");
        }
    }
    Ok(())
}

/// The names and addresses of this machine, by the system's own resolver.
#[tokio::test]
async fn s3_other_names_and_ports_of_this_machine_are_other_origins() -> TestResult {
    let servers = Servers::new();
    let [here, there] = [servers.listen("here").await?, servers.listen("there").await?].map(|address| address.port());
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let user = User::new(servers, client, |builder| builder.origin(&format!("http://127.0.0.1:{here}"))).await?;
    for uri in [format!("http://127.0.0.1:{here}/"), format!("HTTP://127.0.0.1:{here}/{there}")] {
        assert_eq!(user.send(get(&uri).ok_or("no URI")?).await?.ok_or("no response")?.told, ["here"], "{uri}");
    }
    let mut arrived = 0;
    for host in THIS_MACHINE {
        for port in [here, there] {
            if let Some(request) = get(&format!("http://{host}:{port}/")) {
                arrived += usize::from(user.gives_nothing_away(request).await?);
            }
        }
    }
    for uri in [
        format!("http://127.0.0.1:{there}/"),
        format!("http://127.0.0.1:{there}/127.0.0.1:{here}"),
        format!("http://127.0.0.1:+{here}/"),
        format!("http://127.0.0.1:{here}@127.0.0.1:{there}/"),
        format!("ws://127.0.0.1:{here}/"),
        format!("https://127.0.0.1:{here}/"),
    ] {
        if let Some(request) = get(&uri) {
            arrived += usize::from(user.gives_nothing_away(request).await?);
        }
    }
    assert!(arrived >= 10, "{arrived} requests led to a server");
    Ok(())
}

/// As the servers are called here.
const ORIGIN: &str = "https://api.example.com:443";

/// Names and addresses of this machine but that of the origin, and some that look like it.
const THIS_MACHINE: &[&str] = &[
    "localhost",
    "LOCALHOST",
    "127.1",
    "127.0.1",
    "127.0.0.01",
    "0127.0.0.1",
    "0x7f.0.0.1",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0.0.0.0",
    "0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "user@127.0.0.1",
    "127.0.0.1@127.0.0.1",
    "@127.0.0.1",
    "127.0.0.1:80@127.0.0.1",
    "127.0.0.2",
];
