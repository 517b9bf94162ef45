//! Stack order: which layers belong outside of `AuthLayer`, and which inside.
//!
//! A layer outside sees a call; a layer inside sees each send. The two differ when a call waits for a token, and when a
//! rejected request is replayed. This order, from the outside in, suits most clients:
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_http::{decompression::DecompressionLayer, follow_redirect::FollowRedirectLayer, trace::TraceLayer};
//! use tower_outbound_auth::AuthLayer;
//! # use tower_outbound_auth::token::{AccessToken, source_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let source = source_fn(|_| async { AccessToken::new("abc", Some(Duration::from_secs(3600))) });
//! # let http = service_fn(|request: Request<Full<Bytes>>| async move {
//! #     assert_eq!(request.headers()["authorization"], "Bearer abc");
//! #     Ok::<_, BoxError>(Response::new(Full::<Bytes>::from("hello")))
//! # });
//! let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//! let client = ServiceBuilder::new()
//!     .layer(TraceLayer::new_for_http()) // one span for a call, including its wait for a token
//!     .layer(FollowRedirectLayer::new()) // every hop is checked against the origins
//!     .timeout(Duration::from_secs(30)) // how long the caller waits, for everything below
//!     // a retry layer belongs here: each attempt gets its own signature
//!     .layer(auth)
//!     .concurrency_limit(100) // a waiting call holds no permit
//!     .layer(DecompressionLayer::new())
//!     .service(http);
//!
//! let request = Request::get("https://api.example.com/greeting").body(Full::default())?;
//! assert_eq!(client.oneshot(request).await?.status(), 200);
//! # Ok(()) }
//! ```
//!
//! # What each order does
//!
//! | layer | outside of `AuthLayer` | inside |
//! |---|---|---|
//! | `Timeout` | the wait for a token counts; a slow response fails (`Elapsed`); both sends of a replayed request count together | a slow response fails (`Elapsed`) |
//! | `Retry` | each attempt is signed anew | attempts share one signature, which ages |
//! | `ConcurrencyLimit` | a permit is held while a call waits for its token; also while a rejected token is renewed | changes nothing |
//! | `LoadShed` over `ConcurrencyLimit` | calls are shed (`Overloaded`) while a call waits for its token; also (`Overloaded`) while a rejected token is renewed | changes nothing |
//! | `Buffer` over `RateLimit` | a replayed request counts once | a replayed request counts twice |
//! | `Buffer` | changes nothing | changes nothing |
//! | `FollowRedirect` | a redirect carries no credential away | **a redirect carries `x-timestamp`, `x-signature` and `x-fiid` to another host** |
//! | `Decompression` | `RejectionLayer` cannot read compressed rejections | `RejectionLayer` reads compressed rejections |
//! | `SetRequestId` | both sends of a replayed request have one id | each send has its own id |
//! | `Trace` | a replayed request is one span, with the wait for its token | each send is a span, without the wait for a token |
//! | `Either` | changes nothing | changes nothing |
//! | `BoxCloneService` | changes nothing | changes nothing |
//!
//! A test measures this table: it calls through each of these stacks, through all pairs of layers in all places, and through
//! random orders of all twelve. Where two layers answer the same question, the outer one decides. In every order a refused token
//! request is not repeated at once, [`AuthError::find`] finds its error, and the client works again as soon as the server issues
//! tokens.
//!
//! One pair does something that neither layer does alone: a `Retry` around a `Timeout` repeats a call that timed out while it
//! waited for a token. The token fetch continues, so the second attempt finds the token.
//!
//! # Notes
//!
//! - **Permits.** Outside, a call holds its permit while it waits for a token. Inside, it gives the permit back before it waits
//!   and asks again for the send. The table's limits are set to one, so that a permit that is held shows.
//! - **Redirects.** tower-http removes `Authorization` when a redirect leaves the host, but it does not know the other headers.
//!   Outside, each hop passes through `AuthLayer`, which checks its origin.
//! - **`RateLimit`** is not `Clone`, so put a `Buffer` over it. Put both inside, where they count every send as the API does.
//! - **`Buffer`.** A token that cannot be obtained fails one call. It is never an error of `poll_ready`, which would close the
//!   buffer for good.
//! - **PayNet.** [`paynet::layer`] contains its `RejectionLayer`. Put decompression inside of both.
//! - **`Either`**, and so `ServiceBuilder::option_layer`, needs one error type on both sides. That of `AuthLayer` is
//!   [`BoxError`]; convert the inner one with `map_err`:
//!
//!   ```
//!   use std::convert::Infallible;
//!
//!   use bytes::Bytes;
//!   use http::{Request, Response};
//!   use http_body_util::Full;
//!   use tower::{ServiceBuilder, ServiceExt, service_fn};
//!   use tower_outbound_auth::{AuthLayer, BoxError};
//!
//!   # #[tokio::main(flavor = "current_thread")]
//!   # async fn main() -> Result<(), BoxError> {
//!   # let http = service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) });
//!   let auth: Option<AuthLayer> = None; // this deployment needs no authentication
//!   let client = ServiceBuilder::new().option_layer(auth).map_err(BoxError::from).service(http);
//!
//!   let request = Request::get("https://api.example.com/greeting").body(Full::default())?;
//!   assert_eq!(client.oneshot(request).await?.status(), 200);
//!   # Ok(()) }
//!   ```
//!
//! Next: [`signing`](super::signing).
//!
//! [`AuthError::find`]: crate::AuthError::find
//! [`BoxError`]: crate::BoxError
//! [`paynet::layer`]: crate::paynet::layer
