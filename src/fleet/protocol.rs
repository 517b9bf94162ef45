//! Steps in the store: look, lease, publish, retire.

use std::{convert::Infallible, fmt, future::pending, time::Duration};

use super::{
    guarded::{GuardedStore, Reason},
    keyring::Keyring,
    seal::{Content, Entry},
};
use crate::{
    metrics, telemetry,
    time::{self, Instant, Moment},
    token::AccessToken,
};

/// What all processes of a fleet do with the store.
pub(super) struct Protocol {
    store: GuardedStore,
    lease: Duration,
}

/// What does not change during one fetch.
pub(super) struct Attempt {
    pub(super) keyring: Keyring,
    pub(super) owner: String,
    pub(super) generation: u64,
    /// The fingerprint of the token that must not be returned again.
    pub(super) rejected: Option<String>,
    /// Whether the secret was rotated since the last fetch.
    pub(super) is_rotated: bool,
    pub(super) started: Instant,
}

/// How to get a token.
pub(super) enum Plan<'a> {
    Take(AccessToken, &'static str),
    Lead(Lead<'a>),
}

/// The right to fetch.
pub(super) struct Lead<'a> {
    /// Where to publish.
    pub(super) held: Vec<&'a Entry>,
    /// A token that will do until it expires.
    pub(super) stale: Option<Content>,
}

/// What one look into the store says.
enum Seen {
    Fresh(Content),
    /// The lease is ours; perhaps there is a token that has not expired.
    Leased(Option<Content>),
    /// Another process fetches.
    Busy,
}

impl Protocol {
    pub(super) fn new(store: GuardedStore, lease: Duration) -> Self {
        Self { store, lease }
    }

    /// Looks into the store until there is a token, or the lease.
    pub(super) async fn plan<'a>(&self, attempt: &'a Attempt) -> Result<Plan<'a>, Reason> {
        if let Some(fingerprint) = &attempt.rejected {
            self.retire(attempt, fingerprint).await?;
        }
        // A token of before a rotation is replaced once; a process that has not seen the rotation may publish another.
        let (mut replaces_old, mut event) = (attempt.is_rotated, "hit");
        loop {
            match self.look_twice(attempt).await? {
                Seen::Leased(None) => return self.look_under_previous(attempt).await,
                Seen::Leased(stale) => return Ok(Plan::Lead(Lead { held: vec![&attempt.keyring.current], stale })),
                Seen::Fresh(content) if attempt.rejected.as_ref() == Some(&content.fingerprint()) => {
                    return Err(Reason::Retired);
                }
                Seen::Fresh(content) if replaces_old && !attempt.keyring.is_of_now(&content) => {
                    replaces_old = false;
                    self.retire(attempt, &content.fingerprint()).await?;
                }
                Seen::Fresh(content) => return Ok(Plan::Take(attempt.keyring.mark(content), event)),
                Seen::Busy if time::after(attempt.started, MAX_FOLLOW) <= time::instant() => {
                    return Err(Reason::LeaderSlow);
                }
                Seen::Busy => {
                    event = "followed";
                    pause(MIN_POLL + POLL_SPREAD.mul_f64(fastrand::f64())).await;
                }
            }
        }
    }

    /// Looks again after the lease was won: a store need not be so strict that what was published just before is seen with it.
    async fn look_twice(&self, attempt: &Attempt) -> Result<Seen, Reason> {
        let current = &attempt.keyring.current;
        match self.look(attempt, current).await? {
            Seen::Leased(_) => {}
            seen => return Ok(seen),
        }
        let seen = self.look(attempt, current).await?;
        if matches!(seen, Seen::Fresh(_)) {
            self.release(attempt, current).await;
        }
        Ok(seen)
    }

    /// With the lease, and no token under the current key: while the key is replaced, there may be one under the previous.
    async fn look_under_previous<'a>(&self, attempt: &'a Attempt) -> Result<Plan<'a>, Reason> {
        let current = &attempt.keyring.current;
        let lead = |held, stale| Ok(Plan::Lead(Lead { held, stale }));
        let Some(previous) = &attempt.keyring.previous else {
            return lead(vec![current], None);
        };
        match self.look(attempt, previous).await {
            Ok(Seen::Fresh(content)) => {
                let is_old = attempt.is_rotated && !attempt.keyring.is_of_now(&content);
                if is_old || attempt.rejected == Some(content.fingerprint()) {
                    return lead(vec![current], None);
                }
                self.publish(attempt, current, &content).await;
                Ok(Plan::Take(attempt.keyring.mark(content), "hit"))
            }
            Ok(Seen::Leased(stale)) => lead(vec![current, previous], stale),
            Ok(Seen::Busy) | Err(Reason::Unreadable) => lead(vec![current], None),
            Err(reason) => Err(reason),
        }
    }

    async fn look(&self, attempt: &Attempt, entry: &Entry) -> Result<Seen, Reason> {
        let asked = Moment::now();
        let step = self.store.ask(|store| store.read_or_lease(entry.name(), &attempt.owner, self.lease));
        let lookup = step.await?;
        let is_fresh = lookup.token().is_some_and(|stored| !stored.fresh_for().is_zero());
        // The store counted what is left at some time since it was asked.
        let content = lookup.token().and_then(|stored| entry.open(stored)).map(|content| content.read_at(asked));
        match content {
            content if lookup.leased() => Ok(Seen::Leased(content)),
            Some(content) if is_fresh => Ok(Seen::Fresh(content)),
            None if is_fresh => Err(Reason::Unreadable),
            _ => Ok(Seen::Busy),
        }
    }

    /// Publishes what is left of a token, or ends the lease.
    pub(super) async fn publish(&self, attempt: &Attempt, entry: &Entry, content: &Content) {
        let expires_in = content.expires_in();
        let age = content.lifetime.saturating_sub(expires_in);
        let fresh_for = content.lifetime.mul_f64(FRESH).saturating_sub(age);
        let sealed = entry.seal(content, expires_in, fresh_for).filter(|_| !expires_in.is_zero());
        let Some(sealed) = sealed else {
            telemetry::not_published("it has expired, or is too long");
            return self.release(attempt, entry).await;
        };
        match self.store.ask(|store| store.publish(entry.name(), &attempt.owner, &sealed)).await {
            Ok(true) => {}
            Ok(false) => telemetry::not_published("the lease has ended, or the token was retired meanwhile"),
            Err(reason) => telemetry::not_published(reason.text()),
        }
    }

    async fn retire(&self, attempt: &Attempt, fingerprint: &str) -> Result<(), Reason> {
        for entry in attempt.keyring.entries() {
            if self.store.ask(|store| store.retire(entry.name(), fingerprint, TOMBSTONE)).await? {
                metrics::shared("retired");
                telemetry::shared("retired", None);
            }
        }
        Ok(())
    }

    pub(super) async fn release(&self, attempt: &Attempt, entry: &Entry) {
        // A lease that could not be released runs out.
        let _ = self.store.ask(|store| store.release(entry.name(), &attempt.owner)).await;
    }

    /// Extends the leases for as long as it is polled. One that was lost stays lost.
    pub(super) async fn renew(&self, attempt: &Attempt, held: &[&Entry]) -> Infallible {
        loop {
            pause((self.lease / 3).max(MIN_RENEW)).await;
            for entry in held {
                let _ = self.store.ask(|store| store.renew(entry.name(), &attempt.owner, self.lease)).await;
            }
        }
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timeout = self.store.timeout();
        f.debug_struct("Protocol").field("lease", &self.lease).field("timeout", &timeout).finish_non_exhaustive()
    }
}

async fn pause(wait: Duration) {
    match time::sleep(wait) {
        Some(sleep) => sleep.await,
        None => pending().await,
    }
}

/// How long a process waits for another one's fetch.
pub(super) const MAX_FOLLOW: Duration = Duration::from_secs(10);
const MIN_POLL: Duration = Duration::from_millis(25);
/// So that it is 100 ms at most.
const POLL_SPREAD: Duration = Duration::from_millis(75);
const MIN_RENEW: Duration = Duration::from_millis(10);
/// How long a retired token cannot be published again.
const TOMBSTONE: Duration = Duration::from_secs(30);
/// The part of the lifetime in which no successor is fetched: below the earliest refresh of a layer, at 0.70.
const FRESH: f64 = 0.65;
