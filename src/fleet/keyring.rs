//! The keys of a fleet: from a sealing key, or from the client secret.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::seal::{Content, Entry, Epoch, derived};
use crate::{
    credentials::{Credentials, Secret},
    error::AuthError,
    token::AccessToken,
};

/// Where keys come from.
pub(super) struct KeySource {
    credentials: Option<Credentials>,
    sealing_keys: Option<(SecretString, Option<SecretString>)>,
    identity: [u8; 32],
}

/// The keys of one fetch.
pub(super) struct Keyring {
    pub(super) current: Entry,
    /// Under the previous sealing key, during its replacement.
    pub(super) previous: Option<Entry>,
    epoch: Epoch,
    secret: Option<(Credentials, Arc<Secret>)>,
}

impl KeySource {
    pub(super) fn new(
        credentials: Option<Credentials>,
        sealing_keys: Option<(SecretString, Option<SecretString>)>,
        identity: [u8; 32],
    ) -> Result<Self, AuthError> {
        let is_empty = |key: &SecretString| key.expose_secret().is_empty();
        if let Some((current, previous)) = &sealing_keys {
            if is_empty(current) || previous.as_ref().is_some_and(is_empty) {
                return Err(AuthError::config("`sealing_key`: the key is empty; use at least 32 random characters"));
            }
        } else if let Some(credentials) = &credentials {
            if credentials.secret().expose_secret().is_empty() {
                return Err(AuthError::config(
                    "`credentials`: there is no client secret to seal with; set `sealing_key`",
                ));
            }
        } else {
            return Err(AuthError::config("no key to seal the token with; set `credentials` or `sealing_key`"));
        }
        Ok(Self { credentials, sealing_keys, identity })
    }

    pub(super) fn identity(&self) -> [u8; 32] {
        self.identity
    }

    /// Has the secret's file looked at, if there is one: a changed secret is another key.
    pub(super) async fn look(&self) {
        if let Some(credentials) = &self.credentials {
            credentials.look().await;
        }
    }

    /// The keys of now. `generation` stands for the secret where it is not known.
    pub(super) fn keyring(&self, generation: u64) -> Option<Keyring> {
        let secret = self.credentials.as_ref().map(|credentials| (credentials.clone(), credentials.secret()));
        let epoch = match &secret {
            Some((_, secret)) => *derived(secret.expose_secret(), "epoch")?,
            None => u128::from(generation).to_be_bytes(),
        };
        let entry = |key: &str| Entry::new(key, &self.identity);
        let (current, previous) = if let Some((current, previous)) = &self.sealing_keys {
            let previous = previous.as_ref().map(|key| entry(key.expose_secret()));
            (entry(current.expose_secret())?, previous.flatten())
        } else {
            let (_, secret) = secret.as_ref().filter(|(_, secret)| !secret.expose_secret().is_empty())?;
            (entry(secret.expose_secret())?, None)
        };
        Some(Keyring { current, previous, epoch, secret })
    }
}

impl Keyring {
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten()
    }

    /// Whether the secret of now obtained it.
    pub(super) fn is_of_now(&self, content: &Content) -> bool {
        content.epoch == self.epoch
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The stored token, marked with the secret that obtained it, where that is known.
    pub(super) fn mark(&self, content: Content) -> AccessToken {
        match &self.secret {
            Some((credentials, secret)) if self.is_of_now(&content) => {
                content.token.obtained_with(credentials, Arc::clone(secret))
            }
            _ => content.token,
        }
    }
}
