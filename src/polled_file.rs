//! A file that holds the client secret, and when it is looked at.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::{runtime::Handle, sync::Mutex};

use crate::{
    credential_text::problem,
    error::AuthError,
    secret_file, telemetry,
    time::{self, Instant, nanos},
    wiped_stack::with_wiped_stack,
};

/// The file of a secret. It is never watched: it is looked at before a fetch, and now and then while it is in use.
pub(crate) struct PolledFile {
    path: Arc<Path>,
    /// The digest of what was read last. A reader holds it exclusively.
    last: Arc<Mutex<[u8; 32]>>,
    start: Instant,
    /// When it is looked at again for a request, in nanoseconds after `start`.
    next_look: AtomicU64,
}

impl PolledFile {
    /// Reads the file, and keeps its path.
    pub(crate) fn read(path: &Path) -> Result<(Self, SecretString), AuthError> {
        let secret = text(WHAT, path)?;
        let last = Arc::new(Mutex::new(digest(&secret)));
        let file = Self {
            path: Arc::from(path),
            last,
            start: time::instant(),
            next_look: AtomicU64::new(nanos(LOOK_INTERVAL)),
        };
        Ok((file, secret))
    }

    /// Whether a minute has passed since the last look at the file.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.passed() >= self.next_look.load(Relaxed)
    }

    /// Has another thread look at the file, and waits for nothing.
    #[cold]
    pub(crate) fn look_soon(&self, rotate: impl FnOnce(SecretString) + Send + 'static) {
        // Without a runtime, or while somebody looks, the next request tries again.
        let (Ok(runtime), Ok(mut last)) = (Handle::try_current(), Arc::clone(&self.last).try_lock_owned()) else {
            return;
        };
        self.looked();
        let path = Arc::clone(&self.path);
        runtime.spawn_blocking(move || look(&path, &mut last, rotate));
    }

    /// Looks at the file now. A file system that does not answer delays the caller only briefly.
    pub(crate) async fn look(&self, rotate: impl FnOnce(SecretString) + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let looking = async {
            let mut last = Arc::clone(&self.last).lock_owned().await;
            let path = Arc::clone(&self.path);
            // A read that does not end goes on alone, and nobody begins another.
            let _ = runtime.spawn_blocking(move || look(&path, &mut last, rotate)).await;
        };
        let _ = time::within(LONGEST_LOOK, looking).await;
        self.looked();
    }

    fn looked(&self) {
        self.next_look.store(self.passed().saturating_add(nanos(LOOK_INTERVAL)), Relaxed);
    }

    #[inline]
    fn passed(&self) -> u64 {
        nanos(time::instant().saturating_duration_since(self.start))
    }
}

/// Reads a text without its line end. `what` names the file in errors.
pub(crate) fn text(what: &str, path: &Path) -> Result<SecretString, AuthError> {
    let file = secret_file::read(what, path)?;
    // One only: a secret may end with white space.
    let text = file.text.strip_suffix('\n').map_or(file.text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err(AuthError::config(format!("{what} {} is empty", path.display())));
    }
    Ok(SecretString::from(text))
}

/// What cannot be read, or could not be sent, leaves the secret as it is: a file may be missing while it is replaced.
fn look(path: &Path, last: &mut [u8; 32], rotate: impl FnOnce(SecretString)) {
    let secret = match text(WHAT, path) {
        Ok(secret) => match problem(secret.expose_secret()) {
            Some(problem) => return telemetry::secret_file_unusable(&format_args!("the secret in it {problem}")),
            None => secret,
        },
        Err(error) => return telemetry::secret_file_unusable(&error),
    };
    let digest = digest(&secret);
    if digest != *last {
        *last = digest;
        rotate(secret);
    }
}

fn digest(secret: &SecretString) -> [u8; 32] {
    with_wiped_stack(|| Sha256::digest(secret.expose_secret().as_bytes()).into())
}

const WHAT: &str = "the client secret file";
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Much longer than a file takes, much shorter than a fetch may.
const LONGEST_LOOK: Duration = Duration::from_secs(2);
