//! The client id and the client secret, shared by the token source and the signer.

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

/// Client id and client secret (RFC 6749, section 2.3.1).
///
/// Clones share the secret: after [`rotate`](Self::rotate), token source and signer both use the new one. The memory of a
/// secret is wiped when its last user drops it. `Debug` shows the client id only.
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
    secret: ArcSwap<Secret>,
    /// The rotation of `secret`, for a check on every request.
    rotations: AtomicU64,
}

/// One value of the client secret.
pub(crate) struct Secret {
    text: SecretString,
    rotation: u64,
}

impl Credentials {
    /// Creates credentials from an id and a secret.
    ///
    /// Neither is checked here. Building a token source fails with [`Config`](crate::ErrorKind::Config) if one of them is
    /// empty or contains a control character, such as the line end of a secret file.
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<SecretString>) -> Self {
        Self {
            shared: Arc::new(Shared {
                client_id: client_id.into(),
                secret: ArcSwap::from_pointee(Secret { text: client_secret.into(), rotation: 0 }),
                rotations: AtomicU64::new(0),
            }),
        }
    }

    /// Creates credentials of a client that has no secret.
    ///
    /// For clients that authenticate with an assertion or with a TLS certificate. Building a token source that would send
    /// a secret fails with [`Config`](crate::ErrorKind::Config).
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

    /// Reads id and secret from two environment variables.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if a variable is not set, empty or not valid Unicode. The message names the
    /// variable, never a value.
    pub fn from_env(id_var: &str, secret_var: &str) -> Result<Self, AuthError> {
        Ok(Self::new(variable(id_var)?, SecretString::from(variable(secret_var)?)))
    }

    /// Returns the client id, which is not a secret (RFC 6749, section 2.2).
    pub fn client_id(&self) -> &str {
        &self.shared.client_id
    }

    /// Replaces the secret in all clones, without a restart.
    ///
    /// The next request starts a fetch with the new secret. Until that fetch has succeeded, the old token stays in use,
    /// and signatures that go with it are made with the old secret. Rotating to the current secret changes nothing.
    pub fn rotate(&self, client_secret: impl Into<SecretString>) {
        let text = client_secret.into();
        self.shared.secret.rcu(|current| {
            if current.text.expose_secret() == text.expose_secret() {
                Arc::clone(current)
            } else {
                Arc::new(Secret { text: text.clone(), rotation: current.rotation + 1 })
            }
        });
        // After the secret: whoever sees the new number also sees the new secret.
        self.shared.rotations.fetch_max(self.secret().rotation, Ordering::Release);
    }

    /// How often the secret was replaced. Read before [`secret`](Self::secret), it is never newer than the secret.
    pub(crate) fn rotations(&self) -> u64 {
        self.shared.rotations.load(Ordering::Acquire)
    }

    /// The current secret; an empty text if there is none.
    pub(crate) fn secret(&self) -> Arc<Secret> {
        self.shared.secret.load_full()
    }

    /// Whether both are clones of the same credentials.
    pub(crate) fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Checks the id against RFC 6749, appendix A.1, but allows characters beyond ASCII, which some servers issue.
    pub(crate) fn check_id(&self) -> Result<(), AuthError> {
        match problem(self.client_id()) {
            Some(problem) => Err(AuthError::config(format!("the client id {problem}"))),
            None => Ok(()),
        }
    }
}

impl Secret {
    /// The number of this value among those that its credentials have had.
    pub(crate) fn rotation(&self) -> u64 {
        self.rotation
    }

    /// Checks the secret like the id (appendix A.2).
    pub(crate) fn check(&self) -> Result<(), AuthError> {
        match self.problem() {
            Some(EMPTY) => Err(AuthError::config(
                "no client secret: the client secret is empty; pass one to `Credentials::new`, or choose a `ClientAuth` \
                 that sends none",
            )),
            Some(problem) => Err(AuthError::config(format!("the client secret {problem}"))),
            None => Ok(()),
        }
    }

    /// What makes this secret unfit to be sent or signed with.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        problem(self.expose_secret())
    }
}

impl ExposeSecret<str> for Secret {
    fn expose_secret(&self) -> &str {
        self.text.expose_secret()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("client_id", &self.shared.client_id).finish_non_exhaustive()
    }
}

fn problem(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        return Some(EMPTY);
    }
    value.chars().any(char::is_control).then_some(CONTROL_CHARACTER)
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

const EMPTY: &str = "is empty";
const CONTROL_CHARACTER: &str = "holds a control character; was it read from a file with its line end?";
