//! What happened in the whole run, and whether it should have.

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

/// The results of calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) served: AtomicU64,
    /// An error, or a status other than 200, as faults cause them.
    pub(crate) failed: AtomicU64,
    /// Dropped by its caller.
    pub(crate) dropped: AtomicU64,
    /// Without a result for much longer than all deadlines together.
    pub(crate) hung: AtomicU64,
}

impl Totals {
    /// Adds what a server has received.
    pub(crate) fn add_server(&mut self, seen: Stats) {
        self.token_requests += seen.token_requests;
        self.api_requests += seen.api_requests;
        self.rejected += seen.rejected;
        self.connections += seen.connections;
        self.credentials_leaked += seen.credentials_leaked;
    }

    /// Fails if calls failed that the faults do not explain: a soak in which every call fails would be flat, too.
    ///
    /// A fault fails the call that it hits, and over HTTP/2 some calls beside it. Revocations and new servers fail no call,
    /// unless one comes before a token of the last renewal was accepted.
    pub(crate) fn check(&self) -> Result<(), BoxError> {
        let [served, failed, _, hung] = self.calls.read();
        if hung > 0 || self.credentials_leaked > 0 {
            return Err("calls hung, or credentials were leaked".into());
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
