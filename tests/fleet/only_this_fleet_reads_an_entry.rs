//! F5: what is in the store, and who can use it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_outbound_auth::{
    BoxError, Credentials,
    fleet::{Lookup, MemoryStore, SealedToken, SharedTokenSource, StoreFuture, TokenStore},
    token::{AccessToken, FetchRequest, TokenSource, source_fn},
};

use super::{
    stage::{SECOND, fetch, process},
    support::Issuer,
};

/// A store that sees everything, and gives out what it likes.
#[derive(Clone, Default)]
struct Spy {
    inner: MemoryStore,
    published: Arc<Mutex<Vec<(String, SealedToken)>>>,
    keys: Arc<Mutex<Vec<String>>>,
    instead: Arc<Mutex<Option<SealedToken>>>,
}

impl TokenStore for Spy {
    fn read_or_lease<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, Lookup> {
        self.keys.lock().unwrap().push(key.to_owned());
        let instead = self.instead.lock().unwrap().clone();
        match instead {
            Some(token) => Box::pin(async { Ok::<_, BoxError>(Lookup::new(Some(token), false)) }),
            None => self.inner.read_or_lease(key, owner, lease),
        }
    }

    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, bool> {
        self.inner.renew(key, owner, lease)
    }

    fn publish<'a>(&'a self, key: &'a str, owner: &'a str, token: &'a SealedToken) -> StoreFuture<'a, bool> {
        self.published.lock().unwrap().push((key.to_owned(), token.clone()));
        self.inner.publish(key, owner, token)
    }

    fn retire<'a>(&'a self, key: &'a str, fingerprint: &'a str, tombstone: Duration) -> StoreFuture<'a, bool> {
        self.inner.retire(key, fingerprint, tombstone)
    }

    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> StoreFuture<'a, ()> {
        self.inner.release(key, owner)
    }
}

const TOKEN: &str = "a-planted-token-that-nobody-may-see";
const SECRET: &str = "a-planted-secret-that-nobody-may-see";

fn planted(store: &Spy) -> SharedTokenSource<impl TokenSource + use<>> {
    let inner = source_fn(|_| async {
        let token = AccessToken::new(TOKEN, Some(1000 * SECOND))?;
        Ok(token.with_scope("planted-scope").with_response_field("planted-name", "planted-value"))
    });
    let builder = SharedTokenSource::builder(inner, store.clone());
    builder.credentials(&Credentials::new("planted-client", SECRET)).identity("planted-identity").build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn f5_nothing_that_is_stored_can_be_read() {
    let store = Spy::default();
    let source = planted(&store);
    source.fetch(FetchRequest::new()).await.unwrap();
    let shown = format!("{source:?} {:?} {:?}", store.published, store.keys);
    let (key, token) = store.published.lock().unwrap()[0].clone();
    let sealed = String::from_utf8_lossy(token.sealed()).into_owned();
    for planted in
        [TOKEN, SECRET, "planted-scope", "planted-name", "planted-value", "planted-client", "planted-identity"]
    {
        for text in [&key, &sealed, token.fingerprint(), &shown] {
            assert!(!text.contains(planted), "{planted} in {text}");
        }
    }
    let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_hex(&key) && is_hex(token.fingerprint()));
}

#[tokio::test(start_paused = true)]
async fn f5_the_same_token_is_never_sealed_into_the_same_bytes() {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        let store = Spy::default();
        planted(&store).fetch(FetchRequest::new()).await.unwrap();
        let sealed = store.published.lock().unwrap()[0].1.sealed().clone();
        assert!(seen.insert(sealed[..25].to_vec()), "each has a nonce of its own");
    }
}

#[tokio::test(start_paused = true)]
async fn f5_an_entry_with_any_byte_changed_is_never_used() {
    let (issuer, store) = (Issuer::new(), Spy::default());
    let source = process(&issuer, &store);
    fetch(&source).await.unwrap();
    let good = store.published.lock().unwrap()[0].1.clone();
    let stored =
        |sealed: Vec<u8>, fingerprint: &str| SealedToken::new(sealed, fingerprint, good.expires_in(), good.fresh_for());
    let mut expected = 1;
    let mut refused = async |token: SealedToken, what: String| {
        *store.instead.lock().unwrap() = Some(token);
        expected += 1;
        assert_eq!(fetch(&source).await.unwrap(), format!("token-{expected}"), "{what}");
    };
    for at in 0..good.sealed().len() {
        let mut sealed = good.sealed().to_vec();
        sealed[at] ^= 1;
        refused(stored(sealed, good.fingerprint()), format!("byte {at}")).await;
    }
    for len in 0..good.sealed().len() {
        refused(stored(good.sealed()[..len].to_vec(), good.fingerprint()), format!("{len} bytes")).await;
    }
    refused(stored(good.sealed().to_vec(), "another"), "another fingerprint".to_owned()).await;
    refused(stored(vec![1; 200 * 1024], good.fingerprint()), "too long".to_owned()).await;
    *store.instead.lock().unwrap() = Some(good.clone());
    assert_eq!(fetch(&source).await.unwrap(), "token-1", "the entry itself is still good");
}

#[tokio::test(start_paused = true)]
async fn f5_an_entry_of_another_name_or_key_is_never_used() {
    let (issuer, store) = (Issuer::new(), Spy::default());
    let with = |key: &str, identity: &str| {
        let builder = SharedTokenSource::builder(issuer.clone(), store.clone());
        builder.sealing_key(key, None).identity(identity).build().unwrap()
    };
    fetch(&with("key", "a")).await.unwrap();
    let good = store.published.lock().unwrap()[0].1.clone();
    *store.instead.lock().unwrap() = Some(good);
    assert_eq!(fetch(&with("key", "b")).await.unwrap(), "token-2");
    assert_eq!(fetch(&with("other key", "a")).await.unwrap(), "token-3");
    assert_eq!(fetch(&with("key", "a")).await.unwrap(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn f5_a_store_cannot_make_a_token_live_longer_than_its_lifetime() {
    let (issuer, store) = (Issuer::new(), Spy::default());
    issuer.set(|settings| settings.lifetime = Some(100 * SECOND));
    let source = process(&issuer, &store);
    fetch(&source).await.unwrap();
    let good = store.published.lock().unwrap()[0].1.clone();
    let forever = SealedToken::new(good.sealed().clone(), good.fingerprint(), Duration::MAX, Duration::MAX);
    *store.instead.lock().unwrap() = Some(forever);
    let token = source.fetch(FetchRequest::new()).await.unwrap();
    assert!(token.expires_in().unwrap() <= 100 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn f5_a_token_that_is_too_long_for_the_store_is_not_published() {
    let store = Spy::default();
    let inner = source_fn(|_| async {
        Ok(AccessToken::new("abc", None)?.with_response_field("picture", "x".repeat(200 * 1024)))
    });
    let source =
        SharedTokenSource::builder(inner, store.clone()).sealing_key("key", None).identity("a").build().unwrap();
    assert_eq!(source.fetch(FetchRequest::new()).await.unwrap().expose_secret(), "abc");
    assert!(store.published.lock().unwrap().is_empty());
}
