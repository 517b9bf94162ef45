//! An in-process server that keeps to PayNet's documentation, to test client code against.

mod api;
mod builder;
mod connection;
mod cut_off;
mod download;
mod exchange;
mod fault;
mod leak;
mod server;
mod state;
mod stats;
mod token;

use std::{fmt, io, sync::Arc};

use tokio::task::JoinSet;

pub use self::{
    builder::{RejectionStyle, SandboxBuilder},
    fault::{Fault, FaultKind},
    stats::Stats,
};

use self::state::Shared;
use crate::{Credentials, paynet::Environment};

/// A PayNet-compatible server on this machine, for tests and demonstrations.
///
/// It has PayNet's token endpoint and reports API on one origin, and the files of reports on
/// [another](Self::download_origin). Both speak HTTP/1.1 and HTTP/2 (with prior knowledge) in the clear, on free ports of
/// 127.0.0.1. What PayNet's documentation asks for is checked to the letter, and refused in its words; what goes wrong
/// on a network comes with [`inject`](Self::inject); what the server saw is in [`stats`](Self::stats).
///
/// Dropping the sandbox ends it: its tasks are aborted, and with them go both listeners and all connections, as soon as
/// the runtime that it was started on gets to it.
///
/// # What it knows
///
/// | request | needs |
/// |---|---|
/// | `POST /token` | `Accept`, `Content-Type`, and a form of `grant_type`, `client_id`, `client_secret` |
/// | `GET /v1/reports/types` | bearer token and signature |
/// | `POST /v1/reports/download` | the same, and JSON of `report_type`, `product`, `date`; `fiid` and `window` as an option |
/// | `POST /v2/reports/query` | the same as the first, the header `X-Fiid: `[`FIID`], and JSON of `query` |
/// | `GET` of the URL that a download answers with | no credential; gives a gzip file once, then 410 |
///
/// Where PayNet's documentation is silent, the sandbox decided: the width of the
/// [timestamp window](SandboxBuilder::timestamp_window), the JSON around the documented messages, the reports
/// themselves, and that a header of the login which is sent twice is refused.
///
/// # Limits
///
/// Nothing here is fit to guard anything: tokens come from a pseudo-random generator that is no cryptographic one, secrets
/// are not compared in constant time, and issued tokens are kept until the sandbox ends, so that a leak of an old one is
/// still noticed.
///
/// The server needs its runtime to run: a test that blocks the only thread of a current-thread runtime gets no answer.
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
///     // In place of the client under test: a request without a token.
///     let address = environment.api_origin().trim_start_matches("http://");
///     let mut connection = TcpStream::connect(address).await?;
///     let head = format!("GET /v1/reports/types HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
///     connection.write_all(head.as_bytes()).await?;
///     let mut answer = String::new();
///     connection.read_to_string(&mut answer).await?;
///
///     assert!(answer.starts_with("HTTP/1.1 400"));
///     assert!(answer.ends_with(r#"{"message":"Access to this resource is forbidden"}"#));
///     let stats = sandbox.stats();
///     assert_eq!((stats.api_requests, stats.accepted, stats.rejected), (1, 0, 1));
///     Ok(())
/// }
/// ```
pub struct Sandbox {
    shared: Arc<Shared>,
    environment: Environment,
    _listeners: JoinSet<()>,
}

impl Sandbox {
    /// Settings first: other credentials, short-lived tokens, real 401s.
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
        SandboxBuilder::new()
    }

    /// Starts a sandbox with the defaults of [`SandboxBuilder`].
    ///
    /// The client is the one of PayNet's sample request: `client_123456789` with `secret_abcdefghijklmnop`.
    ///
    /// # Errors
    ///
    /// When a port of 127.0.0.1 cannot be had.
    ///
    /// # Cancellation
    ///
    /// A start that is dropped half-way leaves nothing behind.
    pub async fn start() -> Result<Self, io::Error> {
        Self::builder().start().await
    }

    /// Token URL and API origin, for the client under test.
    ///
    /// Both are on one origin, as they are at PayNet.
    pub fn environment(&self) -> Environment {
        self.environment.clone()
    }

    /// The credentials that the server checks requests against.
    ///
    /// These are the very ones, and clones share their secret: a [`rotate`](Credentials::rotate) on what this returns
    /// reaches the server at once, and every client that was built from a clone. To rotate at the server alone, build the
    /// client from values of its own with [`Credentials::new`], and rotate here.
    ///
    /// A rotation leaves issued tokens valid; [`revoke_tokens`](Self::revoke_tokens) ends those.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::{Credentials, sandbox::Sandbox};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), std::io::Error> {
    /// let sandbox = Sandbox::start().await?;
    /// let for_the_client = Credentials::new("client_123456789", "secret_abcdefghijklmnop");
    ///
    /// sandbox.credentials().rotate("only_the_server_knows");
    /// # drop(for_the_client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn credentials(&self) -> Credentials {
        self.shared.credentials.clone()
    }

    /// Where the files of reports are, such as `http://127.0.0.1:40123`.
    ///
    /// It stands for the host that PayNet's one-time URLs point to, and must never see a credential: each request that
    /// brings one is counted in [`Stats::credentials_leaked`], and answered as if it had none.
    pub fn download_origin(&self) -> &str {
        &self.shared.download_origin
    }

    /// Makes all tokens issued so far invalid at once.
    ///
    /// The next request with one of them is refused in the sandbox's [`RejectionStyle`]; new tokens can be had.
    pub fn revoke_tokens(&self) {
        self.shared.tokens.revoke_all();
    }

    /// Queues trouble for the next exchanges of one side.
    ///
    /// Faults of the same side are used one after the other, in the order in which they came.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.push(fault);
    }

    /// Forgets the faults that were injected and not used up, on both sides.
    ///
    /// An exchange that has met its fault already still suffers it.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Puts the server's clock this many seconds ahead, or behind if negative.
    ///
    /// It is an offset from this machine's clock, not from an earlier call. It shows where a client can notice it: in the
    /// `Date` header of token endpoint and API, and in the time that `X-Timestamp` is measured against. Tokens still
    /// expire on time, and the download origin, which is another server, keeps its clock.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.shared.clock.set_offset(seconds);
    }

    /// What the server has seen since it was started.
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("environment", &self.environment)
            .field("download_origin", &self.shared.download_origin)
            .field("credentials", &self.shared.credentials)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The one financial institution id that the sandbox knows.
///
/// It belongs in `X-Fiid` where that header is needed, and in `fiid` of a report download where that is given.
pub const FIID: &str = "FIID0001";
