//! Transports: what to write for each, and what to mind.
//!
//! The layer wraps any Tower service of `http::Request<B>` that can be cloned. What carries the requests is the service's
//! affair. Each of these is tested over real sockets, in `tests/every_transport_is_logged_in.rs`.
//!
//! | transport | under the layer | what to mind |
//! |---|---|---|
//! | [`client::HttpsClient`](crate::client::HttpsClient) | itself, with `idle_timeout` | private CA, client certificate and forward proxy, for tokens and the API at once |
//! | hyper-util, HTTP/1.1 | `Client::builder(TokioExecutor::new()).build_http()` | plain `http` leaves the machine only with `allow_insecure_http` |
//! | hyper-util, HTTP/2 without TLS | the same with `http2_only(true)` | both ends have to know: nothing is negotiated |
//! | hyper-util, TLS | `.build(https)` with hyper-rustls, `enable_http1()` and `enable_http2()` | ALPN chooses the version; see [HTTP/2](#http2-connections-that-end) |
//! | TLS, private CA | `with_tls_config(config)` on the connector | the token endpoint too: give the same client to `transport` |
//! | hyper, one HTTP/1.1 connection | `Buffer::new(connection, 16)` over a service around `SendRequest` | see [One connection](#one-connection) |
//! | hyper, one HTTP/2 connection | a service around `SendRequest`, which is `Clone` | the same |
//! | Unix socket | a connector that ignores the URI, or one connection | the host in the URI is a name only, but has to be an origin |
//! | reqwest | `.map_response(..).filter(..)`, two lines | see [reqwest](#reqwest) |
//! | tonic | its `Channel` | see [tonic](#tonic) |
//! | axum as a reverse proxy | any of these, in the handler's state | see [Reverse proxies](#reverse-proxies) |
//!
//! # One connection
//!
//! A service around hyper's `SendRequest` is ten lines: `poll_ready` and `call` go to `SendRequest::poll_ready` and
//! `send_request`. That of HTTP/1.1 is not `Clone`, which the layer needs; `tower::buffer::Buffer` is.
//!
//! - A URI without authority is in scope, whatever the origins are: the connection leads to one server. One with an authority
//!   is compared with them as ever.
//! - The clock is not learnt from answers to such requests, since nothing says whether they came over TLS. The token
//!   endpoint's `Date` still sets it.
//! - hyper adds no `Host` here. Set it; the request that is sent again has it too.
//! - A refused answer is read to its end, up to 64 KiB and for 100 ms, so that the connection lives on. A longer one ends it,
//!   and over `Buffer` all requests after it fail: make a new connection, and a new stack around it with the same layer.
//!
//! # HTTP/2 connections that end
//!
//! A server may end a connection and name the last request that it looks at (GOAWAY; RFC 9113, section 6.8); nginx does so
//! after `keepalive_requests`, 1,000 unless set. What was sent after that one fails: hyper-util's client does not send it
//! again ([hyper#2500](https://github.com/hyperium/hyper/issues/2500)), and for the layer it is the transport's error. Of the
//! calls of 20 callers nginx let some 14 % fail with a limit of 50, 0.5 % with its own, and none over HTTP/1.1.
//!
//! - A token request that meets this is tried again within its flight: of 180 refreshes beside these callers none failed, and
//!   18 did with `attempts(1)`.
//! - A call is the business of a [retry policy](super::errors_and_retries#retries). The server has done nothing for it, so
//!   it may be sent again whatever its method: among the error's sources is an `h2::Error`, with `is_go_away()` and the
//!   reason `NO_ERROR`.
//! - Where the server is yours, a higher limit makes it rarer.
//!
//! # reqwest
//!
//! `reqwest::Client` is a service of `reqwest::Request`. reqwest converts from and to the types of `http`:
//!
//! ```no_run
//! # use bytes::Bytes;
//! # use reqwest::redirect::Policy;
//! # use tower::{BoxError, ServiceBuilder, ServiceExt};
//! # use tower_outbound_auth::AuthLayer;
//! # async fn send(
//! #     auth: AuthLayer,
//! #     request: http::Request<Bytes>,
//! # ) -> Result<http::Response<reqwest::Body>, BoxError> {
//! let client = ServiceBuilder::new()
//!     .layer(auth)
//!     .map_response(http::Response::<reqwest::Body>::from)
//!     .filter(|request: http::Request<Bytes>| reqwest::Request::try_from(request))
//!     .service(reqwest::Client::builder().redirect(Policy::none()).build()?);
//! let response = client.oneshot(request).await?;
//! # Ok(response) }
//! ```
//!
//! - The caller's body is `Bytes`, `String` or `Vec<u8>` here, which the layer can clone. For any other body:
//!   `try_from(request.map(reqwest::Body::wrap))`. `reqwest::Body` itself cannot be cloned.
//! - `filter` is in Tower's feature of that name.
//! - Redirects are followed inside of reqwest, below the layer: it takes `Authorization` off when the host changes, but no
//!   signature and no other header. So `Policy::none()`, and a redirect layer outside of this one where redirects are needed.
//! - The same adapter serves as `transport` of the token request, there for `Full<Bytes>`.
//! - `ClientBuilder::connector_layer` is not the place for this layer: it wraps what opens connections, not what sends
//!   requests, and is called once for each connection.
//!
//! `examples/reqwest.rs` has all of it.
//!
//! # tonic
//!
//! - gRPC refuses with HTTP status 200 and `grpc-status: 16`, so it takes a rule:
//!   `reject_when(|head| (head.headers.get("grpc-status")? == "16").then_some(Rejection::Token))`. Without it every such answer
//!   counts as accepted.
//! - That finds a status among the headers, where a server puts it that has not begun to answer. One in trailers comes after
//!   the head was judged. For short answers an inner layer may collect the body, look at its trailers and leave a `Rejection`
//!   in the extensions; an answer that streams has been handed on already and cannot be healed. Then tell the layer:
//!   `handle.token()` before the call, `handle.reject(&token)` after it.
//! - `tonic::body::Body` is not `Clone`. Wrap it above this layer, and back to tonic's below it:
//!   `.map_request(|request| request.map(|body| ReplayBody::new(body, limit)))`. A refused stream of messages is sent again
//!   too, as far as what went of it is within the limit.
//! - Above a `Channel` calls have no authority and are in scope; the channel adds it. Over another client, use
//!   `with_origin(service, uri)` of the generated client, and name that origin to the layer.
//! - An error of this crate arrives as `Status` with code `Unknown`; `AuthError::find(&status)` has it.
//! - `NotReplayed` is in the extensions of answers only: a `Status` has none, so that the reason is in the trace alone.
//!
//! `examples/tonic.rs` has calls and streams, `tests/every_transport_is_logged_in/grpc.rs` the trailers.
//!
//! # Reverse proxies
//!
//! - Give the request the API's scheme and authority, from parts of your own: a URI without authority is in scope, and none
//!   of the caller's text should become one.
//! - Take the caller's `Authorization` off before the layer, which keeps it otherwise and then does not log the request in.
//!   `Overwrite::Replace` does as well, where all that comes is from callers of one's own.
//! - Take off the headers of the caller's connection (RFC 9110, section 7.6.1) and `Host`; on the way back, those of the API's.
//! - A 401 of the API is about the proxy's credentials, so it should not reach the caller as one: 502.
//! - `axum::body::Body` is not `Clone`. To be sent again it goes into a `ReplayBody`, or is gathered (`axum::body::to_bytes`
//!   with a limit); with `NoReplay` it is sent once.
//!
//! `examples/proxy.rs` has all of it.
