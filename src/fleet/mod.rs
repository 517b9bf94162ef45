//! One token for many processes, kept in a store that they share.
//!
//! Without this module each process fetches its own token. That is right for most programs: a token request per process and
//! token lifetime is cheap, and there is nothing to operate. Use a [`SharedTokenSource`] if the authorization server counts or
//! charges token requests, or keeps one token per client and ends the old one when it issues another, so that the processes
//! take turns in revoking each other's token. The [guide](crate::guide::fleet) tells more.
//!
//! [`SharedTokenSource`] is a [`TokenSource`](crate::token::TokenSource) around another. It looks into a [`TokenStore`] before
//! it fetches; one process fetches, the others take what it published. The token is sealed, so that the store cannot read it.
//! A store that is slow, down or wrong never fails a request: the process then fetches for itself.
//!
//! # Example
//!
//! ```
//! use tower_outbound_auth::{
//!     AuthError, AuthLayer, Credentials,
//!     fleet::{MemoryStore, SharedTokenSource},
//!     oauth::ClientCredentialsGrant,
//! };
//!
//! # #[cfg(feature = "client")]
//! fn layer() -> Result<AuthLayer, AuthError> {
//!     let credentials = Credentials::new("my-client", "my-secret");
//!     let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone()).build()?;
//!     // In a fleet, a `RedisStore` or your own.
//!     let source = SharedTokenSource::builder(grant, MemoryStore::new()).credentials(&credentials).build()?;
//!     AuthLayer::builder(source).origin("https://api.example.com").build()
//! }
//! ```

mod breaker;
mod builder;
#[cfg(feature = "sandbox")]
pub mod conformance;
mod guarded;
mod keyring;
mod memory;
mod protocol;
#[cfg(feature = "redis")]
mod redis_store;
mod seal;
mod shared;
mod store;

#[cfg(feature = "redis")]
pub use self::redis_store::RedisStore;
pub use self::{
    builder::SharedTokenSourceBuilder,
    memory::MemoryStore,
    shared::SharedTokenSource,
    store::{Lookup, SealedToken, StoreFuture, TokenStore},
};
