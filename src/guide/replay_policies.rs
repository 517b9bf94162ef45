//! Replay policies: which request bodies can be replayed, and how.
//!
//! When the API rejects the token of a request, the layer renews the token and sends the request again. This is the *replay*.
//! By then the first request has consumed its body, so the layer needs a second copy. A [`Replay`] policy makes that copy
//! before the first send; [`AuthLayerBuilder::replay`] sets the policy.
//!
//! A replay is safe for every method, `POST` included: it happens only after the API has refused the credentials, and then at
//! most once.
//!
//! # Choosing a policy
//!
//! | your bodies | policy |
//! |---|---|
//! | in memory: `Full<Bytes>`, `Empty<Bytes>`, `String` | [`CloneBody`], the default |
//! | streams | [`CloneBody`], with each body wrapped in a [`ReplayBody`] |
//! | one boxed type for everything, mostly empty | [`EmptyBody`] |
//! | anything, and a rejected request may fail | [`NoReplay`] |
//!
//! This is what each policy does with a rejected request:
//!
//! | body | [`CloneBody`], the default | [`EmptyBody`] | [`NoReplay`] |
//! |---|---|---|---|
//! | `http_body_util::Full<Bytes>` | replayed | replayed if empty | not replayed |
//! | `http_body_util::Empty<Bytes>` | replayed | replayed | not replayed |
//! | `String` | replayed | replayed if empty | not replayed |
//! | `http_body_util::combinators::BoxBody<..>` | does not compile | replayed if empty | not replayed |
//! | `http_body_util::combinators::UnsyncBoxBody<..>` | does not compile | replayed if empty | not replayed |
//! | `http_body_util::StreamBody<S>` | does not compile | does not compile | not replayed |
//! | `http_body_util::Limited<Full<Bytes>>` | replayed | does not compile | not replayed |
//! | `axum::body::Body` | does not compile | replayed if empty | not replayed |
//! | `reqwest::Body` | does not compile | replayed if empty | not replayed |
//! | `hyper::body::Incoming` | does not compile | does not compile | not replayed |
//! | `ReplayBody<B>` of any of these | replayed up to its limit | does not compile | not replayed |
//!
//! `Limited` and `StreamBody` are `Clone` if the body or stream inside them is.
//!
//! A rejected request that is not replayed still renews the token for later requests. Its caller receives the API's response
//! with [`NotReplayed::BodyNotReplayable`] in its extensions.
//!
//! # `CloneBody`: bodies in memory
//!
//! Cloning a `Full<Bytes>` increments a reference count. Cloning a `String` copies its text, and that on every request, so
//! send long texts as `Full<Bytes>`. A body that you received from elsewhere can be collected first:
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::{BodyExt, Full, Limited, combinators::BoxBody};
//! use tower_outbound_auth::BoxError;
//!
//! /// Reads up to 1 MiB into memory, so that the request can be replayed.
//! async fn collected(request: Request<BoxBody<Bytes, BoxError>>) -> Result<Request<Full<Bytes>>, BoxError> {
//!     let (parts, body) = request.into_parts();
//!     let bytes = Limited::new(body, 1024 * 1024).collect().await?.to_bytes();
//!     Ok(Request::from_parts(parts, Full::new(bytes)))
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let body = BoxBody::new(Full::from("payload").map_err(BoxError::from));
//! # let request = collected(Request::new(body)).await?;
//! # assert_eq!(request.into_body().collect().await?.to_bytes(), "payload");
//! # Ok(()) }
//! ```
//!
//! # `ReplayBody`: streams
//!
//! A stream yields its data once. A [`ReplayBody`] records what has been sent, up to a limit. On a replay it sends the
//! recording, and then the rest of the stream:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body::Body;
//! use tower::{BoxError, Service, ServiceExt};
//! use tower_outbound_auth::{Auth, replay::ReplayBody};
//!
//! async fn upload<S, B, RB>(client: Auth<S>, stream: B) -> Result<Response<RB>, BoxError>
//! where
//!     S: Service<Request<ReplayBody<B>>, Response = Response<RB>, Error: Into<BoxError>> + Clone,
//!     B: Body<Data = Bytes>,
//!     RB: Body,
//! {
//!     // Beyond 1 MiB the recording is dropped, and a rejected upload is not replayed.
//!     let body = ReplayBody::new(stream, 1024 * 1024);
//!     client.oneshot(Request::post("https://api.example.com/reports").body(body)?).await
//! }
//! ```
//!
//! The recording shares the stream's `Bytes` where it can, keeps trailers, and works even if the API rejects the request
//! before it has read the whole stream.
//!
//! # `EmptyBody`: one type for all bodies
//!
//! A `BoxBody`, or the body of a web framework, may hold a stream or nothing, and most requests are a `GET` without a body.
//! [`EmptyBody`] replays those. For an upload, wait for the new token and make the body again:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full, combinators::BoxBody};
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_outbound_auth::{AuthLayer, rejection::NotReplayed, replay::EmptyBody};
//! # use std::{sync::atomic::{AtomicU64, Ordering::Relaxed}, time::Duration};
//! # use tower_outbound_auth::token::{AccessToken, source_fn};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let issued = AtomicU64::new(0);
//! # let source = source_fn(move |_| {
//! #     let number = issued.fetch_add(1, Relaxed);
//! #     async move { AccessToken::new(format!("token-{number}"), Some(Duration::from_secs(600))) }
//! # });
//!
//! type Body = BoxBody<Bytes, BoxError>;
//!
//! // This API rejects the client's first token.
//! let api = service_fn(async |request: Request<Body>| {
//!     let mut response = Response::new(String::new());
//!     if request.headers()["authorization"] == "Bearer token-0" {
//!         *response.status_mut() = StatusCode::UNAUTHORIZED;
//!     }
//!     Ok::<_, BoxError>(response)
//! });
//! let auth = AuthLayer::builder(source).origin("https://api.example.com").replay(EmptyBody).build()?;
//! let handle = auth.handle();
//! let client = ServiceBuilder::new().layer(auth).service(api);
//!
//! let upload = || BoxBody::new(Full::<Bytes>::from("payload").map_err(BoxError::from));
//! let request = |body| Request::post("https://api.example.com/reports").body(body);
//! let mut response = client.clone().oneshot(request(upload())?).await?;
//! if response.extensions().get() == Some(&NotReplayed::BodyNotReplayable) {
//!     handle.refresh().await?; // joins the fetch that the rejection started
//!     response = client.clone().oneshot(request(upload())?).await?;
//! }
//! assert_eq!(response.status(), 200);
//! # Ok(()) }
//! ```
//!
//! A body counts as empty if [`is_end_stream`](http_body::Body::is_end_stream) says so before it is sent. A stream
//! cannot know that in advance, so it is not replayed, even if it turns out to be empty.
//!
//! # `NoReplay`: any body, least overhead
//!
//! ```
//! use tower_outbound_auth::{AuthError, AuthLayer, replay::NoReplay, token::TokenSource};
//!
//! fn layer_for_any_body(source: impl TokenSource) -> Result<AuthLayer<NoReplay>, AuthError> {
//!     AuthLayer::builder(source).origin("https://api.example.com").replay(NoReplay).build()
//! }
//! ```
//!
//! # Your own policy
//!
//! Implement [`Replay`] for a body type that none of these fits:
//!
//! - [`clone_body`] makes the copy, or returns `None` if this request cannot be replayed.
//! - [`is_complete`] says whether a copy holds the whole body. Implement it if a copy can become incomplete while the request
//!   is sent, as a recording with a limit can. Default: `true`.
//! - [`reserve`] is called when the first response is given up. Implement it if a copy has to be claimed before the replay.
//!   Default: the result of `is_complete`.
//!
//! Next: [`timeouts`](super::timeouts).
//!
//! [`AuthLayerBuilder::replay`]: crate::AuthLayerBuilder::replay
//! [`clone_body`]: crate::replay::Replay::clone_body
//! [`CloneBody`]: crate::replay::CloneBody
//! [`EmptyBody`]: crate::replay::EmptyBody
//! [`is_complete`]: crate::replay::Replay::is_complete
//! [`NoReplay`]: crate::replay::NoReplay
//! [`NotReplayed::BodyNotReplayable`]: crate::rejection::NotReplayed::BodyNotReplayable
//! [`Replay`]: crate::replay::Replay
//! [`ReplayBody`]: crate::replay::ReplayBody
//! [`reserve`]: crate::replay::Replay::reserve
