//! Tower middleware that authenticates outgoing HTTP requests with OAuth 2.0 access tokens.
//!
//! Access tokens expire, can be revoked, and come from a server that may be slow or down. Handling that by hand is
//! error-prone: a thousand requests that each fetch a token, a token sent to the wrong host, a 401 that is never handled,
//! or handled in an endless loop. [`AuthLayer`] wraps any HTTP client service. It adds `Authorization: Bearer …` to the
//! requests for the origins that you configure, signs those that need a signature, refreshes the token ahead of its
//! expiry, and replays a rejected request once with a new token.
//!
//! # Example
//!
//! Both servers are functions here, so that the example runs. In a program, the token request needs no transport (feature
//! `client`), and [`client::HttpsClient`] or any other HTTP client takes the place of `api`.
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use bytes::Bytes;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_outbound_auth::{AuthLayer, Credentials, oauth::ClientCredentialsGrant};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let authorization_server = service_fn(|_: Request<Full<Bytes>>| async {
//!     let token = r#"{ "access_token": "abc", "token_type": "Bearer", "expires_in": 3600 }"#;
//!     Ok::<_, BoxError>(Response::new(token.to_owned()))
//! });
//! let api = service_fn(|request: Request<String>| async move {
//!     assert_eq!(request.headers()["authorization"], "Bearer abc");
//!     Ok::<_, BoxError>(Response::new("hello".to_owned()))
//! });
//!
//! let credentials = Credentials::new("my-client", "my-secret");
//! let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
//!     .transport(authorization_server)
//!     .build()?;
//! let auth = AuthLayer::builder(grant).origin("https://api.example.com").build()?;
//! let client = ServiceBuilder::new().layer(auth).service(api);
//!
//! let request = Request::get("https://api.example.com/greeting").body(String::new())?;
//! assert_eq!(client.oneshot(request).await?.status(), 200);
//! # Ok(()) }
//! ```
//!
//! For PayNet Malaysia's API see [`paynet`]. For many tenants, scopes or audiences behind one client see [`keyed`].
//!
//! # What happens when
//!
//! | when | then |
//! |---|---|
//! | there is no token | one token request, however many requests wait for it; they share its error too |
//! | 75 % of its lifetime have passed | the next request starts a refresh, and goes on with the old token |
//! | the authorization server is down | three attempts, then a backoff of 1 s doubling to 60 s; the old token is used while it is valid |
//! | the API answers 401 | the token is renewed, and the request replayed once |
//! | 401 again | the response goes to its caller, marked [`NotReplayed`](rejection::NotReplayed); further renewals are throttled |
//! | a request goes to another origin | it passes untouched |
//! | a caller gives up | the fetch goes on for the others |
//! | the secret is rotated | the next request starts a fetch with the new secret; the old token stays in use meanwhile |
//!
//! Start with [`guide::getting_started`]. [`guide::guarantees`] lists everything that is promised, and
//! [`guide::rejections`] tells what happens to a rejected request.
//!
//! # Where in the stack
//!
//! Put redirect, timeout and retry layers outside `AuthLayer`; put decompression inside. The [guide] shows
//! [what each order does](guide::stack_order), has a [retry policy](guide::errors_and_retries) to copy, and tells
//! [how long a request waits](guide::timeouts). Errors are [`BoxError`]; [`AuthError::find`] finds an `AuthError` anywhere
//! in the source chain.
//!
//! # Bodies
//!
//! Replaying a request needs a second copy of its body. [`CloneBody`](replay::CloneBody), the default, clones it; a stream
//! goes into a [`ReplayBody`](replay::ReplayBody), which keeps what is sent of it up to a limit.
//! [`AuthLayerBuilder::replay`] sets another policy; the guide says [which body goes with which](guide::replay_policies).
//!
//! # Limits
//!
//! - Access tokens from the client-credentials grant or from your own [`TokenSource`](token::TokenSource).
//! - A token lives in one process: each process fetches its own, unless they share one through a [`fleet`] store.
//! - Tokens are fetched within a Tokio runtime whose timer is enabled. Building a layer needs no runtime.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `client` | yes | [`client::HttpsClient`]: HTTPS over hyper-util and rustls, for token requests and, if wanted, for the API |
//! | `paynet` | yes | module [`paynet`] |
//! | `tracing` | yes | [a span for each token fetch, events for rejections and backoffs](guide::operating#traces) |
//! | `jwt` | no | [`oauth::PrivateKeyJwt`]: assertions signed with a private key, over ring |
//! | `metrics` | no | [counters, durations and a token's expiry](guide::operating#metrics), for any recorder of the `metrics` facade |
//! | `reqwest` | no | module [`reqwest`]: a middleware for reqwest 0.13, and its client as a Tower service |
//! | `native-roots` | no | the system's certificate store for [`client::HttpsClient`] |
//! | `redis` | no | [`fleet::RedisStore`]: one token for many processes, over Redis or Valkey |
//! | `sandbox` | no | module [`sandbox`]: a server for [tests](guide::testing), PayNet-compatible or with your own API |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod authorize;
mod basic;
#[cfg(feature = "client")]
pub mod client;
mod credential_text;
mod credentials;
mod error;
pub mod fleet;
mod future;
#[cfg(any(doc, doctest))]
pub mod guide;
pub mod keyed;
mod labels;
mod layer;
mod metrics;
pub mod oauth;
mod origin;
#[cfg(feature = "paynet")]
pub mod paynet;
mod polled_file;
mod product;
pub mod rejection;
pub mod replay;
#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod secret_file;
mod server_clocks;
mod service;
mod settings;
pub mod signing;
mod telemetry;
mod time;
pub mod token;
mod wiped_stack;

pub use secrecy;

pub use self::{
    authorize::NoAuth,
    credentials::Credentials,
    error::{AuthError, BoxError, ErrorKind},
    future::ResponseFuture,
    layer::{AuthLayer, AuthLayerBuilder},
    service::Auth,
};

/// The README's code, compiled.
#[cfg(all(doctest, feature = "client", feature = "paynet", feature = "reqwest"))]
#[doc = include_str!("../README.md")]
struct Readme;
