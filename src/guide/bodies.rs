//! Bodies and replays: which body can be sent again, under which policy.
//!
//! A request that the API rejects is sent again once, with a new token. Its body has gone with the first try by then, so a
//! second one is put aside before. A [`Replay`] policy says how; [`AuthLayer::replay`] sets it.
//!
//! # Which body, which policy
//!
//! What becomes of a rejected request:
//!
//! | body | [`CloneBody`], the default | [`EmptyBody`] | [`NoReplay`] |
//! |---|---|---|---|
//! | `http_body_util::Full<Bytes>` | sent again | sent again if empty | not sent again |
//! | `http_body_util::Empty<Bytes>` | sent again | sent again | not sent again |
//! | `String` | sent again | sent again if empty | not sent again |
//! | `http_body_util::combinators::BoxBody<..>` | does not compile | sent again if empty | not sent again |
//! | `http_body_util::combinators::UnsyncBoxBody<..>` | does not compile | sent again if empty | not sent again |
//! | `http_body_util::StreamBody<S>` | does not compile | does not compile | not sent again |
//! | `http_body_util::Limited<Full<Bytes>>` | sent again | does not compile | not sent again |
//! | `axum::body::Body` | does not compile | sent again if empty | not sent again |
//! | `reqwest::Body` | does not compile | sent again if empty | not sent again |
//! | `hyper::body::Incoming` | does not compile | does not compile | not sent again |
//! | `ReplayBody<B>` of any of these | sent again up to its limit | does not compile | not sent again |
//!
//! `Limited` and `StreamBody` are `Clone` where what they wrap is. One that is not sent again still renews the token, for the
//! requests after it; its caller gets the API's answer, with [`NotReplayed::BodyNotReplayable`] in its extensions.
//!
//! # In memory: the default
//!
//! To clone a `Full<Bytes>` is to count one reference more. To clone a `String` copies it, for every request, rejected or
//! not: send long texts as `Full<Bytes>`. So does a body that came in from elsewhere, if it is collected first:
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::{BodyExt, Full, Limited, combinators::BoxBody};
//! use tower_outbound_auth::BoxError;
//!
//! /// Takes in up to 1 MiB, so that the request can be sent twice.
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
//! # One type for all bodies: `EmptyBody`
//!
//! A `BoxBody`, or the body of a web framework, holds a stream at one time and nothing at another, and most requests are a
//! `GET`. [`EmptyBody`] sends those again, and leaves it to the caller of an upload to make its body once more:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full, combinators::BoxBody};
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_outbound_auth::{AuthLayer, EmptyBody, NotReplayed};
//! # use std::{future::Future, pin::Pin, time::Duration};
//! # use tower_outbound_auth::{AccessToken, AuthError, FetchRequest, TokenSource};
//! # struct Counted(std::sync::atomic::AtomicU64);
//! # impl TokenSource for Counted {
//! #     fn fetch<'a>(
//! #         &'a self,
//! #         _request: FetchRequest<'a>,
//! #     ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>> {
//! #         let number = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
//! #         Box::pin(async move { AccessToken::new(format!("token-{number}"), Some(Duration::from_secs(600))) })
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let source = Counted(Default::default());
//!
//! type Body = BoxBody<Bytes, BoxError>;
//!
//! // An API that rejects its client's first token.
//! let api = service_fn(async |request: Request<Body>| {
//!     let mut response = Response::new(String::new());
//!     if request.headers()["authorization"] == "Bearer token-0" {
//!         *response.status_mut() = StatusCode::UNAUTHORIZED;
//!     }
//!     Ok::<_, BoxError>(response)
//! });
//! let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//! let client = ServiceBuilder::new().layer(auth.replay(EmptyBody)).service(api);
//!
//! let upload = || BoxBody::new(Full::<Bytes>::from("payload").map_err(BoxError::from));
//! let request = |body| Request::post("https://api.example.com/reports").body(body);
//! let mut response = client.clone().oneshot(request(upload())?).await?;
//! if response.extensions().get() == Some(&NotReplayed::BodyNotReplayable) {
//!     response = client.clone().oneshot(request(upload())?).await?;
//! }
//! assert_eq!(response.status(), 200);
//! # Ok(()) }
//! ```
//!
//! Empty is what says so by [`is_end_stream`](http_body::Body::is_end_stream) before it is sent: a stream of nothing does
//! not know yet, and is not sent again.
//!
//! # Streams: `ReplayBody`
//!
//! A stream gives its data once. A [`ReplayBody`] keeps what has been sent, up to a limit, and the default policy sends that
//! again and the rest of the stream after it:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body::Body;
//! use tower::{BoxError, Service, ServiceExt};
//! use tower_outbound_auth::{Auth, ReplayBody};
//!
//! async fn upload<S, B, RB>(client: Auth<S>, stream: B) -> Result<Response<RB>, BoxError>
//! where
//!     S: Service<Request<ReplayBody<B>>, Response = Response<RB>, Error: Into<BoxError>> + Clone,
//!     B: Body<Data = Bytes>,
//!     RB: Body,
//! {
//!     // Once more than 1 MiB has gone, nothing is kept any more, and a rejected upload is not sent again.
//!     let body = ReplayBody::new(stream, 1024 * 1024);
//!     client.oneshot(Request::post("https://api.example.com/reports").body(body)?).await
//! }
//! ```
//!
//! # Whatever it is: `NoReplay`
//!
//! ```
//! use tower_outbound_auth::{AuthLayer, NoReplay};
//!
//! fn layer_for_any_body(auth: AuthLayer) -> AuthLayer<NoReplay> {
//!     auth.replay(NoReplay)
//! }
//! ```
//!
//! Two clients with one token each take a clone of the same [`AuthLayer`], and may have different policies: one for uploads
//! and one for all else.
//!
//! [`AuthLayer`]: crate::AuthLayer
//! [`AuthLayer::replay`]: crate::AuthLayer::replay
//! [`CloneBody`]: crate::CloneBody
//! [`EmptyBody`]: crate::EmptyBody
//! [`NoReplay`]: crate::NoReplay
//! [`NotReplayed::BodyNotReplayable`]: crate::NotReplayed::BodyNotReplayable
//! [`Replay`]: crate::Replay
//! [`ReplayBody`]: crate::ReplayBody
