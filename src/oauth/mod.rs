//! The token request of the OAuth 2.0 client-credentials grant (RFC 6749, section 4.4).

mod builder;
mod client_auth;
#[cfg(feature = "client")]
mod diagnose;
mod echo;
mod encode;
mod exchange;
mod grant;
mod identity;
mod members;
mod wire;

pub use self::{builder::ClientCredentialsGrantBuilder, client_auth::ClientAuth, grant::ClientCredentialsGrant};
