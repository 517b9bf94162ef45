//! Clients: where each HTTP client has a place for the layer.
//!
//! | client | where the layer goes | bodies that can be replayed | run by |
//! |---|---|---|---|
//! | [`HttpsClient`] and [hyper-util](#hyper-util) | `ServiceBuilder::layer` | any that are `Clone`; streams in a [`ReplayBody`] | `tests/transports`, `tests/newcomer` |
//! | [reqwest-middleware](#reqwest) | `.with(AuthMiddleware::from(auth))` | all but streams | `tests/transports`, `tests/newcomer`, `examples/reqwest.rs` |
//! | [reqwest](#reqwest) as a Tower service | [`ReqwestService`] | as with hyper-util | `tests/transports` |
//! | [tonic](#tonic), a channel | `ServiceBuilder::layer` | messages and streams in a [`ReplayBody`] | `tests/transports`, `examples/tonic.rs` |
//! | [tonic](#tonic), a generated client | `GreeterClient::new(stack)` | the same | `tests/newcomer` |
//! | [axum as a reverse proxy](super::transports#reverse-proxies) | around the client in the handler's state | what the handler collects, or a [`ReplayBody`] | `tests/transports`, `examples/proxy.rs` |
//! | [kube](#kube-and-octocrab) | `ClientBuilder::with_layer` | all but streams, with a policy of five lines | `examples/clients/kube` |
//! | [octocrab](#kube-and-octocrab) | `OctocrabBuilder::with_layer` | all but streams, with a policy of five lines | `examples/clients/octocrab` |
//! | [async-openai](#async-openai) | `Client::with_http_service` | all but streams | `examples/clients/async-openai` |
//! | [progenitor](#progenitor) | hooks of the generated client, with a [`TokenHandle`] | all but streams, by the hook | `examples/clients/progenitor` |
//! | [openapi-generator](#openapi-generator) | the `client` of its `Configuration` | all but streams | `tests/transports` |
//! | [SDKs of cloud providers](#sdks-of-cloud-providers) | none | | |
//!
//! `tests/all.sh` runs all of them.
//!
//! # reqwest
//!
//! Most programs use reqwest. With [`AuthMiddleware`] they keep its interface:
//!
//! ```toml
//! [dependencies]
//! tower-outbound-auth = { version = "0.1", features = ["reqwest"] }
//! reqwest = { version = "0.13", features = ["json"] }
//! reqwest-middleware = { version = "0.5", features = ["json"] }
//! serde_json = "1"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! ```
//!
//! ```ignore
//! use reqwest_middleware::ClientBuilder;
//! use serde_json::{Value, json};
//! use tower_outbound_auth::reqwest::{AuthMiddleware, redirect_policy};
//! use tower_outbound_auth::{AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let credentials = Credentials::from_env("CLIENT_ID", "CLIENT_SECRET")?;
//!     let grant = ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials).build()?;
//!     let auth = AuthLayer::builder(grant).origin("https://api.example.com").build()?;
//!     let client = reqwest::Client::builder().redirect(redirect_policy()).no_proxy().build()?;
//!     let client = ClientBuilder::new(client).with(AuthMiddleware::from(auth)).build();
//!
//!     let order = json!({ "article": 7 });
//!     let response = client.post("https://api.example.com/orders").json(&order).send().await?;
//!     println!("{}: {}", response.status(), response.json::<Value>().await?);
//!     Ok(())
//! }
//! ```
//!
//! This test runs as it stands. A token is revoked, and reqwest's caller does not notice:
//!
//! ```
//! # #[cfg(all(feature = "client", feature = "reqwest", feature = "sandbox"))] {
//! use reqwest_middleware::ClientBuilder;
//! use tower_outbound_auth::{
//!     BoxError, paynet,
//!     reqwest::{AuthMiddleware, redirect_policy},
//!     sandbox::Sandbox,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn run() -> Result<(), BoxError> {
//! let sandbox = Sandbox::start().await?;
//! let paynet = paynet::layer(&sandbox.environment(), sandbox.credentials())?;
//! let client = reqwest::Client::builder().redirect(redirect_policy()).no_proxy().build()?;
//! let client = ClientBuilder::new(client).with(AuthMiddleware::from(paynet)).build();
//!
//! let url = format!("{}/v1/reports/types", sandbox.environment().api_origin());
//! assert_eq!(client.get(&url).send().await?.status(), 200);
//! sandbox.revoke_tokens();
//! assert_eq!(client.get(&url).send().await?.status(), 200);
//! assert_eq!(sandbox.stats().token_requests, 2);
//! # Ok(()) }
//! # run().unwrap();
//! # }
//! ```
//!
//! - `no_proxy()`: without it reqwest sends plain `http` requests, with their secrets, to a proxy that the environment names; see
//!   [transports](super::transports#reqwest).
//! - The documentation of the [module](crate::reqwest) tells about redirects, the order of middlewares, and compiler messages.
//! - `reqwest::Client` alone has no place for a layer. `ClientBuilder::connector_layer` wraps the service that opens
//!   connections: it sees no headers and no status, and is not called for a request on an open connection.
//! - In a Tower stack, [`ReqwestService`] takes the place of hyper-util's client. It is a `transport` for token requests, too.
//! - `reqwest::blocking` is not supported: a token fetch is a task, and the layer a future.
//! - If another middleware adds tokens, leave out one of the two. A request with an `Authorization` header passes
//!   `AuthMiddleware` untouched.
//!
//! # hyper-util
//!
//! ```toml
//! [dependencies]
//! tower-outbound-auth = "0.1"
//! bytes = "1"
//! http = "1"
//! http-body-util = "0.1"
//! hyper-rustls = { version = "0.27", default-features = false, features = ["http1", "http2", "ring", "webpki-tokio"] }
//! hyper-util = { version = "0.1", features = ["client-legacy", "tokio"] }
//! rustls = { version = "0.23", default-features = false, features = ["ring"] }
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! tower = { version = "0.5", features = ["util"] }
//! ```
//!
//! ```ignore
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::{BodyExt, Full};
//! use hyper_rustls::HttpsConnectorBuilder;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use rustls::crypto::ring;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_outbound_auth::{AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let credentials = Credentials::from_env("CLIENT_ID", "CLIENT_SECRET")?;
//!     let grant = ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials).build()?;
//!     let auth = AuthLayer::builder(grant).origin("https://api.example.com").build()?;
//!
//!     let https = HttpsConnectorBuilder::new().with_provider_and_webpki_roots(ring::default_provider())?;
//!     let https = https.https_or_http().enable_all_versions().build();
//!     let client = ServiceBuilder::new().layer(auth).service(Client::builder(TokioExecutor::new()).build(https));
//!
//!     let request = Request::get("https://api.example.com/orders").body(Full::<Bytes>::default())?;
//!     let response = client.oneshot(request).await?;
//!     println!("{}: {:?}", response.status(), response.into_body().collect().await?.to_bytes());
//!     Ok(())
//! }
//! ```
//!
//! # tonic
//!
//! ```toml
//! [dependencies]
//! tower-outbound-auth = "0.1"
//! http = "1"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! tonic = { version = "0.14", features = ["tls-ring", "tls-webpki-roots"] }
//! tonic-health = "0.14"
//! tower = { version = "0.5", features = ["util"] }
//! ```
//!
//! ```ignore
//! use tonic::{
//!     body::Body,
//!     transport::{Channel, ClientTlsConfig},
//! };
//! use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
//! use tower::ServiceBuilder;
//! use tower_outbound_auth::{
//!     AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant, rejection::Rejection, replay::ReplayBody,
//! };
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let credentials = Credentials::from_env("CLIENT_ID", "CLIENT_SECRET")?;
//!     let grant = ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials).build()?;
//!     let auth = AuthLayer::builder(grant)
//!         .origin("https://api.example.com")
//!         .allow_relative_uri() // a channel is bound to one server, and adds its name below the layer
//!         .reject_when(|head| (head.headers.get("grpc-status")? == "16").then_some(Rejection::Token))
//!         .build()?;
//!
//!     let tls = ClientTlsConfig::new().with_webpki_roots();
//!     let channel = Channel::from_static("https://api.example.com").tls_config(tls)?.connect_lazy();
//!     let channel = ServiceBuilder::new()
//!         .map_request(|request: http::Request<Body>| request.map(|body| ReplayBody::new(body, 1 << 20)))
//!         .layer(auth)
//!         .map_request(|request: http::Request<ReplayBody<Body>>| request.map(Body::new))
//!         .service(channel);
//!
//!     // `HealthClient` stands for your generated client.
//!     let mut client = HealthClient::new(channel);
//!     let response = client.check(HealthCheckRequest::default()).await?;
//!     println!("{:?}", response.into_inner().status());
//!     Ok(())
//! }
//! ```
//!
//! [Transports](super::transports#tonic) explains each of these settings.
//!
//! # kube and octocrab
//!
//! Both take any layer. Three things matter:
//!
//! - The base URI goes outside, by a later `with_layer`: the layer checks the origin, so it has to see the whole URI.
//! - Leave out the client's own authentication (kube's `auth_layer`; `AuthState::None` in octocrab).
//! - The body needs a policy. kube's is not `Clone`. octocrab's is, but its clones share one stream: with
//!   [`CloneBody`](crate::replay::CloneBody) a replay would send an empty body, without an error. Both have `try_clone`:
//!
//! ```ignore
//! #[derive(Clone)]
//! struct CopyOctoBody;
//!
//! impl Replay<OctoBody> for CopyOctoBody {
//!     fn clone_body(&self, body: &OctoBody) -> Option<OctoBody> {
//!         if body.is_end_stream() { Some(OctoBody::empty()) } else { body.try_clone() }
//!     }
//! }
//! ```
//!
//! # async-openai
//!
//! Its service gets a factory of `reqwest::Request`s (feature `middleware`). A client with [`AuthMiddleware`] sends them:
//!
//! ```ignore
//! let service = service_fn(move |request: HttpRequestFactory| {
//!     let http = http.clone();
//!     async move { Ok::<_, BoxError>(http.execute(request.build().await?).await?) }
//! });
//! let client = Client::with_config(config).with_http_service(service);
//! ```
//!
//! It always sends an API key, which the layer would keep: set
//! [`overwrite_authorization`](crate::AuthLayerBuilder::overwrite_authorization).
//!
//! # progenitor
//!
//! A generated client sends by a `reqwest::Client`, so there is no place for a layer. Its hooks work with the [`TokenHandle`]
//! of a layer: `pre` waits for the token and writes the header, `exec` sends, and after a 401 calls
//! [`invalidate`](crate::token::TokenHandle::invalidate) and sends a copy with the next token. Nothing checks the origin
//! there, so use the handle for a base URL that is yours. Renewals are not limited by
//! [`renewal_budget`](crate::token::RefreshPolicy::renewal_budget): an API that answers each call with 401 costs a token
//! request each.
//!
//! # openapi-generator
//!
//! Its Rust generator, with `library=reqwest` and `supportMiddleware=true`, sends by a `ClientWithMiddleware`, which is the
//! `client` of `Configuration`. Leave the configuration's tokens and keys empty. If the generated `Cargo.toml` names older
//! versions, set `reqwest` to 0.13 and `reqwest-middleware` to 0.5: a middleware fits one version of both.
//!
//! # SDKs of cloud providers
//!
//! No layer goes into the SDKs of AWS, Azure and Google Cloud. They sign requests themselves, after their own retries have
//! chosen an endpoint. Their HTTP client is below that: a token added there would come after the signature, and a replay would
//! repeat the signature. For a service that takes bearer tokens, implement the SDK's own trait for token providers with
//! [`TokenHandle::token`].
//!
//! Next: [`transports`](super::transports).
//!
//! [`AuthMiddleware`]: crate::reqwest::AuthMiddleware
//! [`HttpsClient`]: crate::client::HttpsClient
//! [`ReplayBody`]: crate::replay::ReplayBody
//! [`ReqwestService`]: crate::reqwest::ReqwestService
//! [`TokenHandle`]: crate::token::TokenHandle
//! [`TokenHandle::token`]: crate::token::TokenHandle::token
