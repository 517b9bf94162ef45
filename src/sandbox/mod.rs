//! PayNet-compatible server for tests, in the same process.
//!
//! Tests against PayNet's UAT environment need credentials and a network, and cannot produce an outage. [`Sandbox`]
//! serves the documented endpoints on loopback ports, checks requests strictly, injects faults, and counts what it
//! receives.
//!
//! To test a client of any other API, set a function as the API with [`SandboxBuilder::api`]. [`Sandbox::service`]
//! works without sockets, on tokio's paused clock. The guide shows [how to test your code](crate::guide::testing) with
//! both.
//!
//! It brings a web framework, so enable the feature `sandbox` in `dev-dependencies` only.

mod api;
#[cfg(feature = "jwt")]
mod assertion;
mod builder;
mod connection;
mod custom_api;
mod cut_off;
mod download;
mod exchange;
mod fault;
mod handler;
mod leak;
mod message;
mod server;
mod service;
mod state;
mod stats;
mod token;

use std::{fmt, sync::Arc};

use tokio::task::JoinSet;

pub use self::{
    builder::SandboxBuilder,
    fault::{Fault, FaultKind},
    service::SandboxService,
    state::{FIID, RejectionStyle},
    stats::{ClientStats, Stats},
};

use self::state::ServerState;
use crate::{Credentials, paynet::Environment};

/// PayNet-compatible server on loopback ports, for tests and demonstrations.
///
/// It serves PayNet's token endpoint and reports API on one origin, and report files on
/// [another](Self::download_origin). Both accept HTTP/1.1 and HTTP/2 (with prior knowledge), without TLS, on free ports of
/// 127.0.0.1. Requests must be exactly as PayNet documents them, and are rejected with the documented messages.
/// [`inject`](Self::inject) makes requests fail, and [`stats`](Self::stats) returns what the server has received.
/// [`service`](Self::service) serves the same without sockets, and [`SandboxBuilder::api`] serves your own API.
///
/// Dropping the sandbox closes its ports and all connections as soon as its runtime runs.
///
/// # Endpoints
///
/// | request | requires |
/// |---|---|
/// | `POST /token` | `Accept`, `Content-Type`, and a form with `grant_type`, `client_id` and `client_secret`, or an assertion |
/// | `GET /v1/reports/types` | bearer token and signature |
/// | `POST /v1/reports/download` | the same, and JSON with `report_type`, `product`, `date`, and optional `fiid` and `window` |
/// | `POST /v2/reports/query` | bearer token, signature, the header `X-Fiid: `[`FIID`], and JSON with `query` |
/// | `GET` of the URL that a download returns | no credentials; returns a gzip file once, then `410` |
///
/// PayNet's documentation leaves some things open. The sandbox chooses the width of the
/// [timestamp window](SandboxBuilder::timestamp_window), the JSON around the documented messages and the contents of the
/// reports, and rejects a request that has one of the authentication headers twice.
///
/// # Limits
///
/// The sandbox is not secure: tokens come from a random generator that is not cryptographic, and secrets are not compared in
/// constant time. It keeps all issued tokens in memory until it is dropped, to detect leaks of expired ones.
///
/// The server needs its runtime: a test that blocks the only thread of a current-thread runtime gets no response.
///
/// # Example
///
/// ```
/// use tokio::{
///     io::{AsyncReadExt, AsyncWriteExt},
///     net::TcpStream,
/// };
/// use tower_outbound_auth::sandbox::Sandbox;
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let sandbox = Sandbox::start().await?;
///     let environment = sandbox.environment();
///
///     // A request without a token, by hand.
///     let address = environment.api_origin().trim_start_matches("http://");
///     let mut connection = TcpStream::connect(address).await?;
///     let head = format!("GET /v1/reports/types HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
///     connection.write_all(head.as_bytes()).await?;
///     let mut response = String::new();
///     connection.read_to_string(&mut response).await?;
///
///     assert!(response.starts_with("HTTP/1.1 400"));
///     assert!(response.ends_with(r#"{"message":"Access to this resource is forbidden"}"#));
///     let stats = sandbox.stats();
///     assert_eq!((stats.api_requests, stats.accepted, stats.rejected), (1, 0, 1));
///     Ok(())
/// }
/// ```
pub struct Sandbox {
    shared: Arc<ServerState>,
    credentials: Credentials,
    environment: Environment,
    _listeners: JoinSet<()>,
}

impl Sandbox {
    /// Returns token URL and API origin, for the client under test.
    ///
    /// Both have the same origin, as PayNet's have.
    pub fn environment(&self) -> Environment {
        self.environment.clone()
    }

    /// Returns the credentials of the first registered client.
    ///
    /// Clones share their secret: a [`rotate`](Credentials::rotate) changes it for the server and for all clients that use a
    /// clone. To rotate the secret of the server alone, build the client from [`Credentials::new`].
    ///
    /// Issued tokens stay valid after a rotation; [`revoke_tokens`](Self::revoke_tokens) invalidates them.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::{Credentials, sandbox::Sandbox};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), std::io::Error> {
    /// let sandbox = Sandbox::start().await?;
    /// let of_client = Credentials::new("client_123456789", "secret_abcdefghijklmnop");
    ///
    /// sandbox.credentials().rotate("only_the_server_knows");
    /// # drop(of_client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// Returns the origin of the report files, such as `http://127.0.0.1:40123`.
    ///
    /// It stands for the host that PayNet's one-time URLs point to, which must not receive credentials. A request that has
    /// one is counted in [`Stats::credentials_leaked`], and otherwise treated like any other.
    pub fn download_origin(&self) -> &str {
        &self.shared.download_origin
    }

    /// Revokes all tokens issued so far.
    ///
    /// Requests with one of them are rejected in the sandbox's [`RejectionStyle`]. New tokens can be requested.
    pub fn revoke_tokens(&self) {
        self.shared.tokens.revoke_all();
    }

    /// Adds a fault to the queue of its endpoint.
    ///
    /// Faults of the same endpoint are used one after the other, in the order in which they were injected.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.push(fault);
    }

    /// Removes all faults that were injected and not used yet.
    ///
    /// A request that has met its fault already still fails.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Sets the offset of the server's clock to this machine's, in seconds.
    ///
    /// A positive offset sets the clock ahead. A second call replaces the first. The offset changes the `Date` header
    /// of token endpoint and API, and the time that `X-Timestamp` is compared with. It does not change when tokens
    /// expire, nor the clock of the download origin.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.shared.clock.set_offset(seconds);
    }

    /// Returns the counters.
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    /// Returns the counters of one registered client; `None` for an unknown id.
    pub fn client_stats(&self, client_id: &str) -> Option<ClientStats> {
        self.shared.client(client_id.as_bytes()).map(|client| client.counters.read())
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("environment", &self.environment)
            .field("download_origin", &self.shared.download_origin)
            .field("credentials", &self.credentials)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
