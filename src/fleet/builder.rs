//! The settings of a shared source.

use std::{fmt, time::Duration};

use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::{
    guarded::GuardedStore, keyring::KeySource, protocol::Protocol, shared::SharedTokenSource, store::TokenStore,
};
use crate::{credentials::Credentials, error::AuthError, token::TokenSource};

/// Builder for [`SharedTokenSource`].
///
/// No setter fails: [`build`](Self::build) returns the first mistake.
#[must_use = "a builder does nothing until `build`"]
pub struct SharedTokenSourceBuilder<T> {
    inner: T,
    store: Box<dyn TokenStore>,
    credentials: Option<Credentials>,
    sealing_keys: Option<(SecretString, Option<SecretString>)>,
    identities: Vec<String>,
    lease: Duration,
    timeout: Duration,
}

impl<T: TokenSource> SharedTokenSource<T> {
    /// Returns a builder for a source that shares the tokens of `inner`.
    pub fn builder(inner: T, store: impl TokenStore) -> SharedTokenSourceBuilder<T> {
        SharedTokenSourceBuilder {
            inner,
            store: Box::new(store),
            credentials: None,
            sealing_keys: None,
            identities: Vec::new(),
            lease: Duration::from_secs(4),
            timeout: Duration::from_millis(250),
        }
    }
}

impl<T: TokenSource> SharedTokenSourceBuilder<T> {
    /// Seals the token with a key derived from the client secret.
    ///
    /// Pass a clone of the credentials of the inner source. Processes with the same secret share a token; during a
    /// rotation, those with the new secret share another one. A rotation of the whole fleet costs two token requests at
    /// most: one by the processes that have the new secret, and one by the others if their token comes to its end
    /// meanwhile.
    ///
    /// Anyone who can read the store can try to guess the secret offline. If a person chose it, use
    /// [`sealing_key`](Self::sealing_key) too. Then the credentials tell which secret obtained a token, so that a
    /// request is signed with that one.
    pub fn credentials(mut self, credentials: &Credentials) -> Self {
        self.credentials = Some(credentials.clone());
        self
    }

    /// Seals the token with a key derived from this text.
    ///
    /// Use at least 32 random characters, such as the output of `openssl rand -base64 32`, the same in all processes. Default:
    /// the client secret of [`credentials`](Self::credentials). Clients without a secret need this.
    ///
    /// With a sealing key, processes share a token whatever secret each has. A process whose secret is
    /// [rotated](Credentials::rotate) retires the token of the old one, once: a rotation of the whole fleet costs two token
    /// requests at most.
    ///
    /// To replace the key, first start processes with the new key as `current` and the old one as `previous`; when all have
    /// it, leave `previous` out. Meanwhile both halves share: what is not found under the current key is looked for under the
    /// previous one.
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::{fleet::{MemoryStore, SharedTokenSource}, oauth::ClientCredentialsGrant, AuthError};
    /// # fn source(grant: ClientCredentialsGrant) -> Result<SharedTokenSource<ClientCredentialsGrant>, AuthError> {
    /// let current = std::env::var("FLEET_KEY").unwrap_or_default();
    /// let previous = std::env::var("FLEET_KEY_PREVIOUS").ok().map(Into::into);
    /// SharedTokenSource::builder(grant, MemoryStore::new()).sealing_key(current, previous).build()
    /// # }
    /// ```
    pub fn sealing_key(mut self, current: impl Into<SecretString>, previous: Option<SecretString>) -> Self {
        self.sealing_keys = Some((current.into(), previous));
        self
    }

    /// Adds text that distinguishes this source's tokens from others.
    ///
    /// Repeatable; the order counts. A [`ClientCredentialsGrant`](crate::oauth::ClientCredentialsGrant) knows what
    /// distinguishes its tokens; other sources need at least one such text. Add one for whatever the inner source
    /// cannot know, such as the thumbprint of the client certificate if tokens are bound to it (RFC 8705): processes
    /// with different certificates cannot use each other's.
    pub fn identity(mut self, identity: &str) -> Self {
        self.identities.push(identity.to_owned());
        self
    }

    /// Sets how long the right to fetch lasts unless its holder renews it.
    ///
    /// Default: 4 s, renewed while it fetches. If the holder dies, another process takes over after that time. A shorter lease
    /// takes over sooner, and ends in two token requests if a process pauses for longer than that. Zero is a
    /// [`Config`](crate::ErrorKind::Config) error; above 10 s, the other processes will not wait for its end.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets the time limit for each use of the store, connecting included.
    ///
    /// Default: 250 ms, many times what a store in the same region needs. A request that waits for a token loses at most this
    /// once, then the store is left alone for 2 s and longer. With zero the store is never used.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Checks the settings and builds the source.
    ///
    /// Needs no runtime, and does not use the store.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config): neither [`credentials`](Self::credentials) with a secret nor
    /// [`sealing_key`](Self::sealing_key); an empty key; an inner source that does not say what distinguishes its tokens, and
    /// no [`identity`](Self::identity); a lease of zero.
    pub fn build(self) -> Result<SharedTokenSource<T>, AuthError> {
        let identity = self.whole_identity()?;
        let keys = KeySource::new(self.credentials, self.sealing_keys, identity)?;
        if self.lease.is_zero() {
            return Err(AuthError::config("`lease` is zero, and such a lease cannot be held; the default is 4 s"));
        }
        let protocol = Protocol::new(GuardedStore::new(self.store, self.timeout), self.lease);
        Ok(SharedTokenSource::new_with(self.inner, protocol, keys))
    }

    fn whole_identity(&self) -> Result<[u8; 32], AuthError> {
        let own = self.inner.identity();
        if own.is_none() && self.identities.is_empty() {
            return Err(AuthError::config(
                "the token source does not say what tells its tokens from others'; name it with `identity`, such as the token \
                 URL, client id and scope",
            ));
        }
        if self.identities.iter().any(String::is_empty) {
            return Err(AuthError::config(
                "`identity` is empty; leave it out, or name what tells the tokens from others'",
            ));
        }
        let mut digest = Sha256::new_with_prefix(b"tower-outbound-auth fleet identity\0");
        digest.update([u8::from(own.is_some())]);
        digest.update(own.unwrap_or_default());
        for identity in &self.identities {
            digest.update(u64::try_from(identity.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(identity);
        }
        Ok(digest.finalize().into())
    }
}

impl<T> fmt::Debug for SharedTokenSourceBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTokenSourceBuilder")
            .field("credentials", &self.credentials)
            .field("lease", &self.lease)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
