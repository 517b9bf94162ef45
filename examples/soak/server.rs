//! The servers: one for each round, all with the same name.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpStream;
use tower::{service_fn, util::BoxCloneSyncService};
use tower_outbound_auth::{
    BoxError,
    sandbox::{Fault, FaultKind, RejectionStyle, Sandbox},
};

pub(crate) type Http = BoxCloneSyncService<Request<Full<Bytes>>, Response<Incoming>, legacy::Error>;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Connects [`ORIGIN`] to the server of the round, like a load balancer.
#[derive(Clone, Default)]
pub(crate) struct Route {
    port: Arc<AtomicU16>,
}

impl Route {
    /// Returns a client with its own connections.
    pub(crate) fn http(&self, protocol: Protocol) -> Http {
        let port = Arc::clone(&self.port);
        let connect = service_fn(move |_: Uri| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.load(Relaxed)));
            Box::pin(async move { TcpStream::connect(address).await.map(TokioIo::new) })
        });
        let http2 = protocol == Protocol::Http2;
        BoxCloneSyncService::new(Client::builder(TokioExecutor::new()).http2_only(http2).build(connect))
    }

    /// Starts the server of a round. The rejection style alternates.
    pub(crate) async fn start_server(&self, round: u64) -> Result<Sandbox, BoxError> {
        let style =
            if round.is_multiple_of(2) { RejectionStyle::Documented400 } else { RejectionStyle::Unauthorized401 };
        let sandbox = Sandbox::builder().token_lifetime(LIFETIME).rejection(style).start().await?;
        let origin: Uri = sandbox.environment().api_origin().parse()?;
        self.port.store(origin.port_u16().ok_or("a sandbox without a port")?, Relaxed);
        Ok(sandbox)
    }
}

/// Returns a random fault, mostly for the API.
pub(crate) fn any_fault() -> Fault {
    let status = |codes: &[u16]| {
        let code = fastrand::choice(codes).copied().unwrap_or_default();
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    };
    let kind = match fastrand::u8(0..8) {
        0 => FaultKind::Status(status(&[500, 502, 503, 504])),
        1 => FaultKind::RetryAfter(status(&[429, 503]), Duration::from_secs(1)),
        2 => FaultKind::Reset,
        3 => FaultKind::Malformed,
        4 => FaultKind::CutOff,
        // Mostly outside of the window in which signatures are valid.
        5 => FaultKind::WrongClock(fastrand::i64(-900..900)),
        _ => FaultKind::Latency(Duration::from_millis(fastrand::u64(50..500))),
    };
    if fastrand::u8(0..4) == 0 { Fault::token(kind) } else { Fault::api(kind) }
}

/// No server listens here: the [`Route`] connects to one.
pub(crate) const ORIGIN: &str = "http://localhost:9";
const LIFETIME: Duration = Duration::from_secs(2);
