//! What all connections share: settings, tokens, files, the clock.

use std::{
    collections::HashMap,
    iter, mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{RejectionStyle, fault::Faults, stats::Counters};
use crate::{Credentials, time};

pub(super) struct Shared {
    pub(super) credentials: Credentials,
    pub(super) rejection: RejectionStyle,
    pub(super) timestamp_window: Duration,
    pub(super) download_origin: String,
    pub(super) clock: Clock,
    pub(super) counters: Counters,
    pub(super) faults: Faults,
    pub(super) files: Files,
    pub(super) tokens: Tokens,
}

impl Shared {
    pub(super) fn new(
        credentials: Credentials,
        token_lifetime: Duration,
        rejection: RejectionStyle,
        timestamp_window: Duration,
        download_origin: String,
    ) -> Self {
        Self {
            credentials,
            rejection,
            timestamp_window,
            download_origin,
            clock: Clock::default(),
            counters: Counters::default(),
            faults: Faults::default(),
            files: Files::default(),
            tokens: Tokens { lifetime: token_lifetime, valid_until: Mutex::default() },
        }
    }
}

/// The server's clock, which [`set_offset`](Self::set_offset) puts wrong.
#[derive(Default)]
pub(super) struct Clock {
    offset: AtomicI64,
}

impl Clock {
    pub(super) fn set_offset(&self, seconds: i64) {
        self.offset.store(seconds, Ordering::Relaxed);
    }

    /// Seconds since 1970 on the server's clock.
    pub(super) fn unix_seconds(&self) -> u64 {
        shift(unix_seconds(), self.offset.load(Ordering::Relaxed))
    }
}

/// Every token that was issued, the dead ones too.
pub(super) struct Tokens {
    pub(super) lifetime: Duration,
    valid_until: Mutex<HashMap<String, SystemTime>>,
}

impl Tokens {
    pub(super) fn issue(&self) -> String {
        let token = random_name(48);
        self.valid_until().insert(token.clone(), time::Moment::now().wall + self.lifetime);
        token
    }

    pub(super) fn is_valid(&self, token: &str) -> bool {
        self.valid_until().get(token).is_some_and(|&end| time::Moment::now().wall < end)
    }

    pub(super) fn any(&self, test: impl FnMut(&String) -> bool) -> bool {
        self.valid_until().keys().any(test)
    }

    pub(super) fn revoke_all(&self) {
        self.valid_until().values_mut().for_each(|end| *end = UNIX_EPOCH);
    }

    fn valid_until(&self) -> MutexGuard<'_, HashMap<String, SystemTime>> {
        self.valid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The report files, each of them there for one download.
#[derive(Default)]
pub(super) struct Files {
    by_id: Mutex<HashMap<String, File>>,
}

pub(super) enum File {
    Waiting(String),
    Taken,
}

impl Files {
    /// Keeps a file; gives the id to fetch it with.
    pub(super) fn add(&self, content: String) -> String {
        let id = random_name(24);
        self.by_id().insert(id.clone(), File::Waiting(content));
        id
    }

    pub(super) fn take(&self, id: &str) -> Option<File> {
        self.by_id().get_mut(id).map(|file| mem::replace(file, File::Taken))
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<String, File>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This machine's time in seconds since 1970.
pub(super) fn unix_seconds() -> u64 {
    time::Moment::now().wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Moves a time, but not out of the years that an HTTP date can name.
pub(super) fn shift(unix_seconds: u64, by: i64) -> u64 {
    unix_seconds.saturating_add_signed(by).min(LAST_HTTP_DATE)
}

fn random_name(length: usize) -> String {
    iter::repeat_with(fastrand::alphanumeric).take(length).collect()
}

/// Fri, 31 Dec 9999 23:59:59 GMT.
const LAST_HTTP_DATE: u64 = 253_402_300_799;
