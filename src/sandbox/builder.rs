//! `SandboxBuilder`: the settings of a sandbox, and its start.

use std::{io, iter, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use secrecy::SecretString;
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    Sandbox,
    exchange::Exchange,
    handler::Handler,
    server,
    state::{Listener, RejectionStyle, ServerState},
};
use crate::{Credentials, paynet::Environment};

/// Builder for [`Sandbox`].
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::sandbox::{RejectionStyle, Sandbox};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::io::Error> {
/// let sandbox = Sandbox::builder()
///     .token_lifetime(Duration::from_secs(30))
///     .rejection(RejectionStyle::Unauthorized401)
///     .timestamp_window(Duration::from_secs(60))
///     .start()
///     .await?;
/// # drop(sandbox);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `start` is called"]
#[derive(Debug)]
pub struct SandboxBuilder {
    credentials: Credentials,
    other_clients: Vec<Credentials>,
    token_lifetime: Duration,
    rejection: Option<RejectionStyle>,
    custom_api: Option<Handler>,
    timestamp_window: Duration,
    #[cfg(feature = "jwt")]
    assertions: Option<super::assertion::Assertions>,
}

impl Sandbox {
    /// Returns a builder, to change the settings.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_outbound_auth::sandbox::{RejectionStyle, Sandbox};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), std::io::Error> {
    /// let sandbox = Sandbox::builder()
    ///     .credentials("my_client", "my&secret+100%")
    ///     .token_lifetime(Duration::from_secs(30))
    ///     .rejection(RejectionStyle::Unauthorized401)
    ///     .start()
    ///     .await?;
    /// assert_eq!(sandbox.credentials().client_id(), "my_client");
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder::default()
    }

    /// Starts a sandbox with the default settings of [`SandboxBuilder`].
    ///
    /// The client is that of PayNet's sample request: `client_123456789` with `secret_abcdefghijklmnop`.
    ///
    /// # Errors
    ///
    /// An error of the operating system if a port cannot be bound.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the ports.
    pub async fn start() -> Result<Self, io::Error> {
        Self::builder().start().await
    }
}

impl Default for SandboxBuilder {
    fn default() -> Self {
        Self {
            credentials: Credentials::new(SAMPLE_ID, SAMPLE_SECRET),
            other_clients: Vec::new(),
            token_lifetime: Duration::from_secs(3600),
            rejection: None,
            custom_api: None,
            timestamp_window: Duration::from_secs(300),
            #[cfg(feature = "jwt")]
            assertions: None,
        }
    }
}

impl SandboxBuilder {
    /// Sets the id and the secret of the first registered client.
    ///
    /// [`Sandbox::credentials`] returns them. Default: `client_123456789` and `secret_abcdefghijklmnop`, as in PayNet's
    /// sample request. To test form-encoding, use a secret that contains `&`, `+` and `%`.
    pub fn credentials(mut self, id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        self.credentials = Credentials::new(id, secret);
        self
    }

    /// Registers another client. Repeatable; of two with one id the first counts.
    ///
    /// Its requests are checked against its own secret, and [`Sandbox::client_stats`] counts them.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::sandbox::Sandbox;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), std::io::Error> {
    /// let sandbox = Sandbox::builder().client("acme", "acme-secret").client("umbrella", "umbrella-secret").start().await?;
    /// assert_eq!(sandbox.client_stats("acme").map(|stats| stats.tokens), Some(0));
    /// assert_eq!(sandbox.client_stats("nobody"), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn client(mut self, id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        self.other_clients.push(Credentials::new(id, secret));
        self
    }

    /// Sets how long a token is valid; `expires_in` has the same value.
    ///
    /// A token expires by the wall clock or by tokio's clock, which tests can advance, whichever is first.
    /// Default: 3600 s, as PayNet documents. With zero a token has expired when it arrives; the maximum is 136 years.
    /// `expires_in` is an integer for whole seconds, and a float otherwise.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime.min(MAX_LIFETIME);
        self
    }

    /// Serves this function as the API, in place of PayNet's.
    ///
    /// Use it to test a client of any other API. The function is called for each request with a valid bearer token to
    /// any path but `/token`; no signature is needed. The URI that it gets is the path with the query. Requests without
    /// a valid token are rejected; see [`rejection`](Self::rejection). The token endpoint accepts credentials in the
    /// form and by HTTP Basic (RFC 6749, section 2.3.1), and ignores `scope`, `audience` and other fields.
    ///
    /// If the function panics, because an assertion in it fails, the connection is closed; a call of
    /// [`Sandbox::service`] panics. Default: PayNet's reports API.
    ///
    /// # Example
    ///
    /// ```
    /// use http::Response;
    /// use tower_outbound_auth::sandbox::Sandbox;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sandbox = Sandbox::builder()
    ///     .api(|request| match request.uri().path() {
    ///         "/accounts/7" => Response::new(r#"{ "balance": "150.75" }"#),
    ///         _ => {
    ///             let mut response = Response::new("no such account");
    ///             *response.status_mut() = http::StatusCode::NOT_FOUND;
    ///             response
    ///         }
    ///     })
    ///     .start()
    ///     .await?;
    /// # drop(sandbox);
    /// # Ok(())
    /// # }
    /// ```
    pub fn api<B>(mut self, handler: impl Fn(Request<Bytes>) -> Response<B> + Send + Sync + 'static) -> Self
    where
        B: Into<Bytes>,
    {
        self.custom_api = Some(Handler::new(handler));
        self
    }

    /// Sets how the API rejects a token.
    ///
    /// Default: [`Documented400`](RejectionStyle::Documented400), as PayNet documents, and
    /// [`Unauthorized401`](RejectionStyle::Unauthorized401) if [`api`](Self::api) is set.
    pub fn rejection(mut self, style: RejectionStyle) -> Self {
        self.rejection = Some(style);
        self
    }

    /// Sets how far `X-Timestamp` may be from the server's clock, either way.
    ///
    /// Default: 300 s. PayNet does not publish its value, so do not rely on this one. Both times are compared in whole
    /// seconds; with zero they must be equal.
    pub fn timestamp_window(mut self, window: Duration) -> Self {
        self.timestamp_window = window;
        self
    }

    /// Makes the client authenticate with an assertion in place of its secret.
    ///
    /// The secret then only signs API requests. The assertion is a JWT that is signed with this algorithm and the
    /// private key that belongs to this public key, in PEM text as `openssl pkey -pubout` writes it. `iss` and `sub`
    /// are the client id, `aud` is the token URL or its origin, and each `jti` is accepted once.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if there is no public key in the text.
    #[cfg(feature = "jwt")]
    pub fn assertion_key(
        mut self,
        algorithm: crate::oauth::Algorithm,
        public_key_pem: impl AsRef<[u8]>,
    ) -> Result<Self, crate::AuthError> {
        let key = crate::oauth::PublicKey::from_pem(algorithm, public_key_pem.as_ref())?;
        self.assertions = Some(super::assertion::Assertions::new(key));
        Ok(self)
    }

    /// Starts the server on two free ports of 127.0.0.1.
    ///
    /// It runs on the Tokio runtime that this future is polled on.
    ///
    /// # Errors
    ///
    /// An error of the operating system if a port cannot be bound.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the ports.
    pub async fn start(self) -> Result<Sandbox, io::Error> {
        let (api, api_origin) = listen().await?;
        let (downloads, download_origin) = listen().await?;
        let environment = Environment::custom(&format!("{api_origin}/token"), &api_origin).map_err(io::Error::other)?;
        let credentials = self.credentials.clone();
        let clients = iter::once(self.credentials).chain(self.other_clients).collect();
        let of_the_api =
            if self.custom_api.is_some() { RejectionStyle::Unauthorized401 } else { RejectionStyle::default() };
        let rejection = self.rejection.unwrap_or(of_the_api);
        let mut shared =
            ServerState::new(clients, self.token_lifetime, rejection, self.timestamp_window, download_origin);
        shared.origin = api_origin;
        shared.custom_api = self.custom_api;
        #[cfg(feature = "jwt")]
        {
            shared.assertions = self.assertions;
        }
        let shared = Arc::new(shared);
        let mut listeners = JoinSet::new();
        listeners.spawn(server::run(api, Exchange::new(Listener::Api, &shared)));
        listeners.spawn(server::run(downloads, Exchange::new(Listener::Downloads, &shared)));
        Ok(Sandbox { shared, credentials, environment, _listeners: listeners })
    }
}

async fn listen() -> Result<(TcpListener, String), io::Error> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    Ok((listener, origin))
}

const SAMPLE_ID: &str = "client_123456789";
const SAMPLE_SECRET: &str = "secret_abcdefghijklmnop";
/// What clients read that keep `expires_in` in 32 bits.
const MAX_LIFETIME: Duration = Duration::from_secs(u32::MAX as u64);
