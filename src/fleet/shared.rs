//! A source whose token many processes share.

use std::{
    convert::Infallible,
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use tokio::sync::OwnedMutexGuard;

use super::{
    guarded::Reason,
    keyring::KeySource,
    protocol::{Attempt, Lead, MAX_FOLLOW, Plan, Protocol},
    seal::{Content, fingerprint, random_owner},
};
use crate::{
    error::AuthError,
    metrics, telemetry,
    time::{self, Instant},
    token::{AccessToken, FetchRequest, TokenSource},
};

/// [`TokenSource`] that shares its tokens over a [`TokenStore`](super::TokenStore).
///
/// A fetch first asks the store. If there is a fresh token, it is taken: that costs one round trip. Otherwise one process
/// gets the lease, fetches from the inner source and publishes the token; the others look again every 25 to 100 ms, at most
/// for 10 s. The lease ends by itself if its holder dies.
///
/// # What is certain, and what is not
///
/// The lease saves token requests; nothing else depends on it. Whether a token is good, the API decides: a token that it
/// rejects is retired for the whole fleet and renewed as without a fleet. [`TokenHandle::refresh`] counts as a rejection. If
/// another process has renewed the token meanwhile, that one is taken without a token request; should it have been revoked
/// too, its caller gets a second 401, as any caller does whose replay is rejected.
///
/// # If the store fails
///
/// Each use has a limit of 250 ms. After the first that fails, the store is left alone for 2 s, doubling to 15 s, and the
/// process fetches for itself. No request ever fails because of the store. The span of the fetch and an event tell why.
///
/// # Security
///
/// The token is encrypted with XChaCha20-Poly1305 under a key that is derived from the [sealing
/// key](super::SharedTokenSourceBuilder::sealing_key) or the [client
/// secret](super::SharedTokenSourceBuilder::credentials). A reader of the store sees random bytes, their lifetime, and
/// a SHA-256 of the token; from these, a weak client secret can be guessed offline. A writer can cause token requests,
/// and nothing else: an entry that was not sealed for this fleet is not used.
///
/// Sources share an entry only if nothing distinguishes their tokens: the token URL or issuer, the client id, the way
/// it authenticates, the scopes (as a set), audience, resources, parameters and headers are all part of the entry's
/// name, and so is the key.
///
/// Clones share one place in the fleet: of several layers over clones of one source, one at a time waits for the store.
///
/// # Cancellation
///
/// A fetch that is dropped leaves its lease to run out, within 4 s by default.
///
/// # Example
///
/// See the [module](super).
///
/// [`TokenHandle::refresh`]: crate::token::TokenHandle::refresh
pub struct SharedTokenSource<T> {
    fleet: Arc<Fleet<T>>,
}

struct Fleet<T> {
    inner: T,
    protocol: Protocol,
    keys: KeySource,
    /// One waiter per process.
    turn: Mutex<Turn>,
    last: Mutex<Last>,
}

type Turn = Arc<tokio::sync::Mutex<()>>;

/// The token that was handed out last.
#[derive(Default)]
struct Last {
    fingerprint: Option<String>,
    generation: Option<u64>,
}

impl<T> SharedTokenSource<T> {
    pub(super) fn new_with(inner: T, protocol: Protocol, keys: KeySource) -> Self {
        let (turn, last) = (Mutex::default(), Mutex::default());
        Self { fleet: Arc::new(Fleet { inner, protocol, keys, turn, last }) }
    }
}

impl<T: TokenSource> TokenSource for SharedTokenSource<T> {
    fn fetch(
        &self,
        request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        Box::pin(self.fleet.fetch(request))
    }

    fn generation(&self) -> u64 {
        self.fleet.inner.generation()
    }

    fn identity(&self) -> Option<[u8; 32]> {
        Some(self.fleet.keys.identity())
    }
}

impl<T: TokenSource> Fleet<T> {
    async fn fetch(&self, request: FetchRequest) -> Result<AccessToken, AuthError> {
        self.keys.look().await;
        let (generation, started) = (self.inner.generation(), time::instant());
        let turn = self.wait_for_turn().await;
        let attempt = self.attempt(&request, generation, started).filter(|_| turn.is_some());
        let plan = match &attempt {
            Some(attempt) => self.protocol.plan(attempt).await,
            None => Err(if turn.is_none() { Reason::LeaderSlow } else { Reason::NoKey }),
        };
        let token = match (plan, &attempt) {
            (Ok(Plan::Take(token, event)), _) => {
                metrics::shared(event);
                telemetry::shared(event, None);
                token
            }
            (Ok(Plan::Lead(lead)), Some(attempt)) => self.lead(attempt, lead, request).await?,
            (plan, _) => {
                drop(turn);
                metrics::shared("degraded");
                telemetry::shared("degraded", plan.err().map(Reason::text));
                self.inner.fetch(request).await?
            }
        };
        *self.last() = Last { fingerprint: Some(fingerprint(token.expose_secret())), generation: Some(generation) };
        Ok(token)
    }

    /// `None` if it has not come in time.
    async fn wait_for_turn(&self) -> Option<OwnedMutexGuard<()>> {
        let turn = Arc::clone(&self.turn());
        let guard = time::within(MAX_FOLLOW, Arc::clone(&turn).lock_owned()).await.ok().flatten();
        let mut current = self.turn();
        if guard.is_none() && Arc::ptr_eq(&turn, &current) {
            // Its runtime may not be driven any more, and would keep everybody waiting.
            *current = Turn::default();
        }
        guard
    }

    fn attempt(&self, request: &FetchRequest, generation: u64, started: Instant) -> Option<Attempt> {
        Some(Attempt {
            keyring: self.keys.keyring(generation)?,
            owner: random_owner()?,
            generation,
            rejected: request.rejected().map(|token| fingerprint(token.expose_secret())),
            is_rotated: self.last().generation.is_some_and(|last| last != generation),
            started,
        })
    }

    /// Fetches from the inner source, while the lease is renewed, and publishes.
    async fn lead(&self, attempt: &Attempt, lead: Lead<'_>, request: FetchRequest) -> Result<AccessToken, AuthError> {
        let Lead { held, stale } = lead;
        metrics::shared("led");
        telemetry::shared("led", None);
        let fetched = beside(self.inner.fetch(request), self.protocol.renew(attempt, &held)).await;
        match &fetched {
            // After a rotation, it belongs under another name.
            Ok(token) if self.inner.generation() == attempt.generation => {
                let content = Content::new(token.clone(), attempt.keyring.epoch());
                for entry in held {
                    self.protocol.publish(attempt, entry, &content).await;
                }
            }
            _ => {
                for entry in held {
                    self.protocol.release(attempt, entry).await;
                }
            }
        }
        fetched.or_else(|error| {
            let last = self.last().fingerprint.clone();
            // A process that has no token yet does better with one that will expire soon than with none.
            let is_of_use = |content: &Content| {
                let found = Some(content.fingerprint());
                error.is_transient() && found != attempt.rejected && found != last
            };
            stale.filter(is_of_use).map(|content| attempt.keyring.mark(content)).ok_or(error)
        })
    }
}

impl<T> Fleet<T> {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for SharedTokenSource<T> {
    fn clone(&self) -> Self {
        Self { fleet: Arc::clone(&self.fleet) }
    }
}

impl<T> fmt::Debug for SharedTokenSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTokenSource").field("protocol", &self.fleet.protocol).finish_non_exhaustive()
    }
}

/// The output of the first future; the second runs beside it and never ends.
async fn beside<F: Future>(first: F, second: impl Future<Output = Infallible>) -> F::Output {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| {
        let output = first.as_mut().poll(cx);
        if output.is_pending() {
            let Poll::Pending = second.as_mut().poll(cx);
        }
        output
    })
    .await
}
