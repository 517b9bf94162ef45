//! What happened in the whole run.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tower_outbound_auth::{BoxError, sandbox::Stats};

#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) rounds: u64,
    pub(crate) calls: Arc<Calls>,
    pub(crate) layers: u64,
    pub(crate) revocations: u64,
    pub(crate) faults: u64,
    token_requests: u64,
    api_requests: u64,
    rejected: u64,
    connections: u64,
    credentials_leaked: u64,
}

/// What became of calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) served: AtomicU64,
    /// An error or another answer than 200, as faults bring it.
    pub(crate) failed: AtomicU64,
    /// Given up by its caller.
    pub(crate) dropped: AtomicU64,
    /// Without an end for much longer than all deadlines together.
    pub(crate) hung: AtomicU64,
}

impl Totals {
    /// What a server has seen in its life.
    pub(crate) fn add_server(&mut self, seen: Stats) {
        self.token_requests += seen.token_requests;
        self.api_requests += seen.api_requests;
        self.rejected += seen.rejected;
        self.connections += seen.connections;
        self.credentials_leaked += seen.credentials_leaked;
    }

    /// Whether calls fared as they should: a soak in which nothing works would be flat as well.
    ///
    /// A fault fails the call that meets it, and over HTTP/2 some beside it. Revocations and fail-overs fail nobody, but
    /// for one that strikes before the renewal of the last one has proved itself: that may cost a second of calls.
    pub(crate) fn check(&self) -> Result<(), BoxError> {
        let [served, failed, _, hung] = self.calls.read();
        if hung > 0 || self.credentials_leaked > 0 {
            return Err("calls hung, or credentials went where none belongs".into());
        }
        if failed > 10 * self.faults || failed > served {
            return Err("more calls failed than the faults explain".into());
        }
        Ok(())
    }
}

impl Calls {
    fn read(&self) -> [u64; 4] {
        [&self.served, &self.failed, &self.dropped, &self.hung].map(|counter| counter.load(Relaxed))
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [served, failed, dropped, hung] = self.calls.read();
        writeln!(f, "rounds {}, revocations {}, faults {}", self.rounds, self.revocations, self.faults)?;
        writeln!(f, "calls: {served} served, {failed} failed, {dropped} dropped, {hung} hung")?;
        writeln!(f, "layers that came and went: {}", self.layers)?;
        write!(
            f,
            "servers saw: {} API requests, {} rejected, {} token requests, {} connections, {} credentials leaked",
            self.api_requests, self.rejected, self.token_requests, self.connections, self.credentials_leaked
        )
    }
}
