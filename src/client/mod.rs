//! HTTPS client over hyper-util and rustls, for token requests and for the API.
//!
//! [`ClientCredentialsGrant`](crate::oauth::ClientCredentialsGrant) has one of these already, with Mozilla's roots and
//! without a proxy. Build an [`HttpsClient`] yourself for a private certification authority, mutual TLS or a proxy, or
//! to call the API without choosing another HTTP client.

mod builder;
mod connector;
mod https;
#[cfg(feature = "native-roots")]
mod native_roots;
mod no_proxy;
mod pem;
mod proxy;

pub(crate) use self::connector::ProxyConnectError;
pub use self::{builder::HttpsClientBuilder, https::HttpsClient};
