//! F7: rotations of the client secret and of the sealing key.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use tokio::time::{advance, sleep};
use tower::service_fn;
use tower_outbound_auth::{
    BoxError, Credentials,
    fleet::{MemoryStore, SharedTokenSource, SharedTokenSourceBuilder},
    oauth::ClientCredentialsGrant,
    signing::{Signer, SigningContext, TimestampHmac},
    token::{FetchRequest, TokenSource},
};

use super::{
    stage::{SECOND, fetch, fetch_after, process},
    support::{Issuer, keys::Folder},
};

type Source = SharedTokenSource<ClientCredentialsGrant>;

/// An authorization server that counts, and whose tokens name the secret that obtained them.
#[derive(Clone, Default)]
struct Server {
    requests: Arc<AtomicU64>,
}

impl Server {
    fn requests(&self) -> u64 {
        self.requests.load(SeqCst)
    }

    fn process(
        &self,
        store: &MemoryStore,
        keys: impl Fn(
            SharedTokenSourceBuilder<ClientCredentialsGrant>,
            &Credentials,
        ) -> SharedTokenSourceBuilder<ClientCredentialsGrant>,
    ) -> (Credentials, Source) {
        let credentials = Credentials::new("id", "old");
        let source = self.process_of(&credentials, store, keys);
        (credentials, source)
    }

    fn process_of(
        &self,
        credentials: &Credentials,
        store: &MemoryStore,
        keys: impl Fn(
            SharedTokenSourceBuilder<ClientCredentialsGrant>,
            &Credentials,
        ) -> SharedTokenSourceBuilder<ClientCredentialsGrant>,
    ) -> Source {
        let requests = Arc::clone(&self.requests);
        let endpoint = service_fn(move |request: Request<Full<Bytes>>| {
            let requests = Arc::clone(&requests);
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                let secret = if String::from_utf8_lossy(&body).contains("client_secret=old") { "old" } else { "new" };
                sleep(SECOND / 20).await;
                let number = requests.fetch_add(1, SeqCst) + 1;
                let token = format!(r#"{{ "access_token": "{secret}-{number}", "expires_in": 1000 }}"#);
                Ok::<_, BoxError>(Response::new(token))
            }
        });
        let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone());
        let grant = grant.transport(endpoint).build().unwrap();
        keys(SharedTokenSource::builder(grant, store.clone()), credentials).build().unwrap()
    }
}

/// Twenty processes see the new secret one after the other.
async fn rotation(
    keys: impl Fn(
        SharedTokenSourceBuilder<ClientCredentialsGrant>,
        &Credentials,
    ) -> SharedTokenSourceBuilder<ClientCredentialsGrant>,
) -> u64 {
    let (server, store) = (Server::default(), MemoryStore::new());
    let fleet: Vec<_> = (0..20).map(|_| server.process(&store, &keys)).collect();
    for (_, source) in &fleet {
        assert_eq!(fetch(source).await.unwrap(), "old-1");
    }
    for (credentials, source) in &fleet {
        let before = source.generation();
        credentials.rotate("new");
        assert!(source.generation() > before);
        let token = fetch(source).await.unwrap();
        assert!(token.starts_with("new-"), "{token}");
        advance(SECOND).await;
    }
    for (_, source) in &fleet {
        assert!(fetch(source).await.unwrap().starts_with("new-"));
    }
    server.requests() - 1
}

#[tokio::test(start_paused = true)]
async fn f7_a_rotation_of_the_client_secret_costs_one_token_request_with_its_key() {
    assert_eq!(rotation(SharedTokenSourceBuilder::credentials).await, 1);
}

#[tokio::test(start_paused = true)]
async fn f7_a_rotation_of_the_client_secret_costs_one_token_request_under_a_sealing_key() {
    assert_eq!(rotation(|builder, _| builder.sealing_key("key", None)).await, 1);
    assert_eq!(rotation(|builder, credentials| builder.sealing_key("key", None).credentials(credentials)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn f7_a_changed_secret_file_is_looked_at_before_the_store() {
    let folder = Folder::new();
    let files = [folder.write("id", "id"), folder.write("secret", "old")];
    let (server, store) = (Server::default(), MemoryStore::new());
    let processes = [(); 2].map(|()| {
        let credentials = Credentials::from_files(&files[0], &files[1]).unwrap();
        server.process_of(&credentials, &store, SharedTokenSourceBuilder::credentials)
    });
    for process in &processes {
        assert_eq!(fetch(process).await.unwrap(), "old-1");
    }
    folder.write("secret", "new");
    for process in &processes {
        assert_eq!(fetch(process).await.unwrap(), "new-2");
    }
}

#[tokio::test(start_paused = true)]
async fn f7_processes_started_with_the_new_secret_are_believed_under_a_sealing_key() {
    let keys = |builder: SharedTokenSourceBuilder<ClientCredentialsGrant>, credentials: &Credentials| {
        builder.sealing_key("key", None).credentials(credentials)
    };
    let (server, store) = (Server::default(), MemoryStore::new());
    let (credentials, running) = server.process(&store, keys);
    assert_eq!(fetch(&running).await.unwrap(), "old-1");
    let (fresh, restarted) = server.process(&store, keys);
    fresh.rotate("new");
    assert_eq!(fetch_after(&restarted, "old-1").await.unwrap(), "new-2");
    credentials.rotate("new");
    assert_eq!(fetch(&running).await.unwrap(), "new-2", "the new secret obtained it, whoever it was");
    assert_eq!(server.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn f7_processes_with_different_secrets_share_under_a_sealing_key_alone() {
    for (shares, expected) in [(false, 2), (true, 1)] {
        let (server, store) = (Server::default(), MemoryStore::new());
        for secret in ["old", "new"] {
            let (credentials, source) = server.process(&store, |builder, credentials| {
                if shares { builder.sealing_key("key", None) } else { builder.credentials(credentials) }
            });
            credentials.rotate(secret);
            fetch(&source).await.unwrap();
        }
        assert_eq!(server.requests(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn f7_a_sealing_key_is_replaced_without_a_token_request() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    let with = |current: &str, previous: Option<&str>| {
        let previous = previous.map(|key| key.to_owned().into());
        let builder = SharedTokenSource::builder(issuer.clone(), store.clone());
        builder.sealing_key(current, previous).identity("a").build().unwrap()
    };
    assert_eq!(fetch(&with("k1", None)).await.unwrap(), "token-1");
    assert_eq!(fetch(&with("k2", Some("k1"))).await.unwrap(), "token-1", "found under the previous key");
    assert_eq!(fetch(&with("k2", None)).await.unwrap(), "token-1", "and kept under the current one");
    assert_eq!(fetch(&with("k3", None)).await.unwrap(), "token-2");
    // A rejection retires the token under both names.
    assert_eq!(fetch_after(&with("k2", Some("k1")), "token-1").await.unwrap(), "token-3");
    assert_eq!(fetch(&with("k1", None)).await.unwrap(), "token-3", "and what follows is there for both halves");
    assert_eq!(fetch(&with("k2", None)).await.unwrap(), "token-3");
    assert_eq!(issuer.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn f7_both_halves_of_a_fleet_end_on_one_token_while_the_sealing_key_is_replaced() {
    let (issuer, store) = (Issuer::new(), MemoryStore::new());
    issuer.set(|settings| settings.lifetime = Some(100 * SECOND));
    let old = process(&issuer, &store);
    let new = SharedTokenSource::builder(issuer.clone(), store.clone())
        .sealing_key("another key", Some("a long random key".to_owned().into()))
        .identity("reports")
        .build()
        .unwrap();
    for lifetime in 0..5 {
        let tokens = [fetch(&old).await.unwrap(), fetch(&new).await.unwrap()];
        assert!(issuer.requests() <= 2 * (lifetime + 1), "{tokens:?}");
        advance(70 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t14_a_request_with_a_token_from_the_store_is_signed_with_the_secret_that_obtained_it() {
    let (server, store) = (Server::default(), MemoryStore::new());
    let (_, first) = server.process(&store, SharedTokenSourceBuilder::credentials);
    fetch(&first).await.unwrap();
    let (credentials, second) = server.process(&store, SharedTokenSourceBuilder::credentials);
    let token = second.fetch(FetchRequest::new()).await.unwrap();
    assert_eq!((token.expose_secret(), server.requests()), ("old-1", 1));
    let header = HeaderName::from_static;
    let signer = TimestampHmac::sha256(credentials.clone()).headers(header("x-time"), header("x-signature"));
    let (method, uri, headers) = (Method::GET, Uri::from_static("https://api.example.com/"), HeaderMap::new());
    let signature = || {
        let context = SigningContext::new(&method, &uri, &headers, &token, SystemTime::UNIX_EPOCH);
        signer.sign(&context).unwrap().get(&header("x-signature")).cloned()
    };
    let before = signature();
    credentials.rotate("new");
    assert_eq!(signature(), before, "the server knows this token with the old secret");
}
