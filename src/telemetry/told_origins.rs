//! Requests that get no credentials, perhaps by mistake: each origin is told once.

#[cfg(feature = "tracing")]
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
};

#[cfg(feature = "tracing")]
use super::trace;

/// The origins that an event of one layer has named.
#[derive(Debug, Default)]
pub(crate) struct ToldOrigins {
    /// Their hashes, since a name may be long. Never held while a subscriber runs.
    #[cfg(feature = "tracing")]
    told: Mutex<Vec<u64>>,
}

impl ToldOrigins {
    /// A request is sent without credentials, and its origin is almost a configured one.
    pub(crate) fn tell(&self, layer: &'static str, requested: &str, configured: &str) {
        #[cfg(feature = "tracing")]
        trace(|| {
            // A subscriber that is installed later is told too.
            if tracing::enabled!(tracing::Level::DEBUG) && self.is_first(requested) {
                tracing::debug!(
                    layer,
                    requested,
                    configured,
                    "request sent without credentials: its origin is not quite the configured one"
                );
            }
        });
        #[cfg(not(feature = "tracing"))]
        let _ = (self, layer, requested, configured);
    }

    /// Whether this origin is to be told. After so many, none is.
    #[cfg(feature = "tracing")]
    fn is_first(&self, origin: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        origin.hash(&mut hasher);
        let hash = hasher.finish();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = told.len() < MAX_ORIGINS && !told.contains(&hash);
        if is_first {
            told.push(hash);
        }
        is_first
    }
}

#[cfg(feature = "tracing")]
const MAX_ORIGINS: usize = 64;
