//! The layers by key, and how one is made.

use std::{fmt, hash::Hash, sync::Arc};

use http::request::Parts;

use crate::{
    error::AuthError,
    keyed::{
        bucket::{Entry, Keep},
        table::Table,
    },
    layer::AuthLayer,
    time::Instant,
};

pub(super) type Make<K, R> = dyn Fn(&K) -> Result<AuthLayer<R>, AuthError> + Send + Sync;
pub(super) type KeyOf<K> = dyn Fn(&Parts) -> Option<K> + Send + Sync;

/// What a layer and all services made from it share.
pub(super) struct Entries<K, R> {
    pub(super) table: Table<K, Made<R>>,
    pub(super) make: Box<Make<K, R>>,
    /// `None` if the key is in the request's extensions.
    pub(super) key: Option<Box<KeyOf<K>>>,
}

/// A layer that `make` has returned.
pub(super) struct Made<R> {
    pub(super) layer: AuthLayer<R>,
    /// References to its token then.
    handles: usize,
    /// Whether the user has the layer too: then `make` can return it again, and nothing is lost if it is evicted.
    is_shared: bool,
}

impl<K: Clone + Eq + Hash, R> Entries<K, R> {
    pub(super) fn find_or_make(&self, key: &K) -> Result<Arc<Entry<K, Made<R>>>, AuthError> {
        self.table.find_or_make(key, || (self.make)(key).map(Made::new))
    }
}

/// Shows no key.
impl<K, R> fmt::Debug for Entries<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries")
            .field("key", &self.key.is_some())
            .field("capacity", &self.table.capacity())
            .field("idle_timeout", &self.table.idle_timeout())
            .field("len", &self.table.admitted())
            .finish_non_exhaustive()
    }
}

impl<R> Made<R> {
    fn new(layer: AuthLayer<R>) -> Self {
        let (settings, fetcher) = (layer.settings(), &layer.settings().fetcher);
        let (is_shared, handles) = (Arc::strong_count(settings) > 1, Arc::strong_count(fetcher));
        Self { layer, handles, is_shared }
    }
}

impl<R> Keep for Made<R> {
    /// A request on its way holds the settings; a handle and a fetch under way hold the fetcher.
    fn is_in_use(&self) -> bool {
        let settings = self.layer.settings();
        !self.is_shared && (Arc::strong_count(settings) > 1 || Arc::strong_count(&settings.fetcher) > self.handles)
    }

    fn is_backing_off(&self, now: Instant) -> bool {
        !self.is_shared && self.layer.settings().fetcher.cache.is_backing_off(now)
    }
}
