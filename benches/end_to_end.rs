//! The throughput of a client with and without the layer.
//!
//! `cargo bench --bench end_to_end`. Requests a second over HTTP/1.1 and HTTP/2 on this machine: hyper-util's client, open
//! connections, small bodies, and a fixed number of callers that each send one request after the other. The variants share
//! the client's connections and take turns within each round; the figures are medians.
//!
//! The token has to be sent. Over HTTP/2 it is encoded anew for each request, since `h2` does not index `Authorization`. That
//! is not the layer's work; the static header shows how much it costs.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use support::{
    Report, Rounds,
    sockets::{client, exchange, serve},
    stand_ins::{instant_source, static_header},
};
use tokio::{runtime::Builder, task::JoinSet};
use tower::{Layer, Service};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    replay::NoReplay,
    signing::{SignRules, TimestampHmac},
};

/// Returns the requests a second of a short period.
async fn period<S>(client: &S, uri: &Uri) -> Result<f64, BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<Incoming>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
{
    let start = Instant::now();
    let callers = (0..CALLERS).map(|_| {
        let (client, uri) = (client.clone(), uri.clone());
        async move {
            let mut responses = 0;
            while start.elapsed() < PERIOD {
                exchange(client.clone(), uri.clone()).await?;
                responses += 1;
            }
            Ok::<_, BoxError>(responses)
        }
    });
    let responses = callers.collect::<JoinSet<_>>().join_all().await;
    let elapsed = start.elapsed().as_secs_f64();
    Ok(responses.into_iter().sum::<Result<u32, _>>().map(f64::from)? / elapsed)
}

async fn measure(http2: bool) -> Result<Rounds<5>, BoxError> {
    let address = serve()?;
    let (origin, uri) = (format!("http://{address}"), format!("http://{address}/reports").parse()?);
    let bare = client(http2);
    let header = static_header(TOKEN).layer(bare.clone());
    let builder = || AuthLayer::builder(instant_source(TOKEN)).origin(&origin);
    let hmac = TimestampHmac::sha256(Credentials::new("my-client", "my-secret"));
    let (bearer, signed) = (builder().build()?, builder().sign(SignRules::all(), hmac).build()?);
    let no_replay = builder().replay(NoReplay).build()?;
    for handle in [bearer.handle(), signed.handle(), no_replay.handle()] {
        handle.token().await?;
    }
    let no_replay = no_replay.layer(bare.clone());
    let (bearer, signed) = (bearer.layer(bare.clone()), signed.layer(bare.clone()));
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let [bare, header] = [period(&bare, &uri).await?, period(&header, &uri).await?];
        let [no_replay, bearer] = [period(&no_replay, &uri).await?, period(&bearer, &uri).await?];
        rounds.push([bare, header, no_replay, bearer, period(&signed, &uri).await?]);
    }
    Ok(Rounds::new(rounds))
}

fn main() -> Result<(), BoxError> {
    let mut report = Report::new("end_to_end");
    let runtime = Builder::new_current_thread().enable_all().build()?;
    for (table, http2) in [("HTTP/1.1", false), ("HTTP/2", true)] {
        let rounds = runtime.block_on(measure(http2))?;
        for (variant, row) in VARIANTS.into_iter().enumerate() {
            let speed = ("requests/s", rounds.median(variant));
            report.row(
                table,
                row,
                [speed, ("÷ bare", rounds.ratio(variant, 0)), ("÷ static", rounds.ratio(variant, 1))],
            );
        }
    }
    report.finish()?;
    Ok(())
}

const VARIANTS: [&str; 5] = [
    "bare client",
    "a static header",
    "bearer and NoReplay",
    "bearer and CloneBody",
    "bearer and signature and CloneBody",
];
const TOKEN: usize = 800;
const CALLERS: u32 = 32;
const PERIOD: Duration = Duration::from_millis(100);
const ROUNDS: u32 = 51;
