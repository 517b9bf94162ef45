//! Getting started: a first program, line by line.
//!
//! ```toml
//! [dependencies]
//! tower-outbound-auth = "0.1"
//! http = "1"
//! http-body-util = "0.1"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! tower = { version = "0.5", features = ["util"] }
//! ```
//!
//! This program lists orders twice:
//!
//! ```
//! # #[cfg(feature = "client")] {
//! use http::Request;
//! use http_body_util::BodyExt;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_outbound_auth::{AuthLayer, BoxError, Credentials, client::HttpsClient, oauth::ClientCredentialsGrant};
//!
//! async fn list_orders(token_url: &str, api: &str, credentials: Credentials) -> Result<(), BoxError> {
//!     let grant = ClientCredentialsGrant::builder(token_url, credentials).scope("orders:read").build()?;
//!     let auth = AuthLayer::builder(grant).origin(api).build()?;
//!     let client = ServiceBuilder::new().layer(auth).service(HttpsClient::new()?);
//!
//!     for _ in 0..2 {
//!         let request = Request::get(format!("{api}/orders")).body(String::new())?;
//!         let response = client.clone().oneshot(request).await?;
//!         assert_eq!(response.status(), 200);
//!         println!("{:?}", response.into_body().collect().await?.to_bytes());
//!     }
//!     Ok(())
//! }
//! # use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
//! # static TOKEN_REQUESTS: AtomicU32 = AtomicU32::new(0);
//! # async fn token() -> &'static str {
//! #     TOKEN_REQUESTS.fetch_add(1, SeqCst);
//! #     r#"{ "access_token": "abc", "token_type": "Bearer", "expires_in": 3600 }"#
//! # }
//! # async fn orders(headers: http::HeaderMap) -> Result<&'static str, http::StatusCode> {
//! #     let is_known = headers.get("authorization").is_some_and(|value| value == "Bearer abc");
//! #     if is_known { Ok("[]") } else { Err(http::StatusCode::UNAUTHORIZED) }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn run() -> Result<(), BoxError> {
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let origin = format!("http://{}", listener.local_addr()?);
//! #     let app = axum::Router::new()
//! #         .route("/oauth/token", axum::routing::post(token))
//! #         .route("/orders", axum::routing::get(orders));
//! #     tokio::spawn(async { axum::serve(listener, app).await });
//! #     list_orders(&format!("{origin}/oauth/token"), &origin, Credentials::new("my-client", "my-secret")).await?;
//! #     assert_eq!(TOKEN_REQUESTS.load(SeqCst), 1);
//! #     Ok(())
//! # }
//! # run().unwrap();
//! # }
//! ```
//!
//! In a `main` with `#[tokio::main]`, call it with the URLs of your provider, such as `https://login.example.com/oauth/token` and
//! `https://api.example.com`, and with `Credentials::from_env("CLIENT_ID", "CLIENT_SECRET")?`.
//!
//! # Line by line
//!
//! | line | what it does |
//! |---|---|
//! | [`ClientCredentialsGrant::builder`] | Describes the token request: the token endpoint's URL, the client's credentials, a scope if your provider wants one. Nothing is sent yet. |
//! | [`AuthLayer::builder`] | Makes a layer that gets its tokens from this grant. |
//! | [`origin`] | Names the server that may receive the token. Requests to any other server pass without it. |
//! | `build()?` | Checks the settings. A mistake is an error here, with the setting and what to change, and not at the first request. |
//! | [`ServiceBuilder`] | Wraps the layer around an HTTP client. [`HttpsClient`] is the built-in one; [`clients`](super::clients) has the others. |
//! | `client.clone()` | Create the client once, and clone it for each request, on any task. All clones share one token and the client's connections. |
//! | `oneshot(request)` | Sends the request. [Tower] asks that a client is ready before it is called, which `oneshot` takes care of. |
//!
//! # What happens when it runs
//!
//! 1. The first request finds no token. A token fetch starts, and the request waits for it, with all other requests that arrive
//!    in the meantime. The fetch makes up to three attempts within 30 s.
//! 2. The server issues a token for, say, an hour. The layer adds `Authorization: Bearer …` to the request and sends it.
//! 3. The second request finds the token in memory. It does not wait.
//! 4. After 45 minutes a request starts a refresh, and is sent with the old token. If the refresh fails, the layer tries again
//!    while the old token is valid, and your calls do not notice.
//! 5. If the API answers 401, the token is renewed and the request is sent once more. See [`rejections`](super::rejections).
//!
//! # What to set next
//!
//! | you want | do this |
//! |---|---|
//! | a limit for each call | put a `Timeout` layer outside; see [`timeouts`](super::timeouts) |
//! | another try when the API is busy | copy the policy of [`errors_and_retries`](super::errors_and_retries) |
//! | a failure at startup if there is no token | `auth.handle().token().await?` before the layer is used |
//! | no wait at the first request, nor after hours without traffic | [`keep_warm`](crate::token::TokenHandle::keep_warm) |
//! | uploads from a stream | choose a [replay policy](super::replay_policies) |
//! | a secret in a file, a certificate, or no secret at all | see [`client_authentication`](super::client_authentication) |
//! | a second API that accepts the same token | call `origin` once more |
//! | APIs or tenants that need different tokens | see [`many_tokens`](super::many_tokens) |
//!
//! # First errors
//!
//! | message | reason | what to do |
//! |---|---|---|
//! | ``no origin configured: call origin("https://host")`` | the layer does not know which server may receive the token | name it with [`origin`] |
//! | ``origin("https://api.example.com/v1"): an origin has no path and no query; use "https://api.example.com"`` | an origin is scheme, host and port | leave the path to the requests |
//! | `the environment variable CLIENT_ID is not set` | `from_env` found no value | set it, or use [`from_files`] |
//! | `the authorization server refused the token request (401): invalid_client` | the id or the secret is wrong, or the server wants them in another place | see [`providers`](super::providers) |
//! | `a request whose URI has no host is not sent: …` | the request has a path only | use an absolute URI |
//! | `no tokio runtime: tokens can only be fetched within one` | the client was called outside of Tokio | call it within `#[tokio::main]` or within your own runtime |
//! | no error, but a 401 for each request | the request's host is not exactly the configured one, or the API does not accept the token | look for [`OtherOrigin`] and [`NotReplayed`] in the response's extensions |
//! | ``the trait bound … is not satisfied`` | the client or the body does not fit | see [Compiler messages](crate::Auth#compiler-messages) |
//!
//! The first rows are errors of `build` and of the credentials, before anything is sent:
//!
//! ```
//! use tower_outbound_auth::{AuthLayer, Credentials, token::{AccessToken, source_fn}};
//!
//! let builder = || AuthLayer::builder(source_fn(|_| async { AccessToken::new("abc", None) }));
//! let error = builder().build().err().map(|error| error.to_string());
//! assert_eq!(error.as_deref(), Some(r#"no origin configured: call origin("https://host")"#));
//!
//! let error = builder().origin("https://api.example.com/v1").build().err().map(|error| error.to_string());
//! let message = r#"origin("https://api.example.com/v1"): an origin has no path and no query; use "https://api.example.com""#;
//! assert_eq!(error.as_deref(), Some(message));
//!
//! let error = Credentials::from_env("UNSET_CLIENT_ID", "UNSET_CLIENT_SECRET").err().map(|error| error.to_string());
//! assert_eq!(error.as_deref(), Some("the environment variable UNSET_CLIENT_ID is not set"));
//! ```
//!
//! Next: [`clients`](super::clients).
//!
//! [`AuthLayer::builder`]: crate::AuthLayer::builder
//! [`ClientCredentialsGrant::builder`]: crate::oauth::ClientCredentialsGrant::builder
//! [`from_files`]: crate::Credentials::from_files
//! [`HttpsClient`]: crate::client::HttpsClient
//! [`NotReplayed`]: crate::rejection::NotReplayed
//! [`origin`]: crate::AuthLayerBuilder::origin
//! [`OtherOrigin`]: crate::rejection::OtherOrigin
//! [`ServiceBuilder`]: https://docs.rs/tower/0.5/tower/struct.ServiceBuilder.html
//! [Tower]: https://docs.rs/tower/0.5/tower/trait.Service.html
