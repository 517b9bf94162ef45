//! Which layers belong outside of [`AuthLayer`](crate::AuthLayer), and which inside.
//!
//! A layer outside sees a call; a layer inside sees what is sent for it. They differ when a call waits for a token, and when
//! it is sent twice because its token was rejected. Most stacks do well in this order, from the outside in:
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_http::{decompression::DecompressionLayer, follow_redirect::FollowRedirectLayer, trace::TraceLayer};
//! use tower_outbound_auth::{AuthLayer, Credentials, oauth::ClientCredentialsGrant, paynet::RejectionLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let login = service_fn(|_: Request<Full<Bytes>>| async {
//! #     let token = r#"{ "access_token": "abc", "token_type": "Bearer", "expires_in": 3600 }"#;
//! #     Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(token)))
//! # });
//! # let http = service_fn(|request: Request<Full<Bytes>>| async move {
//! #     assert_eq!(request.headers()["authorization"], "Bearer abc");
//! #     Ok::<_, BoxError>(Response::new(Full::<Bytes>::from("hello")))
//! # });
//! # let credentials = Credentials::new("my-client", "my-secret");
//! # let source = ClientCredentialsGrant::builder("https://login.example.com/token", credentials).transport(login).build()?;
//! # let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//! let client = ServiceBuilder::new()
//!     .layer(TraceLayer::new_for_http()) // one span a call, the wait for a token in it
//!     .layer(FollowRedirectLayer::new()) // each hop is checked against the origins
//!     .timeout(Duration::from_secs(30)) // the caller's patience, for all below together
//!     // a retry belongs here: each try is signed for its own time
//!     .layer(auth)
//!     .concurrency_limit(100) // a rejected call gives its permit back before it waits
//!     .layer(RejectionLayer) // for PayNet
//!     .layer(DecompressionLayer::new()) // if errors come compressed
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
//! | `Timeout` | the wait for a token counts; a slow answer fails (`Elapsed`); both sends of a healed request count together | a slow answer fails (`Elapsed`) |
//! | `Retry` | each try is signed anew | tries share a signature, which ages |
//! | `ConcurrencyLimit` | a permit is held while there is no token; also while a rejected one is renewed | a permit is held while there is no token |
//! | `LoadShed` over `ConcurrencyLimit` | calls are shed (`Overloaded`) while there is no token; also (`Overloaded`) while a rejected one is renewed | calls are shed (`Overloaded`) while there is no token |
//! | `Buffer` over `RateLimit` | a healed request counts once | a permit is held while there is no token; a healed request counts twice |
//! | `Buffer` | changes nothing | a permit is held while there is no token |
//! | `FollowRedirect` | a redirect carries nothing away | **a redirect carries `x-timestamp`, `x-signature` and `x-fiid` to another host** |
//! | `Decompression` | `RejectionLayer` cannot read compressed rejections | `RejectionLayer` reads compressed rejections |
//! | `SetRequestId` | both sends of a healed request have one id | each send has an id of its own |
//! | `Trace` | a healed request is one span, the wait for its token in it | each send is a span, without the wait for a token |
//! | `Either` | changes nothing | changes nothing |
//! | `BoxCloneService` | changes nothing | changes nothing |
//!
//! The table is measured, not written: a test calls through each of these stacks, through all pairs of the layers at all
//! places, and through stacks of all twelve in random order. They do what the rows say, and where two rows answer the same
//! question it is the outer layer's. In all of them [`AuthError::find`](crate::AuthError::find) sees the layer's error, a
//! refused token is asked for once, and the client works again when there is a token.
//!
//! One pair does what neither does alone: a `Retry` around a `Timeout` tries again what the timeout has cut short. The
//! token is fetched all the same, so the second try finds it there.
//!
//! # Notes
//!
//! - **Permits.** The limits were set to one, so that a permit which is held shows. A permit inside is held by a call that
//!   waits because there is no token, since the call was made ready before that; a place in a `Buffer` is such a permit. A
//!   rejected call gives its permit back before it waits. With [`keep_warm`](crate::TokenHandle::keep_warm) the first token comes before
//!   the first call, and nobody waits for it.
//! - **Redirects.** Tower-http removes `Authorization` from a request to another host, and knows nothing of a signature. Its
//!   place is outside.
//! - **`RateLimit`** cannot be cloned, so it stands under a `Buffer`. Count what the API counts: inside.
//! - **`Either`** wants one error type on both sides, and so does `ServiceBuilder::option_layer`. This layer's is
//!   [`BoxError`](crate::BoxError): put `.map_err(BoxError::from)` under it.
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
//!   let auth: Option<AuthLayer> = None; // no login on this machine
//!   let client = ServiceBuilder::new().option_layer(auth).map_err(BoxError::from).service(http);
//!
//!   let request = Request::get("https://api.example.com/greeting").body(Full::default())?;
//!   assert_eq!(client.oneshot(request).await?.status(), 200);
//!   # Ok(()) }
//!   ```
//! - **A `Buffer`** outside outlives a token's failure: trouble with a token is an error of one call, never of `poll_ready`,
//!   which would close the buffer for good.
