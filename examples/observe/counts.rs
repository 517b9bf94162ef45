//! Calls: how many have ended and how, and how many are where.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

#[derive(Default)]
pub(crate) struct Counts {
    /// Calls within the client, its layer included.
    pub(crate) called: Inside,
    /// Those of them that the layer has sent to the API.
    pub(crate) at_the_api: Inside,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// Calls that wait for a token.
    pub(crate) fn waiting(&self) -> u64 {
        self.called.now().saturating_sub(self.at_the_api.now())
    }

    pub(crate) fn ended(&self, ok: bool) {
        if ok { &self.succeeded } else { &self.failed }.fetch_add(1, Relaxed);
    }

    pub(crate) fn succeeded(&self) -> u64 {
        self.succeeded.load(Relaxed)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }
}

/// How many are inside now.
#[derive(Clone, Default)]
pub(crate) struct Inside(Arc<AtomicU64>);

/// One that is inside until this is dropped.
pub(crate) struct Entered(Inside);

impl Inside {
    pub(crate) fn enter(&self) -> Entered {
        self.0.fetch_add(1, Relaxed);
        Entered(self.clone())
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        (self.0).0.fetch_sub(1, Relaxed);
    }
}
