//! The token request of the OAuth 2.0 client-credentials grant (RFC 6749, section 4.4).

mod builder;
#[cfg(feature = "client")]
mod diagnose;
mod exchange;
mod grant;
pub(crate) mod wire;

pub use self::{
    builder::{ClientAuth, ClientCredentialsGrantBuilder},
    grant::ClientCredentialsGrant,
};
