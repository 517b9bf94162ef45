//! Timeouts: which requests wait for a token, and for how long.
//!
//! While a usable token exists, requests do not wait: the token is refreshed ahead of its expiry, and the old one stays in use
//! until the new one has arrived.
//!
#![doc = include_str!("lifetime.svg")]
//!
//! A request waits in two cases: there is no usable token, which happens at the start and after a long outage, or its own
//! token was rejected. The token is fetched by a separate task. A caller that gives up therefore cancels nothing, and the next
//! caller finds the token.
//!
//! # The limits
//!
//! | limit | bounds | default | when it passes |
//! |---|---|---|---|
//! | a `Timeout` layer outside | one call: the waits for a token and both sends | none | the call fails with `Elapsed`; the fetch continues |
//! | [`AuthLayerBuilder::max_wait`] | the waits for a token of one call | none | the call fails with [`ErrorKind::Timeout`], or gets its rejected response back; the fetch continues |
//! | [`RefreshPolicy::deadline`] | one token fetch with all its attempts | 30 s | everyone waiting for it fails with [`ErrorKind::Timeout`], and a backoff begins |
//! | [`ClientCredentialsGrantBuilder::timeout`] | one exchange with the token endpoint | 10 s | the fetch makes its next attempt, up to three in total |
//! | a `Timeout` layer inside | one send, until the head of its response | none | the call fails with `Elapsed`; there is no replay |
//!
//! None of them bounds the body of a response. Use `TimeoutBody` of tower-http for that.
//!
//! # Which to set
//!
//! - Always put a `Timeout` layer outside. It is the time your caller is willing to wait, for everything below.
//! - Set `max_wait` if a call should fail rather than wait for a token, although a slow response of the API is worth waiting
//!   for. Zero never waits.
//! - Put a `Timeout` layer inside if the API promises a response time, and the wait for a token should not count.
//! - Keep the other two unless your token endpoint is unusually slow. A deadline that is shorter than the timeout of an
//!   exchange makes that timeout useless.
//!
//! # A token that arrives late is not lost
//!
//! Here the token endpoint takes three seconds, and callers wait for two. The first call fails, and the second one gets the
//! token that the first has started to fetch:
//!
//! ```
//! use std::{sync::Arc, sync::atomic::{AtomicU32, Ordering::SeqCst}, time::Duration};
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn, timeout::error::Elapsed};
//! use tower_outbound_auth::{AuthLayer, Credentials, oauth::ClientCredentialsGrant};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let token_requests = Arc::new(AtomicU32::new(0));
//! let counter = Arc::clone(&token_requests);
//! let slow_token_endpoint = service_fn(move |_: Request<Full<Bytes>>| {
//!     counter.fetch_add(1, SeqCst);
//!     async {
//!         tokio::time::sleep(Duration::from_secs(3)).await;
//!         let token = r#"{ "access_token": "abc", "token_type": "Bearer", "expires_in": 3600 }"#;
//!         Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(token)))
//!     }
//! });
//! # let http = service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) });
//! # let credentials = Credentials::new("my-client", "my-secret");
//! let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
//!     .transport(slow_token_endpoint)
//!     .build()?;
//! let auth = AuthLayer::builder(grant).origin("https://api.example.com").build()?;
//! let client = ServiceBuilder::new().timeout(Duration::from_secs(2)).layer(auth).service(http);
//! let request = || Request::get("https://api.example.com/greeting").body(Full::default());
//!
//! let error = client.clone().oneshot(request()?).await.err().ok_or("the first call was in time")?;
//! assert!(error.is::<Elapsed>()); // after two of the three seconds
//! assert_eq!(client.oneshot(request()?).await?.status(), 200); // one second later
//! assert_eq!(token_requests.load(SeqCst), 1);
//! # Ok(()) }
//! ```
//!
//! The example runs on tokio's paused clock (`start_paused = true`), as your tests can: the layer's time is tokio's time.
//!
//! # Fetching before the first call
//!
//! With [`TokenHandle::keep_warm`] the first call does not wait either, nor does the first one after hours without traffic.
//! The layer then fetches and refreshes without traffic:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_outbound_auth::BoxError> {
//! # use std::time::Duration;
//! # use tower_outbound_auth::{AuthLayer, token::{AccessToken, source_fn}};
//! use tower_outbound_auth::token::TokenState;
//! # let source = source_fn(|_| async { AccessToken::new("abc", Some(Duration::from_secs(3600))) });
//! # let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//!
//! let handle = auth.handle();
//! let warm = handle.keep_warm(); // until it is dropped
//! handle.token().await?; // fail at startup if there is no token
//! assert_eq!(handle.status().state, TokenState::Fresh);
//! # drop(warm);
//! # Ok(()) }
//! ```
//!
//! # The cost of waiting
//!
//! A waiting request holds no permit of the inner service, and at most 512 bytes beyond its own size. Callers that give up wake
//! no other caller, and the new token wakes each of the others once.
//!
//! Next: [`errors_and_retries`](super::errors_and_retries).
//!
//! [`AuthLayerBuilder::max_wait`]: crate::AuthLayerBuilder::max_wait
//! [`ClientCredentialsGrantBuilder::timeout`]: crate::oauth::ClientCredentialsGrantBuilder::timeout
//! [`ErrorKind::Timeout`]: crate::ErrorKind::Timeout
//! [`RefreshPolicy::deadline`]: crate::token::RefreshPolicy::deadline
//! [`TokenHandle::keep_warm`]: crate::token::TokenHandle::keep_warm
