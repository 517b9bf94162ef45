//! The way to servers that the ready-made client does not reach: a private CA, mutual TLS, a proxy.
//!
//! [`ClientCredentials`](crate::ClientCredentials) brings a transport of its own, which trusts Mozilla's roots and connects
//! straight. Where that is not how things are, build a [`Transport`] (feature `client`); it carries the requests to the API
//! as well as those for tokens.

pub(crate) mod builder;
pub(crate) mod client_credentials;
mod exchange;
#[cfg(feature = "client")]
mod transport;
#[cfg(feature = "client")]
mod trouble;
mod wire;

#[cfg(feature = "client")]
pub use self::transport::{Transport, TransportBuilder};
pub use self::{
    builder::{ClientAuth, ClientCredentialsBuilder as ClientCredentialsGrantBuilder},
    client_credentials::ClientCredentials as ClientCredentialsGrant,
};
