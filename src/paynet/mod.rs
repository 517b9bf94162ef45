//! PayNet Malaysia: its environments, its token request, its signature, and how it says no.
//!
//! PayNet documents rejections as `400` with a message in the body, so a client needs two layers: [`auth`] logs it in,
//! and [`RejectionLayer`], under it, reads the messages.
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
//!     .layer(paynet::auth(&paynet::Environment::non_production(), credentials)?.build()?)
//!     .layer(paynet::RejectionLayer)
//!     .service(Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(https));
//! # drop(client);
//! # Ok(()) }
//! # }
//! ```
//!
//! # Which message means what
//!
//! | status | message | what is done |
//! |---|---|---|
//! | 400 | `Access to this resource is forbidden` | a new token, and the request once more; the FI ID may be wrong instead |
//! | 400 | `Timestamp not within valid range` | PayNet's clock is learnt, and the request signed and sent once more |
//! | 400 | `Timestamp is required`, `Signature is required` | nothing: the path is missing in the [`SignRules`] |
//! | 400 | `Invalid signature` | nothing: the client secret is wrong |
//! | 400, 403 | `X-Fiid is required` | nothing: add it with [`header`](crate::AuthLayerBuilder::header)`(X_FIID, ..)` |
//!
//! # What it does not do
//!
//! The signature covers the time and nothing else, so it protects no request from being changed: see
//! [its signer](crate::TimestampHmac). The one-time URL of a report is on a host that PayNet does not document; it gets
//! no credential, as it is no origin of the layer, and is sent once, since it is good for one download.

mod peek;
mod rejection;

use std::str::FromStr;

use http::HeaderName;

pub use self::{
    peek::PeekedBody,
    rejection::{RejectionFuture, RejectionLayer, Rejections},
};
use crate::{
    credentials::Credentials,
    error::AuthError,
    oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    origin::Origin,
    signing::{self, SignRules},
};
#[cfg(feature = "client")]
use crate::{
    layer::{AuthLayer, AuthLayerBuilder},
    signing::TimestampHmac,
};

/// `X-Timestamp`: the unix seconds that were signed, in decimal.
pub const X_TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
/// `X-Signature`: lower-case hex of HMAC-SHA256 over the timestamp.
pub const X_SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
/// `X-Fiid`: the financial institution's id, which the GraphQL endpoint asks for.
pub const X_FIID: HeaderName = HeaderName::from_static("x-fiid");

/// Where PayNet gives out tokens, and the API that they are for.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::paynet::Environment;
///
/// let environment: Environment = "uat".parse()?;
/// assert_eq!(environment, Environment::non_production());
/// assert_eq!(environment.token_url(), "https://api.reports.uat.inet.paynet.my/token");
/// # Ok::<(), tower_outbound_auth::AuthError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    token_url: String,
    api_origin: String,
}

impl Environment {
    /// PayNet's UAT environment.
    pub fn non_production() -> Self {
        Self::at("https://api.reports.uat.inet.paynet.my/token", "https://api.reports.uat.inet.paynet.my")
    }

    /// PayNet's live environment.
    pub fn production() -> Self {
        Self::at("https://api.reports.paynet.my/token", "https://api.reports.paynet.my")
    }

    /// Any other place that behaves like PayNet: a gateway of one's own, or a server for tests.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the token URL is none, if the API's origin is not `https://host[:port]`, or
    /// if one of the two is plain `http` beyond this machine.
    pub fn custom(token_url: &str, api_origin: &str) -> Result<Self, AuthError> {
        let secure = |what: &str, origin: &Origin| {
            let refuse =
                || AuthError::config(format!("the {what} at {origin} would get secrets in the clear: use https"));
            origin.is_trusted().then_some(()).ok_or_else(refuse)
        };
        secure("token endpoint", &Origin::of_url("token_url", token_url)?.1)?;
        secure("API", &Origin::parse("api_origin", api_origin)?)?;
        Ok(Self::at(token_url, api_origin))
    }

    /// Where tokens are asked for.
    pub fn token_url(&self) -> &str {
        &self.token_url
    }

    /// Scheme, host and port of the reports API.
    pub fn api_origin(&self) -> &str {
        &self.api_origin
    }

    fn at(token_url: &str, api_origin: &str) -> Self {
        Self { token_url: token_url.to_owned(), api_origin: api_origin.to_owned() }
    }
}

impl FromStr for Environment {
    type Err = AuthError;

    /// Reads `production`, or `non-production` and its other name `uat`.
    fn from_str(name: &str) -> Result<Self, AuthError> {
        match name {
            "non-production" | "uat" => Ok(Self::non_production()),
            "production" => Ok(Self::production()),
            _ => Err(AuthError::config("the PayNet environment must be production, non-production or uat")),
        }
    }
}

/// Tokens as PayNet gives them out: id and secret in the form, no scope.
pub fn grant(env: &Environment, credentials: Credentials) -> ClientCredentialsGrantBuilder {
    ClientCredentialsGrant::builder(env.token_url(), credentials)
}

/// A layer for PayNet's reports API: its origin, its tokens, and signatures on the documented paths.
///
/// The builder takes more: a static [`X_FIID`], an origin of another product. Put [`RejectionLayer`] under the layer.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) for credentials that cannot be sent.
#[cfg(feature = "client")] // without it: `grant(..).transport(..)` and `sign_rules()`
pub fn auth(env: &Environment, credentials: Credentials) -> Result<AuthLayerBuilder, AuthError> {
    let source = grant(env, credentials.clone()).build()?;
    let signer = TimestampHmac::sha256(credentials);
    Ok(AuthLayer::builder(source).origin(env.api_origin()).sign(sign_rules(), signer))
}

/// The documented paths that need a signature.
///
/// For others, such as those of the merchant profile, name yours with [`SignRules::paths`], or mark single requests with
/// [`Sign::Always`](crate::Sign::Always).
pub fn sign_rules() -> SignRules {
    SignRules::matching(|_, uri| SIGNED.contains(&uri.path()))
}

/// PayNet's sample function: lower-case hex of HMAC-SHA256 over the timestamp.
///
/// # Example
///
/// ```
/// let signature = tower_outbound_auth::paynet::signature("1700000000", "my_client_secret");
/// assert_eq!(signature, "d21a14882d7cb3107ae340b6920ad74d3b12ba4abc6d9a4139fe2a49a7309190");
/// ```
pub fn signature(timestamp: &str, client_secret: &str) -> String {
    // HMAC takes a key of any length (RFC 2104, section 3).
    signing::hmac_sha256(client_secret, timestamp.as_bytes()).unwrap_or_default()
}

const SIGNED: [&str; 3] = ["/v1/reports/types", "/v1/reports/download", "/v2/reports/query"];
