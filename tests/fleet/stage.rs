//! Processes of a fleet on paused time, over a store that can fail in many ways.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::task::JoinSet;
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError,
    fleet::{Lookup, MemoryStore, SealedToken, SharedTokenSource, SharedTokenSourceBuilder, StoreFuture, TokenStore},
    token::{AccessToken, FetchRequest, TokenSource},
};

use crate::support::{Issuer, ORIGIN};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The source of one process.
pub(crate) fn process(issuer: &Issuer, store: &(impl TokenStore + Clone)) -> SharedTokenSource<Issuer> {
    builder(issuer, store).build().unwrap()
}

pub(crate) fn builder(issuer: &Issuer, store: &(impl TokenStore + Clone)) -> SharedTokenSourceBuilder<Issuer> {
    SharedTokenSource::builder(issuer.clone(), store.clone()).sealing_key("a long random key", None).identity("reports")
}

pub(crate) fn layer(source: &SharedTokenSource<Issuer>) -> AuthLayer {
    AuthLayer::builder(source.clone()).origin(ORIGIN).build().unwrap()
}

pub(crate) async fn fetch(source: &impl TokenSource) -> Result<String, AuthError> {
    source.fetch(FetchRequest::new()).await.map(|token| token.expose_secret().to_owned())
}

/// A fetch after this token was rejected.
pub(crate) async fn fetch_after(source: &impl TokenSource, rejected: &str) -> Result<String, AuthError> {
    let request = FetchRequest::new().with_rejected(AccessToken::new(rejected, None)?);
    source.fetch(request).await.map(|token| token.expose_secret().to_owned())
}

/// What all processes get, fetching at the same time.
pub(crate) async fn all(processes: &[SharedTokenSource<Issuer>], rejected: Option<&str>) -> Vec<String> {
    let mut tasks = JoinSet::new();
    for process in processes {
        let (process, rejected) = (process.clone(), rejected.map(str::to_owned));
        tasks.spawn(async move {
            match rejected {
                Some(rejected) => fetch_after(&process, &rejected).await.unwrap(),
                None => fetch(&process).await.unwrap(),
            }
        });
    }
    tasks.join_all().await
}

/// A store in memory, with faults.
#[derive(Clone, Default)]
pub(crate) struct Faulty {
    pub(crate) inner: MemoryStore,
    fault: Arc<Mutex<Option<Fault>>>,
    uses: Arc<Mutex<Vec<&'static str>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Every use fails at once.
    Fails,
    /// No use is ever answered.
    Hangs,
    /// This use happens, and its answer is lost.
    LosesAnswerTo(&'static str),
    /// This use fails.
    FailsTo(&'static str),
    /// This use is answered with false, and does not happen.
    Forgets(&'static str),
    /// Answers arrive 200 ms after the step.
    AnswersLate,
    /// The next look gives the lease, although a token was published just before.
    SeesLate,
    /// Every entry holds bytes that nobody sealed.
    Garbage,
    /// Every entry holds what another entry of the same fleet's does, or would.
    Swapped,
}

impl Faulty {
    pub(crate) fn set(&self, fault: impl Into<Option<Fault>>) {
        *self.fault.lock().unwrap() = fault.into();
    }

    /// The uses so far.
    pub(crate) fn uses(&self) -> Vec<&'static str> {
        self.uses.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.uses().iter().filter(|used| **used == name).count()
    }

    async fn step<T>(
        &self,
        name: &'static str,
        step: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<T, BoxError> {
        self.uses.lock().unwrap().push(name);
        let fault = *self.fault.lock().unwrap();
        match fault {
            Some(Fault::Fails) => Err("the store is down".into()),
            Some(Fault::FailsTo(broken)) if broken == name => Err("the store is read-only".into()),
            Some(Fault::Hangs) => pending().await,
            Some(Fault::LosesAnswerTo(lost)) if lost == name => {
                step.await?;
                pending().await
            }
            Some(Fault::AnswersLate) => {
                let answer = step.await;
                tokio::time::sleep(SECOND / 5).await;
                answer
            }
            _ => step.await,
        }
    }
}

impl TokenStore for Faulty {
    fn read_or_lease<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, Lookup> {
        Box::pin(self.step("read_or_lease", async move {
            if self.fault.lock().unwrap().take_if(|fault| *fault == Fault::SeesLate).is_some() {
                return Ok(Lookup::new(None, true));
            }
            let found = self.inner.read_or_lease(key, owner, lease).await?;
            let fault = *self.fault.lock().unwrap();
            let foreign = match fault {
                Some(Fault::Garbage) => SealedToken::new(vec![1; 100], "f", 100 * SECOND, 50 * SECOND),
                Some(Fault::Swapped) => match found.token() {
                    Some(token) => SealedToken::new(token.sealed().clone(), "f", token.expires_in(), token.fresh_for()),
                    None => return Ok(found),
                },
                _ => return Ok(found),
            };
            Ok(Lookup::new(Some(foreign), false))
        }))
    }

    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.step("renew", self.inner.renew(key, owner, lease)))
    }

    fn publish<'a>(&'a self, key: &'a str, owner: &'a str, token: &'a SealedToken) -> StoreFuture<'a, bool> {
        Box::pin(self.step("publish", self.inner.publish(key, owner, token)))
    }

    fn retire<'a>(&'a self, key: &'a str, fingerprint: &'a str, tombstone: Duration) -> StoreFuture<'a, bool> {
        if *self.fault.lock().unwrap() == Some(Fault::Forgets("retire")) {
            return Box::pin(async { Ok(false) });
        }
        Box::pin(self.step("retire", self.inner.retire(key, fingerprint, tombstone)))
    }

    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(self.step("release", self.inner.release(key, owner)))
    }
}
