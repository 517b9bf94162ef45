//! `KeyedAuthLayer` and its builder.

use std::{fmt, hash::Hash, sync::Arc, time::Duration};

use http::request::Parts;
use tower_layer::Layer;

use crate::{
    error::AuthError,
    keyed::{
        entries::{Entries, KeyOf, Make},
        service::KeyedAuth,
        table::Table,
    },
    layer::AuthLayer,
    replay::CloneBody,
    time,
    token::TokenHandle,
};

/// Layer that authenticates each request with the token of its key.
///
/// Clones, and all services made from them, share the entries. Building a layer needs no runtime; `make` is called when a key
/// is used for the first time. The [module](super) has an example and the rules.
pub struct KeyedAuthLayer<K, R = CloneBody> /* a layer is no service: `auth.layer(client)` makes one */ {
    entries: Arc<Entries<K, R>>,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static, R> KeyedAuthLayer<K, R> {
    /// Starts building a layer; the function makes the [`AuthLayer`] of a key.
    ///
    /// Everything that distinguishes the keys' tokens must be in the key: credentials, scope, audience, signer, static
    /// headers. Write the type of the closure's argument, as in `|tenant: &Tenant|`, which inference needs.
    ///
    /// The function runs within `call` and may block it: look settings up in memory. It may run more than once at a time for
    /// one key; one result is kept, and used by all. An error goes to the caller that it was called for, and is not kept.
    pub fn builder(
        make: impl Fn(&K) -> Result<AuthLayer<R>, AuthError> + Send + Sync + 'static,
    ) -> KeyedAuthLayerBuilder<K, R> {
        KeyedAuthLayerBuilder { make: Box::new(make), key: None, capacity: CAPACITY, idle_timeout: IDLE_TIMEOUT }
    }

    /// Returns a handle to the token of this key, and makes its entry if necessary.
    ///
    /// While the handle, or a [`KeepWarm`](crate::token::KeepWarm) guard of it, exists, the entry is in use: it stays the one
    /// of its key, evicted or not, until [`remove`](Self::remove).
    ///
    /// # Errors
    ///
    /// The error of `make`.
    pub fn handle(&self, key: &K) -> Result<TokenHandle, AuthError> {
        Ok(self.entries.find_or_make(key)?.value.layer.handle())
    }

    /// Ends the use of a key's entry; returns whether there was one.
    ///
    /// Later requests do not get its token: `make` is called again for them. A call of `make` that is running is
    /// repeated, too, so that nothing that it read before the removal is used afterwards. Requests on their way, those
    /// that wait for the token, and handles finish with the old entry; its secrets are wiped with the last of them.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::{
    ///     AuthError, AuthLayer,
    ///     keyed::KeyedAuthLayer,
    ///     token::{AccessToken, source_fn},
    /// };
    ///
    /// let keyed = KeyedAuthLayer::builder(|tenant: &u32| {
    ///     let token = format!("token-of-{tenant}");
    ///     let source = source_fn(move |_| std::future::ready(AccessToken::new(token.clone(), None)));
    ///     AuthLayer::builder(source).origin("https://api.example.com").build()
    /// })
    /// .build();
    /// let handle = keyed.handle(&7)?;
    /// assert!(keyed.remove(&7));
    /// assert!(keyed.is_empty());
    /// # drop(handle);
    /// # Ok::<(), AuthError>(())
    /// ```
    pub fn remove(&self, key: &K) -> bool {
        self.entries.table.remove(key)
    }

    /// Returns the number of keys that have an entry, at most the capacity.
    ///
    /// Entries that are evicted and still in use are not counted.
    pub fn len(&self) -> usize {
        let table = &self.entries.table;
        table.sweep(time::instant());
        usize::try_from(table.admitted().min(table.capacity())).unwrap_or(usize::MAX)
    }

    /// Returns whether no key has an entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<S, K, R> Layer<S> for KeyedAuthLayer<K, R> {
    type Service = KeyedAuth<S, K, R>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyedAuth::new(inner, Arc::clone(&self.entries))
    }
}

impl<K, R> Clone for KeyedAuthLayer<K, R> {
    fn clone(&self) -> Self {
        Self { entries: Arc::clone(&self.entries) }
    }
}

impl<K, R> fmt::Debug for KeyedAuthLayer<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedAuthLayer").field("entries", &self.entries).finish()
    }
}

/// Builder for [`KeyedAuthLayer`].
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::{
///     AuthLayer,
///     keyed::KeyedAuthLayer,
///     token::{AccessToken, source_fn},
/// };
///
/// // One token for each host, whatever the requests' extensions say.
/// let keyed = KeyedAuthLayer::builder(|host: &String| {
///     let source = source_fn(|_| async { AccessToken::new("made-by-hand", None) });
///     AuthLayer::builder(source).origin(&format!("https://{host}")).build()
/// })
/// .key(|head| head.uri.host().map(str::to_owned))
/// .capacity(100)
/// .idle_timeout(Duration::from_secs(600))
/// .build();
/// # let _ = keyed;
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct KeyedAuthLayerBuilder<K, R = CloneBody> /* no layer yet: `.build()` makes it one */ {
    make: Box<Make<K, R>>,
    key: Option<Box<KeyOf<K>>>,
    capacity: usize,
    idle_timeout: Duration,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static, R> KeyedAuthLayerBuilder<K, R> {
    /// Finds the key of a request with this function. A second call replaces the first.
    ///
    /// Default: a `K` in the request's extensions. A request for which it returns `None` fails with
    /// [`Config`](crate::ErrorKind::Config), unless it carries [`NoAuth`](crate::NoAuth). Never return a key that the
    /// request does not name: it would be sent with the token of another key.
    pub fn key(mut self, f: impl Fn(&Parts) -> Option<K> + Send + Sync + 'static) -> Self {
        self.key = Some(Box::new(f));
        self
    }

    /// Sets how many keys may have an entry.
    ///
    /// Default: 1,000, at about 2.5 KiB each with a token of 800 bytes. Zero counts as one. Choose more than are in use
    /// within the lifetime of a token: a key that was evicted costs a token request when it comes back. An entry that
    /// is evicted while a request or a handle uses it, or while a fetch is under way, stays the one of its key until
    /// that ends. One whose backoff runs is kept too; at most as many as the capacity, or 1,000 if that is more. The
    /// least recently used entry is evicted first; the order is approximate, to a sixteenth of the capacity.
    pub fn capacity(mut self, entries: usize) -> Self {
        self.capacity = entries;
        self
    }

    /// Sets after which time without a request an entry is evicted.
    ///
    /// Default: 1 hour, as long as most tokens live. Zero keeps an entry only while it is in use; [`Duration::MAX`]
    /// keeps it until its place is needed. The time is checked when the layer is used; no task runs for it.
    pub fn idle_timeout(mut self, t: Duration) -> Self {
        self.idle_timeout = t;
        self
    }

    /// Builds the layer.
    pub fn build(self) -> KeyedAuthLayer<K, R> {
        let Self { make, key, capacity, idle_timeout } = self;
        let table = Table::new(capacity, idle_timeout, time::instant());
        KeyedAuthLayer { entries: Arc::new(Entries { table, make, key }) }
    }
}

impl<K, R> fmt::Debug for KeyedAuthLayerBuilder<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedAuthLayerBuilder")
            .field("key", &self.key.is_some())
            .field("capacity", &self.capacity)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}

const CAPACITY: usize = 1_000;
const IDLE_TIMEOUT: Duration = Duration::from_secs(3_600);
