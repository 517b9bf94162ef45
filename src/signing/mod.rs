//! Request signatures: who makes them, and which requests get them.
//!
//! Some APIs require a signature next to the access token. A [`Signer`] makes the headers of a signature, and [`SignRules`]
//! select the requests that get them. [`AuthLayerBuilder::sign`](crate::AuthLayerBuilder::sign) takes both.
//!
//! [`TimestampHmac`] signs the current time with the client secret, as PayNet requires. For any other scheme pass a closure
//! to [`signer_fn`], or implement [`Signer`].
//!
//! # Example
//!
//! ```
//! # #[cfg(feature = "client")] {
//! use http::Method;
//! use tower_outbound_auth::{
//!     AuthError, AuthLayer, Credentials,
//!     oauth::ClientCredentialsGrant,
//!     signing::{SignRules, TimestampHmac},
//! };
//!
//! fn layer(credentials: Credentials) -> Result<AuthLayer, AuthError> {
//!     let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone()).build()?;
//!     let rules = SignRules::paths(["/v1/orders", "/v1/orders/{id}"])?.only([Method::POST, Method::PUT]);
//!     AuthLayer::builder(grant)
//!         .origin("https://api.example.com")
//!         .sign(rules, TimestampHmac::sha256(credentials))
//!         .build()
//! }
//!
//! assert!(layer(Credentials::new("my-client", "my-secret")).is_ok());
//! # }
//! ```
//!
//! # When a request is signed
//!
//! - Only a request that gets the access token can be signed. A request to another origin never is.
//! - The signature is made last, just before the inner service is called. A replayed request is signed again, with the new
//!   token and the current time.
//! - The headers of the signature replace headers of the same name in the request, and are marked sensitive.
//! - If the signer returns an error, the request fails with that error. It is never sent unsigned.
//! - The extension [`Sign`] overrides the rules for one request.
//!
//! A signer does not see the body. To sign a digest of the body, add the digest as a header in a layer outside of
//! [`AuthLayer`](crate::AuthLayer), where the signer finds it.

mod rules;
mod signer;
mod timestamp_hmac;

#[cfg(feature = "paynet")]
pub(crate) use self::timestamp_hmac::hmac_sha256;
pub use self::{
    rules::{NoAuth, Sign, SignRules},
    signer::{SignatureHeaders, Signer, SignerFn, SigningContext, signer_fn},
    timestamp_hmac::TimestampHmac,
};
