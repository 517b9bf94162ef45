//! The client id and the client secret, shared by the token source and the signer.

use std::{
    env, fmt,
    ops::RangeInclusive,
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
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
    /// The secrets that obtained the tokens in use: one for each [`ObtainedWith`].
    in_use: Mutex<Vec<Arc<Secret>>>,
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
        Self {
            shared: Arc::new(Shared {
                client_id: client_id.into(),
                secret: ArcSwap::from_pointee(Secret { text: client_secret.into(), rotation: 0 }),
                rotations: AtomicU64::new(0),
                in_use: Mutex::default(),
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
        self.shared.in_use().push(secret);
        ObtainedWith { credentials: Arc::downgrade(&self.shared), rotation }
    }

    /// The secret of this rotation if it is current or kept; else the current one.
    pub(crate) fn secret_of(&self, rotation: u64) -> Arc<Secret> {
        let current = self.secret();
        if current.rotation == rotation {
            return current;
        }
        self.shared.in_use().iter().find(|secret| secret.rotation == rotation).map_or(current, Arc::clone)
    }

    /// Whether id and secret may have been copied with quotation marks around them. A secret may have some of its own, so
    /// that is known only once they are refused.
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
    fn in_use(&self) -> MutexGuard<'_, Vec<Arc<Secret>>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut in_use = shared.in_use();
        let at = in_use.iter().position(|secret| secret.rotation == self.rotation);
        let secret = at.map(|at| in_use.swap_remove(at));
        // Wiped without the lock.
        drop(in_use);
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

fn problem(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        return Some("is empty");
    }
    // A line end may be one of Unicode's too.
    if value.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Some("holds a control character; was it read from a file with its line end?");
    }
    if value.chars().any(is_invisible) {
        return Some(
            "holds an invisible character, such as a byte-order mark, a zero-width or a non-breaking space; type it \
             anew, or copy it from a plain text",
        );
    }
    (value.starts_with(' ') || value.ends_with(' ')).then_some("begins or ends with a blank; remove it")
}

/// Beyond ASCII: blanks, format characters and fillers, which documents and chat programs add to a copied text.
fn is_invisible(character: char) -> bool {
    let is_blank = character.is_whitespace() && character != ' ';
    is_blank || INVISIBLE.iter().any(|range| range.contains(&character))
}

/// Whether the text may have been copied with the quotation marks around it.
fn is_quoted(text: &str) -> bool {
    text.starts_with(QUOTES) || text.ends_with(QUOTES)
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

/// Characters that are drawn as nothing (Unicode's `Default_Ignorable_Code_Point`, and those of the category `Cf` beside
/// them), and a blank pattern of Braille.
const INVISIBLE: [RangeInclusive<char>; 19] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];
const QUOTES: [char; 11] =
    ['"', '\'', '`', '\u{ab}', '\u{bb}', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201c}', '\u{201d}', '\u{201e}'];

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
