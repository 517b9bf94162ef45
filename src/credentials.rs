//! The client id and the client secret, shared by the token source and the signer.

use std::{
    env, fmt,
    path::Path,
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    credential_text::{is_quoted, problem},
    error::{AuthError, ErrorKind},
    polled_file::{self, PolledFile},
    time::Moment,
};

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
    /// Never held while a secret is wiped.
    kept: Mutex<Kept>,
    /// Whether a token source may want the previous secret.
    keeps_previous: AtomicBool,
    file: Option<PolledFile>,
}

/// Secrets that are not current, or need not be.
#[derive(Default)]
struct Kept {
    /// Those that obtained the tokens in use: one for each [`ObtainedWith`].
    in_use: Vec<Arc<Secret>>,
    /// The last one that was replaced, and when.
    previous: Option<(Arc<Secret>, Moment)>,
}

/// One value of the client secret.
pub(crate) struct Secret {
    text: SecretString,
    rotation: u64,
}

/// Names the secret that obtained a token.
///
/// The credentials keep this secret until this is dropped. It keeps neither of them itself, so that a token that outlives
/// its credentials does not keep their secret in memory.
pub(crate) struct ObtainedWith {
    credentials: Weak<Shared>,
    rotation: u64,
}

impl Credentials {
    /// Creates credentials from an id and a secret.
    ///
    /// Neither is checked here. Building a token source fails with [`Config`](crate::ErrorKind::Config) if one of them is
    /// empty, contains a control character, such as the line end of a secret file, or another invisible character, such as
    /// a zero-width space, or if it begins or ends with a blank.
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<SecretString>) -> Self {
        Self::with_file(client_id.into(), client_secret.into(), None)
    }

    fn with_file(client_id: String, secret: SecretString, file: Option<PolledFile>) -> Self {
        Self {
            shared: Arc::new(Shared {
                client_id,
                secret: ArcSwap::from_pointee(Secret { text: secret, rotation: 0 }),
                rotations: AtomicU64::new(0),
                kept: Mutex::default(),
                keeps_previous: AtomicBool::new(false),
                file,
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
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::{Credentials, ErrorKind};
    ///
    /// let error = Credentials::from_env("NO_SUCH_CLIENT_ID", "NO_SUCH_CLIENT_SECRET").err();
    /// assert!(error.is_some_and(|error| error.kind() == ErrorKind::Config));
    /// ```
    pub fn from_env(id_var: &str, secret_var: &str) -> Result<Self, AuthError> {
        Ok(Self::new(variable(id_var)?, SecretString::from(variable(secret_var)?)))
    }

    /// Reads id and secret from two files.
    ///
    /// Such files are those of a Kubernetes secret, a systemd credential or a Docker secret.
    ///
    /// One line end at the end of each is dropped. The files are opened by their paths, so they may be symbolic links. At
    /// most 64 KiB are read. This function blocks.
    ///
    /// A changed secret counts as a rotation, as after [`rotate`](Self::rotate): the file is looked at before each
    /// token fetch, and once a minute while requests are sent, on a thread for blocking work. The id is read once. If
    /// the file cannot be read then, is empty, or contains a character that no secret may have, the secret stays as it
    /// is, and a warning is written to the trace. Replace the file in one step, by a rename or a symbolic link, so that
    /// it never holds half a secret.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use tower_outbound_auth::{AuthError, Credentials};
    ///
    /// let credentials = Credentials::from_files("/run/secrets/client-id", "/run/secrets/client-secret")?;
    /// # Ok::<(), AuthError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if a file cannot be read, is longer than 64 KiB, empty or not text in
    /// UTF-8. The message names the file, never its content.
    pub fn from_files(id_path: impl AsRef<Path>, secret_path: impl AsRef<Path>) -> Result<Self, AuthError> {
        let config = |error: AuthError| AuthError::new(ErrorKind::Config, error.to_string()).with_source(error);
        let id = polled_file::text("the client id file", id_path.as_ref()).map_err(config)?;
        let (file, secret) = PolledFile::read(secret_path.as_ref()).map_err(config)?;
        Ok(Self::with_file(id.expose_secret().to_owned(), secret, Some(file)))
    }

    /// Returns the client id, which is not a secret (RFC 6749, section 2.2).
    pub fn client_id(&self) -> &str {
        &self.shared.client_id
    }

    /// Replaces the secret in all clones, without a restart.
    ///
    /// The next request starts a fetch with the new secret. Until that fetch has succeeded, the old token stays in use,
    /// and signatures that go with it are made with the old secret. Rotating to the current secret changes nothing.
    ///
    /// An authorization server may learn the new secret later than you do: if it answers `invalid_client` within a
    /// minute, the token is requested once more with the previous secret. The previous secret is wiped as soon as the
    /// new one has obtained a token, or else at the first fetch after that minute.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::{AuthError, Credentials, oauth::ClientCredentialsGrant};
    ///
    /// # fn run() -> Result<(), AuthError> {
    /// let credentials = Credentials::new("my-client", "the-first-secret");
    /// let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone()).build()?;
    /// // … later, when the secret manager has a new one
    /// credentials.rotate("the-next-secret"); // the grant uses it too
    /// # drop(grant);
    /// # Ok(()) }
    /// ```
    pub fn rotate(&self, client_secret: impl Into<SecretString>) {
        let text = client_secret.into();
        let replaced = self.shared.secret.rcu(|current| {
            if current.text.expose_secret() == text.expose_secret() {
                Arc::clone(current)
            } else {
                Arc::new(Secret { text: text.clone(), rotation: current.rotation + 1 })
            }
        });
        let current = self.secret();
        if replaced.rotation != current.rotation && self.shared.keeps_previous.load(Ordering::Relaxed) {
            self.shared.keep_previous(replaced);
        }
        // After the secret: whoever sees the new number also sees the new secret.
        self.shared.rotations.fetch_max(current.rotation, Ordering::Release);
    }

    /// How often the secret was replaced.
    ///
    /// Read before [`secret`](Self::secret), it is never newer than the secret.
    pub(crate) fn rotations(&self) -> u64 {
        self.shared.rotations.load(Ordering::Acquire)
    }

    /// The current secret; an empty text if there is none.
    pub(crate) fn secret(&self) -> Arc<Secret> {
        self.shared.secret.load_full()
    }

    /// Keeps a secret for the signatures of a token that it obtained.
    pub(crate) fn keep(&self, secret: Arc<Secret>) -> ObtainedWith {
        let rotation = secret.rotation;
        self.shared.kept().in_use.push(secret);
        ObtainedWith { credentials: Arc::downgrade(&self.shared), rotation }
    }

    /// The secret of this rotation if it is current or kept; else the current one.
    pub(crate) fn secret_of(&self, rotation: u64) -> Arc<Secret> {
        let current = self.secret();
        if current.rotation == rotation {
            return current;
        }
        self.shared.kept().in_use.iter().find(|secret| secret.rotation == rotation).map_or(current, Arc::clone)
    }

    /// From now on the secret before a rotation is kept for [`previous_of`](Self::previous_of).
    pub(crate) fn keep_previous(&self) {
        self.shared.keeps_previous.store(true, Ordering::Relaxed);
    }

    /// The secret before this one, if it was replaced less than a minute ago.
    pub(crate) fn previous_of(&self, secret: &Secret) -> Option<Arc<Secret>> {
        let mut kept = self.shared.kept();
        let previous = kept.previous.take_if(|(previous, replaced)| {
            previous.rotation < secret.rotation && Moment::now().since(*replaced) >= OVERLAP
        });
        let found = kept.previous.as_ref().filter(|(previous, _)| previous.rotation < secret.rotation);
        let found = found.map(|(secret, _)| Arc::clone(secret));
        // Wiped without the lock.
        drop(kept);
        drop(previous);
        found
    }

    /// The authorization server knows this secret, so those before it are not needed any more.
    pub(crate) fn is_known(&self, secret: &Secret) {
        let mut kept = self.shared.kept();
        let previous = kept.previous.take_if(|(previous, _)| previous.rotation < secret.rotation);
        drop(kept);
        drop(previous);
    }

    /// Looks at the secret's file, if there is one, before a fetch.
    pub(crate) async fn look(&self) {
        if let Some(file) = &self.shared.file {
            file.look(self.rotating()).await;
        }
    }

    /// Has the secret's file looked at, if there is one and a minute has passed. For each request: waits for nothing.
    #[inline]
    pub(crate) fn look_if_due(&self) {
        if let Some(file) = &self.shared.file
            && file.is_due()
        {
            file.look_soon(self.rotating());
        }
    }

    /// Rotates credentials that are still in use.
    fn rotating(&self) -> impl FnOnce(SecretString) + Send + use<> {
        let shared = Arc::downgrade(&self.shared);
        move |secret| {
            if let Some(shared) = shared.upgrade() {
                Self { shared }.rotate(secret);
            }
        }
    }

    /// Whether id and secret may have been copied with quotation marks around them. A secret may really contain some,
    /// so that is known only once they are refused.
    pub(crate) fn are_quoted(&self, secret: &Secret) -> (bool, bool) {
        (is_quoted(self.client_id()), is_quoted(secret.expose_secret()))
    }

    /// Checks the id against RFC 6749, appendix A.1.
    ///
    /// Unlike there, characters beyond ASCII are allowed, since some servers issue them; invisible ones are not.
    pub(crate) fn check_id(&self) -> Result<(), AuthError> {
        match problem(self.client_id()) {
            Some(problem) => Err(AuthError::config(format!("the client id {problem}"))),
            None => Ok(()),
        }
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_previous(&self, replaced: Arc<Secret>) {
        let mut kept = self.kept();
        // Two rotations at the same time may come here in any order.
        let is_newer = kept.previous.as_ref().is_none_or(|(previous, _)| previous.rotation < replaced.rotation);
        let older = if is_newer { kept.previous.replace((replaced, Moment::now())) } else { None };
        drop(kept);
        drop(older);
    }
}

impl ObtainedWith {
    /// The rotation of the secret, if it is one of these credentials.
    pub(crate) fn rotation_of(&self, credentials: &Credentials) -> Option<u64> {
        ptr::eq(self.credentials.as_ptr(), Arc::as_ptr(&credentials.shared)).then_some(self.rotation)
    }
}

impl Drop for ObtainedWith {
    fn drop(&mut self) {
        let Some(shared) = self.credentials.upgrade() else {
            return;
        };
        let mut kept = shared.kept();
        let at = kept.in_use.iter().position(|secret| secret.rotation == self.rotation);
        let secret = at.map(|at| kept.in_use.swap_remove(at));
        // Wiped without the lock.
        drop(kept);
        drop(secret);
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

/// How long the secret before a rotation may still be tried.
const OVERLAP: Duration = Duration::from_secs(60);
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t14_the_secret_of_a_token_is_kept_until_the_last_of_its_tokens_is_dropped() {
        let credentials = Credentials::new("id", "first");
        let tokens = [credentials.keep(credentials.secret()), credentials.keep(credentials.secret())];
        let first = Arc::downgrade(&credentials.secret());
        credentials.rotate("second");
        for token in tokens {
            assert_eq!(token.rotation_of(&credentials), Some(0));
            assert_eq!(credentials.secret_of(0).expose_secret(), "first");
        }
        assert!(first.upgrade().is_none(), "wiped with the last token");
        assert_eq!(credentials.secret_of(0).expose_secret(), "second");
    }

    #[test]
    fn o6_a_secret_that_has_obtained_no_token_is_wiped_when_it_is_rotated() {
        let credentials = Credentials::new("id", "first");
        let first = Arc::downgrade(&credentials.secret());
        credentials.rotate("second");
        assert!(first.upgrade().is_none());
    }

    #[test]
    fn o6_a_token_keeps_no_secret_once_the_credentials_are_dropped() {
        let credentials = Credentials::new("id", "first");
        let token = credentials.keep(credentials.secret());
        let first = Arc::downgrade(&credentials.secret());
        drop(credentials);
        assert!(first.upgrade().is_none());
        assert_eq!(token.rotation_of(&Credentials::new("id", "first")), None, "other credentials");
    }

    #[test]
    fn t14_rotations_at_the_same_time_are_all_counted() {
        let (credentials, start) = (Credentials::new("id", "first"), std::sync::Barrier::new(2));
        std::thread::scope(|threads| {
            for thread in 0..2 {
                let (credentials, start) = (credentials.clone(), &start);
                threads.spawn(move || {
                    start.wait();
                    (0..5_000).for_each(|rotation| credentials.rotate(format!("{thread}-{rotation}")));
                });
            }
        });
        assert_eq!((credentials.rotations(), credentials.secret().rotation()), (10_000, 10_000));
    }
}
