//! Checks that a [`TokenStore`] does what its documentation says.
//!
//! Run it against your own store in a test. It takes about three seconds, since leases and tombstones have to run out; on a
//! paused clock of tokio it takes none.

use std::{future::poll_fn, task::Poll, time::Duration};

use super::{
    seal::random_owner,
    store::{Lookup, SealedToken, TokenStore},
};
use crate::{error::BoxError, time};

/// Checks that a store keeps each rule of [`TokenStore`].
///
/// It creates entries that have random names and expire, so a store with other entries can be checked.
///
/// # Errors
///
/// The first rule that the store breaks, in words; or the first error of the store itself.
///
/// # Cancellation
///
/// Entries stay behind until they expire.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::{BoxError, fleet::{MemoryStore, conformance}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// conformance::check(&MemoryStore::new()).await
/// # }
/// ```
pub async fn check(store: &dyn TokenStore) -> Result<(), BoxError> {
    leases(store).await?;
    leases_end(store).await?;
    tokens(store).await?;
    freshness(store).await?;
    publishing(store).await?;
    retiring(store).await?;
    tombstones(store).await?;
    releasing(store).await?;
    short_durations(store).await?;
    races(store).await
}

/// An entry of the check's own.
struct Entry<'a> {
    store: &'a dyn TokenStore,
    key: String,
}

impl<'a> Entry<'a> {
    fn new(store: &'a dyn TokenStore) -> Result<Self, BoxError> {
        let key = random_owner().ok_or("no randomness for the name of an entry")?;
        Ok(Self { store, key: format!("{key}{key}") })
    }

    async fn look(&self, owner: &str) -> Result<Lookup, BoxError> {
        self.store.read_or_lease(&self.key, owner, LEASE).await
    }

    async fn leased(&self, owner: &str) -> Result<bool, BoxError> {
        Ok(self.look(owner).await?.leased())
    }

    async fn fingerprint(&self) -> Result<Option<String>, BoxError> {
        Ok(self.look("reader").await?.token().map(|token| token.fingerprint().to_owned()))
    }

    async fn publish(&self, owner: &str, token: &SealedToken) -> Result<bool, BoxError> {
        self.store.publish(&self.key, owner, token).await
    }

    /// An entry with this token.
    async fn holding(store: &'a dyn TokenStore, token: &SealedToken) -> Result<Self, BoxError> {
        let entry = Self::new(store)?;
        expect(entry.leased("a").await?, "read_or_lease: an empty entry gives its lease to who asks first")?;
        expect(entry.publish("a", token).await?, "publish: true for the holder of the lease")?;
        Ok(entry)
    }
}

async fn leases(store: &dyn TokenStore) -> Result<(), BoxError> {
    let (entry, other) = (Entry::new(store)?, Entry::new(store)?);
    let first = entry.look("a").await?;
    expect(first.token().is_none(), "read_or_lease: an empty entry has no token")?;
    expect(first.leased(), "read_or_lease: an empty entry gives its lease to who asks first")?;
    expect(!entry.leased("b").await?, "read_or_lease: one owner holds the lease at a time")?;
    expect(entry.leased("a").await?, "read_or_lease: who holds the lease and asks again still holds it")?;
    expect(other.leased("b").await?, "read_or_lease: each key has its own lease")?;
    expect(!store.renew(&entry.key, "b", LEASE).await?, "renew: false for who does not hold the lease")?;
    expect(store.renew(&entry.key, "a", LEASE).await?, "renew: true for the holder")
}

async fn leases_end(store: &dyn TokenStore) -> Result<(), BoxError> {
    let (renewed, asked, left) = (Entry::new(store)?, Entry::new(store)?, Entry::new(store)?);
    for entry in [&renewed, &asked, &left] {
        expect(entry.leased("a").await?, "read_or_lease: an empty entry gives its lease to who asks first")?;
    }
    wait(LEASE * 6 / 10).await;
    expect(store.renew(&renewed.key, "a", LEASE).await?, "renew: true for the holder")?;
    expect(asked.leased("a").await?, "read_or_lease: who holds the lease and asks again still holds it")?;
    wait(LEASE * 6 / 10).await;
    expect(!renewed.leased("b").await?, "renew: extends the lease")?;
    expect(!asked.leased("b").await?, "read_or_lease: who holds the lease and asks again extends it")?;
    expect(!store.renew(&left.key, "a", LEASE).await?, "renew: false when the lease has ended")?;
    expect(!left.publish("a", &token("late")).await?, "publish: false when the lease has ended")?;
    expect(left.look("c").await?.token().is_none(), "publish: changes nothing when the lease has ended")?;
    expect(left.leased("c").await?, "a lease ends by itself")
}

async fn tokens(store: &dyn TokenStore) -> Result<(), BoxError> {
    let all_bytes: Vec<u8> = (0..=u8::MAX).cycle().take(64 * 1024).collect();
    let sent = SealedToken::new(all_bytes, "f1", HOUR, HOUR / 2);
    let entry = Entry::holding(store, &sent).await?;
    let found = entry.look("b").await?;
    let found = found.token().ok_or("read_or_lease: the token that was published is there")?;
    expect(
        found.sealed() == sent.sealed(),
        "read_or_lease: the sealed bytes come back as they were, 64 KiB of any bytes",
    )?;
    expect(found.fingerprint() == sent.fingerprint(), "read_or_lease: the fingerprint comes back as it was")?;
    let is_left = |left: Duration, of: Duration| left <= of && left + Duration::from_secs(30) > of;
    expect(is_left(found.expires_in(), sent.expires_in()), "read_or_lease: `expires_in` is what is left of it")?;
    expect(is_left(found.fresh_for(), sent.fresh_for()), "read_or_lease: `fresh_for` is what is left of it")?;
    let short = SealedToken::new("s", "f2", LEASE / 2, LEASE / 2);
    let entry = Entry::holding(store, &short).await?;
    wait(LEASE / 4).await;
    let left = entry.look("b").await?.token().map(SealedToken::expires_in).unwrap_or_default();
    expect(left > Duration::ZERO && left <= LEASE / 4, "read_or_lease: `expires_in` goes down")?;
    wait(LEASE / 2).await;
    let later = entry.look("b").await?;
    expect(later.token().is_none(), "a token is gone when it has expired")?;
    expect(later.leased(), "read_or_lease: an expired token gives the lease to who asks first")
}

async fn freshness(store: &dyn TokenStore) -> Result<(), BoxError> {
    let entry = Entry::holding(store, &SealedToken::new("s", "f1", HOUR, LEASE / 2)).await?;
    expect(!entry.leased("b").await?, "read_or_lease: a fresh token gives no lease")?;
    expect(!store.renew(&entry.key, "b", LEASE).await?, "read_or_lease: a fresh token leaves no lease behind")?;
    wait(LEASE * 6 / 10).await;
    let stale = entry.look("b").await?;
    expect(stale.leased(), "read_or_lease: a token past its `fresh_for` gives the lease to who asks first")?;
    expect(stale.token().is_some(), "read_or_lease: a token past its `fresh_for` is still returned")?;
    let left = stale.token().map_or(HOUR, SealedToken::fresh_for);
    expect(left.is_zero(), "read_or_lease: past its `fresh_for`, a token has zero of it left")?;
    let follower = entry.look("c").await?;
    expect(!follower.leased(), "read_or_lease: one owner holds the lease at a time")?;
    expect(follower.token().is_some(), "read_or_lease: a token past its `fresh_for` is returned to those who wait, too")
}

async fn publishing(store: &dyn TokenStore) -> Result<(), BoxError> {
    let entry = Entry::new(store)?;
    expect(!entry.publish("a", &token("f1")).await?, "publish: false without a lease")?;
    expect(entry.leased("a").await?, "publish: changes nothing without a lease")?;
    expect(!entry.publish("b", &token("f2")).await?, "publish: false while another owner holds the lease")?;
    expect(entry.look("a").await?.token().is_none(), "publish: changes nothing while another owner holds the lease")?;
    let stale = SealedToken::new("s", "f3", HOUR, Duration::from_millis(1));
    expect(entry.publish("a", &stale).await?, "publish: true for the holder of the lease")?;
    wait(Duration::from_millis(10)).await;
    expect(!entry.publish("a", &token("f4")).await?, "publish: ends the lease, so that a repeated call answers false")?;
    expect(!store.renew(&entry.key, "a", LEASE).await?, "publish: ends the lease")?;
    expect(entry.leased("b").await?, "publish: ends the lease, and another owner may take it")?;
    expect(entry.publish("b", &token("f5")).await?, "publish: true for the holder of the lease")?;
    expect(entry.fingerprint().await?.as_deref() == Some("f5"), "publish: replaces the token of before")
}

async fn retiring(store: &dyn TokenStore) -> Result<(), BoxError> {
    let entry = Entry::holding(store, &token("f2")).await?;
    let retired = store.retire(&entry.key, "f1", HOUR).await?;
    expect(!retired, "retire: false if the token has another fingerprint")?;
    expect(entry.fingerprint().await?.as_deref() == Some("f2"), "retire: removes no token of another fingerprint")?;
    expect(store.retire(&entry.key, "f2", HOUR).await?, "retire: true if it removes the token")?;
    expect(!store.retire(&entry.key, "f2", HOUR).await?, "retire: false if the token was removed before")?;
    let gone = entry.look("a").await?;
    expect(gone.token().is_none(), "retire: removes the token of this fingerprint")?;
    expect(gone.leased(), "retire: the lease is free for the successor")?;
    expect(!store.retire(&entry.key, "f0", HOUR).await?, "retire: false if there is no token")?;
    expect(store.renew(&entry.key, "a", LEASE).await?, "retire: the lease stays as it is")
}

async fn tombstones(store: &dyn TokenStore) -> Result<(), BoxError> {
    let entry = Entry::new(store)?;
    store.retire(&entry.key, "f1", LEASE).await?;
    expect(entry.leased("a").await?, "retire: takes no lease")?;
    expect(!entry.publish("a", &token("f1")).await?, "publish: false for a token with a tombstone")?;
    let after = entry.look("b").await?;
    expect(after.token().is_none(), "publish: changes nothing for a token with a tombstone")?;
    expect(after.leased(), "publish: a refusal because of a tombstone ends the lease")?;
    expect(
        entry.publish("b", &SealedToken::new("s", "f2", HOUR, Duration::from_millis(1))).await?,
        "publish: true for a token without a tombstone",
    )?;
    wait(LEASE * 12 / 10).await;
    expect(entry.leased("a").await?, "read_or_lease: a token past its `fresh_for` gives the lease to who asks first")?;
    expect(entry.publish("a", &token("f1")).await?, "a tombstone ends by itself")
}

async fn releasing(store: &dyn TokenStore) -> Result<(), BoxError> {
    let entry = Entry::new(store)?;
    expect(entry.leased("a").await?, "read_or_lease: an empty entry gives its lease to who asks first")?;
    store.release(&entry.key, "b").await?;
    expect(!entry.leased("b").await?, "release: changes nothing for who does not hold the lease")?;
    store.release(&entry.key, "a").await?;
    expect(!store.renew(&entry.key, "a", LEASE).await?, "release: ends the lease of its holder at once")?;
    expect(entry.leased("b").await?, "release: another owner may take the lease at once")?;
    let entry = Entry::holding(store, &token("f1")).await?;
    store.release(&entry.key, "a").await?;
    expect(entry.fingerprint().await?.is_some(), "release: leaves the token where it is")
}

/// A nanosecond is a millisecond, and not nothing, or an error.
async fn short_durations(store: &dyn TokenStore) -> Result<(), BoxError> {
    let (entry, short) = (Entry::new(store)?, Duration::from_nanos(1));
    let leased = store.read_or_lease(&entry.key, "a", short).await.map_err(|error| rounded("read_or_lease", &error))?;
    expect(leased.leased(), "read_or_lease: a lease of a nanosecond is rounded up to a millisecond")?;
    wait(Duration::from_millis(20)).await;
    expect(entry.leased("b").await?, "a lease of a nanosecond ends")?;
    store.renew(&entry.key, "b", short).await.map_err(|error| rounded("renew", &error))?;
    wait(Duration::from_millis(20)).await;
    expect(entry.leased("c").await?, "renew: a lease of a nanosecond ends")?;
    let token = SealedToken::new("s", "f1", short, short);
    let published = entry.publish("c", &token).await.map_err(|error| rounded("publish", &error))?;
    expect(published, "publish: a token that lives for a nanosecond is rounded up to a millisecond")?;
    wait(Duration::from_millis(20)).await;
    expect(entry.look("d").await?.token().is_none(), "a token is gone when it has expired")?;
    store.retire(&entry.key, "f1", short).await.map_err(|error| rounded("retire", &error))?;
    Ok(())
}

fn rounded(method: &str, error: &BoxError) -> BoxError {
    format!("{method}: a nanosecond is rounded up to a millisecond, not refused: {error}").into()
}

async fn races(store: &dyn TokenStore) -> Result<(), BoxError> {
    for _ in 0..8 {
        let entry = Entry::new(store)?;
        let ask = |owner| store.read_or_lease(&entry.key, owner, LEASE);
        let mut pending = Vec::from(["a", "b", "c", "d"].map(ask));
        let (mut winners, mut failure) = (0, None);
        poll_fn(|cx| {
            pending.retain_mut(|answer| match answer.as_mut().poll(cx) {
                Poll::Ready(Ok(lookup)) => {
                    winners += usize::from(lookup.leased());
                    false
                }
                Poll::Ready(Err(error)) => {
                    failure = Some(error);
                    false
                }
                Poll::Pending => true,
            });
            if pending.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        failure.map_or(Ok(()), Err)?;
        expect(winners == 1, "read_or_lease: of several owners at the same time, one gets the lease")?;
    }
    Ok(())
}

/// A token that lives for longer than the check takes.
fn token(fingerprint: &'static str) -> SealedToken {
    SealedToken::new("sealed", fingerprint, HOUR, HOUR)
}

fn expect(holds: bool, rule: &'static str) -> Result<(), BoxError> {
    if holds { Ok(()) } else { Err(format!("the store breaks a rule: {rule}").into()) }
}

async fn wait(pause: Duration) {
    if let Some(sleep) = time::sleep(pause) {
        sleep.await;
    }
}

const LEASE: Duration = Duration::from_millis(800);
const HOUR: Duration = Duration::from_secs(3600);
