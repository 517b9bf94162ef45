//! Client-side Tower middleware that logs an HTTP client in to an API by itself.
//!
//! An API wants a token that ends, an authorization server gives out new ones, and between the two lies code that is easy
//! to get wrong: a thousand requests that each fetch a token, a token sent to the wrong host, a 401 that is never healed or
//! that is healed for ever. [`AuthLayer`] is that code. It wraps any HTTP client service, puts `Authorization: Bearer …` on
//! requests to the origins that you name, signs those that need it, refreshes the token ahead of time, and sends a rejected
//! request again, once, with a new one.
//!
//! # Example
//!
//! Both servers are functions here, so that the example runs; with the feature `client` the token request needs no
//! transport of yours, and the client is yours anyway.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_outbound_auth::{AuthLayer, Credentials, oauth::ClientCredentialsGrant};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let login = service_fn(|_: Request<Full<Bytes>>| async {
//!     let token = r#"{ "access_token": "abc", "token_type": "Bearer", "expires_in": 3600 }"#;
//!     Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(token)))
//! });
//! let api = service_fn(|request: Request<Full<Bytes>>| async move {
//!     assert_eq!(request.headers()["authorization"], "Bearer abc");
//!     Ok::<_, BoxError>(Response::new(Full::<Bytes>::from("hello")))
//! });
//!
//! let credentials = Credentials::new("my-client", "my-secret");
//! let source = ClientCredentialsGrant::builder("https://login.example.com/token", credentials).transport(login).build()?;
//! let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//! let client = ServiceBuilder::new().layer(auth).service(api);
//!
//! let request = Request::get("https://api.example.com/greeting").body(Full::default())?;
//! assert_eq!(client.oneshot(request).await?.status(), 200);
//! # Ok(()) }
//! ```
//!
//! For PayNet Malaysia's API see [`paynet`].
//!
//! # What happens when
//!
//! | when | then |
//! |---|---|
//! | there is no token | one token request, however many requests wait for it; they share its error too |
//! | three quarters of its lifetime have passed | the next request starts the refresh, and goes on with the old token |
//! | the authorization server is down | three tries, then a pause of 1 s growing to 60 s; the old token serves while it lives |
//! | the API answers 401 | that token is retired, and the request sent again once with a new one |
//! | 401 again | the answer is the caller's, marked [`NotReplayed`]; renewals are spaced from now on |
//! | a request goes to another origin | it goes out untouched |
//! | a caller gives up | nothing else: the token is fetched all the same |
//! | the secret is rotated | the next request has the new one fetch a token, and goes on with the old |
//!
//! # Where in the stack
//!
//! Redirects are followed, calls timed and retried outside of this layer; decompression, and what reads an API's messages,
//! belongs inside. The [guide] shows [what each order does](guide::stack_order), has a
//! [retry policy](guide::errors_and_retries) to copy, and says [who waits for a token](guide::timeouts).
//!
//! Errors come out as [`BoxError`]; [`AuthError::find`] looks for one of this crate in them, under other layers too.
//!
//! # Bodies
//!
//! To send a request again takes a second body. [`CloneBody`], the default, clones it; a stream goes into a [`ReplayBody`],
//! which keeps what is sent of it, up to a limit. [`EmptyBody`] sends again what had no body, [`NoReplay`] nothing.
//! [`AuthLayer::replay`] changes the policy. The guide says [which body goes with which](guide::bodies).
//!
//! # Limits
//!
//! - Bearer tokens only, from the client-credentials grant or a [`TokenSource`] of your own.
//! - A token lives in one process: each process fetches its own.
//! - Tokens are fetched within a Tokio runtime that has its timer enabled. To build a layer takes none.
//! - The system's monotonic clock stands still while a machine is suspended: the first request after that may carry a dead
//!   token, which the API's 401 then heals.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `client` | yes | the ready-made HTTPS transport for token requests, and [`client::HttpsClient`] for a private CA, mutual TLS, a proxy |
//! | `tracing` | yes | a span for each token flight, events for rejections |
//! | `sandbox` | no | an in-process PayNet-compatible server for tests |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod basic;
#[cfg(feature = "client")]
pub mod client;
mod clock;
mod credentials;
mod dates;
mod error;
mod future;
#[cfg(any(doc, doctest))]
pub mod guide;
mod lanes;
mod layer;
pub mod oauth;
mod origin;
pub mod paynet;
mod rejection;
mod replay;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod service;
mod settings;
mod sign_rules;
mod signing;
mod stamp;
mod telemetry;
mod token;

pub use secrecy;

pub use self::{
    clock::Clock,
    credentials::Credentials,
    error::{AuthError, BoxError, ErrorKind},
    future::ResponseFuture,
    layer::{AuthLayer, AuthLayerBuilder},
    rejection::{NotReplayed, Rejection},
    replay::{CloneBody, EmptyBody, NoReplay, Replay, ReplayBody},
    service::Auth,
    sign_rules::{NoAuth, Sign, SignRules},
    signing::{SignatureHeaders, Signer, SigningContext, TimestampHmac},
    stamp::Overwrite,
    token::{AccessToken, FetchRequest, KeepWarm, RefreshPolicy, TokenHandle, TokenSource, TokenState, TokenStatus},
};

/// The README's code, compiled.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
