//! The suite passes the store in memory, and finds each rule that a store breaks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_outbound_auth::{
    BoxError,
    fleet::{Lookup, MemoryStore, SealedToken, StoreFuture, TokenStore, conformance},
};

/// A store that breaks one rule.
#[derive(Clone)]
struct Broken {
    rule: Rule,
    inner: MemoryStore,
    owners: Arc<Mutex<BTreeMap<String, String>>>,
    publishers: Arc<Mutex<BTreeMap<String, String>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    LeasesToEverybody,
    LeasesNever,
    LeasesWhileFresh,
    LeasesOnceAndForAll,
    NeverEndsALease,
    DoesNotRenew,
    RenewsForEverybody,
    RenewsAnEndedLease,
    DoesNotExtendWhenAskedAgain,
    ForgetsTheHolderWhenAskedAgain,
    HidesAStaleToken,
    HidesAStaleTokenFromFollowers,
    AlwaysFresh,
    KeepsExpiredTokens,
    CountsNoTime,
    PublishesForEverybody,
    PublishesWithoutALease,
    KeepsTheLeaseWhenItPublishes,
    PublishesOnlyOnce,
    IgnoresTombstones,
    KeepsTheLeaseOfARefusal,
    TombstonesLastForEver,
    RetiresAnything,
    RetiresNothing,
    SaysThatItRetired,
    NoTombstoneWithoutAToken,
    EndsTheLeaseWhenItRetires,
    ReleasesForEverybody,
    ReleasesNothing,
    ReleasesTheTokenToo,
    OneEntryForAllKeys,
    TextOnly,
    RoundsDown,
}

const RULES: [Rule; 33] = [
    Rule::LeasesToEverybody,
    Rule::LeasesNever,
    Rule::LeasesWhileFresh,
    Rule::LeasesOnceAndForAll,
    Rule::NeverEndsALease,
    Rule::DoesNotRenew,
    Rule::RenewsForEverybody,
    Rule::RenewsAnEndedLease,
    Rule::DoesNotExtendWhenAskedAgain,
    Rule::ForgetsTheHolderWhenAskedAgain,
    Rule::HidesAStaleToken,
    Rule::HidesAStaleTokenFromFollowers,
    Rule::AlwaysFresh,
    Rule::KeepsExpiredTokens,
    Rule::CountsNoTime,
    Rule::PublishesForEverybody,
    Rule::PublishesWithoutALease,
    Rule::KeepsTheLeaseWhenItPublishes,
    Rule::PublishesOnlyOnce,
    Rule::IgnoresTombstones,
    Rule::KeepsTheLeaseOfARefusal,
    Rule::TombstonesLastForEver,
    Rule::RetiresAnything,
    Rule::RetiresNothing,
    Rule::SaysThatItRetired,
    Rule::NoTombstoneWithoutAToken,
    Rule::EndsTheLeaseWhenItRetires,
    Rule::ReleasesForEverybody,
    Rule::ReleasesNothing,
    Rule::ReleasesTheTokenToo,
    Rule::OneEntryForAllKeys,
    Rule::TextOnly,
    Rule::RoundsDown,
];

const HOUR: Duration = Duration::from_secs(3600);

impl Broken {
    fn new(rule: Rule) -> Self {
        Self { rule, inner: MemoryStore::new(), owners: Arc::default(), publishers: Arc::default() }
    }

    fn holder(&self, key: &str) -> Option<String> {
        self.owners.lock().unwrap().get(key).cloned()
    }

    fn note_holder(&self, key: &str, owner: Option<&str>) {
        let mut owners = self.owners.lock().unwrap();
        match owner {
            Some(owner) => owners.insert(key.to_owned(), owner.to_owned()),
            None => owners.remove(key),
        };
    }

    fn check(&self, duration: Duration) -> Result<Duration, BoxError> {
        if self.rule == Rule::RoundsDown && duration < Duration::from_millis(1) {
            return Err("invalid expire time".into());
        }
        Ok(duration)
    }

    async fn read(&self, key: &str, owner: &str, lease: Duration) -> Result<Lookup, BoxError> {
        let lease = if self.rule == Rule::NeverEndsALease { HOUR } else { self.check(lease)? };
        let holder = self.holder(key);
        if self.rule == Rule::LeasesOnceAndForAll && holder.as_deref().is_some_and(|holder| holder != owner) {
            return Ok(Lookup::new(self.inner.read_or_lease(key, "x", lease).await?.token().cloned(), false));
        }
        let again = holder.as_deref() == Some(owner);
        if again && self.rule == Rule::DoesNotExtendWhenAskedAgain && self.inner.renew(key, owner, lease).await? {
            // As if it had been asked once: the rest of the first lease is about as long.
            self.inner.renew(key, owner, lease / 10).await?;
            return Ok(Lookup::new(None, true));
        }
        let found = self.inner.read_or_lease(key, owner, lease).await?;
        if found.leased() {
            self.note_holder(key, Some(owner));
        }
        let leased = match self.rule {
            Rule::LeasesToEverybody => found.token().is_none_or(|token| token.fresh_for().is_zero()),
            Rule::LeasesNever => false,
            Rule::LeasesWhileFresh => found.leased() || found.token().is_some(),
            Rule::ForgetsTheHolderWhenAskedAgain => found.leased() && !again,
            _ => found.leased(),
        };
        let token = found.token().cloned().filter(|token| match self.rule {
            Rule::HidesAStaleToken => !token.fresh_for().is_zero(),
            Rule::HidesAStaleTokenFromFollowers => found.leased() || !token.fresh_for().is_zero(),
            _ => true,
        });
        let token = token.map(|token| match self.rule {
            Rule::AlwaysFresh | Rule::CountsNoTime => {
                let expires_in = if self.rule == Rule::CountsNoTime { HOUR } else { token.expires_in() };
                SealedToken::new(token.sealed().clone(), token.fingerprint(), expires_in, HOUR / 2)
            }
            Rule::TextOnly => {
                let text = String::from_utf8_lossy(token.sealed()).into_owned();
                SealedToken::new(text, token.fingerprint(), token.expires_in(), token.fresh_for())
            }
            _ => token,
        });
        Ok(Lookup::new(token, leased))
    }

    async fn put(&self, key: &str, owner: &str, token: &SealedToken) -> Result<bool, BoxError> {
        self.check(token.expires_in())?;
        let holder = self.holder(key).unwrap_or_else(|| owner.to_owned());
        match self.rule {
            Rule::PublishesForEverybody => self.inner.publish(key, &holder, token).await,
            Rule::PublishesWithoutALease => {
                self.inner.read_or_lease(key, owner, HOUR).await?;
                self.inner.publish(key, owner, token).await
            }
            Rule::KeepsTheLeaseWhenItPublishes => {
                let publisher = self.publishers.lock().unwrap().insert(key.to_owned(), owner.to_owned());
                if publisher.as_deref() == Some(owner) {
                    self.inner.read_or_lease(key, owner, HOUR).await?;
                }
                self.inner.publish(key, owner, token).await
            }
            Rule::PublishesOnlyOnce => self.put_once(key, owner, token).await,
            Rule::KeepsExpiredTokens => {
                let kept = SealedToken::new(token.sealed().clone(), token.fingerprint(), HOUR, token.fresh_for());
                self.inner.publish(key, owner, &kept).await
            }
            Rule::IgnoresTombstones => {
                self.inner.retire(key, "another", HOUR).await?;
                self.inner.publish(key, owner, token).await
            }
            Rule::KeepsTheLeaseOfARefusal => {
                let held = self.inner.renew(key, owner, HOUR).await?;
                let published = self.inner.publish(key, owner, token).await?;
                if held && !published {
                    self.inner.read_or_lease(key, owner, HOUR).await?;
                }
                Ok(published)
            }
            _ => self.inner.publish(key, owner, token).await,
        }
    }

    async fn put_once(&self, key: &str, owner: &str, token: &SealedToken) -> Result<bool, BoxError> {
        if !self.inner.renew(key, owner, HOUR).await? {
            return Ok(false);
        }
        let had = self.inner.read_or_lease(key, owner, HOUR).await?.token().cloned();
        self.inner.publish(key, owner, had.as_ref().unwrap_or(token)).await
    }

    async fn bury(&self, key: &str, fingerprint: &str, tombstone: Duration) -> Result<bool, BoxError> {
        let tombstone = self.check(tombstone)?;
        match self.rule {
            Rule::TombstonesLastForEver => self.inner.retire(key, fingerprint, HOUR).await,
            Rule::RetiresAnything => {
                let found = self.inner.read_or_lease(key, "nobody", Duration::from_millis(1)).await?;
                let fingerprint = found.token().map_or(fingerprint, |token| token.fingerprint()).to_owned();
                self.inner.retire(key, &fingerprint, tombstone).await
            }
            Rule::RetiresNothing => Ok(false),
            Rule::SaysThatItRetired => self.inner.retire(key, fingerprint, tombstone).await.map(|_| true),
            Rule::NoTombstoneWithoutAToken => {
                let removed = self.inner.retire(key, fingerprint, tombstone).await?;
                if !removed {
                    self.inner.retire(key, "another", tombstone).await?;
                }
                Ok(removed)
            }
            Rule::EndsTheLeaseWhenItRetires => {
                if let Some(holder) = self.holder(key) {
                    self.inner.release(key, &holder).await?;
                }
                self.inner.retire(key, fingerprint, tombstone).await
            }
            _ => self.inner.retire(key, fingerprint, tombstone).await,
        }
    }

    fn key<'a>(&self, key: &'a str) -> &'a str {
        if self.rule == Rule::OneEntryForAllKeys { "key" } else { key }
    }
}

impl TokenStore for Broken {
    fn read_or_lease<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, Lookup> {
        Box::pin(self.read(self.key(key), owner, lease))
    }

    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            self.check(lease)?;
            match self.rule {
                Rule::DoesNotRenew => self.inner.renew(key, owner, lease / 2).await,
                Rule::RenewsForEverybody => {
                    let holder = self.holder(key).unwrap_or_default();
                    self.inner.renew(key, &holder, lease).await
                }
                Rule::RenewsAnEndedLease => Ok(self.inner.read_or_lease(key, owner, lease).await?.leased()),
                _ => self.inner.renew(self.key(key), owner, lease).await,
            }
        })
    }

    fn publish<'a>(&'a self, key: &'a str, owner: &'a str, token: &'a SealedToken) -> StoreFuture<'a, bool> {
        Box::pin(self.put(self.key(key), owner, token))
    }

    fn retire<'a>(&'a self, key: &'a str, fingerprint: &'a str, tombstone: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.bury(self.key(key), fingerprint, tombstone))
    }

    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            match (self.rule, self.holder(key)) {
                (Rule::ReleasesNothing, _) => Ok(()),
                (Rule::ReleasesForEverybody, Some(holder)) => self.inner.release(key, &holder).await,
                (Rule::ReleasesTheTokenToo, _) => {
                    let found = self.inner.read_or_lease(key, owner, HOUR).await?;
                    if let Some(token) = found.token() {
                        self.inner.retire(key, token.fingerprint(), Duration::from_millis(1)).await?;
                    }
                    self.inner.release(key, owner).await
                }
                _ => self.inner.release(self.key(key), owner).await,
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn f2_the_store_in_memory_conforms() {
    conformance::check(&MemoryStore::new()).await.unwrap();
    let shared: Arc<dyn TokenStore> = Arc::new(MemoryStore::new());
    conformance::check(&shared).await.unwrap();
    conformance::check(&Box::new(MemoryStore::new())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn f2_every_broken_rule_is_found() {
    let mut missed = Vec::new();
    for rule in RULES {
        match conformance::check(&Broken::new(rule)).await {
            Ok(()) => missed.push(rule),
            Err(error) => println!("{rule:?}: {error}"),
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}
