//! Faults on order: what goes wrong, on which side, and for how many exchanges.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;

/// Faults for the next exchanges of one side.
///
/// It goes to [`Sandbox::inject`](super::Sandbox::inject).
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::sandbox::{Fault, Sandbox, FaultKind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::io::Error> {
/// let sandbox = Sandbox::start().await?;
/// let busy = http::StatusCode::SERVICE_UNAVAILABLE;
///
/// // Two token requests are told to come back in 2 s, then one is answered half a second late.
/// sandbox.inject(Fault::token(FaultKind::RetryAfter(busy, Duration::from_secs(2))).times(2));
/// sandbox.inject(Fault::token(FaultKind::Latency(Duration::from_millis(500))));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    side: Side,
    trouble: FaultKind,
    times: u32,
}

/// What goes wrong with an exchange.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum FaultKind {
    /// This status and a small JSON body, whatever the request was.
    Status(StatusCode),
    /// The same with `Retry-After`, in whole seconds and rounded up.
    RetryAfter(StatusCode, Duration),
    /// The right answer, this late.
    ///
    /// The request is judged and counted when it comes; only its answer is held back.
    Latency(Duration),
    /// No answer: the connection is reset (TCP RST), on HTTP/2 with all its streams.
    Reset,
    /// Status 200 with a body that is not what it should be.
    ///
    /// It is an HTML page, such as proxies send.
    Malformed,
    /// The right head with its `Content-Length`, half of the body, then the end.
    ///
    /// The whole connection ends, on HTTP/2 with all its streams.
    CutOff,
    /// The right answer, with a `Date` header that is off by this many seconds.
    ///
    /// Nothing else changes. It adds to [`Sandbox::set_clock_offset`](super::Sandbox::set_clock_offset).
    WrongClock(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Token,
    Api,
}

impl Fault {
    /// Faults for the next `POST /token`.
    pub fn token(trouble: FaultKind) -> Self {
        Self { side: Side::Token, trouble, times: 1 }
    }

    /// Faults for the next request to a path under `/v1/` or `/v2/`.
    pub fn api(trouble: FaultKind) -> Self {
        Self { side: Side::Api, trouble, times: 1 }
    }

    /// For how many exchanges, one by default; none if 0.
    pub fn times(mut self, n: u32) -> Self {
        self.times = n;
        self
    }
}

/// The faults that were injected and not used up.
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

    /// The trouble that is next for this side.
    pub(super) fn take(&self, side: Side) -> Option<FaultKind> {
        let mut queue = self.queue();
        let index = queue.iter().position(|fault| fault.side == side)?;
        let fault = queue.get_mut(index)?;
        fault.times -= 1;
        if fault.times > 0 {
            return Some(fault.trouble.clone());
        }
        queue.remove(index).map(|fault| fault.trouble)
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
