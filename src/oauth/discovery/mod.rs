//! The discovery document of an authorization server: read within a fetch, and kept (RFC 8414; OpenID Connect Discovery 1.0).

mod document;
mod location;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub(super) use self::document::{Document, Wanted};
use self::location::{Location, read};
use super::{exchange::Exchange, server::Server};
use crate::{
    error::{AuthError, ErrorKind},
    origin::Origin,
    telemetry,
    time::{self, Moment},
};

/// What is known of the server with this issuer.
pub(super) struct Discovery {
    issuer: String,
    origin: Origin,
    locations: [Location; 2],
    insecure_http: bool,
    wanted: Wanted,
    /// Never held across an await.
    known: Mutex<Option<Known>>,
}

struct Known {
    server: Arc<Server>,
    /// When it was read, or could not be read again.
    since: Moment,
    fresh_for: Duration,
}

impl Discovery {
    pub(super) fn new(issuer: &str, insecure_http: bool, wanted: Wanted) -> Result<Self, AuthError> {
        let (_, origin) = Origin::of_url("discover", issuer)?;
        if !origin.is_trusted() && !insecure_http {
            return Err(AuthError::config(format!(
                "the discovery document of {origin} could be changed on the way; use https, or `allow_insecure_http` if that is intended"
            )));
        }
        if issuer.contains(['?', '#']) {
            return Err(AuthError::config(format!(
                "discover: an issuer has no query and no fragment (RFC 8414, section 2); use one like \"{origin}\""
            )));
        }
        let locations = location::of(issuer)?;
        Ok(Self { issuer: issuer.to_owned(), origin, locations, insecure_http, wanted, known: Mutex::default() })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The server as its document has it. One that cannot be read again stays in use.
    pub(super) async fn server(&self, exchange: &dyn Exchange, timeout: Duration) -> Result<Arc<Server>, AuthError> {
        let now = Moment::now();
        let known = self.with_known(|known| {
            known.as_ref().map(|known| (Arc::clone(&known.server), now.since(known.since) < known.fresh_for))
        });
        if let Some((server, true)) = known {
            return Ok(server);
        }
        let found = time::within(timeout, self.read(exchange)).await?.unwrap_or_else(|| Err(self.timed_out(timeout)));
        match (found, known) {
            (Ok(server), _) => Ok(self.keep(Arc::new(server), now, READ_AGAIN_AFTER)),
            (Err(error), Some((server, _))) => {
                telemetry::discovery_failed(&error);
                Ok(self.keep(server, now, PAUSE_AFTER_FAILURE))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Has the document read again before the next token request.
    pub(super) fn expire(&self) {
        self.with_known(|known| {
            if let Some(known) = known {
                known.fresh_for = Duration::ZERO;
            }
        });
    }

    fn keep(&self, server: Arc<Server>, since: Moment, fresh_for: Duration) -> Arc<Server> {
        let known = Known { server: Arc::clone(&server), since, fresh_for };
        drop(self.with_known(|place| place.replace(known)));
        server
    }

    fn with_known<T>(&self, f: impl FnOnce(&mut Option<Known>) -> T) -> T {
        f(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the document where it may be: in one place, or else in the other.
    async fn read(&self, exchange: &dyn Exchange) -> Result<Server, AuthError> {
        for location in &self.locations {
            if let Some(body) = read(exchange, location, &self.origin).await? {
                return self.server_of(Document::parse(&body, &self.issuer, &self.wanted)?);
            }
        }
        let Self { origin, locations: [first, second], .. } = self;
        Err(AuthError::new(
            ErrorKind::Unavailable,
            format!(
                "the authorization server at {origin} has no discovery document, neither {} nor {}; check the issuer, or name the \
                 token URL with `ClientCredentialsGrant::builder`",
                first.path(),
                second.path()
            ),
        ))
    }

    /// Refuses an endpoint that secrets must not be sent to.
    fn server_of(&self, document: Document) -> Result<Server, AuthError> {
        let of_document = || AuthError::new(ErrorKind::Malformed, document::NO_ENDPOINT);
        let (uri, origin) = Origin::of_url("", &document.token_endpoint).map_err(|_| of_document())?;
        // This machine is trusted only where the issuer is on it.
        let is_as_safe = origin.is_https() || origin.is_this_machine() && self.origin.is_this_machine();
        if !is_as_safe && !self.insecure_http {
            return Err(AuthError::new(
                ErrorKind::Malformed,
                "the discovery document names a token endpoint with plain http, which would carry the credentials in the clear",
            ));
        }
        Ok(Server { url: document.token_endpoint.clone(), uri, origin, document: Some(document) })
    }

    fn timed_out(&self, timeout: Duration) -> AuthError {
        let origin = &self.origin;
        let message = format!(
            "the authorization server at {origin} did not answer with its discovery document within {timeout:?} (`timeout` of \
             the grant)"
        );
        AuthError::new(ErrorKind::Timeout, message)
    }
}

/// Documents change when a server is moved or updated.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(6 * 3_600);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(300);
