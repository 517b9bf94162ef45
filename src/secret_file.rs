//! Reads a secret from a file, into memory that is wiped, and off the threads that run tasks.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    str,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::runtime::Handle;
use zeroize::Zeroizing;

use crate::{
    error::{AuthError, ErrorKind},
    time::Moment,
};

/// The text of a file, and when it was written.
pub(crate) struct SecretText {
    pub(crate) text: Zeroizing<String>,
    modified: Option<SystemTime>,
}

impl SecretText {
    /// How long ago the file was written, for a message.
    pub(crate) fn age(&self) -> String {
        let age = self.modified.and_then(|modified| Moment::now().wall.duration_since(modified).ok());
        age.map_or_else(String::new, |age| format!(", written {} ago", rounded(age)))
    }
}

/// Reads the file now. `what` names it in errors, such as "the assertion file". It is opened by its path each time, so
/// links that were changed since are followed.
///
/// Fails with `Config` where only a person can help: a file that is too long, is no text, or may not be read.
pub(crate) fn read(what: &str, path: &Path) -> Result<SecretText, AuthError> {
    let shown = path.display();
    let (mut bytes, modified) = read_bytes(path).map_err(|error| unreadable(what, path, error))?;
    if bytes.len() > MAX_LEN {
        return Err(AuthError::config(format!("{what} {shown} is longer than 64 KiB; check the path")));
    }
    if str::from_utf8(&bytes).is_err() {
        return Err(AuthError::config(format!("{what} {shown} is not text in UTF-8; check the path")));
    }
    // Moved, not copied.
    let text = String::from_utf8(std::mem::take(&mut *bytes)).unwrap_or_default();
    Ok(SecretText { text: Zeroizing::new(text), modified })
}

/// The same on a thread for blocking work, since a file may be on a network.
pub(crate) async fn read_off_thread(what: &'static str, path: &Arc<Path>) -> Result<SecretText, AuthError> {
    let Ok(runtime) = Handle::try_current() else {
        return read(what, path);
    };
    let of_thread = Arc::clone(path);
    let read = runtime.spawn_blocking(move || read(what, &of_thread)).await;
    read.unwrap_or_else(|_| {
        Err(AuthError::new(ErrorKind::Aborted, "the runtime ended while a file was read; try again"))
    })
}

fn read_bytes(path: &Path) -> io::Result<(Zeroizing<Vec<u8>>, Option<SystemTime>)> {
    let file = File::open(path)?;
    let modified = file.metadata().and_then(|metadata| metadata.modified()).ok();
    // One byte more than is allowed, and room for it from the start: what outgrows its memory leaves a copy.
    let most = MAX_LEN + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + PROBE));
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok((bytes, modified))
}

fn unreadable(what: &str, path: &Path, error: io::Error) -> AuthError {
    let shown = path.display();
    let (kind, why) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::Unavailable, "does not exist"),
        io::ErrorKind::PermissionDenied => (ErrorKind::Config, "may not be read by this user; check its permissions"),
        io::ErrorKind::IsADirectory => (ErrorKind::Config, "is a directory; name the file in it"),
        _ => (ErrorKind::Unavailable, "cannot be read"),
    };
    AuthError::new(kind, format!("{what} {shown} {why}")).with_source(error)
}

/// In its largest unit.
fn rounded(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

const MAX_LEN: usize = 64 * 1024;
/// The standard library wants to see the end of a file without making the vector larger.
const PROBE: usize = 64;
