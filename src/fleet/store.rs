//! What a store of tokens must do.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::error::BoxError;

/// Future of a [`TokenStore`]'s answer.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// Store of tokens that several processes share.
///
/// Implement it over any store that can change one entry atomically: `DynamoDB`, SQL, etcd.
/// [`MemoryStore`](super::MemoryStore) and `RedisStore` (feature `redis`) are provided. Test your own with
/// `conformance::check` (feature `sandbox`).
///
/// # An entry
///
/// A `key` names an entry of three parts, each of which ends by itself:
///
/// | part | content | ends |
/// |---|---|---|
/// | token | a [`SealedToken`]; the latest that was published | after its `expires_in` |
/// | lease | its `owner`, the only process that may publish | after the `lease` of the last call that took or extended it |
/// | tombstone | the fingerprint of a retired token; only the latest need be remembered | after the `tombstone` of `retire` |
///
/// Each method is one atomic step on one entry. Durations are counted by the store from the moment of the step, so no clocks
/// have to agree. They are rounded up to whole milliseconds, and are at least one. Keys, owners and fingerprints are
/// ASCII letters and digits, at most 64 of them; sealed bytes are any bytes, at most 128 KiB.
///
/// # Failure
///
/// An error means "unknown": the step may or may not have happened. The process then fetches a token for itself, and
/// does not ask the store again for some seconds. The same happens if an answer takes longer than the
/// [`timeout`](super::SharedTokenSourceBuilder::timeout), after which the future is dropped. No answer ever fails a
/// request. Do not retry in an implementation. The text of an error is written to the trace, so keep secrets out of it.
///
/// A store that forgets an entry costs one token request. A store that hands out one lease twice costs one more token
/// request. Whether a token is valid, the API decides.
///
/// Also implemented for `Arc<T>` and `Box<T>`.
///
/// # Example
///
/// A store that counts how often the one inside is read:
///
/// ```
/// use std::{
///     sync::atomic::{AtomicU64, Ordering},
///     time::Duration,
/// };
/// use tower_outbound_auth::fleet::{Lookup, SealedToken, StoreFuture, TokenStore};
///
/// struct Counted<S> {
///     inner: S,
///     reads: AtomicU64,
/// }
///
/// impl<S: TokenStore> TokenStore for Counted<S> {
///     fn read_or_lease<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, Lookup> {
///         Box::pin(async move {
///             self.reads.fetch_add(1, Ordering::Relaxed);
///             self.inner.read_or_lease(key, owner, lease).await
///         })
///     }
///
///     fn renew<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, bool> {
///         self.inner.renew(key, owner, lease)
///     }
///
///     fn publish<'a>(&'a self, key: &'a str, owner: &'a str, token: &'a SealedToken) -> StoreFuture<'a, bool> {
///         self.inner.publish(key, owner, token)
///     }
///
///     fn retire<'a>(&'a self, key: &'a str, fingerprint: &'a str, tombstone: Duration) -> StoreFuture<'a, bool> {
///         self.inner.retire(key, fingerprint, tombstone)
///     }
///
///     fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> StoreFuture<'a, ()> {
///         self.inner.release(key, owner)
///     }
/// }
/// ```
pub trait TokenStore: Send + Sync + 'static {
    /// Returns the token, if it has not expired, and takes the lease if a new token is needed.
    ///
    /// A new token is needed if there is none, or if the one there is past its `fresh_for`. The lease is then taken unless
    /// another owner holds it; an owner that holds it already extends it. While the token is fresh, no lease is taken or
    /// extended, and [`Lookup::leased`] is false.
    ///
    /// The returned token has the durations that are left: `expires_in` as the store counts it, `fresh_for` down to zero.
    ///
    /// # Errors
    ///
    /// The store cannot be reached, or the value under the key was not written by this trait: a value of another type
    /// is never overwritten.
    fn read_or_lease<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, Lookup>;

    /// Extends a lease that this owner still holds: it ends `lease` from now. False if it does not hold it.
    ///
    /// # Errors
    ///
    /// As for [`read_or_lease`](Self::read_or_lease).
    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, bool>;

    /// Replaces the token and ends the lease.
    ///
    /// It does so only if this owner holds the lease and the token's fingerprint has no tombstone, and returns whether
    /// both were true. A refusal because of a tombstone ends the lease too. If the reply is lost and the call repeated,
    /// the answer is false, as the lease has ended.
    ///
    /// # Errors
    ///
    /// As for [`read_or_lease`](Self::read_or_lease).
    fn publish<'a>(&'a self, key: &'a str, owner: &'a str, token: &'a SealedToken) -> StoreFuture<'a, bool>;

    /// Removes the token if it has this fingerprint, and leaves a tombstone in any case.
    ///
    /// Returns whether a token was removed. The lease stays as it is. The tombstone replaces an earlier one.
    ///
    /// # Errors
    ///
    /// As for [`read_or_lease`](Self::read_or_lease).
    fn retire<'a>(&'a self, key: &'a str, fingerprint: &'a str, tombstone: Duration) -> StoreFuture<'a, bool>;

    /// Ends a lease that this owner holds, at once.
    ///
    /// Called when a fetch has failed, so that another process may try. Default: does nothing, and the others wait until the
    /// lease has run out. `conformance::check` asks for more than the default.
    ///
    /// # Errors
    ///
    /// As for [`read_or_lease`](Self::read_or_lease).
    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> StoreFuture<'a, ()> {
        let _ = (key, owner);
        Box::pin(async { Ok(()) })
    }
}

macro_rules! forward_to_pointee {
    ($($pointer:ident),*) => {$(
        impl<T: TokenStore + ?Sized> TokenStore for $pointer<T> {
            fn read_or_lease<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, Lookup> {
                (**self).read_or_lease(key, owner, lease)
            }

            fn renew<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, bool> {
                (**self).renew(key, owner, lease)
            }

            fn publish<'a>(&'a self, key: &'a str, owner: &'a str, token: &'a SealedToken) -> StoreFuture<'a, bool> {
                (**self).publish(key, owner, token)
            }

            fn retire<'a>(&'a self, key: &'a str, fingerprint: &'a str, tombstone: Duration) -> StoreFuture<'a, bool> {
                (**self).retire(key, fingerprint, tombstone)
            }

            fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> StoreFuture<'a, ()> {
                (**self).release(key, owner)
            }
        }
    )*};
}

forward_to_pointee!(Arc, Box);

/// What [`TokenStore::read_or_lease`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    token: Option<SealedToken>,
    leased: bool,
}

impl Lookup {
    /// Creates an answer.
    ///
    /// `token` is the unexpired token, and `leased` says whether the owner that asked now holds the lease.
    pub fn new(token: Option<SealedToken>, leased: bool) -> Self {
        Self { token, leased }
    }

    /// Returns the token, if there is one that has not expired.
    ///
    /// It may be past its `fresh_for`.
    pub fn token(&self) -> Option<&SealedToken> {
        self.token.as_ref()
    }

    /// Returns whether the owner that asked holds the lease.
    ///
    /// If so, it should fetch and publish a new token.
    pub fn leased(&self) -> bool {
        self.leased
    }
}

/// Encrypted token, with the durations that the store counts.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedToken {
    sealed: Bytes,
    fingerprint: Arc<str>,
    expires_in: Duration,
    fresh_for: Duration,
}

impl SealedToken {
    /// Creates a token from its parts.
    ///
    /// `expires_in` is how long the store keeps it, and `fresh_for` how long no lease is given out for its successor.
    pub fn new(
        sealed: impl Into<Bytes>,
        fingerprint: impl Into<Arc<str>>,
        expires_in: Duration,
        fresh_for: Duration,
    ) -> Self {
        Self { sealed: sealed.into(), fingerprint: fingerprint.into(), expires_in, fresh_for }
    }

    /// Returns the encrypted token: any bytes, which the store keeps as they are.
    pub fn sealed(&self) -> &Bytes {
        &self.sealed
    }

    /// Returns a digest of the token, by which it is [retired](TokenStore::retire).
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns the time until the token expires.
    pub fn expires_in(&self) -> Duration {
        self.expires_in
    }

    /// Returns the time until a successor should be fetched; zero when it has passed.
    pub fn fresh_for(&self) -> Duration {
        self.fresh_for
    }
}

impl fmt::Debug for SealedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedToken")
            .field("sealed_len", &self.sealed.len())
            .field("fingerprint", &self.fingerprint)
            .field("expires_in", &self.expires_in)
            .field("fresh_for", &self.fresh_for)
            .finish()
    }
}

/// Rounds up to whole milliseconds: at least one, at most ten years.
pub(super) fn millis(duration: Duration) -> u64 {
    let millis = u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    millis.clamp(1, TEN_YEARS)
}

/// In milliseconds.
const TEN_YEARS: u64 = 10 * 365 * 86_400_000;
