//! Fleet: one token for many processes.
//!
//! Each process fetches its own token. A [`SharedTokenSource`] lets many processes share one, through a store such as Redis.
//!
//! # When to use it
//!
//! | your situation | share? |
//! |---|---|
//! | the server issues tokens freely, as most do | **no**: fifty token requests an hour are nothing, and a store is one more thing to operate |
//! | the server counts or charges token requests, or limits their rate | yes |
//! | the server keeps one token per client and ends the old one when it issues another | yes: without sharing, the processes revoke each other's token, and calls are rejected and replayed again and again |
//! | one process, several layers for one API | share the layer (clone it), or use a [`MemoryStore`] |
//! | short-lived processes (functions, jobs) that fetch a token for one call | yes, if the token request is what makes them slow |
//!
//! A sign of the third row is the event "tokens are rejected as fast as they are renewed" in several processes at once.
//!
//! # How it works
//!
//! | step | what happens |
//! |---|---|
//! | a process needs a token | it asks the store, with one command: is there a fresh token, and if not, may I fetch? |
//! | there is one | it takes it, with the life that the store says is left. No clocks have to agree |
//! | there is no token, or it is past 65 % of its lifetime | one process gets the lease, for 4 s and renewed while it fetches. It publishes the token, and the lease ends |
//! | another process has the lease | it looks again every 25 to 100 ms; after 10 s it fetches for itself |
//! | the holder of the lease dies | the lease runs out, and another process takes it: within 5 s |
//! | the holder was stopped for longer than its lease | it keeps its token for itself, and never overwrites a newer one |
//! | the API rejects the token | the process retires it for all: the store removes it, and refuses it for 30 s. If another process has renewed it meanwhile, that one is taken without a token request |
//!
//! The lease saves token requests; nothing else depends on it. A store that forgets everything or gives out a lease twice
//! costs a token request. Whether a token is valid, the API decides, as it does without a store.
//!
//! # Set it up
//!
//! ```no_run
//! # #[cfg(all(feature = "redis", feature = "client"))] {
//! use tower_outbound_auth::{
//!     AuthError, AuthLayer, Credentials,
//!     fleet::{RedisStore, SharedTokenSource},
//!     oauth::ClientCredentialsGrant,
//! };
//!
//! # fn layer() -> Result<AuthLayer, AuthError> {
//! let credentials = Credentials::from_env("CLIENT_ID", "CLIENT_SECRET")?;
//! let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone()).build()?;
//! let store = RedisStore::connect("rediss://reports:password@redis.internal:6379")?;
//! let source = SharedTokenSource::builder(grant, store).credentials(&credentials).build()?;
//! let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//! # Ok(auth) } }
//! ```
//!
//! A test needs no Redis: two sources over one [`MemoryStore`] behave as two processes do. Here the second one takes the token
//! that the first one has fetched:
//!
//! ```
//! use std::{sync::Arc, sync::atomic::{AtomicU32, Ordering::SeqCst}};
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{BoxError, service_fn};
//! use tower_outbound_auth::{
//!     AuthLayer, Credentials,
//!     fleet::{MemoryStore, SharedTokenSource},
//!     oauth::ClientCredentialsGrant,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let token_requests = Arc::new(AtomicU32::new(0));
//! let counter = Arc::clone(&token_requests);
//! let authorization_server = service_fn(move |_: Request<Full<Bytes>>| {
//!     let number = counter.fetch_add(1, SeqCst);
//!     async move { Ok::<_, BoxError>(Response::new(format!(r#"{{ "access_token": "token-{number}", "expires_in": 3600 }}"#))) }
//! });
//! let store = MemoryStore::new();
//! let process = || -> Result<AuthLayer, BoxError> {
//!     let credentials = Credentials::new("my-client", "my-secret");
//!     let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone())
//!         .transport(authorization_server.clone())
//!         .build()?;
//!     let source = SharedTokenSource::builder(grant, store.clone()).credentials(&credentials).build()?;
//!     Ok(AuthLayer::builder(source).origin("https://api.example.com").build()?)
//! };
//!
//! let (first, second) = (process()?.handle().token().await?, process()?.handle().token().await?);
//! assert_eq!(first.expose_secret(), second.expose_secret());
//! assert_eq!(token_requests.load(SeqCst), 1);
//! # Ok(()) }
//! ```
//!
//! Processes share a token if they have the same store and the same key, and if nothing distinguishes their tokens: the token
//! URL, the client id and how it authenticates, scopes (in any order), audience, resources, parameters and headers. Add
//! [`identity`](crate::fleet::SharedTokenSourceBuilder::identity) for anything that the grant cannot know, above all the
//! client certificate that a token is bound to.
//!
//! # Redis and Valkey
//!
//! `RedisStore` (feature `redis`) has a constructor for each setup: `connect` for one server, `sentinel` for a master that
//! Sentinels watch, `cluster` for a Cluster. TLS, a private certification authority, a Unix socket, user and password are
//! settings of these. Redis 6.2 is the oldest version. Give the program a user with only these rights, in a Cluster on every
//! node:
//!
//! ```text
//! ACL SETUSER reports on >password resetkeys ~outbound-auth:* resetchannels -@all +get +set +del +pttl +eval
//! ```
//!
//! Each step is one `EVAL`, so nothing has to be installed. An entry takes a few hundred bytes more than the token, and
//! expires with it. Persistence is not needed, and an eviction or a failover that loses an entry costs one token request. For
//! another store, implement [`TokenStore`](crate::fleet::TokenStore) and check it with `fleet::conformance` (feature
//! `sandbox`).
//!
//! `cargo run --example fleet --features redis,sandbox` starts processes that share a token over your Redis, and counts.
//!
//! # The key
//!
//! The token is encrypted before it goes to the store. There are two ways to get the key:
//!
//! | setting | the key comes from | a rotation of the client secret |
//! |---|---|---|
//! | [`credentials`](crate::fleet::SharedTokenSourceBuilder::credentials) | the client secret | processes with the new secret share another token: one token request for all of them |
//! | [`sealing_key`](crate::fleet::SharedTokenSourceBuilder::sealing_key) | a text of at least 32 random characters | the first process that sees the new secret retires the old token, once: one token request for all |
//!
//! Anyone who can read the store can try to guess a client secret that a person chose. Use a sealing key then, and for clients
//! that have no secret. To replace a sealing key, start the processes one after the other with the new key as `current` and
//! the old one as `previous`. When all have it, drop `previous`. Either rotation costs the whole fleet two token requests at
//! most: one for the new key, and one more if the other half's token comes to its end meanwhile.
//!
//! # Cost
//!
//! | when | cost |
//! |---|---|
//! | a request with a token | nothing: the store is asked when a token is fetched, not when it is used |
//! | a process starts, or its token is due | one round trip to the store |
//! | the process that fetches | three round trips and the token request |
//! | a rejected token | one more round trip |
//!
//! A day of 10,000 processes with tokens of an hour, on a simulated clock. The authorization server is down for 20 minutes from
//! 06:00, the store for 30 minutes from 12:00, and from 18:00 the store does not answer for 10 minutes. A look every ten minutes
//! found no process without a token.
//!
#![doc = include_str!("fleet.svg")]
//!
//! | token requests in | each for itself | shared | at the least |
//! |---|---|---|---|
//! | an ordinary hour | 10,000 to 20,000 | 1 or 2 | 1 or 2 |
//! | the hour in which the server is down for 20 minutes | 248,152 | 8,966 | 1 or 2 |
//! | the hour in which the store is down for 30 minutes | 11,634 | 5,025 | 1 or 2 |
//! | the day | 562,932 | 14,024 | 37 |
//!
//! # When the store fails
//!
//! Slow, down, full, read-only, failing over, a wrong password, a missing right, foreign data under the key: after 250 ms at most
//! the process fetches for itself, and leaves the store alone for 2 s, doubling to 15 s. No request fails because of the store. It
//! is used again within 20 s of its recovery. With a server that keeps one token per client, the processes revoke each other's
//! tokens while the store is down, as they would without one.
//!
//! The span `token_fetch` (DEBUG) says in `fleet` what happened (`hit`, `led`, `followed` or `degraded`) and in `fleet_reason`
//! why; a WARN event has the error of the store. See [Traces](super::operating#traces).
//!
//! # Limits
//!
//! - A token that is rejected is retired for all processes, and so is one that
//!   [`TokenHandle::refresh`](crate::token::TokenHandle::refresh) replaces.
//! - A process takes the store's word for a newer token. If that one was revoked too, its caller gets a second 401.
//! - While another process fetches, a process waits for up to 10 s. A
//!   [`deadline`](crate::token::RefreshPolicy::deadline) of less than that may pass meanwhile.
//! - A token for one request each (DPoP) cannot be shared.
//!
//! Next: [`testing`](super::testing).
//!
//! [`MemoryStore`]: crate::fleet::MemoryStore
//! [`SharedTokenSource`]: crate::fleet::SharedTokenSource
