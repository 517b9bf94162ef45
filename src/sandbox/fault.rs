//! `Fault`: what goes wrong, at which endpoint, and for how many requests.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;

/// Failure of the next requests to one endpoint.
///
/// Pass it to [`Sandbox::inject`](super::Sandbox::inject).
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::sandbox::{Fault, FaultKind, Sandbox};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::io::Error> {
/// let sandbox = Sandbox::start().await?;
/// let busy = http::StatusCode::SERVICE_UNAVAILABLE;
///
/// // Two token requests get a 503 with `Retry-After: 2`, and the next one its response after half a second.
/// sandbox.inject(Fault::token(FaultKind::RetryAfter(busy, Duration::from_secs(2))).times(2));
/// sandbox.inject(Fault::token(FaultKind::Latency(Duration::from_millis(500))));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    target: Target,
    kind: FaultKind,
    times: u32,
}

/// What goes wrong with a request or its response.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Responds with this status and a small JSON body, whatever the request is.
    Status(StatusCode),
    /// Responds with this status and a `Retry-After` header, in seconds, rounded up.
    RetryAfter(StatusCode, Duration),
    /// Sends the regular response after this delay.
    ///
    /// The request is handled and counted when it arrives.
    Latency(Duration),
    /// Resets the connection (TCP RST) instead of responding.
    ///
    /// On HTTP/2 this ends all streams of the connection.
    Reset,
    /// Responds with status 200 and an HTML page, as a proxy with a login page does.
    Malformed,
    /// Closes the connection after half of the regular response's body.
    ///
    /// The head is complete, and its `Content-Length` is that of the whole body. On HTTP/2 this ends all streams of the
    /// connection.
    CutOff,
    /// Sends the regular response with a `Date` header off by so many seconds.
    ///
    /// It adds to the offset of [`Sandbox::set_clock_offset`](super::Sandbox::set_clock_offset).
    WrongClock(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Token,
    Api,
}

impl Fault {
    /// Creates a fault of the next `POST /token`.
    pub fn token(kind: FaultKind) -> Self {
        Self { target: Target::Token, kind, times: 1 }
    }

    /// Creates a fault of the next request to a path under `/v1/` or `/v2/`; with
    /// [`SandboxBuilder::api`](super::SandboxBuilder::api) to any path but `/token`.
    pub fn api(kind: FaultKind) -> Self {
        Self { target: Target::Api, kind, times: 1 }
    }

    /// Sets how many requests fail.
    ///
    /// Default: 1. With 0 the fault does nothing.
    pub fn times(mut self, n: u32) -> Self {
        self.times = n;
        self
    }
}

/// The faults that were injected and not used yet.
#[derive(Default)]
pub(super) struct Faults {
    queue: Mutex<VecDeque<Fault>>,
}

impl Faults {
    pub(super) fn push(&self, fault: Fault) {
        if fault.times > 0 {
            self.queue().push_back(fault);
        }
    }

    pub(super) fn clear(&self) {
        self.queue().clear();
    }

    /// Takes the next fault of this target.
    pub(super) fn take(&self, target: Target) -> Option<FaultKind> {
        let mut queue = self.queue();
        let index = queue.iter().position(|fault| fault.target == target)?;
        let fault = queue.get_mut(index)?;
        fault.times -= 1;
        if fault.times > 0 {
            return Some(fault.kind.clone());
        }
        queue.remove(index).map(|fault| fault.kind)
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
