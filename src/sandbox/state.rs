//! The state that all connections share: settings, tokens, files and the clock.

use std::{
    collections::HashMap,
    iter, mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use super::{
    fault::Faults,
    handler::Handler,
    stats::{ClientCounters, Counters},
};
use crate::{Credentials, time::Moment};

/// How the API rejects a token that is unknown, expired or revoked.
///
/// A wrong `X-Fiid`, timestamp or signature is rejected with `400` in either style.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RejectionStyle {
    /// `400` with the message that PayNet documents.
    ///
    /// The body is `{"message":"Access to this resource is forbidden"}`, as for an unknown `X-Fiid`.
    #[default]
    Documented400,
    /// `401` with `WWW-Authenticate: Bearer` and `invalid_token` (RFC 6750, section 3).
    ///
    /// PayNet does not document this response, but gateways in front of an API often send it.
    Unauthorized401,
}

/// Which of the two ports a request came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Listener {
    /// Token endpoint and API.
    Api,
    Downloads,
}

pub(super) struct ServerState {
    pub(super) clients: Vec<Client>,
    pub(super) rejection: RejectionStyle,
    /// In place of PayNet's.
    pub(super) custom_api: Option<Handler>,
    pub(super) timestamp_window: Duration,
    pub(super) download_origin: String,
    pub(super) clock: ServerClock,
    pub(super) counters: Counters,
    pub(super) faults: Faults,
    pub(super) files: Files,
    pub(super) tokens: Tokens,
    #[cfg(feature = "jwt")]
    pub(super) assertions: Option<super::assertion::Assertions>,
    /// Of the token endpoint and the API.
    pub(super) origin: String,
}

impl ServerState {
    pub(super) fn new(
        clients: Vec<Credentials>,
        token_lifetime: Duration,
        rejection: RejectionStyle,
        timestamp_window: Duration,
        download_origin: String,
    ) -> Self {
        Self {
            clients: clients.into_iter().map(Client::new).collect(),
            rejection,
            custom_api: None,
            timestamp_window,
            download_origin,
            clock: ServerClock::default(),
            counters: Counters::default(),
            faults: Faults::default(),
            files: Files::default(),
            tokens: Tokens { lifetime: token_lifetime, issued: Mutex::default() },
            #[cfg(feature = "jwt")]
            assertions: None,
            origin: String::new(),
        }
    }

    pub(super) fn client(&self, id: &[u8]) -> Option<&Client> {
        self.clients.iter().find(|client| client.credentials.client_id().as_bytes() == id)
    }

    /// Whether the token endpoint accepts HTTP Basic, which PayNet's does not.
    pub(super) fn accepts_basic(&self) -> bool {
        #[cfg(feature = "jwt")]
        if self.assertions.is_some() {
            return false;
        }
        self.custom_api.is_some()
    }
}

/// A registered client.
pub(super) struct Client {
    pub(super) credentials: Credentials,
    pub(super) counters: ClientCounters,
}

impl Client {
    fn new(credentials: Credentials) -> Self {
        Self { credentials, counters: ClientCounters::default() }
    }
}

/// The server's clock, with an offset to this machine's.
#[derive(Default)]
pub(super) struct ServerClock {
    offset: AtomicI64,
}

impl ServerClock {
    pub(super) fn set_offset(&self, seconds: i64) {
        self.offset.store(seconds, Ordering::Relaxed);
    }

    /// Seconds since 1970 on the server's clock.
    pub(super) fn unix_seconds(&self) -> u64 {
        shift(unix_seconds(), self.offset.load(Ordering::Relaxed))
    }
}

/// All tokens that were issued, including the expired ones.
pub(super) struct Tokens {
    pub(super) lifetime: Duration,
    issued: Mutex<HashMap<String, Issued>>,
}

struct Issued {
    client_id: String,
    /// By both clocks, so that a test can advance tokio's.
    created: Moment,
    is_revoked: bool,
}

impl Tokens {
    pub(super) fn issue(&self, client_id: &str) -> String {
        let token = random_name(48);
        let issued = Issued { client_id: client_id.to_owned(), created: Moment::now(), is_revoked: false };
        self.issued().insert(token.clone(), issued);
        token
    }

    /// The id of the client that the token was issued to, and whether it is still valid.
    pub(super) fn find(&self, token: &str) -> Option<(String, bool)> {
        let issued = self.issued();
        let found = issued.get(token)?;
        let is_valid = !found.is_revoked && Moment::now().since(found.created) < self.lifetime;
        Some((found.client_id.clone(), is_valid))
    }

    pub(super) fn any(&self, test: impl FnMut(&String) -> bool) -> bool {
        self.issued().keys().any(test)
    }

    pub(super) fn revoke_all(&self) {
        self.issued().values_mut().for_each(|issued| issued.is_revoked = true);
    }

    fn issued(&self) -> MutexGuard<'_, HashMap<String, Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The report files, each for one download.
#[derive(Default)]
pub(super) struct Files {
    by_id: Mutex<HashMap<String, File>>,
}

pub(super) enum File {
    Waiting(String),
    Taken,
}

impl Files {
    /// Adds a file; returns the id to download it with.
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
    Moment::now().wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Moves a time, within the range of an HTTP date.
pub(super) fn shift(unix_seconds: u64, by: i64) -> u64 {
    unix_seconds.saturating_add_signed(by).min(LAST_HTTP_DATE)
}

fn random_name(length: usize) -> String {
    iter::repeat_with(fastrand::alphanumeric).take(length).collect()
}

/// Fri, 31 Dec 9999 23:59:59 GMT.
const LAST_HTTP_DATE: u64 = 253_402_300_799;

/// The only financial institution id that the sandbox accepts.
///
/// For the header `X-Fiid`, and for `fiid` in a report download.
pub const FIID: &str = "FIID0001";
