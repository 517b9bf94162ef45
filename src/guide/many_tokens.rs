//! Many tokens: tenants, scopes and audiences behind one client.
//!
//! Use [`keyed`](crate::keyed) if the requests of one client need different tokens, and a value in each request, or its URI,
//! tells which. Three short programs follow. In each, the servers are functions, so that it runs: the API answers with the
//! token that it received.
//!
//! # Many tenants
//!
//! A payment provider acts for many merchants, each with an id and a secret. The code that knows the tenant puts it into the
//! request's extensions:
//!
//! ```
//! use std::collections::HashMap;
//!
//! use http::Request;
//! use tower::{BoxError, ServiceBuilder, ServiceExt};
//! use tower_outbound_auth::{AuthError, AuthLayer, Credentials, ErrorKind, keyed::KeyedAuthLayer, oauth::ClientCredentialsGrant};
//!
//! /// Selects the credentials of a request.
//! #[derive(Clone, PartialEq, Eq, Hash)]
//! struct Tenant(u64);
//!
//! # use http::Response;
//! # use http_body_util::{BodyExt, Full};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # // Issues tokens that are named after the client id in the form.
//! # let authorization_server = tower::service_fn(|request: Request<Full<bytes::Bytes>>| async move {
//! #     let form = request.into_body().collect().await?.to_bytes();
//! #     let form: HashMap<_, _> = form_urlencoded::parse(&form).collect();
//! #     Ok::<_, BoxError>(Response::new(format!(r#"{{"access_token":"token-of-{}"}}"#, form["client_id"])))
//! # });
//! # let http = tower::service_fn(|request: Request<String>| async move {
//! #     Ok::<_, BoxError>(Response::new(request.headers()["authorization"].to_str().unwrap().to_owned()))
//! # });
//! # let read_from_your_store = || HashMap::from([(7, Credentials::new("acme", "1")), (8, Credentials::new("umbrella", "2"))]);
//! let credentials: HashMap<u64, Credentials> = read_from_your_store();
//! let keyed = KeyedAuthLayer::builder(move |tenant: &Tenant| {
//!     let credentials = credentials.get(&tenant.0).cloned();
//!     let credentials = credentials.ok_or_else(|| AuthError::new(ErrorKind::Denied, "no such tenant"))?;
//!     let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials);
//! #   let grant = grant.transport(authorization_server.clone());
//!     AuthLayer::builder(grant.build()?).origin("https://api.example.com").build()
//! })
//! .build();
//! let client = ServiceBuilder::new().layer(keyed.clone()).service(http);
//!
//! let request = |tenant| Request::get("https://api.example.com/payments").extension(Tenant(tenant)).body(String::new());
//! assert_eq!(client.clone().oneshot(request(7)?).await?.body(), "Bearer token-of-acme");
//! assert_eq!(client.clone().oneshot(request(8)?).await?.body(), "Bearer token-of-umbrella");
//! assert!(client.clone().oneshot(request(9)?).await.is_err());
//!
//! // A request that names no tenant is not sent.
//! let request = Request::get("https://api.example.com/payments").body(String::new())?;
//! assert!(client.oneshot(request).await.is_err());
//!
//! // A tenant has left, or its credentials were replaced: later requests call the function again.
//! keyed.remove(&Tenant(7));
//! # Ok(()) }
//! ```
//!
//! To rotate a secret without a gap, keep the tenant's [`Credentials`] and call [`rotate`](crate::Credentials::rotate) instead
//! of `remove`. For PayNet, build each layer with [`paynet::auth`](crate::paynet::auth), and put one
//! [`RejectionLayer`](crate::paynet::RejectionLayer) inside; `examples/tenants.rs` is such a program.
//!
//! # A scope for each route
//!
//! Tokens with few rights do little harm when they leak. Here a token for reading serves `GET`, and another one the rest. Both
//! are of one client, so the key is the scope:
//!
//! ```
//! use http::{Method, Request};
//! use tower::{BoxError, ServiceBuilder, ServiceExt};
//! use tower_outbound_auth::{AuthLayer, Credentials, keyed::KeyedAuthLayer, oauth::ClientCredentialsGrant};
//!
//! # use http::Response;
//! # use http_body_util::{BodyExt, Full};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # // Issues tokens that are named after the scope in the form.
//! # let authorization_server = tower::service_fn(|request: Request<Full<bytes::Bytes>>| async move {
//! #     let form = request.into_body().collect().await?.to_bytes();
//! #     let form: std::collections::HashMap<_, _> = form_urlencoded::parse(&form).collect();
//! #     Ok::<_, BoxError>(Response::new(format!(r#"{{"access_token":"token-for-{}"}}"#, form["scope"])))
//! # });
//! # let http = tower::service_fn(|request: Request<String>| async move {
//! #     Ok::<_, BoxError>(Response::new(request.headers()["authorization"].to_str().unwrap().to_owned()))
//! # });
//! let credentials = Credentials::new("my-client", "my-secret");
//! let keyed = KeyedAuthLayer::builder(move |scope: &&'static str| {
//!     let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone());
//! #   let grant = grant.transport(authorization_server.clone());
//!     AuthLayer::builder(grant.scope(*scope).build()?).origin("https://api.example.com").build()
//! })
//! .key(|head| Some(if head.method == Method::GET { "orders:read" } else { "orders:write" }))
//! .build();
//! let client = ServiceBuilder::new().layer(keyed).service(http);
//!
//! let get = Request::get("https://api.example.com/orders").body(String::new())?;
//! assert_eq!(client.clone().oneshot(get).await?.body(), "Bearer token-for-orders:read");
//! let post = Request::post("https://api.example.com/orders").body("{}".to_owned())?;
//! assert_eq!(client.oneshot(post).await?.body(), "Bearer token-for-orders:write");
//! # Ok(()) }
//! ```
//!
//! # An audience for each host
//!
//! A service calls many others, each of which accepts only tokens that are issued for it. The host of the request is the key,
//! and the only origin that may receive the token:
//!
//! ```
//! use http::Request;
//! use tower::{BoxError, ServiceBuilder, ServiceExt};
//! use tower_outbound_auth::{AuthError, AuthLayer, Credentials, ErrorKind, keyed::KeyedAuthLayer, oauth::ClientCredentialsGrant};
//!
//! # use http::Response;
//! # use http_body_util::{BodyExt, Full};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # // Issues tokens that are named after the audience in the form.
//! # let authorization_server = tower::service_fn(|request: Request<Full<bytes::Bytes>>| async move {
//! #     let form = request.into_body().collect().await?.to_bytes();
//! #     let form: std::collections::HashMap<_, _> = form_urlencoded::parse(&form).collect();
//! #     Ok::<_, BoxError>(Response::new(format!(r#"{{"access_token":"token-for-{}"}}"#, form["audience"])))
//! # });
//! # let http = tower::service_fn(|request: Request<String>| async move {
//! #     Ok::<_, BoxError>(Response::new(request.headers()["authorization"].to_str().unwrap().to_owned()))
//! # });
//! let credentials = Credentials::new("my-client", "my-secret");
//! let keyed = KeyedAuthLayer::builder(move |host: &String| {
//!     // Without this check, a URL that an attacker chooses would get a token for the attacker's host.
//!     if !host.ends_with(".internal.example.com") {
//!         return Err(AuthError::new(ErrorKind::Config, "not a service of ours"));
//!     }
//!     let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone());
//! #   let grant = grant.transport(authorization_server.clone());
//!     let grant = grant.audience(format!("https://{host}")).build()?;
//!     AuthLayer::builder(grant).origin(&format!("https://{host}")).build()
//! })
//! .key(|head| Some(head.uri.host()?.to_ascii_lowercase()))
//! .build();
//! let client = ServiceBuilder::new().layer(keyed).service(http);
//!
//! for host in ["stock.internal.example.com", "billing.internal.example.com"] {
//!     let request = Request::get(format!("https://{host}/status")).body(String::new())?;
//!     let response = client.clone().oneshot(request).await?;
//!     assert_eq!(*response.body(), format!("Bearer token-for-https://{host}"));
//! }
//! # Ok(()) }
//! ```
//!
//! # A few fixed audiences: stack the layers
//!
//! Without a key: one [`AuthLayer`](crate::AuthLayer) for each origin, one around the other. A layer leaves requests to other
//! origins alone, so each request is authenticated by the layer of its origin, or not at all:
//!
//! ```
//! use http::Request;
//! use tower::{BoxError, ServiceBuilder, ServiceExt};
//! use tower_outbound_auth::AuthLayer;
//! # use http::Response;
//! # use tower_outbound_auth::token::{AccessToken, source_fn};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let source = |token: &'static str| source_fn(move |_| async move { AccessToken::new(token, None) });
//! # let (orders, stock) = (source("for-orders"), source("for-stock"));
//! # let http = tower::service_fn(|request: Request<String>| async move {
//! #     Ok::<_, BoxError>(Response::new(request.headers()["authorization"].to_str().unwrap().to_owned()))
//! # });
//! let client = ServiceBuilder::new()
//!     .layer(AuthLayer::builder(orders).origin("https://orders.example.com").build()?)
//!     .layer(AuthLayer::builder(stock).origin("https://stock.example.com").build()?)
//!     .service(http);
//!
//! let request = Request::get("https://stock.example.com/").body(String::new())?;
//! assert_eq!(client.oneshot(request).await?.body(), "Bearer for-stock");
//! # Ok(()) }
//! ```
//!
//! # How many entries
//!
//! [`capacity`](crate::keyed::KeyedAuthLayerBuilder::capacity), 1,000 by default, should exceed the number of keys that are in
//! use within the lifetime of a token. If it does not, keys evict each other, and each return costs a token request. An entry
//! takes about 2.5 KiB with a token of 800 bytes. A request that finds its token pays for one look-up:
//! some 80 ns with up to 100 keys, and up to four times that where keys and tokens are more than the processor's caches hold.
//!
//! Choose keys that you know, not text that a caller sends: a caller could invent keys, and each would cost an entry and
//! perhaps a token request. Let `make` refuse unknown keys. A refused key is not kept.
//!
//! Next: [`fleet`](super::fleet).
//!
//! [`Credentials`]: crate::Credentials
