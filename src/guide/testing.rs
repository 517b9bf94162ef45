//! Testing: how to test code that uses the layer, without a network or a wait.
//!
//! | to test | use | clock |
//! |---|---|---|
//! | what your code sends, and what it does with a response | [a closure and a mock](#without-a-server) | any |
//! | its reaction to rejections, outages and slow token servers | [`Sandbox::service`](#outages-and-rejections) | paused |
//! | what happens when tokens expire | [the same](#expiry), with `tokio::time::advance` | paused |
//! | that it requests no more tokens than it needs | [`Stats`](#the-number-of-token-requests) or [`TokenHandle::status`] | any |
//! | reqwest, and any other client with sockets | [`Sandbox`](#with-reqwest-over-sockets) on loopback ports | running |
//! | that its log shows no secret | [planted values](#no-secret-in-the-log) | any |
//! | your own [`TokenSource`], [`Signer`], [`AssertionSource`] or [`TokenStore`] | [its arguments](#what-you-implement) | any |
//!
//! ```toml
//! [dev-dependencies]
//! tower-outbound-auth = { version = "0.1", features = ["sandbox"] }
//! tokio = { version = "1", features = ["macros", "rt", "test-util"] }
//! tower-test = "0.4"
//! ```
//!
//! Feature `sandbox` brings a web framework. In `dev-dependencies` it is not part of your program.
//!
//! # Write code that takes any client
//!
//! A function that is generic over its client works with each of the clients on this page. In a struct, Tower's
//! `BoxCloneSyncService` hides the type of the client.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{BoxError, Service, ServiceExt};
//!
//! pub async fn balance<C, B>(client: C, api: &str) -> Result<Bytes, BoxError>
//! where
//!     C: Service<Request<Full<Bytes>>, Response = Response<B>, Error = BoxError>,
//!     B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
//! {
//!     let request = Request::get(format!("{api}/accounts/7")).body(Full::default())?;
//!     let response = client.oneshot(request).await?;
//!     if response.status() != 200 {
//!         return Err(format!("no balance: {}", response.status()).into());
//!     }
//!     Ok(response.into_body().collect().await.map_err(Into::into)?.to_bytes())
//! }
//! ```
//!
//! The examples below call this function. In your tests, write `#[tokio::test]` instead of `#[tokio::main]`.
//!
//! # Without a server
//!
//! A closure is a source of tokens, and a mock from the crate `tower-test` is an HTTP client. The test receives each
//! request and sends its response:
//!
//! ```
//! # use bytes::Bytes;
//! # use http_body_util::{BodyExt, Full};
//! # use tower::{BoxError, Service, ServiceExt};
//! # async fn balance<C, B>(client: C, api: &str) -> Result<Bytes, BoxError>
//! # where
//! #     C: Service<http::Request<Full<Bytes>>, Response = http::Response<B>, Error = BoxError>,
//! #     B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
//! # {
//! #     let response = client.oneshot(http::Request::get(format!("{api}/accounts/7")).body(Full::default())?).await?;
//! #     if response.status() != 200 {
//! #         return Err(format!("no balance: {}", response.status()).into());
//! #     }
//! #     Ok(response.into_body().collect().await.map_err(Into::into)?.to_bytes())
//! # }
//! use http::Response;
//! use tower::ServiceBuilder;
//! use tower_outbound_auth::{
//!     AuthLayer,
//!     token::{AccessToken, source_fn},
//! };
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), BoxError> {
//!     let source = source_fn(|_| async { AccessToken::new("a-token", None) });
//!     let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//!     let (http, mut api) = tower_test::mock::pair();
//!     let client = ServiceBuilder::new().layer(auth).service(http);
//!
//!     let call = tokio::spawn(balance(client, "https://api.example.com"));
//!     let (request, response) = api.next_request().await.ok_or("no request")?;
//!     assert_eq!(request.uri().path(), "/accounts/7");
//!     assert_eq!(request.headers()["authorization"], "Bearer a-token");
//!     response.send_response(Response::new(Full::<Bytes>::from("150.75")));
//!     assert_eq!(call.await??, "150.75");
//!     Ok(())
//! }
//! ```
//!
//! Use `tower::service_fn` if all responses are the same. A test that is not about authentication needs no layer: pass
//! the mock itself. For an outage, return an error from the closure, on a [paused clock](#expiry), since a fetch makes
//! three attempts with pauses:
//!
//! ```
//! use tower_outbound_auth::{
//!     AuthError, ErrorKind,
//!     token::{AccessToken, source_fn},
//! };
//!
//! let down = source_fn(|_| async { Err::<AccessToken, _>(AuthError::new(ErrorKind::Unavailable, "down for a test")) });
//! # drop(down);
//! ```
//!
//! # Outages and rejections
//!
//! [`Sandbox`] is an authorization server and an API: it issues tokens, checks the tokens that it receives, injects
//! faults and counts requests. [`SandboxBuilder::api`] sets a function that responds to requests with a valid token; it
//! can check the rest of the request. [`Sandbox::service`] needs no sockets, so the test can run on tokio's paused
//! clock: when all tasks wait, the clock jumps to the next timer.
//!
//! ```
//! # #[cfg(feature = "sandbox")]
//! # mod test {
//! # use bytes::Bytes;
//! # use http_body_util::{BodyExt, Full};
//! # use tower::{BoxError, Service, ServiceExt};
//! # async fn balance<C, B>(client: C, api: &str) -> Result<Bytes, BoxError>
//! # where
//! #     C: Service<http::Request<Full<Bytes>>, Response = http::Response<B>, Error = BoxError>,
//! #     B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
//! # {
//! #     let response = client.oneshot(http::Request::get(format!("{api}/accounts/7")).body(Full::default())?).await?;
//! #     if response.status() != 200 {
//! #         return Err(format!("no balance: {}", response.status()).into());
//! #     }
//! #     Ok(response.into_body().collect().await.map_err(Into::into)?.to_bytes())
//! # }
//! use std::time::Duration;
//!
//! use http::{Response, StatusCode};
//! use tower::{ServiceBuilder, timeout::error::Elapsed};
//! use tower_outbound_auth::{
//!     AuthError, AuthLayer,
//!     oauth::ClientCredentialsGrant,
//!     sandbox::{Fault, FaultKind, Sandbox},
//! };
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # pub(super)
//! async fn main() -> Result<(), BoxError> {
//!     let sandbox = Sandbox::builder().api(|_| Response::new("150.75")).start().await?;
//!     let environment = sandbox.environment();
//!     let api = environment.api_origin();
//!     let grant = ClientCredentialsGrant::builder(environment.token_url(), sandbox.credentials())
//!         .transport(sandbox.service())
//!         .build()?;
//!     let auth = AuthLayer::builder(grant).origin(api).build()?;
//!     let client = ServiceBuilder::new().timeout(Duration::from_secs(2)).layer(auth).service(sandbox.service());
//!
//!     // The token endpoint takes five seconds: the call times out, and a later one finds the token.
//!     sandbox.inject(Fault::token(FaultKind::Latency(Duration::from_secs(5))));
//!     let error = balance(client.clone(), api).await.err().ok_or("it was in time")?;
//!     assert!(error.is::<Elapsed>());
//!     tokio::time::sleep(Duration::from_secs(5)).await; // takes no time
//!     assert_eq!(balance(client.clone(), api).await?, "150.75");
//!
//!     // The token is revoked: the layer renews it and replays the request, and your code does not notice.
//!     sandbox.revoke_tokens();
//!     assert_eq!(balance(client.clone(), api).await?, "150.75");
//!     let seen = sandbox.stats();
//!     assert_eq!((seen.token_requests, seen.rejected, seen.accepted), (2, 1, 2));
//!
//!     // The API rejects the new token too: your code gets the second 401.
//!     sandbox.inject(Fault::api(FaultKind::Status(StatusCode::UNAUTHORIZED)).times(2));
//!     let error = balance(client.clone(), api).await.err().ok_or("it was accepted")?;
//!     assert_eq!(error.to_string(), "no balance: 401 Unauthorized");
//!
//!     // The token has expired, and the token endpoint resets connections: a transient error.
//!     tokio::time::advance(Duration::from_secs(3600)).await;
//!     sandbox.inject(Fault::token(FaultKind::Reset).times(3));
//!     let error = balance(client.clone(), api).await.err().ok_or("there was a token")?;
//!     let error = AuthError::find(&*error).ok_or("another error")?;
//!     assert!(error.is_transient());
//!     Ok(())
//! }
//! # }
//! # fn main() -> Result<(), tower::BoxError> {
//! #     #[cfg(feature = "sandbox")]
//! #     test::main()?;
//! #     Ok(())
//! # }
//! ```
//!
//! [`FaultKind`] lists the faults. For PayNet, leave out `api`: the sandbox then serves PayNet's API, which requires a
//! signature.
//!
//! # Expiry
//!
//! The layer and the sandbox read tokio's clock. Pause it (`start_paused = true`) and advance it past the lifetime of a
//! token:
//!
//! ```
//! # #[cfg(feature = "sandbox")]
//! # mod test {
//! # use std::time::Duration;
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # use tower::{BoxError, ServiceBuilder, ServiceExt};
//! # use tower_outbound_auth::{AuthLayer, oauth::ClientCredentialsGrant, sandbox::Sandbox};
//! use tokio::time::{advance, sleep};
//! use tower_outbound_auth::token::TokenState;
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # pub(super)
//! async fn main() -> Result<(), BoxError> {
//!     let hour = Duration::from_secs(3600);
//!     let sandbox = Sandbox::builder().api(|_| Response::new("150.75")).token_lifetime(hour).start().await?;
//! #   let environment = sandbox.environment();
//! #   let grant = ClientCredentialsGrant::builder(environment.token_url(), sandbox.credentials())
//! #       .transport(sandbox.service())
//! #       .build()?;
//! #   let auth = AuthLayer::builder(grant).origin(environment.api_origin()).build()?;
//!     // … the grant and the layer `auth`, as above
//!     let handle = auth.handle();
//!     let client = ServiceBuilder::new().layer(auth).service(sandbox.service());
//! #   let api = environment.api_origin();
//!     let request = || Request::get(format!("{api}/accounts/7")).body(Full::<Bytes>::default());
//!
//!     client.clone().oneshot(request()?).await?;
//!     assert_eq!(handle.status().state, TokenState::Fresh);
//!
//!     // Past its refresh point the token is still used, while a task fetches the next one.
//!     advance(hour * 9 / 10).await;
//!     assert_eq!(handle.status().state, TokenState::Stale);
//!     client.clone().oneshot(request()?).await?;
//!     sleep(Duration::from_millis(1)).await; // lets that task run
//!     assert_eq!(handle.status().state, TokenState::Fresh);
//!
//!     // After its end, the next call waits for another token.
//!     advance(hour * 2).await;
//!     assert_eq!(handle.status().state, TokenState::Expired);
//!     client.clone().oneshot(request()?).await?;
//!
//!     let seen = sandbox.stats();
//!     assert_eq!((seen.token_requests, seen.accepted, seen.rejected), (3, 3, 0));
//!     Ok(())
//! }
//! # }
//! # fn main() -> Result<(), tower::BoxError> {
//! #     #[cfg(feature = "sandbox")]
//! #     test::main()?;
//! #     Ok(())
//! # }
//! ```
//!
//! - `advance` yields once. To let a task run that needs several steps, use `sleep`: on a paused clock it returns when
//!   all other tasks wait.
//! - The clock can be paused in a current-thread runtime only, which is the default of `#[tokio::test]`.
//! - Signatures, `Date` and assertions use the wall clock, which cannot be paused. A token expires by either clock.
//!
//! # The number of token requests
//!
//! A program that builds a layer for each call or each worker requests a token for each of them. Count the token
//! requests:
//!
//! ```
//! # #[cfg(feature = "sandbox")]
//! # mod test {
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # use tower::{BoxError, ServiceBuilder, ServiceExt};
//! # use tower_outbound_auth::{AuthLayer, oauth::ClientCredentialsGrant, sandbox::Sandbox};
//! use tokio::task::JoinSet;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # pub(super)
//! # async fn main() -> Result<(), BoxError> {
//! # let sandbox = Sandbox::builder().api(|_| Response::new("150.75")).start().await?;
//! # let environment = sandbox.environment();
//! # let grant = ClientCredentialsGrant::builder(environment.token_url(), sandbox.credentials())
//! #     .transport(sandbox.service())
//! #     .build()?;
//! # let auth = AuthLayer::builder(grant).origin(environment.api_origin()).build()?;
//! # let handle = auth.handle();
//! # let client = ServiceBuilder::new().layer(auth).service(sandbox.service());
//! # let api = environment.api_origin();
//! let mut calls = JoinSet::new();
//! for _ in 0..100 {
//!     let request = Request::get(format!("{api}/accounts/7")).body(Full::<Bytes>::default())?;
//!     calls.spawn(client.clone().oneshot(request));
//! }
//! calls.join_all().await;
//!
//! let seen = sandbox.stats();
//! assert_eq!((seen.token_requests, seen.accepted), (1, 100));
//! assert_eq!(handle.status().issued, 1); // works without a sandbox, too
//! # Ok(()) }
//! # }
//! # fn main() -> Result<(), tower::BoxError> {
//! #     #[cfg(feature = "sandbox")]
//! #     test::main()?;
//! #     Ok(())
//! # }
//! ```
//!
//! [`Stats`] counts from the start of the sandbox; subtract an earlier value for a part of a test.
//! [`Stats::credentials_leaked`] counts the requests that sent a credential where it must not be.
//!
//! # With reqwest, over sockets
//!
//! reqwest opens connections, so its tests run over the sandbox's ports. Let the clock run during a call: a paused
//! clock jumps to the next timer when the runtime has nothing to do but wait for a socket. With a server in another
//! thread or process, the timeouts of your program then end calls that took no time. A sandbox in the same runtime
//! usually answers before that, but nothing ensures it. Pause the clock between calls only:
//!
//! ```
//! # #[cfg(all(feature = "sandbox", feature = "client", feature = "reqwest"))]
//! # mod test {
//! use std::time::Duration;
//!
//! use http::Response;
//! use reqwest_middleware::ClientBuilder;
//! use tokio::time;
//! use tower_outbound_auth::{
//!     AuthLayer, BoxError,
//!     oauth::ClientCredentialsGrant,
//!     reqwest::{AuthMiddleware, redirect_policy},
//!     sandbox::Sandbox,
//! };
//!
//! #[tokio::main(flavor = "current_thread")]
//! # pub(super)
//! async fn main() -> Result<(), BoxError> {
//!     let sandbox = Sandbox::builder().api(|_| Response::new("150.75")).start().await?;
//!     let environment = sandbox.environment();
//!     let grant = ClientCredentialsGrant::builder(environment.token_url(), sandbox.credentials()).build()?;
//!     let auth = AuthLayer::builder(grant).origin(environment.api_origin()).build()?;
//!     let http = reqwest::Client::builder()
//!         .redirect(redirect_policy())
//!         .no_proxy()
//!         .timeout(Duration::from_secs(10))
//!         .build()?;
//!     let client = ClientBuilder::new(http).with(AuthMiddleware::from(auth)).build();
//!
//!     let url = format!("{}/accounts/7", environment.api_origin());
//!     assert_eq!(client.get(&url).send().await?.text().await?, "150.75");
//!
//!     time::pause();
//!     time::advance(Duration::from_secs(3600)).await; // the token expires, here and at the sandbox
//!     time::resume();
//!     assert_eq!(client.get(&url).send().await?.text().await?, "150.75");
//!
//!     sandbox.revoke_tokens();
//!     assert_eq!(client.get(&url).send().await?.text().await?, "150.75");
//!     let seen = sandbox.stats();
//!     assert_eq!((seen.token_requests, seen.accepted, seen.rejected), (3, 3, 1));
//!     Ok(())
//! }
//! # }
//! # fn main() -> Result<(), tower::BoxError> {
//! #     #[cfg(all(feature = "sandbox", feature = "client", feature = "reqwest"))]
//! #     test::main()?;
//! #     Ok(())
//! # }
//! ```
//!
//! An outage over sockets takes the real pauses between attempts, up to 0.6 s for each fetch.
//! [`RefreshPolicy::attempts`] set to 1 leaves them out, and
//! [`RefreshPolicy::failure_backoff`] sets how soon the next fetch begins.
//!
//! # No secret in the log
//!
//! Plant credentials and a token that occur nowhere else, run your code with all events enabled, and look for them:
//!
//! ```
//! # #[cfg(feature = "tracing")]
//! # mod test {
//! use std::{
//!     io,
//!     sync::{Arc, Mutex, PoisonError},
//! };
//!
//! # use bytes::Bytes;
//! use http::{Request, Response};
//! # use http_body_util::Full;
//! # use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_http::trace::{DefaultMakeSpan, TraceLayer};
//! use tower_outbound_auth::{AuthLayer, Credentials, oauth::ClientCredentialsGrant};
//!
//! /// What was written.
//! #[derive(Clone, Default)]
//! struct Log(Arc<Mutex<Vec<u8>>>);
//!
//! impl io::Write for Log {
//!     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
//!         self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
//!     }
//!
//!     fn flush(&mut self) -> io::Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! # pub(super)
//! async fn main() -> Result<(), BoxError> {
//!     let (log, token) = (Log::default(), "planted-token");
//!     let writer = log.clone();
//!     let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
//!     let _guard = tracing::subscriber::set_default(subscriber.finish());
//!
//!     let token_server = service_fn(move |_: Request<Full<Bytes>>| async move {
//!         Ok::<_, BoxError>(Response::new(format!(r#"{{ "access_token": "{token}", "token_type": "Bearer" }}"#)))
//!     });
//!     let credentials = Credentials::new("my-client", "planted-secret");
//!     let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
//!         .transport(token_server)
//!         .build()?;
//!     let auth = AuthLayer::builder(grant).origin("https://api.example.com").build()?;
//!     // Your program's stack: here one that logs each request with its headers.
//!     let client = ServiceBuilder::new()
//!         .layer(auth)
//!         .layer(TraceLayer::new_for_http().make_span_with(DefaultMakeSpan::new().include_headers(true)))
//!         .service(service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) }));
//!
//!     let request = Request::get("https://api.example.com/accounts/7").body(Full::<Bytes>::default())?;
//!     client.oneshot(request).await?;
//!
//!     let log = log.0.lock().unwrap_or_else(PoisonError::into_inner);
//!     let log = std::str::from_utf8(&log)?;
//!     assert!(log.contains("authorization"), "nothing was logged");
//!     assert!(!log.contains(token) && !log.contains("planted-secret"), "{log}");
//!     Ok(())
//! }
//! # }
//! # fn main() -> Result<(), tower::BoxError> {
//! #     #[cfg(feature = "tracing")]
//! #     test::main()?;
//! #     Ok(())
//! # }
//! ```
//!
//! The header with the token is marked sensitive, so `Debug` of a header map prints `Sensitive` instead. Code that logs
//! `value.to_str()` prints the token all the same, and this test finds it. If your code encodes a secret, in Base64 for
//! example, look for that form too.
//!
//! # What you implement
//!
//! | your own | call it with |
//! |---|---|
//! | a [`TokenSource`] | [`FetchRequest::new`], and [`with_rejected`] for a token that it must not return again |
//! | a [`Signer`] | [`SigningContext::new`], with a fixed time |
//! | an [`AssertionSource`] | [`AssertionRequest::new`], with a fixed time |
//! | a [`TokenStore`] | [`fleet::conformance`] (feature `sandbox`), which checks each rule of the trait |
//! | a [`Replay`] policy | its three methods |
//!
//! # Limits
//!
//! - The sandbox speaks plain `http` on loopback ports, which a layer allows. To test TLS settings, use a server with a
//!   certificate.
//! - It issues tokens for the client-credentials grant with a secret, or with an assertion ([`assertion_key`]). It does
//!   not support discovery, scopes or JSON token requests; for these use a `service_fn` as [`transport`].
//! - Each sandbox has its own ports, tokens and counters, so tests can run at the same time.
//! - The sandbox cannot tell whether your provider accepts your settings: see [`providers`](super::providers), and use
//!   the provider's test environment.
//!
//! Next: [`operating`](super::operating).
//!
//! [`AssertionRequest::new`]: crate::oauth::AssertionRequest::new
//! [`AssertionSource`]: crate::oauth::AssertionSource
//! [`FaultKind`]: crate::sandbox::FaultKind
//! [`FetchRequest::new`]: crate::token::FetchRequest::new
//! [`RefreshPolicy::attempts`]: crate::token::RefreshPolicy::attempts
//! [`RefreshPolicy::failure_backoff`]: crate::token::RefreshPolicy::failure_backoff
//! [`Replay`]: crate::replay::Replay
//! [`Sandbox`]: crate::sandbox::Sandbox
//! [`Sandbox::service`]: crate::sandbox::Sandbox::service
//! [`SandboxBuilder::api`]: crate::sandbox::SandboxBuilder::api
//! [`Signer`]: crate::signing::Signer
//! [`SigningContext::new`]: crate::signing::SigningContext::new
//! [`Stats`]: crate::sandbox::Stats
//! [`Stats::credentials_leaked`]: crate::sandbox::Stats::credentials_leaked
//! [`TokenHandle::status`]: crate::token::TokenHandle::status
//! [`TokenSource`]: crate::token::TokenSource
//! [`TokenStore`]: crate::fleet::TokenStore
//! [`assertion_key`]: crate::sandbox::SandboxBuilder::assertion_key
//! [`fleet::conformance`]: crate::fleet::conformance
//! [`transport`]: crate::oauth::ClientCredentialsGrantBuilder::transport
//! [`with_rejected`]: crate::token::FetchRequest::with_rejected
