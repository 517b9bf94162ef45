//! Demonstration: axum as a reverse proxy that has credentials for an API; its callers have none. Counted at both ends.
//!
//! ```text
//! cargo run --example proxy
//! ```
//!
//! A proxy has to take care of more than the token:
//!
//! - The caller's `Authorization` is meant for the proxy, and the layer would keep it. Remove it.
//! - The headers of a connection (RFC 9110, section 7.6.1) do not pass, in either direction.
//! - `TRACE` and `CONNECT` do not pass: the response to `TRACE` repeats the request's headers, and `CONNECT` asks for a tunnel.
//! - A 401 of the API is about the proxy's credentials. The caller gets a 502.

#[path = "support/count.rs"]
mod count;
mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use count::Count;
use http::{
    HeaderMap, HeaderName, Method, StatusCode, Uri,
    header::{AUTHORIZATION, CONNECTION, HOST, RETRY_AFTER, TE, TRANSFER_ENCODING, UPGRADE},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use support::{conclude, figure, report};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{Auth, AuthError, AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant};

type Http = legacy::Client<HttpConnector, Full<Bytes>>;

/// What the proxy knows of the API: its address, and a client that authenticates there.
#[derive(Clone)]
struct Upstream {
    address: SocketAddr,
    client: Auth<Http>,
}

/// The whole proxy.
async fn forward(State(upstream): State<Upstream>, request: Request) -> Result<Response, StatusCode> {
    let (mut head, body) = request.into_parts();
    if [Method::TRACE, Method::CONNECT].contains(&head.method) {
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    remove_connection_headers(&mut head.headers);
    head.headers.remove(HOST);
    head.headers.remove(AUTHORIZATION);
    // Built from its parts, so that the caller's text never becomes the host.
    let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme("http").authority(upstream.address.to_string()).path_and_query(path);
    head.uri = uri.build().map_err(|_| StatusCode::BAD_REQUEST)?;
    // Collected, so that the request can be replayed with a new token.
    let body = to_bytes(body, MAX_BODY).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    match upstream.client.oneshot(Request::from_parts(head, Full::new(body))).await {
        Ok(response) if response.status() == StatusCode::UNAUTHORIZED => Err(StatusCode::BAD_GATEWAY),
        Ok(mut response) => {
            remove_connection_headers(response.headers_mut());
            Ok(response.map(Body::new))
        }
        Err(error) => Ok(unavailable(&error)),
    }
}

/// Removes the headers that belong to one connection: those that `Connection` names, and the known ones.
fn remove_connection_headers(headers: &mut HeaderMap) {
    let names = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = names.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
    for name in names.chain(CONNECTION_HEADERS).collect::<Vec<HeaderName>>() {
        headers.remove(name);
    }
}

/// No token, or no connection. The reason is for the log; the caller learns when to try again.
fn unavailable(error: &BoxError) -> Response {
    eprintln!("proxy: {error}");
    match AuthError::find(error.as_ref()).and_then(AuthError::retry_after) {
        Some(wait) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, (wait.as_secs() + 1).to_string())]).into_response()
        }
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (api, proxy) = start().await?;
    conclude(&[
        calls(&api, proxy).await?,
        headers_removed(&api, proxy).await?,
        trace_refused(&api, proxy).await?,
        revoked_token(&api, proxy).await?,
        token_not_renewed(&api, proxy).await?,
        no_token().await?,
    ])
}

async fn calls(api: &Api, proxy: SocketAddr) -> Result<bool, BoxError> {
    for _ in 0..CALLS {
        call(proxy, 5).await?;
    }
    Ok(report(
        "calls through the proxy",
        &[
            figure("accepted", api.accepted.get(), CALLS),
            figure("rejected", api.rejected.get(), 0),
            figure("token requests", api.tokens.get(), 1),
        ],
    ))
}

async fn headers_removed(api: &Api, proxy: SocketAddr) -> Result<bool, BoxError> {
    let response = call(proxy, 5).await?;
    Ok(report(
        "headers that do not pass",
        &[
            figure("callers' Authorization at the API", api.without_token.get(), 0),
            figure("headers of their connections at the API", api.hop_headers.get(), 0),
            figure("headers of the API's at a caller", response.headers().contains_key(HOP).into(), 0),
        ],
    ))
}

async fn trace_refused(api: &Api, proxy: SocketAddr) -> Result<bool, BoxError> {
    let received = api.received();
    let trace = http::Request::builder().method(Method::TRACE).uri(format!("http://{proxy}/orders"));
    let response = http().oneshot(trace.body(Full::default())?).await?;
    Ok(report(
        "a TRACE request",
        &[
            figure("response", response.status().as_u16().into(), 501),
            figure("received by the API", api.received() - received, 0),
        ],
    ))
}

/// The request is replayed with a new token. Its caller does not notice.
async fn revoked_token(api: &Api, proxy: SocketAddr) -> Result<bool, BoxError> {
    api.revoke_tokens();
    let response = call(proxy, 100_000).await?;
    Ok(report(
        "the token is revoked",
        &[
            figure("rejected", api.rejected.get(), 1),
            figure("token requests", api.tokens.get(), 2),
            figure("response", response.status().as_u16().into(), 200),
            figure("bytes of its body", response.into_body().collect().await?.to_bytes().len() as u64, 100_000),
        ],
    ))
}

/// The token is revoked, and the authorization server refuses to issue another. The caller's request is not at fault.
async fn token_not_renewed(api: &Api, proxy: SocketAddr) -> Result<bool, BoxError> {
    api.refuse_tokens.store(true, Relaxed);
    api.revoke_tokens();
    let response = call(proxy, 5).await?;
    Ok(report(
        "the token is revoked and cannot be renewed",
        &[
            figure("response", response.status().as_u16().into(), 502),
            figure("rejected", api.rejected.get(), 2),
            figure("token requests", api.tokens.get(), 3),
        ],
    ))
}

/// No request is sent without a token, and callers learn when to try again.
async fn no_token() -> Result<bool, BoxError> {
    let (api, proxy) = start().await?;
    api.refuse_tokens.store(true, Relaxed);
    let (first, second) = (call(proxy, 5).await?, call(proxy, 5).await?);
    Ok(report(
        "the authorization server refuses the proxy",
        &[
            figure("first response", first.status().as_u16().into(), 503),
            figure("second response", second.status().as_u16().into(), 503),
            figure("with Retry-After", second.headers().contains_key(RETRY_AFTER).into(), 1),
            figure("received by the API", api.received(), 0),
            figure("token requests", api.tokens.get(), 1),
        ],
    ))
}

/// An API and its token endpoint. One token is valid at a time.
#[derive(Clone, Default)]
struct Api {
    tokens: Count,
    /// The number of the newest token that was revoked.
    revoked: Count,
    refuse_tokens: Arc<AtomicBool>,
    accepted: Count,
    rejected: Count,
    /// Requests that carried no token of this API.
    without_token: Count,
    /// Requests with headers that belong to a caller's connection.
    hop_headers: Count,
}

impl Api {
    fn received(&self) -> u64 {
        self.accepted.get() + self.rejected.get()
    }

    fn revoke_tokens(&self) {
        while self.revoked.get() < self.tokens.get() {
            self.revoked.add_one();
        }
    }

    fn issue_token(&self) -> http::Response<Full<Bytes>> {
        let number = self.tokens.add_one();
        if self.refuse_tokens.load(Relaxed) {
            let mut refusal = http::Response::new(Full::from(r#"{ "error": "unauthorized_client" }"#));
            *refusal.status_mut() = StatusCode::BAD_REQUEST;
            return refusal;
        }
        http::Response::new(Full::from(format!(r#"{{ "access_token": "token-{number}", "token_type": "Bearer" }}"#)))
    }

    /// Returns the body that it receives.
    fn respond(&self, headers: &HeaderMap, body: Bytes) -> Response {
        let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = authorization.and_then(|value| value.strip_prefix("Bearer token-")?.parse::<u64>().ok());
        if token.is_none() {
            self.without_token.add_one();
        }
        if headers.contains_key(HOP) || headers.contains_key(TE) {
            self.hop_headers.add_one();
        }
        if token.is_none_or(|token| token <= self.revoked.get()) {
            self.rejected.add_one();
            return StatusCode::UNAUTHORIZED.into_response();
        }
        self.accepted.add_one();
        ([(CONNECTION, HOP.as_str()), (HOP, "for the proxy")], body).into_response()
    }
}

/// Starts an API and a proxy in front of it. Returns the API's counters and the proxy's address.
async fn start() -> Result<(Api, SocketAddr), BoxError> {
    let api = Api::default();
    let respond = |State(api): State<Api>, headers: HeaderMap, body: Bytes| async move { api.respond(&headers, body) };
    let address = serve(Router::new().fallback(respond).with_state(api.clone())).await?;

    let token_endpoint = api.clone();
    let transport = service_fn(move |_: http::Request<Full<Bytes>>| {
        let response = token_endpoint.issue_token();
        async { Ok::<_, BoxError>(response) }
    });
    let credentials = Credentials::new("my-client", "my-secret");
    let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials).transport(transport);
    let auth = AuthLayer::builder(grant.build()?).origin(&format!("http://{address}")).build()?;
    let upstream = Upstream { address, client: auth.layer(http()) };
    let proxy = serve(Router::new().fallback(forward).with_state(upstream)).await?;
    Ok((api, proxy))
}

async fn serve(app: Router) -> Result<SocketAddr, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// Makes a call with a body of this length, as a caller that has no token for the API.
async fn call(proxy: SocketAddr, length: usize) -> Result<http::Response<Incoming>, BoxError> {
    let request = http::Request::post(format!("http://{proxy}/orders"))
        .header(AUTHORIZATION, "Bearer for-the-proxy")
        .header(CONNECTION, HOP)
        .header(HOP, "for the proxy")
        .header(TE, "trailers");
    Ok(http().oneshot(request.body(Full::from(vec![b'x'; length]))?).await?)
}

fn http() -> Http {
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

const CALLS: u64 = 20;
const MAX_BODY: usize = 1 << 20;
/// A header that only the two ends of one connection understand.
const HOP: HeaderName = HeaderName::from_static("x-hop");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const CONNECTION_HEADERS: [HeaderName; 6] = [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE];
