//! The settings of a sandbox, and its start.

use std::{io, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    Sandbox,
    exchange::{Exchange, Place},
    server,
    state::Shared,
};
use crate::{Credentials, paynet::Environment};

/// Settings for a [`Sandbox`]; [`start`](Self::start) comes last.
#[derive(Debug)]
pub struct SandboxBuilder {
    credentials: Credentials,
    token_lifetime: Duration,
    rejection: RejectionStyle,
    timestamp_window: Duration,
}

/// How the API refuses a token that is unknown, expired or revoked.
///
/// What is wrong with `X-Fiid`, timestamp or signature is a 400 in either style.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RejectionStyle {
    /// 400 with the message that PayNet's documentation gives for it.
    ///
    /// The body is `{"message":"Access to this resource is forbidden"}`, the same as for an unknown `X-Fiid`.
    #[default]
    Documented400,
    /// 401 with `WWW-Authenticate: Bearer` and `invalid_token` (RFC 6750, section 3).
    ///
    /// PayNet documents no such answer, but a gateway in front of an API gives it often.
    Unauthorized401,
}

impl SandboxBuilder {
    pub(super) fn new() -> Self {
        Self {
            credentials: Credentials::new(SAMPLE_ID, SAMPLE_SECRET),
            token_lifetime: Duration::from_secs(3600),
            rejection: RejectionStyle::default(),
            timestamp_window: Duration::from_secs(300),
        }
    }

    /// The one client that the server knows.
    ///
    /// Default: `client_123456789` with `secret_abcdefghijklmnop`, from PayNet's sample request. For a real test of
    /// form-encoding, take a secret with `&`, `+` and `%` in it.
    pub fn credentials(mut self, id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        self.credentials = Credentials::new(id, secret);
        self
    }

    /// How long a token is valid, which is also what `expires_in` says.
    ///
    /// Default: 3600 s, as PayNet documents it. `expires_in` is a whole number for whole seconds, and a fraction
    /// otherwise. More than 136 years are taken as 136 years.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime.min(LONGEST_LIFETIME);
        self
    }

    /// How the API refuses a token.
    ///
    /// Default: [`Documented400`](RejectionStyle::Documented400), since that is what PayNet says it does.
    pub fn rejection(mut self, style: RejectionStyle) -> Self {
        self.rejection = style;
        self
    }

    /// How far `X-Timestamp` may be from the server's clock, either way.
    ///
    /// Both are taken in whole seconds.
    ///
    /// Default: 300 s, a choice of this sandbox alone: PayNet publishes no number, so do not build on this one.
    pub fn timestamp_window(mut self, window: Duration) -> Self {
        self.timestamp_window = window;
        self
    }

    /// Takes two free ports of 127.0.0.1 and serves on them.
    ///
    /// The sandbox lives on the Tokio runtime that this is awaited on.
    ///
    /// # Errors
    ///
    /// When a port cannot be had.
    ///
    /// # Cancellation
    ///
    /// A start that is dropped half-way leaves nothing behind.
    pub async fn start(self) -> Result<Sandbox, io::Error> {
        let (api, api_origin) = listen().await?;
        let (downloads, download_origin) = listen().await?;
        let environment = Environment::custom(&format!("{api_origin}/token"), &api_origin).map_err(io::Error::other)?;
        let shared = Arc::new(Shared::new(
            self.credentials,
            self.token_lifetime,
            self.rejection,
            self.timestamp_window,
            download_origin,
        ));
        let mut listeners = JoinSet::new();
        listeners.spawn(server::run(api, Exchange::new(Place::Api, &shared)));
        listeners.spawn(server::run(downloads, Exchange::new(Place::Downloads, &shared)));
        Ok(Sandbox { shared, environment, _listeners: listeners })
    }
}

async fn listen() -> Result<(TcpListener, String), io::Error> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    Ok((listener, origin))
}

const SAMPLE_ID: &str = "client_123456789";
const SAMPLE_SECRET: &str = "secret_abcdefghijklmnop";
/// Keeps `now + lifetime` far from the end of [`SystemTime`](std::time::SystemTime).
const LONGEST_LIFETIME: Duration = Duration::from_secs(u32::MAX as u64);
