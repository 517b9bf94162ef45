//! Many tokens behind one client: a key in each request selects the credentials, scope or audience that it is sent with.
//!
//! Use it in a service that acts for many tenants, or that calls servers which each need another token. Written by
//! hand, such a cache of tokens is a frequent security bug: its key forgets something that tells two tokens apart, and
//! one tenant's request goes out with another tenant's token. Here the key has a type that you define, and one function
//! makes everything that depends on it.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_outbound_auth::{AuthLayer, Credentials, keyed::KeyedAuthLayer, oauth::ClientCredentialsGrant};
//!
//! /// Selects the credentials of a request.
//! #[derive(Clone, PartialEq, Eq, Hash)]
//! struct Tenant(String);
//!
//! # fn credentials_of(tenant: &Tenant) -> Credentials { Credentials::new(&*tenant.0, "secret") }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let authorization_server = service_fn(|_: Request<Full<Bytes>>| async {
//! #     let token = r#"{ "access_token": "abc", "token_type": "Bearer", "expires_in": 3600 }"#;
//! #     Ok::<_, BoxError>(Response::new(token.to_owned()))
//! # });
//! # let http = service_fn(|request: Request<String>| async move {
//! #     assert_eq!(request.headers()["authorization"], "Bearer abc");
//! #     Ok::<_, BoxError>(Response::new(String::new()))
//! # });
//! let keyed = KeyedAuthLayer::builder(move |tenant: &Tenant| {
//!     let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials_of(tenant));
//! #   let grant = grant.transport(authorization_server.clone());
//!     AuthLayer::builder(grant.build()?).origin("https://api.example.com").build()
//! })
//! .build();
//! let client = ServiceBuilder::new().layer(keyed).service(http);
//!
//! let request = Request::get("https://api.example.com/orders").extension(Tenant("acme".into())).body(String::new())?;
//! assert_eq!(client.oneshot(request).await?.status(), 200);
//! # Ok(()) }
//! ```
//!
//! [`guide::many_tokens`](crate::guide::many_tokens) has whole programs: many tenants, a scope for each route, an audience for
//! each host, and how to stack a few layers without this module.
//!
//! # The key
//!
//! The key is looked for in the request's extensions, or by the function that [`KeyedAuthLayerBuilder::key`] sets. A request
//! without a key is not sent and fails with [`Config`](crate::ErrorKind::Config): there is no default tenant. A request with
//! [`NoAuth`](crate::NoAuth) needs none.
//!
//! Define a type for the key rather than using a `String`, which other code may put into the extensions for other
//! reasons. Put everything into it that alters the token: its `Eq` decides which requests share one. No key is written
//! to any `Debug`, error, span or metric; name the layers in `make` with
//! [`AuthLayerBuilder::name`](crate::AuthLayerBuilder::name) if you want to tell them apart.
//!
//! # Entries
//!
//! Each key has an entry: an [`AuthLayer`](crate::AuthLayer) with its own token, fetch, backoff, renewal budget, origins and
//! signer. It is made when a request, or [`KeyedAuthLayer::handle`], first asks for it, and evicted when it is idle or its
//! place is needed. A key never has two entries in use at once, except after [`KeyedAuthLayer::remove`].
//!
//! | when | then |
//! |---|---|
//! | many requests come for a new key | one entry is kept, and one token is fetched |
//! | `make` fails | its caller gets the error; the next request calls `make` again |
//! | `make` panics | its caller panics; other callers are not affected |
//! | an entry is evicted while requests, handles or a token fetch use it | they go on; requests that come meanwhile join them |
//! | an entry is evicted while its backoff runs | the backoff goes on |
//! | a key is removed | later requests call `make`; earlier ones finish, then the secrets are wiped |

mod bucket;
mod builder;
mod entries;
mod service;
mod table;

pub use self::{
    builder::{KeyedAuthLayer, KeyedAuthLayerBuilder},
    service::KeyedAuth,
};
