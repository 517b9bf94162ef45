//! What the server has seen, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a [`Sandbox`](super::Sandbox), from its start on.
///
/// A request is in the counters by the time its answer arrives.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// `POST /token` that arrived, those that met a fault included.
    pub token_requests: u64,
    /// Requests to a path under `/v1/` or `/v2/`, those that met a fault included.
    pub api_requests: u64,
    /// API requests whose token, signature and `X-Fiid` were right.
    pub accepted: u64,
    /// API requests that were refused for token, signature or `X-Fiid`.
    pub rejected: u64,
    /// TCP connections accepted, on both origins together.
    pub connections: u64,
    /// Files handed out by the download origin.
    pub downloads: u64,
    /// Requests that carried a credential to where none belongs.
    ///
    /// These are: to the download origin, any of `Authorization`, `X-Timestamp`, `X-Signature` and `X-Fiid`, or a token or
    /// the client secret in the URI; to the token endpoint, a bearer token or `X-Signature`; anywhere, a token or the
    /// client secret in the query. A token counts after its end as well.
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
