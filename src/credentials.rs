//! The client id and the client secret: shared by token source and signer, and rotatable in all of them at once.

use std::{
    env, fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};

use crate::error::AuthError;

/// A client id and its secret.
///
/// Clones share the secret: after [`rotate`](Self::rotate) each of them uses the new one, the token source as well as the
/// signer. The secret is wiped from memory when its last user lets go of it, and `Debug` shows the client id only.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::Credentials;
///
/// let credentials = Credentials::new("client_123456789", "secret_abcdefghijklmnop");
/// assert_eq!(credentials.client_id(), "client_123456789");
/// assert!(!format!("{credentials:?}").contains("secret_abc"));
/// ```
#[derive(Clone)]
pub struct Credentials {
    shared: Arc<Shared>,
}

struct Shared {
    client_id: String,
    secret: ArcSwap<SecretString>,
    rotations: AtomicU64,
}

impl Credentials {
    /// Credentials from values at hand.
    ///
    /// Nothing is checked here. An id or a secret that cannot be sent (empty, or with a control character such as the
    /// line end of a secret file) is a [`Config`](crate::ErrorKind::Config) error where a token source is built from it.
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<SecretString>) -> Self {
        Self {
            shared: Arc::new(Shared {
                client_id: client_id.into(),
                secret: ArcSwap::from_pointee(client_secret.into()),
                rotations: AtomicU64::new(0),
            }),
        }
    }

    /// Creates credentials of a client that has an id and no secret, as with mutual TLS.
    ///
    /// Use them with [`ClientAuth::Certificate`](crate::oauth::ClientAuth::Certificate); with any other method, building the
    /// grant is a [`Config`](crate::ErrorKind::Config) error.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::Credentials;
    ///
    /// let credentials = Credentials::without_secret("client_123456789");
    /// assert_eq!(credentials.client_id(), "client_123456789");
    /// ```
    pub fn without_secret(client_id: impl Into<String>) -> Self {
        Self::new(client_id, SecretString::default())
    }

    /// Credentials from two environment variables.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), naming the variable that is missing, empty or not Unicode; never a value.
    pub fn from_env(id_var: &str, secret_var: &str) -> Result<Self, AuthError> {
        Ok(Self::new(variable(id_var)?, SecretString::from(variable(secret_var)?)))
    }

    /// The client id, which is no secret (RFC 6749, section 2.2).
    pub fn client_id(&self) -> &str {
        &self.shared.client_id
    }

    /// Replaces the secret, everywhere and without a restart.
    ///
    /// Token source and signer use the new secret from their next use on. A token that was obtained with the old one
    /// stays in use until the next request has started the fetching of its successor and that has ended.
    pub fn rotate(&self, client_secret: impl Into<SecretString>) {
        self.shared.secret.store(Arc::new(client_secret.into()));
        self.shared.rotations.fetch_add(1, Ordering::Release);
    }

    /// How often the secret was replaced. Read it before [`secret`](Self::secret): what is then remembered under it is
    /// never older than it says.
    pub(crate) fn rotations(&self) -> u64 {
        self.shared.rotations.load(Ordering::Acquire)
    }

    /// Takes the secret and the count that goes with it, for one token request.
    pub(crate) fn snapshot(&self) -> SecretSnapshot {
        let rotations = self.rotations();
        SecretSnapshot { secret: self.secret(), rotations }
    }

    pub(crate) fn secret(&self) -> Arc<SecretString> {
        self.shared.secret.load_full()
    }

    /// Refuses what no authorization server can be meant to receive (RFC 6749, appendix A.1, but with any character
    /// beyond ASCII allowed, which servers do hand out).
    pub(crate) fn check_id(&self) -> Result<(), AuthError> {
        check("id", self.client_id())
    }
}

/// The secret as it was at one moment; after a rotation it stays what it was.
#[derive(Clone)]
pub(crate) struct SecretSnapshot {
    secret: Arc<SecretString>,
    /// How often the secret had been replaced; the secret is this one or a newer one.
    #[expect(dead_code, reason = "for the token, which does not know yet with which secret it was obtained")]
    pub(crate) rotations: u64,
}

impl SecretSnapshot {
    pub(crate) fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    /// Refuses what no authorization server can be meant to receive (RFC 6749, appendix A.2, as for the id).
    pub(crate) fn check(&self) -> Result<(), AuthError> {
        check("secret", self.expose())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("client_id", &self.shared.client_id).finish_non_exhaustive()
    }
}

fn check(name: &str, value: &str) -> Result<(), AuthError> {
    if value.is_empty() {
        return Err(AuthError::config(format!("the client {name} is empty")));
    }
    if value.chars().any(char::is_control) {
        return Err(AuthError::config(format!(
            "the client {name} holds a control character; was it read from a file with its line end?"
        )));
    }
    Ok(())
}

fn variable(name: &str) -> Result<String, AuthError> {
    match env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        Ok(_) => Err(AuthError::config(format!("the environment variable {name} is empty"))),
        Err(env::VarError::NotPresent) => Err(AuthError::config(format!("the environment variable {name} is not set"))),
        Err(env::VarError::NotUnicode(_)) => {
            Err(AuthError::config(format!("the environment variable {name} is not valid Unicode")))
        }
    }
}
