//! What the random operations act upon, and the plain model that says what may come of them.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue, Request, StatusCode, header::AUTHORIZATION};
use tower_outbound_auth::{
    AuthError, AuthLayer, ErrorKind,
    keyed::KeyedAuthLayer,
    signing::{SignRules, SignatureHeaders, SigningContext, signer_fn},
    token::{AccessToken, FetchRequest, RefreshPolicy, TokenSource},
};

use crate::{
    support::{Answering, Api, Body, ORIGIN, answer},
    tenants::{SIGNATURE, STATIC, Tenant},
};

/// What the request's own key is, and from which entry on its token may be.
pub(crate) const KEY: HeaderName = HeaderName::from_static("x-expected-key");
pub(crate) const FIRST_ENTRY: HeaderName = HeaderName::from_static("x-first-entry");

/// All keys, and the layers that are alive.
pub(crate) struct World {
    pub(crate) keys: Vec<Key>,
    pub(crate) keyed: OnceLock<KeyedAuthLayer<Tenant>>,
    pub(crate) alive: AtomicI64,
    pub(crate) most_alive: AtomicI64,
    pub(crate) served: AtomicU64,
    pub(crate) rejected: AtomicU64,
    /// Whether time is tokio's paused clock.
    pub(crate) is_paused: bool,
}

/// What is true of one key, whatever the layer thinks. Entries and tokens are numbered as they are made.
#[derive(Default)]
pub(crate) struct Key {
    entries: AtomicU64,
    tokens: AtomicU64,
    generation: AtomicU64,
    /// Tokens up to this number are rejected.
    revoked: AtomicU64,
    /// Entries up to this number were removed before.
    removed: AtomicU64,
    /// Entries up to this number may have been.
    perhaps_removed: AtomicU64,
    removals_under_way: AtomicU64,
    /// The entries that have a fetch under way.
    fetching: Mutex<Vec<u64>>,
    /// No fetch and no `make` fails any more.
    pub(crate) is_calm: AtomicBool,
}

impl Key {
    pub(crate) fn revoke(&self) {
        self.revoked.store(self.tokens.load(SeqCst), SeqCst);
    }

    pub(crate) fn rotate(&self) {
        self.generation.fetch_add(1, SeqCst);
    }

    /// Entries that were made before this began must not be used by requests that are called after it.
    pub(crate) fn remove(&self, remove: impl FnOnce()) {
        self.removals_under_way.fetch_add(1, SeqCst);
        let made_before = self.entries.load(SeqCst);
        remove();
        self.removed.fetch_max(made_before, SeqCst);
        self.perhaps_removed.fetch_max(self.entries.load(SeqCst), SeqCst);
        self.removals_under_way.fetch_sub(1, SeqCst);
    }

    /// The first entry that a request may use that is called now.
    pub(crate) fn first_entry(&self) -> u64 {
        self.removed.load(SeqCst) + 1
    }
}

impl World {
    pub(crate) fn new(keys: u32, capacity: usize, is_paused: bool) -> Arc<Self> {
        let world = Arc::new(Self {
            keys: (0..keys).map(|_| Key::default()).collect(),
            keyed: OnceLock::new(),
            alive: AtomicI64::new(0),
            most_alive: AtomicI64::new(0),
            served: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            is_paused,
        });
        // `make` must not keep the layer that keeps `make`.
        let of_make = Arc::downgrade(&world);
        let keyed = KeyedAuthLayer::builder(move |tenant: &Tenant| of_make.upgrade().unwrap().make(*tenant));
        let keyed = keyed.capacity(capacity).idle_timeout(Duration::from_secs(20)).build();
        world.keyed.set(keyed).unwrap();
        world
    }

    pub(crate) fn keyed(&self) -> &KeyedAuthLayer<Tenant> {
        self.keyed.get().unwrap()
    }

    fn make(self: Arc<Self>, tenant: Tenant) -> Result<AuthLayer, AuthError> {
        let key = &self.keys[tenant.0 as usize];
        let entry = key.entries.fetch_add(1, SeqCst) + 1;
        if fastrand::u32(0..40) == 0 && !key.is_calm.load(SeqCst) {
            return Err(AuthError::new(ErrorKind::Unavailable, "no settings"));
        }
        if fastrand::u32(0..20) == 0 {
            std::thread::yield_now();
        }
        let signer = signer_fn(move |context: &SigningContext<'_>| {
            let mut headers = SignatureHeaders::new();
            let text = format!("signed by {} {}", tenant.0, context.token().expose_secret());
            headers.insert(SIGNATURE, HeaderValue::try_from(text).unwrap());
            Ok(headers)
        });
        let moment = Duration::from_millis(if self.is_paused { 500 } else { 1 });
        let policy = RefreshPolicy::default().attempts(1).failure_backoff(moment, 4 * moment);
        let policy = policy.refusal_backoff(moment, 4 * moment).renewal_budget(1_000, moment);
        AuthLayer::builder(Source::new(self, tenant, entry))
            .origin(ORIGIN)
            .sign(SignRules::all(), signer)
            .header(STATIC, HeaderValue::from(tenant.0))
            .refresh(policy)
            .build()
    }

    /// Lets others go on for a while.
    async fn pause(&self) {
        if self.is_paused {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..50))).await;
        } else {
            for _ in 0..fastrand::u32(0..4) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// An API that checks that all the credentials of a request are of its key, and of an entry that it may use.
    pub(crate) fn api(self: &Arc<Self>) -> Api<impl Fn(Request<Body>) -> Answering + Clone + use<>> {
        let world = Arc::clone(self);
        Api {
            answer: move |request: Request<Body>| -> Answering {
                let status = world.check(&request);
                let world = Arc::clone(&world);
                Box::pin(async move {
                    world.pause().await;
                    Ok(answer(status))
                })
            },
        }
    }

    fn check(&self, request: &Request<Body>) -> StatusCode {
        let header = |name: &HeaderName| request.headers()[name].to_str().unwrap();
        let number = |text: &str| text.parse::<u64>().unwrap();
        let token = header(&AUTHORIZATION).strip_prefix("Bearer ").unwrap();
        let [tenant, entry, token_number] = token.split('.').map(number).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(tenant, number(header(&KEY)), "the token is of another key");
        assert_eq!(header(&STATIC), header(&KEY), "a header is of another key");
        assert_eq!(
            header(&SIGNATURE),
            format!("signed by {tenant} {token}"),
            "the signature is of another key or token"
        );
        assert!(entry >= number(header(&FIRST_ENTRY)), "the token is of an entry that was removed before");
        let key = &self.keys[usize::try_from(tenant).unwrap()];
        if token_number <= key.revoked.load(SeqCst) {
            self.rejected.fetch_add(1, SeqCst);
            return StatusCode::UNAUTHORIZED;
        }
        self.served.fetch_add(1, SeqCst);
        StatusCode::OK
    }
}

/// Counts as alive as long as its layer.
struct Source {
    world: Arc<World>,
    tenant: Tenant,
    entry: u64,
}

impl Source {
    fn new(world: Arc<World>, tenant: Tenant, entry: u64) -> Self {
        let alive = world.alive.fetch_add(1, SeqCst) + 1;
        world.most_alive.fetch_max(alive, SeqCst);
        Self { world, tenant, entry }
    }

    fn key(&self) -> &Key {
        &self.world.keys[self.tenant.0 as usize]
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.world.alive.fetch_sub(1, SeqCst);
    }
}

/// A fetch is under way while this lives.
struct Fetching<'a>(&'a Key, u64);

impl<'a> Fetching<'a> {
    fn begin(key: &'a Key, entry: u64) -> Self {
        let mut fetching = key.fetching.lock().unwrap();
        let is_removed = |entry: &u64| *entry <= key.perhaps_removed.load(SeqCst);
        // While an entry is being removed, nobody can say which of the two is the key's.
        if key.removals_under_way.load(SeqCst) == 0 {
            let is_alone = is_removed(&entry) || fetching.iter().all(is_removed);
            assert!(is_alone, "two fetches for one key: {fetching:?} and {entry}");
        }
        fetching.push(entry);
        Self(key, entry)
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        let mut fetching = self.0.fetching.lock().unwrap();
        let at = fetching.iter().position(|entry| *entry == self.1).unwrap();
        fetching.remove(at);
    }
}

impl TokenSource for Source {
    fn fetch(
        &self,
        _request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        Box::pin(async move {
            let key = self.key();
            let _fetching = Fetching::begin(key, self.entry);
            self.world.pause().await;
            if fastrand::u32(0..10) == 0 && !key.is_calm.load(SeqCst) {
                return Err(AuthError::new(ErrorKind::Unavailable, "down"));
            }
            let number = key.tokens.fetch_add(1, SeqCst) + 1;
            let token = format!("{}.{}.{number}", self.tenant.0, self.entry);
            AccessToken::new(token, Some(Duration::from_secs(fastrand::u64(2..100))))
        })
    }

    fn generation(&self) -> u64 {
        self.key().generation.load(SeqCst)
    }
}
