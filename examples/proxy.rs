//! axum as a reverse proxy: its callers have no credentials for the API, the proxy has. Counted at both ends.
//!
//! ```text
//! cargo run --example proxy
//! ```
//!
//! What to mind, beside the layer:
//!
//! - `Authorization` of the caller is meant for the proxy, and the layer would keep it: take it off.
//! - Headers of one connection (RFC 9110, section 7.6.1) do not pass, in either direction.
//! - A 401 of the API is about the proxy's credentials. For the caller it is a 502.

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, StatusCode, Uri,
    header::{AUTHORIZATION, CONNECTION, HOST, RETRY_AFTER, TE, TRANSFER_ENCODING, UPGRADE},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{Auth, AuthError, AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant};

#[tokio::main]
async fn main() -> ExitCode {
    match tour().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

type Http = legacy::Client<HttpConnector, Full<Bytes>>;

/// What the proxy knows of the API: where it is, and a client that is logged in there.
#[derive(Clone)]
struct Upstream {
    address: SocketAddr,
    client: Auth<Http>,
}

/// All that the proxy does.
async fn pass_on(State(upstream): State<Upstream>, request: Request) -> Result<Response, StatusCode> {
    let (mut head, body) = request.into_parts();
    strip(&mut head.headers);
    head.headers.remove(HOST);
    head.headers.remove(AUTHORIZATION);
    // From its parts, so that no text of a caller's can become a host.
    let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let target = Uri::builder().scheme("http").authority(upstream.address.to_string()).path_and_query(path);
    head.uri = target.build().map_err(|_| StatusCode::BAD_REQUEST)?;
    // Gathered, so that it can be sent again with a new token.
    let body = to_bytes(body, LONGEST_BODY).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    match upstream.client.oneshot(Request::from_parts(head, Full::new(body))).await {
        Ok(response) if response.status() == StatusCode::UNAUTHORIZED => Err(StatusCode::BAD_GATEWAY),
        Ok(mut response) => {
            strip(response.headers_mut());
            Ok(response.map(Body::new))
        }
        Err(error) => Ok(unavailable(&error)),
    }
}

/// Takes off the headers of this one connection: those that `Connection` names, and those that are known to be.
fn strip(headers: &mut HeaderMap) {
    let names = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = names.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse::<HeaderName>().ok());
    for name in HOP_BY_HOP.into_iter().chain(names.collect::<Vec<_>>()) {
        headers.remove(name);
    }
}

/// No token, or no connection. The reason is for the log alone; when to come back is for the caller too.
fn unavailable(error: &BoxError) -> Response {
    eprintln!("proxy: {error}");
    match AuthError::find(error.as_ref()).and_then(AuthError::retry_after) {
        Some(wait) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, (wait.as_secs() + 1).to_string())]).into_response()
        }
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// All steps; whether each of them was as its line says.
async fn tour() -> Result<bool, BoxError> {
    let (api, proxy) = start().await?;
    let steps = [
        calls(&api, proxy).await?,
        what_is_not_passed_on(&api, proxy).await?,
        revocation(&api, proxy).await?,
        locked_out(&api, proxy).await?,
    ];
    Ok(!steps.contains(&false))
}

async fn calls(api: &Api, proxy: SocketAddr) -> Result<bool, BoxError> {
    for _ in 0..CALLS {
        call(proxy, 5).await?;
    }
    Ok(line(
        "calls through the proxy",
        &[
            ("accepted", api.accepted.get(), CALLS),
            ("refused", api.refused.get(), 0),
            ("token requests", api.tokens.get(), 1),
        ],
    ))
}

async fn what_is_not_passed_on(api: &Api, proxy: SocketAddr) -> Result<bool, BoxError> {
    let answer = call(proxy, 5).await?;
    Ok(line(
        "what is not passed on",
        &[
            ("Authorization of callers at the API", api.strange.get(), 0),
            ("headers of their connections at the API", api.hops.get(), 0),
            ("headers of the API's at a caller", u64::from(answer.headers().contains_key(HOP)), 0),
        ],
    ))
}

/// The callers see none of it.
async fn revocation(api: &Api, proxy: SocketAddr) -> Result<bool, BoxError> {
    api.revoke();
    let answer = call(proxy, 100_000).await?;
    Ok(line(
        "the token is revoked",
        &[
            ("refused", api.refused.get(), 1),
            ("token requests", api.tokens.get(), 2),
            ("answer", answer.status().as_u16().into(), 200),
            ("bytes of the body that arrived", answer.into_body().collect().await?.to_bytes().len() as u64, 100_000),
        ],
    ))
}

/// The callers see that something is wrong, but not with them; nothing goes out without a token.
async fn locked_out(api: &Api, proxy: SocketAddr) -> Result<bool, BoxError> {
    api.locked.store(true, Relaxed);
    api.revoke();
    let (refused, without) = (call(proxy, 5).await?, call(proxy, 5).await?);
    Ok(line(
        "the proxy is locked out",
        &[
            ("answer to the call that the API refused", refused.status().as_u16().into(), 502),
            ("to the next", without.status().as_u16().into(), 503),
            ("says when to come back", u64::from(without.headers().contains_key(RETRY_AFTER)), 1),
            ("refused", api.refused.get(), 2),
            ("without a token at the API", api.strange.get(), 0),
            ("token requests", api.tokens.get(), 3),
        ],
    ))
}

/// An API and its token endpoint, which know one token at a time, and count.
#[derive(Clone, Default)]
struct Api {
    tokens: Count,
    valid: Count,
    locked: Arc<AtomicBool>,
    accepted: Count,
    refused: Count,
    strange: Count,
    hops: Count,
}

impl Api {
    fn revoke(&self) {
        self.valid.0.store(0, Relaxed);
    }

    /// The token endpoint.
    fn login(&self) -> http::Response<Full<Bytes>> {
        let number = self.tokens.add_one();
        if self.locked.load(Relaxed) {
            let mut refusal = http::Response::new(Full::from(r#"{ "error": "unauthorized_client" }"#));
            *refusal.status_mut() = StatusCode::BAD_REQUEST;
            return refusal;
        }
        self.valid.0.store(number, Relaxed);
        http::Response::new(Full::from(format!(r#"{{ "access_token": "token-{number}", "token_type": "Bearer" }}"#)))
    }

    /// The API sends back what it gets.
    fn answer(&self, headers: &HeaderMap, body: Bytes) -> Response {
        let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = authorization.and_then(|value| value.strip_prefix("Bearer token-"));
        if token.is_none() {
            self.strange.add_one();
        }
        if headers.contains_key(HOP) || headers.contains_key(TE) {
            self.hops.add_one();
        }
        if token != Some(&self.valid.get().to_string()) {
            self.refused.add_one();
            return StatusCode::UNAUTHORIZED.into_response();
        }
        self.accepted.add_one();
        ([(CONNECTION, HOP.as_str()), (HOP, "to the proxy")], body).into_response()
    }
}

#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn add_one(&self) -> u64 {
        self.0.fetch_add(1, Relaxed) + 1
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Starts the API, and the proxy in front of it; gives the API's counters, and where the proxy is.
async fn start() -> Result<(Api, SocketAddr), BoxError> {
    let api = Api::default();
    let answers = |State(api): State<Api>, headers: HeaderMap, body: Bytes| async move { api.answer(&headers, body) };
    let address = serve(Router::new().fallback(answers).with_state(api.clone())).await?;

    let endpoint = api.clone();
    let login = service_fn(move |_: http::Request<Full<Bytes>>| {
        let answer = endpoint.login();
        async { Ok::<_, BoxError>(answer) }
    });
    let credentials = Credentials::new("proxy", "secret");
    let source =
        ClientCredentialsGrant::builder("https://login.example.com/token", credentials).transport(login).build()?;
    let auth = AuthLayer::builder(source).origin(&format!("http://{address}")).build()?;
    let upstream = Upstream { address, client: auth.layer(http()) };
    let proxy = serve(Router::new().fallback(pass_on).with_state(upstream)).await?;
    Ok((api, proxy))
}

async fn serve(app: Router) -> Result<SocketAddr, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// A call with a body of this length, by somebody who knows nothing of the API's tokens.
async fn call(proxy: SocketAddr, length: usize) -> Result<http::Response<hyper::body::Incoming>, BoxError> {
    let request = http::Request::post(format!("http://{proxy}/orders"))
        .header(AUTHORIZATION, "Bearer for-the-proxy")
        .header(CONNECTION, HOP)
        .header(HOP, "to the proxy")
        .header(TE, "trailers");
    Ok(http().oneshot(request.body(Full::from(vec![b'x'; length]))?).await?)
}

fn http() -> Http {
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

/// Prints one step, with what was counted and what it should be; whether all of it is right.
fn line(step: &str, facts: &[(&str, u64, u64)]) -> bool {
    let figures: Vec<_> = facts
        .iter()
        .map(|(name, counted, expected)| {
            let instead = if counted == expected { String::new() } else { format!(" instead of {expected}") };
            format!("{name}: {counted}{instead}")
        })
        .collect();
    let all_kept = facts.iter().all(|(_, counted, expected)| counted == expected);
    let mark = if all_kept { "ok" } else { "FAILED" };
    println!("{mark:<6}  {step:<30}  {}", figures.join(", "));
    all_kept
}

const CALLS: u64 = 20;
const LONGEST_BODY: usize = 1 << 20;
/// A header that only the two ends of one connection know.
const HOP: HeaderName = HeaderName::from_static("x-hop");
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];
