//! `Stats` and `ClientStats`: counters of what the server has received.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a [`Sandbox`](super::Sandbox) since its start.
///
/// A request is counted before its response is sent.
///
/// # Example
///
/// What a part of a test has caused:
///
/// ```
/// use tower_outbound_auth::sandbox::Sandbox;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::io::Error> {
/// let sandbox = Sandbox::start().await?;
/// let before = sandbox.stats();
/// // … calls of the code under test
/// let after = sandbox.stats();
/// assert_eq!(after.token_requests - before.token_requests, 0);
/// assert_eq!(after.credentials_leaked, 0);
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// `POST /token` requests, including those with a fault.
    pub token_requests: u64,
    /// Requests to a path under `/v1/` or `/v2/`, including those with a fault; with
    /// [`SandboxBuilder::api`](super::SandboxBuilder::api) to any path but `/token`.
    pub api_requests: u64,
    /// API requests with a valid token and, for PayNet's API, signature and `X-Fiid`.
    pub accepted: u64,
    /// API requests that were rejected because of their token, signature or `X-Fiid`.
    pub rejected: u64,
    /// TCP connections accepted on both origins.
    pub connections: u64,
    /// Files sent by the download origin.
    pub downloads: u64,
    /// Requests that sent a credential to a place where it must not be.
    ///
    /// These are requests to the download origin with `Authorization`, `X-Timestamp`, `X-Signature` or `X-Fiid`, or with a
    /// token or the client secret in the URI; requests to the token endpoint with a bearer token or `X-Signature`; and any
    /// request with a token or the client secret in the query. Expired tokens count too.
    pub credentials_leaked: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) token_requests: Counter,
    pub(super) api_requests: Counter,
    pub(super) accepted: Counter,
    pub(super) rejected: Counter,
    pub(super) connections: Counter,
    pub(super) downloads: Counter,
    pub(super) credentials_leaked: Counter,
}

impl Counters {
    pub(super) fn read(&self) -> Stats {
        Stats {
            token_requests: self.token_requests.read(),
            api_requests: self.api_requests.read(),
            accepted: self.accepted.read(),
            rejected: self.rejected.read(),
            connections: self.connections.read(),
            downloads: self.downloads.read(),
            credentials_leaked: self.credentials_leaked.read(),
        }
    }
}

/// Counters of one client of a [`Sandbox`](super::Sandbox) since its start.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Tokens issued to the client.
    pub tokens: u64,
    /// API requests with one of its tokens that were accepted.
    pub accepted: u64,
    /// API requests with one of its tokens that were rejected.
    pub rejected: u64,
}

#[derive(Default)]
pub(super) struct ClientCounters {
    pub(super) tokens: Counter,
    pub(super) accepted: Counter,
    pub(super) rejected: Counter,
}

impl ClientCounters {
    pub(super) fn read(&self) -> ClientStats {
        ClientStats { tokens: self.tokens.read(), accepted: self.accepted.read(), rejected: self.rejected.read() }
    }
}

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
