//! The only file that names metrics.
//!
//! Labels come from closed sets. A recorder is foreign code: nothing is recorded while a thread panics, and a panic of a
//! recorder gets no further. Nothing is kept of a recorder, so that one may be installed at any time.

use std::time::{Duration, SystemTime};

use crate::{error::ErrorKind, labels::Action, rejection::Rejection};
#[cfg(feature = "metrics")]
use crate::{
    labels,
    time::{self, Instant},
};

/// A token fetch has ended, after its attempts.
pub(crate) fn fetched(trigger: &'static str, failure: Option<ErrorKind>, took: Duration) {
    #[cfg(feature = "metrics")]
    record(|| {
        let outcome = labels::outcome(failure);
        metrics::counter!(FETCHES, "trigger" => trigger, "outcome" => outcome).increment(1);
        metrics::histogram!(FETCH_DURATION, "outcome" => outcome).record(took);
    });
    #[cfg(not(feature = "metrics"))]
    let _ = (trigger, failure, took);
}

/// A fetch has brought a token that ends then, for a layer that has a name.
pub(crate) fn token_expires(layer: &'static str, at: SystemTime) {
    #[cfg(feature = "metrics")]
    record(|| {
        let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        metrics::gauge!(EXPIRY, "layer" => layer).set(at.as_secs_f64());
    });
    #[cfg(not(feature = "metrics"))]
    let _ = (layer, at);
}

/// A response rejected the credentials of its request.
pub(crate) fn rejected(rejection: Rejection, action: Action) {
    #[cfg(feature = "metrics")]
    record(|| {
        let kind = labels::rejection(rejection);
        metrics::counter!(REJECTIONS, "kind" => kind, "action" => action.label()).increment(1);
    });
    #[cfg(not(feature = "metrics"))]
    let _ = (rejection, action);
}

/// What became of a replay.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Replayed {
    Accepted,
    Rejected,
    Error,
}

pub(crate) fn replay_ended(outcome: Replayed) {
    #[cfg(feature = "metrics")]
    record(|| {
        let outcome = match outcome {
            Replayed::Accepted => "accepted",
            Replayed::Rejected => "rejected",
            Replayed::Error => "error",
        };
        metrics::counter!(REPLAYS, "outcome" => outcome).increment(1);
    });
    #[cfg(not(feature = "metrics"))]
    let _ = outcome;
}

/// What came of a look into the store of a fleet: `hit`, `led`, `followed`, `degraded`; or `retired`.
pub(crate) fn shared(event: &'static str) {
    #[cfg(feature = "metrics")]
    record(|| metrics::counter!(FLEET, "event" => event).increment(1));
    #[cfg(not(feature = "metrics"))]
    let _ = event;
}

/// How long a request waits for a token; recorded when it is dropped, whatever came of the wait.
#[derive(Debug)]
pub(crate) struct WaitTimer {
    #[cfg(feature = "metrics")]
    since: Instant,
}

impl WaitTimer {
    pub(crate) fn start() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            since: time::instant(),
        }
    }
}

#[cfg(feature = "metrics")]
impl Drop for WaitTimer {
    fn drop(&mut self) {
        let waited = time::instant().saturating_duration_since(self.since);
        record(|| metrics::histogram!(WAIT_DURATION).record(waited));
    }
}

/// Runs the recorder, after telling it what the metrics are if it is another one than the last time.
#[cfg(feature = "metrics")]
fn record(write: impl FnOnce()) {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    if !std::thread::panicking() {
        // A panic of the recorder has been reported by the panic hook.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            describe();
            write();
        }));
    }
}

#[cfg(feature = "metrics")]
fn describe() {
    use std::{
        ptr,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use metrics::Unit::{Count, Seconds};

    static DESCRIBED_TO: AtomicUsize = AtomicUsize::new(0);
    let recorder = metrics::with_recorder(|recorder| ptr::from_ref(recorder).addr());
    if DESCRIBED_TO.swap(recorder, Relaxed) == recorder {
        return;
    }
    metrics::describe_counter!(FETCHES, Count, "Token fetches, each with all of its attempts");
    metrics::describe_histogram!(FETCH_DURATION, Seconds, "Duration of token fetches");
    metrics::describe_histogram!(WAIT_DURATION, Seconds, "Time that requests waited for a token");
    metrics::describe_counter!(REJECTIONS, Count, "Responses that rejected the credentials of their request");
    metrics::describe_counter!(REPLAYS, Count, "Rejected requests that were sent again");
    metrics::describe_counter!(FLEET, Count, "Looks into the token store of a fleet, and tokens retired there");
    metrics::describe_gauge!(EXPIRY, Seconds, "Unix time at which the current token expires");
}

#[cfg(feature = "metrics")]
const FETCHES: &str = "outbound_auth_token_fetches_total";
#[cfg(feature = "metrics")]
const FETCH_DURATION: &str = "outbound_auth_token_fetch_duration_seconds";
#[cfg(feature = "metrics")]
const WAIT_DURATION: &str = "outbound_auth_token_wait_duration_seconds";
#[cfg(feature = "metrics")]
const REJECTIONS: &str = "outbound_auth_rejections_total";
#[cfg(feature = "metrics")]
const REPLAYS: &str = "outbound_auth_replays_total";
#[cfg(feature = "metrics")]
const EXPIRY: &str = "outbound_auth_token_expiry_timestamp_seconds";
#[cfg(feature = "metrics")]
const FLEET: &str = "outbound_auth_fleet_total";
