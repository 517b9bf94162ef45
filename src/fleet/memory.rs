//! A store in memory.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::store::{Lookup, SealedToken, StoreFuture, TokenStore, millis};
use crate::time::Moment;

/// [`TokenStore`] in memory, for tests and for several layers of one process.
///
/// Clones share the entries. Time is tokio's clock and the wall clock, so tests can pause and advance it.
///
/// # Example
///
/// Two sources as if in two processes; the second takes the token of the first:
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::{
///     fleet::{MemoryStore, SharedTokenSource},
///     token::{AccessToken, FetchRequest, TokenSource, source_fn},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_outbound_auth::AuthError> {
/// let store = MemoryStore::new();
/// let process = |token: &'static str| {
///     let source = source_fn(move |_| async move { AccessToken::new(token, Some(Duration::from_secs(3600))) });
///     SharedTokenSource::builder(source, store.clone()).sealing_key("a long random key", None).identity("reports").build()
/// };
/// assert_eq!(process("first")?.fetch(FetchRequest::new()).await?.expose_secret(), "first");
/// assert_eq!(process("second")?.fetch(FetchRequest::new()).await?.expose_secret(), "first");
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
}

#[derive(Default)]
struct Entry {
    token: Option<Timed<SealedToken>>,
    lease: Option<Timed<String>>,
    tombstone: Option<Timed<String>>,
}

/// A value that ends by itself.
struct Timed<T> {
    value: T,
    since: Moment,
    lasts: Duration,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// One atomic step on one entry, from which everything that has ended is gone.
    fn step<T>(&self, key: &str, step: impl FnOnce(&mut Entry, Moment) -> T) -> T {
        let now = Moment::now();
        let mut entries = self.entries();
        entries.retain(|_, entry| entry.expire(now));
        step(entries.entry(key.to_owned()).or_default(), now)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for MemoryStore {
    fn read_or_lease<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, Lookup> {
        Box::pin(async move {
            Ok(self.step(key, |entry, now| {
                let token = entry.token.as_ref().map(|token| token.left(now));
                let is_fresh = token.as_ref().is_some_and(|token| !token.fresh_for().is_zero());
                let leased = !is_fresh && entry.lease.as_ref().is_none_or(|lease| lease.value == owner);
                if leased {
                    entry.lease = Some(Timed::new(owner.to_owned(), now, lease));
                }
                Lookup::new(token, leased)
            }))
        })
    }

    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            Ok(self.step(key, |entry, now| {
                let holds = entry.is_leased_to(owner);
                if holds {
                    entry.lease = Some(Timed::new(owner.to_owned(), now, lease));
                }
                holds
            }))
        })
    }

    fn publish<'a>(&'a self, key: &'a str, owner: &'a str, token: &'a SealedToken) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            Ok(self.step(key, |entry, now| {
                if !entry.is_leased_to(owner) {
                    return false;
                }
                entry.lease = None;
                let is_retired = entry.tombstone.as_ref().is_some_and(|dead| dead.value == token.fingerprint());
                if !is_retired {
                    entry.token = Some(Timed::new(token.clone(), now, token.expires_in()));
                }
                !is_retired
            }))
        })
    }

    fn retire<'a>(&'a self, key: &'a str, fingerprint: &'a str, tombstone: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            Ok(self.step(key, |entry, now| {
                let removed = entry.token.take_if(|token| token.value.fingerprint() == fingerprint).is_some();
                entry.tombstone = Some(Timed::new(fingerprint.to_owned(), now, tombstone));
                removed
            }))
        })
    }

    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.step(key, |entry, _| {
                entry.lease.take_if(|lease| lease.value == owner);
            });
            Ok(())
        })
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("entries", &self.entries().len()).finish()
    }
}

impl Entry {
    /// Drops what has ended. False if nothing is left.
    fn expire(&mut self, now: Moment) -> bool {
        self.token.take_if(|token| token.has_ended(now));
        self.lease.take_if(|lease| lease.has_ended(now));
        self.tombstone.take_if(|dead| dead.has_ended(now));
        self.token.is_some() || self.lease.is_some() || self.tombstone.is_some()
    }

    fn is_leased_to(&self, owner: &str) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.value == owner)
    }
}

impl<T> Timed<T> {
    fn new(value: T, since: Moment, lasts: Duration) -> Self {
        Self { value, since, lasts: Duration::from_millis(millis(lasts)) }
    }

    fn has_ended(&self, now: Moment) -> bool {
        now.since(self.since) >= self.lasts
    }
}

impl Timed<SealedToken> {
    /// The token with the durations that are left.
    fn left(&self, now: Moment) -> SealedToken {
        let (token, age) = (&self.value, now.since(self.since));
        let expires_in = self.lasts.saturating_sub(age);
        SealedToken::new(
            token.sealed().clone(),
            token.fingerprint(),
            expires_in,
            token.fresh_for().saturating_sub(age).min(expires_in),
        )
    }
}
