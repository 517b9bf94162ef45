//! Who calls: residents for the whole run, and passers-by with a layer of their own.

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
    Auth, AuthLayer, BoxError, Credentials, KeepWarm, RefreshPolicy, TimestampHmac,
    paynet::{self, Environment, RejectionLayer, Rejections, X_FIID},
    sandbox::FIID,
};

use crate::{
    server::{Http, ORIGIN, Protocol, Way},
    totals::Calls,
};

type Client = Auth<Rejections<Http>>;

/// The two layers that live through all rounds.
pub(crate) struct Residents {
    pub(crate) way: Way,
    layers: [AuthLayer; 2],
}

impl Residents {
    pub(crate) fn new() -> Result<Self, BoxError> {
        let way = Way::default();
        let layers = [layer(&way, Protocol::Http1)?, layer(&way, Protocol::Http2)?];
        Ok(Self { way, layers })
    }

    /// Clients for one round: with each of the layers, over each protocol.
    pub(crate) fn clients(&self) -> impl Iterator<Item = Client> {
        self.layers.iter().flat_map(|layer| {
            let over = |protocol| layer.layer(RejectionLayer.layer(self.way.http(protocol)));
            [over(Protocol::Http1), over(Protocol::Http2)]
        })
    }

    /// Keeps one of the tokens warm; the other one is fetched by who needs it.
    pub(crate) fn keep_warm(&self) -> Vec<KeepWarm> {
        self.layers.iter().take(1).map(|layer| layer.handle().keep_warm()).collect()
    }
}

/// A layer whose token requests go the same way as its calls.
fn layer(way: &Way, protocol: Protocol) -> Result<AuthLayer, BoxError> {
    let environment = Environment::custom(&format!("{ORIGIN}/token"), ORIGIN)?;
    let credentials = Credentials::new("client_123456789", "secret_abcdefghijklmnop");
    let source = paynet::grant(&environment, credentials.clone()).transport(way.http(protocol)).build()?;
    let auth = AuthLayer::builder(source)
        .origin(ORIGIN)
        .sign(paynet::sign_rules(), TimestampHmac::sha256(credentials))
        .header(X_FIID, FIID.parse()?)
        .refresh(policy());
    Ok(auth.build()?)
}

/// Calls until it is aborted, with short breaks.
pub(crate) async fn stay(client: Client, calls: Arc<Calls>) -> Result<(), BoxError> {
    loop {
        sleep(Duration::from_millis(fastrand::u64(0..40))).await;
        call(&client, ORIGIN, &calls).await?;
    }
}

/// Makes a layer and a client, calls up to three times, and leaves.
pub(crate) async fn pass_by(
    way: Way,
    server: Environment,
    key: Credentials,
    calls: Arc<Calls>,
) -> Result<(), BoxError> {
    let auth = paynet::auth(&server, key)?
        .header(X_FIID, FIID.parse()?)
        .refresh(policy())
        .max_wait(Duration::from_millis(fastrand::u64(0..2_000)))
        .build()?;
    let _warm = fastrand::bool().then(|| auth.handle().keep_warm());
    let protocol = if fastrand::bool() { Protocol::Http1 } else { Protocol::Http2 };
    let client = auth.layer(RejectionLayer.layer(way.http(protocol)));
    for _ in 0..fastrand::u8(1..=3) {
        call(&client, server.api_origin(), &calls).await?;
    }
    Ok(())
}

/// One call. One in four is given up within 40 ms, and mostly much sooner: a token on its way takes a millisecond or two.
async fn call(client: &Client, origin: &str, calls: &Calls) -> Result<(), BoxError> {
    let request = any_request(origin)?;
    let gives_up = fastrand::u8(0..4) == 0;
    let patience = if gives_up { Duration::from_micros(fastrand::u64(0..200).pow(2)) } else { HANGS };
    let counter = match timeout(patience, exchange(client.clone(), request)).await {
        Ok(Ok(StatusCode::OK)) => &calls.served,
        Ok(_) => &calls.failed,
        Err(_) if gives_up => &calls.dropped,
        Err(_) => &calls.hung,
    };
    counter.fetch_add(1, Relaxed);
    Ok(())
}

/// Some take the answer's head, and drop its body unread.
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

/// Flights that end soon, so that a round does; the rest is as it is by default.
fn policy() -> RefreshPolicy {
    RefreshPolicy::default()
        .deadline(Duration::from_secs(2))
        .cool_down(Duration::from_millis(100), Duration::from_secs(1))
}

/// Several times as long as all that a call can wait for.
const HANGS: Duration = Duration::from_secs(20);
const REPORT: &str = r#"{"report_type":"settlement","product":"duitnow_qr","date":"2026-01-31"}"#;
