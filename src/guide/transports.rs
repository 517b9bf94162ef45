//! Transports: how to use the layer with each HTTP client.
//!
//! `AuthLayer` wraps any Tower service of `http::Request<B>` that is `Clone`. The tests in `tests/transports` run each row of
//! this table over real sockets.
//!
//! | transport | inner service | note |
//! |---|---|---|
//! | [`HttpsClient`] | itself | [private CA, client certificate and proxy](#httpsclient), for the API and for token requests |
//! | hyper-util, HTTP/1.1 | `Client::builder(TokioExecutor::new()).build_http()` | plain `http` beyond loopback needs `allow_insecure_http` |
//! | hyper-util, HTTP/2 without TLS | the same with `http2_only(true)` | both sides must know; nothing is negotiated |
//! | hyper-util, TLS | `.build(https)` with hyper-rustls, `enable_http1()` and `enable_http2()` | ALPN chooses the version; see [HTTP/2](#http2-connections-that-end) |
//! | TLS with a private CA | `with_tls_config(config)` on the connector | the token endpoint may need it, too: give the same client to `transport` |
//! | hyper, one HTTP/1.1 connection | `Buffer::new(connection, 16)` over a service around `SendRequest` | see [One connection](#one-connection) |
//! | hyper, one HTTP/2 connection | a service around `SendRequest`, which is `Clone` | see [One connection](#one-connection) |
//! | Unix socket | a connector that ignores the URI, or one connection | the URI's host is only a name, but it must be a configured origin |
//! | reqwest | [`ReqwestService`] | see [reqwest](#reqwest) |
//! | tonic | its `Channel` | see [tonic](#tonic) |
//! | axum as a reverse proxy | any of these, in the handler's state | see [Reverse proxies](#reverse-proxies) |
//!
//! # `HttpsClient`
//!
//! The built-in client speaks HTTP/1.1 and HTTP/2 over rustls, accepts any body of `Bytes`, and follows no redirects. This is
//! how you reach a bank that has a private CA, asks for a client certificate, and is behind a proxy:
//!
//! ```no_run
//! # #[cfg(feature = "client")] {
//! use std::fs;
//!
//! use http::Request;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_outbound_auth::{
//!     AuthLayer, BoxError, Credentials,
//!     client::HttpsClient,
//!     oauth::{ClientAuth, ClientCredentialsGrant},
//! };
//!
//! # async fn accounts() -> Result<(), BoxError> {
//! let https = HttpsClient::builder()
//!     .root_certificates(fs::read("/etc/bank/ca.pem")?)
//!     .identity(fs::read("/etc/bank/client.pem")?, fs::read("/etc/bank/client.key")?)
//!     .proxy("http://proxy.example.com:3128")
//!     .build()?;
//!
//! let grant = ClientCredentialsGrant::builder("https://login.bank.example/token", Credentials::without_secret("client"))
//!     .client_auth(ClientAuth::Certificate)
//!     .transport(https.clone())
//!     .build()?;
//! let auth = AuthLayer::builder(grant).origin("https://api.bank.example").build()?;
//! let client = ServiceBuilder::new().layer(auth).service(https);
//!
//! let request = Request::get("https://api.bank.example/accounts").body(String::new())?;
//! println!("{}", client.oneshot(request).await?.status());
//! # Ok(()) } }
//! ```
//!
//! In a company's network:
//!
//! | the network | setting |
//! |---|---|
//! | a certification authority that is installed on each machine | [`native_roots`](crate::client::HttpsClientBuilder::native_roots), behind the feature of that name |
//! | a proxy that the environment names | [`proxy_from_env`](crate::client::HttpsClientBuilder::proxy_from_env) |
//! | servers that are reached without the proxy | [`no_proxy`](crate::client::HttpsClientBuilder::no_proxy), or `NO_PROXY` |
//! | a proxy that allows tunnels to port 443 only | none: a plain `http` request goes to the proxy with its whole URI and needs no tunnel |
//! | a server that resets HTTP/2 with `HTTP_1_1_REQUIRED` | [`http1_only`](crate::client::HttpsClientBuilder::http1_only) |
//!
//! A grant that gets an `HttpsClient` as its `transport` uses the client's settings, but opens its own connections and keeps
//! none of them idle: a rejected response whose body is still unread never holds up the token request. Without `transport`, the
//! grant uses an `HttpsClient` with default settings.
//!
//! # One connection
//!
//! A service around hyper's `SendRequest` delegates `poll_ready` and `call`. Here it has one connection over HTTP/2 to the
//! sandbox:
//!
//! ```
//! # #[cfg(all(feature = "client", feature = "sandbox"))] {
//! use std::{future::Future, pin::Pin, task::{Context, Poll}};
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use hyper::{body::Incoming, client::conn::http2::{self, SendRequest}};
//! use hyper_util::rt::{TokioExecutor, TokioIo};
//! use tokio::net::TcpStream;
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
//! use tower_outbound_auth::{paynet, sandbox::Sandbox};
//!
//! #[derive(Clone)]
//! struct Connection(SendRequest<Full<Bytes>>);
//!
//! impl Service<Request<Full<Bytes>>> for Connection {
//!     type Response = Response<Incoming>;
//!     type Error = hyper::Error;
//!     type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;
//!
//!     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
//!         self.0.poll_ready(cx)
//!     }
//!
//!     fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
//!         Box::pin(self.0.send_request(request))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn run() -> Result<(), BoxError> {
//! let sandbox = Sandbox::start().await?;
//! let origin = sandbox.environment().api_origin().to_owned();
//! let stream = TcpStream::connect(origin.trim_start_matches("http://")).await?;
//! let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
//! tokio::spawn(connection);
//!
//! let paynet = paynet::layer(&sandbox.environment(), sandbox.credentials())?;
//! let client = ServiceBuilder::new().layer(paynet).service(Connection(sender));
//! let request = Request::get(format!("{origin}/v1/reports/types")).body(Full::default())?;
//! assert_eq!(client.oneshot(request).await?.status(), 200);
//! # Ok(()) }
//! # run().unwrap();
//! # }
//! ```
//!
//! For HTTP/1.1, `SendRequest` is not `Clone`, which the layer requires; put a `tower::buffer::Buffer` over the service.
//!
//! - A request whose URI has no host fails with `Config`, unless you call
//!   [`allow_relative_uri`](crate::AuthLayerBuilder::allow_relative_uri). That setting says that the inner service is bound to
//!   one origin, so use it for nothing else. If the request has a `Host` header, it must name a configured origin.
//! - hyper adds no `Host` header here. Set it yourself; the replay keeps it.
//! - The layer learns no clock from responses to such requests, because nothing says whether they came over TLS.
//! - Never use the one connection for token requests as well. HTTP/1.1 has one response after the other: a token request could
//!   be sent only behind the rejected response, and that is kept unread until there is a token, because without one it is the
//!   caller's, body and all. A rejection of more than some kilobytes therefore ends with `FetchFailed`, after the grant's
//!   `timeout` and attempts. Give the grant its own connection or client.
//! - The body of a rejected response is read before the replay, up to 64 KiB and for 100 ms, so that the connection stays
//!   usable. A longer body ends the connection, and with a `Buffer` all later requests fail: open a new connection and build a
//!   new stack around it with the same layer.
//!
//! # HTTP/2 connections that end
//!
//! A server may end a connection and name the last request that it will process (GOAWAY; RFC 9113, section 6.8). nginx does so
//! after `keepalive_requests`, 1,000 by default. Requests sent after that one fail, and hyper-util's client does not retry them
//! ([hyper#2500](https://github.com/hyperium/hyper/issues/2500)). Measured with 20 concurrent callers at nginx: 14 % of the
//! calls failed with a limit of 50, 0.5 % with the default limit, and none over HTTP/1.1.
//!
//! - A token request that fails like this is repeated within its fetch. None of 180 refreshes beside these callers failed; with
//!   `attempts(1)`, 18 did.
//! - For calls, use a [retry policy](super::errors_and_retries#retries). The error's source chain has an `h2::Error`
//!   with `is_go_away()` and reason `NO_ERROR`. The server has hardly ever processed such a request, but it may have: one of
//!   some 5,000 on a machine with ten times more work than processors. Repeat it if processing it twice does no harm.
//! - Limit the time of a call, by tower's `Timeout`. On that machine, 1 of 30,000 calls got no answer at all, with this layer
//!   and without.
//! - If the server is yours, raise its limit.
//!
//! A server that allows few concurrent streams refuses further requests that a client sends before it has read that limit
//! (`REFUSED_STREAM`; RFC 9113, section 8.7). These requests have not been processed either. From then on requests wait for
//! their turn, and token requests of an `HttpsClient` use another connection.
//!
//! # reqwest
//!
//! With feature `reqwest`, [`ReqwestService`] is reqwest's client as a Tower service, and [`AuthMiddleware`] keeps reqwest's own
//! interface; see [clients](super::clients#reqwest). Without that feature, reqwest converts both ways:
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
//!     .service(reqwest::Client::builder().redirect(Policy::none()).no_proxy().build()?);
//! let response = client.oneshot(request).await?;
//! # Ok(response) }
//! ```
//!
//! - reqwest follows redirects inside the layer; it removes `Authorization` when the host changes, but no signature and no other
//!   header. Give it [`redirect_policy`](crate::reqwest::redirect_policy), or turn redirects off and put a redirect layer outside.
//! - Turn the proxies of the environment off, as above, or name yours with `.proxy(..)`. By default reqwest sends every `http`
//!   request, one to `http://localhost` included, to the proxy that `HTTP_PROXY` or the system names: client secret, token and
//!   signature would leave the machine in the clear. A request with `https` goes through a tunnel, which shows the proxy the
//!   server's name only. The same holds for the client of the token requests.
//! - Use `Bytes`, `String` or `Vec<u8>` as the body, which the layer can clone; `reqwest::Body` is not `Clone`.
//! - `filter` is behind Tower's feature of that name.
//!
//! # tonic
//!
//! - Calls have no host above a `Channel`, which adds it. Set
//!   [`allow_relative_uri`](crate::AuthLayerBuilder::allow_relative_uri). Over another client, call
//!   `with_origin(service, uri)` of the generated client, and configure that origin.
//! - gRPC rejects with HTTP status 200 and `grpc-status: 16`. Add a rule:
//!   `reject_when(|head| (head.headers.get("grpc-status")? == "16").then_some(Rejection::Token))`. Without it such a response
//!   counts as accepted.
//! - The rule sees headers, where a server puts the status if it has not begun to respond. A status in trailers comes too late
//!   for a replay. Tell the layer instead: call `handle.token()` before the call and `handle.invalidate(&token)` after it. For
//!   short responses, an inner layer may collect the body, look at its trailers and leave a `Rejection` in the extensions.
//! - `tonic::body::Body` is not `Clone`. Wrap it above this layer with
//!   `.map_request(|request| request.map(|body| ReplayBody::new(body, limit)))`, and convert it back to tonic's body below. A
//!   rejected stream of messages is then replayed as well, within the limit.
//! - An error of this crate arrives as a `Status` with code `Unknown`; `AuthError::find(&status)` returns it.
//! - [`NotReplayed`](crate::rejection::NotReplayed) is in the extensions of responses. A `Status` has none, so look for the
//!   `action` of the event "response rejected".
//!
//! See `examples/tonic.rs` for calls and streams.
//!
//! # Reverse proxies
//!
//! - Build the URI from the API's scheme and authority and the caller's path. Never let the caller's text become the host.
//! - Remove the caller's `Authorization` above the layer. It was meant for your proxy, and the layer would keep it and send no
//!   token. [`overwrite_authorization`](crate::AuthLayerBuilder::overwrite_authorization) replaces it instead; use that only if
//!   all your callers are trusted.
//! - Answer `TRACE` yourself, with a 501 for example. The response repeats the headers of the request, and would show the caller
//!   your token; the layer adds none to it.
//! - Remove the headers that belong to one connection (RFC 9110, section 7.6.1) and `Host`, in both directions.
//! - Turn a 401 of the API into a 502. It is about the proxy's credentials, not the caller's.
//! - `axum::body::Body` is not `Clone`. Wrap it in a `ReplayBody`, collect it (`axum::body::to_bytes` with a limit), or use
//!   `NoReplay`.
//!
//! See `examples/proxy.rs` for a complete program.
//!
//! Next: [`client_authentication`](super::client_authentication).
//!
//! [`AuthMiddleware`]: crate::reqwest::AuthMiddleware
//! [`HttpsClient`]: crate::client::HttpsClient
//! [`ReqwestService`]: crate::reqwest::ReqwestService
