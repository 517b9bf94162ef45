//! Security: what the crate defends, and what is left to you.
//!
//! An access token is a bearer token: anyone who holds it can use it (RFC 6750, section 1). A client secret can obtain tokens
//! until it is rotated. The crate keeps both away from everyone but the servers that you name. `SECURITY.md` in the repository
//! has the threat model: assets, the trust in each party, and for each threat the tests that hold the defense. This page is
//! the short form for users.
//!
//! # What is defended
//!
//! | what could happen | what the layer does |
//! |---|---|
//! | a URL from a response, a user or a redirect points to another server | it compares scheme, host and port with the configured origins at every call, and adds nothing to a request for any other server |
//! | a network without encryption | it refuses `http` beyond this machine, for the API and for the token endpoint |
//! | the token endpoint redirects | it does not follow |
//! | a log, an error or a panic message shows a secret | no `Debug`, `Display` or trace event contains one; headers are marked sensitive |
//! | a server repeats the secret in its error | only error codes of a fixed form are kept, and descriptions that repeat no credential |
//! | no token can be had | the request fails; it is never sent without its credential |
//! | a server is slow, silent, or sends without end | a token fetch ends after 30 s, each of its attempts after 10 s, and at most 64 KiB of a token response are read |
//! | an API rejects every token | it causes at most 10 token requests in the first minute, and then 6 a minute |
//! | two tenants share a client | a request without a key is not sent, and no request carries a credential of another key |
//! | the shared store of a fleet is read or written by others | tokens are encrypted, and a changed entry is not used |
//! | memory is dumped after the last use | secrets, tokens and signatures are overwritten when their last user is dropped |
//! | your callback panics | that call fails, and no other |
//!
//! This redirect leads to another host. The redirect layer is outside, so each hop passes through `AuthLayer`, which adds
//! nothing to the second one. Inside, the redirect layer would remove `Authorization` and send the API key to the other host:
//!
//! ```
//! use bytes::Bytes;
//! use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header::LOCATION};
//! use http_body_util::Full;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_http::follow_redirect::FollowRedirectLayer;
//! use tower_outbound_auth::AuthLayer;
//! # use tower_outbound_auth::token::{AccessToken, source_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let source = source_fn(|_| async { AccessToken::new("abc", None) });
//! let http = service_fn(|request: Request<Full<Bytes>>| async move {
//!     let mut response = Response::new(Full::<Bytes>::default());
//!     if request.uri().host() == Some("api.example.com") {
//!         assert_eq!(request.headers()["authorization"], "Bearer abc");
//!         assert_eq!(request.headers()["x-api-key"], "key-of-the-api");
//!         *response.status_mut() = StatusCode::FOUND;
//!         response.headers_mut().insert(LOCATION, "https://files.example.net/report".parse()?);
//!     } else {
//!         assert!(request.headers().is_empty());
//!     }
//!     Ok::<_, BoxError>(response)
//! });
//! let key = HeaderValue::from_static("key-of-the-api");
//! let auth = AuthLayer::builder(source)
//!     .origin("https://api.example.com")
//!     .header(HeaderName::from_static("x-api-key"), key)
//!     .build()?;
//! let client = ServiceBuilder::new().layer(FollowRedirectLayer::new()).layer(auth).service(http);
//!
//! let request = Request::get("https://api.example.com/report").body(Full::default())?;
//! assert_eq!(client.oneshot(request).await?.status(), 200);
//! # Ok(()) }
//! ```
//!
//! # What is left to you
//!
//! - **Put redirect layers outside** of `AuthLayer`, and turn off the redirects of the HTTP client inside, or use
//!   [`redirect_policy`](crate::reqwest::redirect_policy) with reqwest. [`stack_order`](super::stack_order) shows what leaks
//!   otherwise.
//! - **Turn off proxies from the environment** for clients that read them, such as reqwest's, with `no_proxy()`. A plain `http`
//!   request to this machine would go to the proxy with everything in it. See [transports](super::transports#reqwest).
//! - **Name origins.** [`any_origin`](crate::AuthLayerBuilder::any_origin) and
//!   [`allow_insecure_http`](crate::AuthLayerBuilder::allow_insecure_http) switch a defense off;
//!   [`allow_relative_uri`](crate::AuthLayerBuilder::allow_relative_uri) trusts the inner service to be bound to one server.
//! - **Keep secrets out of the source code.** Read them from [files](crate::Credentials::from_files) or the
//!   [environment](crate::Credentials::from_env), or use an [assertion](super::client_authentication), which needs no shared
//!   secret.
//! - **Request few rights**: a [scope for each route](super::many_tokens#a-scope-for-each-route) limits the damage of a leaked
//!   token.
//! - **Look at the layers inside.** They see the headers. tower-http's `TraceLayer` and `{:?}` of a `HeaderMap` show
//!   `Sensitive` for the layer's headers; code that reads the values can show them.
//! - **A compromised process** is not defended: code that can read its memory can read its tokens.
//!
//! Report a vulnerability as `SECURITY.md` says, and not in a public issue.
