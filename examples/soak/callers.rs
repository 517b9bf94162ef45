//! The callers: residents share two layers for the whole run, visitors create a layer of their own.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthLayer, BoxError, Credentials,
    paynet::{self, Environment, PayNetLayer, Rejections, X_FIID},
    sandbox::FIID,
    signing::TimestampHmac,
    token::{KeepWarm, RefreshPolicy},
};

use crate::{
    server::{Http, ORIGIN, Protocol, Route},
    totals::Calls,
};

type Client = Auth<Rejections<Http>>;

/// The two layers that live through all rounds.
pub(crate) struct Residents {
    pub(crate) route: Route,
    layers: [PayNetLayer; 2],
}

impl Residents {
    pub(crate) fn new() -> Result<Self, BoxError> {
        let route = Route::default();
        let layers = [layer(&route, Protocol::Http1)?, layer(&route, Protocol::Http2)?];
        Ok(Self { route, layers })
    }

    /// Returns the clients of one round: one for each layer and protocol.
    pub(crate) fn clients(&self) -> impl Iterator<Item = Client> {
        self.layers.iter().flat_map(|layer| {
            let over = |protocol| layer.layer(self.route.http(protocol));
            [over(Protocol::Http1), over(Protocol::Http2)]
        })
    }

    /// Keeps one of the tokens warm; the other one is fetched on demand.
    pub(crate) fn keep_warm(&self) -> Vec<KeepWarm> {
        self.layers.iter().take(1).map(|layer| layer.handle().keep_warm()).collect()
    }
}

/// Creates a layer whose token requests take the same route as its calls.
fn layer(route: &Route, protocol: Protocol) -> Result<PayNetLayer, BoxError> {
    let environment = Environment::custom(&format!("{ORIGIN}/token"), ORIGIN)?;
    let credentials = Credentials::new("client_123456789", "secret_abcdefghijklmnop");
    let grant = paynet::grant(&environment, credentials.clone()).transport(route.http(protocol)).build()?;
    let auth = AuthLayer::builder(grant)
        .origin(ORIGIN)
        .sign(paynet::sign_rules(), TimestampHmac::sha256(credentials))
        .header(X_FIID, FIID.parse()?)
        .refresh(policy());
    Ok(auth.build()?.into())
}

/// Makes calls with short pauses, until it is aborted.
pub(crate) async fn stay(client: Client, calls: Arc<Calls>) -> Result<(), BoxError> {
    loop {
        sleep(Duration::from_millis(fastrand::u64(0..40))).await;
        call(&client, ORIGIN, &calls).await?;
    }
}

/// Creates a layer and a client, makes up to three calls, and ends.
pub(crate) async fn visit(
    route: Route,
    server: Environment,
    credentials: Credentials,
    calls: Arc<Calls>,
) -> Result<(), BoxError> {
    let auth = paynet::auth(&server, credentials)?
        .header(X_FIID, FIID.parse()?)
        .refresh(policy())
        .max_wait(Duration::from_millis(fastrand::u64(0..2_000)))
        .build()?;
    let _warm = fastrand::bool().then(|| auth.handle().keep_warm());
    let protocol = if fastrand::bool() { Protocol::Http1 } else { Protocol::Http2 };
    let client = PayNetLayer::from(auth).layer(route.http(protocol));
    for _ in 0..fastrand::u8(1..=3) {
        call(&client, server.api_origin(), &calls).await?;
    }
    Ok(())
}

/// Makes one call. One in four is dropped within 40 ms, mostly much sooner: a token fetch takes a millisecond or two.
async fn call(client: &Client, origin: &str, calls: &Calls) -> Result<(), BoxError> {
    let request = any_request(origin)?;
    let is_dropped = fastrand::u8(0..4) == 0;
    let limit = if is_dropped { Duration::from_micros(fastrand::u64(0..200).pow(2)) } else { HANGS };
    let counter = match timeout(limit, exchange(client.clone(), request)).await {
        Ok(Ok(StatusCode::OK)) => &calls.served,
        Ok(_) => &calls.failed,
        Err(_) if is_dropped => &calls.dropped,
        Err(_) => &calls.hung,
    };
    counter.fetch_add(1, Relaxed);
    Ok(())
}

/// One in eight drops the response's body unread.
async fn exchange(client: Client, request: Request<Full<Bytes>>) -> Result<StatusCode, BoxError> {
    let (head, body) = client.oneshot(request).await?.into_parts();
    if fastrand::u8(0..8) > 0 {
        body.collect().await?;
    }
    Ok(head.status)
}

fn any_request(origin: &str) -> Result<Request<Full<Bytes>>, BoxError> {
    let post = |path, body: &'static str| {
        let request = Request::post(format!("{origin}{path}")).header(CONTENT_TYPE, "application/json");
        request.body(Full::from(body))
    };
    Ok(match fastrand::u8(0..4) {
        0 => post("/v1/reports/download", REPORT)?,
        1 => post("/v2/reports/query", r#"{"query":"{ __typename }"}"#)?,
        _ => Request::get(format!("{origin}/v1/reports/types")).body(Full::default())?,
    })
}

/// Fetches and backoffs are short, so that a round ends soon. Everything else has its default.
fn policy() -> RefreshPolicy {
    RefreshPolicy::default()
        .deadline(Duration::from_secs(2))
        .failure_backoff(Duration::from_millis(100), Duration::from_secs(1))
}

/// Several times as long as a call can take.
const HANGS: Duration = Duration::from_secs(20);
const REPORT: &str = r#"{"report_type":"settlement","product":"duitnow_qr","date":"2026-01-31"}"#;
