//! The token source of all peers: slow, counted, and failing if told to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tower_outbound_auth::BoxError;

use crate::endpoint::Endpoint;

/// Issues a token 50 ms after the request.
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
    /// Returns a token, or `None` for a 503.
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

    /// Sets the lifetime of tokens from now on.
    pub(crate) fn set_lifetime(&self, seconds: u64) {
        self.lifetime.store(seconds, Relaxed);
    }

    /// Issues no tokens from now on.
    pub(crate) fn go_down(&self) {
        self.down.store(true, Relaxed);
    }
}

/// What one client is built with: its token source, both in process and over loopback.
pub(crate) struct World {
    pub(crate) issuer: Arc<Issuer>,
    /// How long before its expiry a token is renewed, for clients where that can be set; `None` for their defaults.
    pub(crate) margin: Option<Duration>,
    /// Whether the API rejects expired tokens.
    pub(crate) strict: bool,
    endpoint: Endpoint,
}

impl World {
    /// Creates a world with tokens that live for an hour.
    pub(crate) fn new() -> Result<Self, BoxError> {
        Self::start(3600, None)
    }

    /// Creates a world with tokens that live for this many seconds, and an API that rejects expired ones.
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

/// Returns whether a token of this source has not expired.
pub(crate) fn is_alive(token: &str) -> bool {
    let end = token.split('.').next().and_then(|end| end.parse().ok());
    end.is_some_and(|end: u128| end > since_epoch().as_micros())
}

pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

const LATENCY: Duration = Duration::from_millis(50);
