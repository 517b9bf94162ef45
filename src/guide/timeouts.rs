//! Who waits for a token, for how long, and who pays when it comes late.
//!
//! Nobody waits while a token can be used: it is refreshed ahead, with the old one in use. A call waits if there is none, at
//! the start or after an outage, and if its own was rejected. The token is fetched by a task, not by the call: a call that
//! gives up loses its own time, and the next one finds the token there.
//!
//! | limit | bounds | default | when it passes |
//! |---|---|---|---|
//! | a `Timeout` outside | one call: waits for a token, both sends | none | that call fails with `Elapsed`; the token is fetched all the same |
//! | [`max_wait`](crate::AuthLayerBuilder::max_wait) | one call's waits for a token, together | none | that call fails with [`Timeout`](crate::ErrorKind::Timeout), or gets its rejection back; the token is fetched all the same |
//! | [`RefreshPolicy::deadline`](crate::RefreshPolicy::deadline) | one flight, its tries together | 30 s | all that wait for it fail with `Timeout`, and a cool-down begins |
//! | [`ClientCredentialsGrantBuilder::timeout`](crate::oauth::ClientCredentialsGrantBuilder::timeout) | one exchange with the token endpoint | 10 s | the flight tries again, three times in all |
//! | a `Timeout` inside | one send, up to the head of its answer | none | that call fails with `Elapsed`, and is not sent again |
//!
//! None of them bounds the body of an answer, once its head is there; tower-http's `TimeoutBody` does.
//!
//! # Which to set
//!
//! - A `Timeout` outside, always: as long as the caller would wait. It covers all that is below.
//! - `max_wait`, if a call should rather fail than wait for a token, while a slow answer of the API is worth waiting for. Zero
//!   never waits.
//! - A `Timeout` inside, if the API has a promised time for an answer, and the first call of the day should not pay for the
//!   token out of it.
//! - The other two have defaults that fit; a deadline under the exchange's timeout makes the latter useless.
//!
//! # A late token is not lost
//!
//! ```
//! use std::{sync::Arc, sync::atomic::{AtomicU32, Ordering::SeqCst}, time::Duration};
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn, timeout::error::Elapsed};
//! use tower_outbound_auth::{AuthLayer, Clock, Credentials, oauth::ClientCredentialsGrant};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let token_requests = Arc::new(AtomicU32::new(0));
//! let counter = Arc::clone(&token_requests);
//! let slow_login = service_fn(move |_: Request<Full<Bytes>>| {
//!     counter.fetch_add(1, SeqCst);
//!     async {
//!         tokio::time::sleep(Duration::from_secs(3)).await;
//!         let token = r#"{ "access_token": "abc", "token_type": "Bearer", "expires_in": 3600 }"#;
//!         Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(token)))
//!     }
//! });
//! # let http = service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) });
//! # let credentials = Credentials::new("my-client", "my-secret");
//! let source = ClientCredentialsGrant::builder("https://login.example.com/token", credentials).transport(slow_login).build()?;
//! let auth = AuthLayer::builder(source).origin("https://api.example.com").clock(Clock::Tokio).build()?;
//! let client = ServiceBuilder::new().timeout(Duration::from_secs(2)).layer(auth).service(http);
//! let call = || Request::get("https://api.example.com/greeting").body(Full::default());
//!
//! let error = client.clone().oneshot(call()?).await.err().ok_or("it was in time")?;
//! assert!(error.is::<Elapsed>()); // after two seconds, of the three that it takes
//! assert_eq!(client.oneshot(call()?).await?.status(), 200); // another second later
//! assert_eq!(token_requests.load(SeqCst), 1);
//! # Ok(()) }
//! ```
//!
//! # What waiting costs
//!
//! A request that waits holds at most 512 bytes over its own size, which a test holds it to. Callers that give up wake nobody,
//! and the token wakes each of the others once. `cargo bench --bench herd` compares how long it takes until the last of
//! them goes on with the same requests behind a bare `tokio::sync::watch`, in one run:
//!
//! | requests that wait | ratio |
//! |---|---|
//! | 100 | 1.6 |
//! | 1,000 | 1.2 |
//! | 10,000 | 0.5 |
//! | 50,000 | 0.4 |
//!
//! # Before the first call
//!
//! With [`keep_warm`](crate::TokenHandle::keep_warm) not even the first call waits, nor the one after a quiet night:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_outbound_auth::BoxError> {
//! # use {bytes::Bytes, http::{Request, Response}, http_body_util::Full, tower::{BoxError, service_fn}};
//! # use tower_outbound_auth::{AuthLayer, Credentials, TokenState, oauth::ClientCredentialsGrant};
//! # let login = service_fn(|_: Request<Full<Bytes>>| async {
//! #     let token = r#"{ "access_token": "abc", "token_type": "Bearer", "expires_in": 3600 }"#;
//! #     Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(token)))
//! # });
//! # let credentials = Credentials::new("my-client", "my-secret");
//! # let source = ClientCredentialsGrant::builder("https://login.example.com/token", credentials).transport(login).build()?;
//! # let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//! let handle = auth.handle();
//! let warm = handle.keep_warm(); // for as long as it is held
//! handle.token().await?; // to start with a token, or not at all
//! assert_eq!(handle.status().state, TokenState::Fresh);
//! # drop(warm);
//! # Ok(()) }
//! ```
