//! PayNet Malaysia: environments, token request, signature and rejections.
//!
//! PayNet's reports API takes a bearer token and, on some paths, a signature over the current time. It does not reject a
//! request with a 401: it answers `400` with a message in the body. [`layer`] handles all of it.
//!
//! # Example
//!
//! ```
//! # #[cfg(feature = "client")] {
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower::ServiceBuilder;
//! use tower_outbound_auth::{Credentials, paynet};
//!
//! # fn stack() -> Result<(), Box<dyn std::error::Error>> {
//! let credentials = Credentials::from_env("PAYNET_CLIENT_ID", "PAYNET_CLIENT_SECRET")?;
//! let https = hyper_rustls::HttpsConnectorBuilder::new()
//!     .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
//!     .https_only()
//!     .enable_http1()
//!     .build();
//! let client = ServiceBuilder::new()
//!     .layer(paynet::layer(&paynet::Environment::non_production(), credentials)?)
//!     .service(Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(https));
//! # drop(client);
//! # Ok(()) }
//! # }
//! ```
//!
//! To change a setting, such as a static [`X_FIID`] header, start from [`auth`]; see [`PayNetLayer`].
//!
//! # Messages
//!
//! | status | message | what happens |
//! |---|---|---|
//! | 400 | `Access to this resource is forbidden` | the token is renewed and the request replayed once; the FI ID may be wrong instead |
//! | 400 | `Timestamp not within valid range` | PayNet's clock is learnt, and the request signed and replayed once |
//! | 400 | `Timestamp is required`, `Signature is required` | returned to the caller: the path is missing from the [`SignRules`] |
//! | 400 | `Invalid signature` | returned to the caller: the client secret is wrong |
//! | 400, 403 | `X-Fiid is required` | returned to the caller: set a static [`X_FIID`] header |
//!
//! PayNet does not document the JSON around a message. A message is recognized if it is a whole string value anywhere in the
//! JSON document, or the whole body; never as a part of a longer text, since an answer may quote what a user wrote.
//!
//! # Limits
//!
//! - The signature covers the time only, so it does not protect a request from being changed; see
//!   [`TimestampHmac`](crate::signing::TimestampHmac).
//! - Origin and signed paths are those that PayNet documents for the reports API. For another product, start from [`auth`]
//!   and add its origin and its [`SignRules`].
//! - The one-time URL of a report points to a host that PayNet does not document. A request to it gets no credentials, since
//!   that host is not an origin of the layer, and is never replayed, since the URL works once.

mod environment;
mod layer;
mod peek;
mod rejection;

use std::mem;

use http::HeaderName;

#[cfg(feature = "client")]
pub use self::layer::{auth, layer};
pub use self::{
    environment::Environment,
    layer::PayNetLayer,
    peek::PeekedBody,
    rejection::{RejectionFuture, RejectionLayer, Rejections},
};
use crate::{
    credentials::Credentials,
    oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    signing::{self, SignRules},
};

/// Header `X-Timestamp`: the signed unix time in seconds, in decimal.
pub const X_TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
/// Header `X-Signature`: HMAC-SHA256 over `X-Timestamp`, in lower-case hex.
pub const X_SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
/// Header `X-Fiid`: the financial institution's id, required by GraphQL.
pub const X_FIID: HeaderName = HeaderName::from_static("x-fiid");

/// Returns a builder for PayNet's token request.
///
/// The client id and the client secret are sent in the form body, without a scope. Use it to set a transport or a
/// timeout, or without the feature `client`; otherwise use [`layer`](fn@layer).
///
/// # Example
///
/// ```
/// # #[cfg(feature = "client")] {
/// use std::time::Duration;
/// use tower_outbound_auth::{
///     AuthError, AuthLayer, Credentials, paynet,
///     paynet::{Environment, PayNetLayer},
///     signing::TimestampHmac,
/// };
///
/// fn layer(env: &Environment, credentials: Credentials) -> Result<PayNetLayer, AuthError> {
///     let grant = paynet::grant(env, credentials.clone()).timeout(Duration::from_secs(5)).build()?;
///     let auth = AuthLayer::builder(grant)
///         .origin(env.api_origin())
///         .sign(paynet::sign_rules(), TimestampHmac::sha256(credentials))
///         .build()?;
///     Ok(PayNetLayer::from(auth))
/// }
///
/// assert!(layer(&Environment::production(), Credentials::new("my-client", "my-secret")).is_ok());
/// # }
/// ```
pub fn grant(env: &Environment, credentials: Credentials) -> ClientCredentialsGrantBuilder {
    ClientCredentialsGrant::builder(env.token_url(), credentials)
}

/// Returns the rules that select the documented paths that need a signature.
///
/// These are `/v1/reports/types`, `/v1/reports/download` and `/v2/reports/query`. For other endpoints use
/// [`SignRules::paths`], or sign single requests with [`Sign::Always`](crate::signing::Sign::Always).
pub fn sign_rules() -> SignRules {
    SignRules::matching(|_, uri| SIGNED_PATHS.contains(&uri.path()))
}

/// Returns PayNet's signature of a timestamp: HMAC-SHA256 in lower-case hex.
///
/// This is the function of PayNet's sample code, for tests and for servers. A layer signs with
/// [`TimestampHmac`](crate::signing::TimestampHmac), which refuses an empty secret; this function does not.
///
/// # Example
///
/// ```
/// let signature = tower_outbound_auth::paynet::signature("1700000000", "my_client_secret");
/// assert_eq!(signature, "d21a14882d7cb3107ae340b6920ad74d3b12ba4abc6d9a4139fe2a49a7309190");
/// ```
pub fn signature(timestamp: &str, client_secret: &str) -> String {
    // Never an error: HMAC takes a key of any length (RFC 2104, section 3).
    let signature = signing::hmac_sha256(client_secret, timestamp.as_bytes());
    signature.map(|mut signature| mem::take(&mut *signature)).unwrap_or_default()
}

const SIGNED_PATHS: [&str; 3] = ["/v1/reports/types", "/v1/reports/download", "/v2/reports/query"];
