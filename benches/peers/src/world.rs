//! The fake token source that every peer is driven with: slow, counted, and failing where that is asked for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tower_outbound_auth::BoxError;

use crate::endpoint::Endpoint;

/// Gives out tokens, 50 ms after it was asked.
pub(crate) struct Issuer {
    asked: AtomicU64,
    lifetime: AtomicU64,
    down: AtomicBool,
}

pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) seconds: u64,
}

impl Issuer {
    /// A token, or nothing where a server would say 503.
    pub(crate) async fn issue(&self) -> Option<Issued> {
        self.asked.fetch_add(1, Relaxed);
        tokio::time::sleep(LATENCY).await;
        let seconds = self.lifetime.load(Relaxed);
        let end = since_epoch() + Duration::from_secs(seconds);
        (!self.down.load(Relaxed))
            .then(|| Issued { token: format!("{:016}.{}", end.as_micros(), "t".repeat(783)), seconds })
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    /// The lifetime of tokens from now on.
    pub(crate) fn set_lifetime(&self, seconds: u64) {
        self.lifetime.store(seconds, Relaxed);
    }

    /// No tokens from now on.
    pub(crate) fn go_down(&self) {
        self.down.store(true, Relaxed);
    }
}

/// What one client is built with: its token source, both in process and behind HTTP on a loopback address.
pub(crate) struct World {
    pub(crate) issuer: Arc<Issuer>,
    /// How long before a token's end to renew it, for clients that can be told; else each keeps its own default.
    pub(crate) margin: Option<Duration>,
    /// Whether the API refuses tokens that have ended.
    pub(crate) strict: bool,
    endpoint: Endpoint,
}

impl World {
    /// Of tokens that live for an hour.
    pub(crate) fn new() -> Result<Self, BoxError> {
        Self::start(3600, None)
    }

    /// Of tokens that live for this many seconds, with an API that looks.
    pub(crate) fn short(seconds: u64, margin: Duration) -> Result<Self, BoxError> {
        Self::start(seconds, Some(margin))
    }

    fn start(seconds: u64, margin: Option<Duration>) -> Result<Self, BoxError> {
        let (asked, lifetime, down) = (AtomicU64::new(0), AtomicU64::new(seconds), AtomicBool::new(false));
        let issuer = Arc::new(Issuer { asked, lifetime, down });
        let endpoint = Endpoint::start(Arc::clone(&issuer))?;
        Ok(Self { issuer, margin, strict: margin.is_some(), endpoint })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.endpoint.address())
    }
}

/// Whether a token of these has not ended yet.
pub(crate) fn is_alive(token: &str) -> bool {
    let end = token.split('.').next().and_then(|end| end.parse().ok());
    end.is_some_and(|end: u128| end > since_epoch().as_micros())
}

pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

const LATENCY: Duration = Duration::from_millis(50);
