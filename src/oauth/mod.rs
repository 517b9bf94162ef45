//! The token request of the OAuth 2.0 client-credentials grant (RFC 6749, section 4.4).

mod assertion;
mod assertion_file;
mod builder;
mod client_auth;
#[cfg(feature = "client")]
mod diagnose;
mod discovery;
mod echo;
mod encode;
mod endpoint;
mod exchange;
mod grant;
mod identity;
#[cfg(feature = "jwt")]
mod jwt;
mod members;
mod server;
mod wire;

#[cfg(all(feature = "jwt", feature = "sandbox"))]
pub(crate) use self::jwt::PublicKey;
#[cfg(feature = "jwt")]
pub use self::jwt::{Algorithm, Audience, PrivateKeyJwt};
pub use self::{
    assertion::{Assertion, AssertionRequest, AssertionSource},
    assertion_file::AssertionFile,
    builder::ClientCredentialsGrantBuilder,
    client_auth::ClientAuth,
    grant::ClientCredentialsGrant,
};
