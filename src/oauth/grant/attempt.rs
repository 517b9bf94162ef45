//! One attempt at a token, and what is tried once more in it: the secret before a rotation, or another time.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::StatusCode;
use secrecy::ExposeSecret;

use super::GrantSettings;
use crate::{
    credentials::Secret,
    error::{AuthError, ErrorKind},
    oauth::{
        assertion::{Assertion, AssertionRequest},
        server::Server,
    },
    telemetry,
    time::{self, Moment},
    token::{AccessToken, FetchRequest},
};

/// A token request that brought no token.
struct Refused {
    error: AuthError,
    /// By the response to it.
    server_time: Option<SystemTime>,
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Self {
        Self { error, server_time: None }
    }
}

impl GrantSettings {
    /// One attempt of a fetch.
    pub(super) async fn fetch_token(&self, request: FetchRequest) -> Result<AccessToken, AuthError> {
        let (credentials, now) = (&self.credentials, request.now());
        credentials.look().await;
        let server = self.endpoint.server(&*self.exchange, self.timeout).await?;
        // The only look at the secret: a rotation meanwhile changes neither the request nor what is said of its token.
        let secret = credentials.secret();
        let began = Moment::now();
        let token = match self.obtain(&server, Arc::clone(&secret), now, &request).await {
            Ok(token) => {
                credentials.is_known(&secret);
                token
            }
            Err(Refused { error, server_time }) => {
                let now = now.checked_add(Moment::now().since(began)).unwrap_or(now);
                let again = self.another_try(&error, &secret, server_time, now);
                let (secret, now) = again.ok_or_else(|| error.clone())?;
                self.obtain(&server, secret, now, &request).await.map_err(|_| error)?
            }
        };
        // The next is due after another rotation, not after this one.
        Ok(token.of_generation(secret.rotation()))
    }

    /// With what the token may be requested once more, if the server knows no client with this secret or assertion.
    fn another_try(
        &self,
        error: &AuthError,
        secret: &Arc<Secret>,
        server_time: Option<SystemTime>,
        now: SystemTime,
    ) -> Option<(Arc<Secret>, SystemTime)> {
        // Some servers say it in other words, or in none.
        let is_unknown_client = error.kind() == ErrorKind::Denied
            && matches!(error.oauth_error(), None | Some("invalid_client" | "unauthorized_client"));
        if !is_unknown_client {
            return None;
        }
        if self.sends_secret() {
            // The server may not have learnt the new one yet.
            return Some((self.credentials.previous_of(secret)?, now));
        }
        // An assertion may have been expired, or not valid yet, by the server's clock.
        let server_time = server_time.filter(|_| self.assertions.is_some())?;
        let ahead = server_time.duration_since(now).or_else(|_| now.duration_since(server_time)).ok()?;
        (CLOCK_TOLERANCE..=LARGEST_OFFSET).contains(&ahead).then(|| (Arc::clone(secret), server_time))
    }

    /// One token request, with this secret.
    async fn obtain(
        &self,
        server: &Server,
        secret: Arc<Secret>,
        now: SystemTime,
        request: &FetchRequest,
    ) -> Result<AccessToken, Refused> {
        let assertion = self.assertion(server, now).await?;
        let sent = Moment::now();
        let exchange = self.exchange.exchange(self.request(server, &secret, assertion.as_ref())?);
        if self.sends_secret() {
            self.past.note_secret(self.credentials.client_id(), secret.expose_secret());
        }
        let response = time::within(self.timeout, exchange).await?.ok_or_else(|| self.timed_out(&server.origin))??;
        if response.head.status == StatusCode::NOT_FOUND {
            self.endpoint.doubt();
        }
        let origin = server.origin.is_trusted().then(|| server.origin.key());
        let date = origin.zip(time::date(&response.head.headers));
        let granted = self.read(response, &secret, server, assertion.as_ref(), request.rejected());
        let granted = granted.map_err(|error| Refused { error, server_time: date.map(|(_, time)| time) })?;
        self.past.note_token(granted.token.expose_secret());
        if granted.lifetime_unusable {
            telemetry::lifetime_unusable();
        }
        // The server may have issued it at any time since the request was sent.
        let token = granted.token.created_at(sent).with_server_date(date);
        Ok(if self.sends_secret() { token.obtained_with(&self.credentials, secret) } else { token })
    }

    pub(super) fn sends_secret(&self) -> bool {
        self.assertions.is_none() && self.client_auth.sends_secret()
    }

    /// A new assertion, if that is how the client authenticates.
    async fn assertion(&self, server: &Server, now: SystemTime) -> Result<Option<Assertion>, AuthError> {
        let Some(source) = &self.assertions else {
            return Ok(None);
        };
        let request = AssertionRequest::new(self.credentials.client_id(), &server.url, now);
        let request = self.endpoint.issuer().map_or(request, |issuer| request.with_issuer(issuer));
        let assertion = source.assertion(request).await?;
        if assertion.expose_secret().is_empty() || assertion.assertion_type().is_empty() {
            return Err(AuthError::new(ErrorKind::Signing, "`client_assertion`: the assertion or its type is empty"));
        }
        server.check(&assertion).inspect_err(|_| self.endpoint.doubt())?;
        Ok(Some(assertion))
    }
}

/// A clock that differs by less explains no refusal.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);
/// A `Date` further off says more about the server than about our clock.
const LARGEST_OFFSET: Duration = Duration::from_secs(86_400);
