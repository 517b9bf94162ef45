//! A sandbox, and the layers that log clients in to it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, util::BoxCloneSyncService};
#[cfg(feature = "jwt")]
use tower_outbound_auth::oauth::{Algorithm, Audience, PrivateKeyJwt};
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, BoxError, Credentials,
    oauth::ClientCredentialsGrantBuilder,
    paynet::{self, PeekedBody},
    replay::NoReplay,
    sandbox::{RejectionStyle, Sandbox},
    signing::TimestampHmac,
    token::{RefreshPolicy, TokenHandle},
};

#[cfg(feature = "jwt")]
use crate::keys::key;
use crate::{
    budget::{BURST, BudgetSettings},
    fetches::{ATTEMPTS, Excuses, FAILURE_BACKOFF, JITTER, REFRESH_AT, REFUSAL_BACKOFF},
    ledger::Ledger,
    tally::{Check, Tally},
    watch::{Gate, Steps, TokenTransport},
};

/// A client with its own connections, authenticated by a layer that it shares with others.
pub(crate) type Stack = BoxCloneSyncService<Request<Full<Bytes>>, Response<Bytes>, BoxError>;

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    /// The clients' own, so that they can be wrong.
    pub(crate) credentials: Credentials,
    pub(crate) excuses: Arc<Excuses>,
    lifetime: Duration,
    /// Whether its clients sign assertions, and their secret signs requests to the API alone.
    #[cfg(feature = "jwt")]
    signs: bool,
}

/// A layer, with what the oracle knows of it.
pub(crate) struct Subject {
    pub(crate) world: Arc<World>,
    pub(crate) ledger: Arc<Ledger>,
    settings: Settings,
    layer: Layers,
}

enum Layers {
    Replaying(AuthLayer),
    SendingOnce(AuthLayer<NoReplay>),
}

/// In what the layers differ.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) name: &'static str,
    /// `CloneBody`, or else `NoReplay`.
    pub(crate) replays: bool,
    pub(crate) max_wait: Option<Duration>,
    /// How long the renewal budget takes to regain a unit.
    pub(crate) refill: Duration,
}

impl World {
    pub(crate) async fn start(lifetime: Duration, style: RejectionStyle, signs: bool) -> Result<Arc<Self>, BoxError> {
        let builder = Sandbox::builder().token_lifetime(lifetime).rejection(style);
        #[cfg(feature = "jwt")]
        let builder = if signs { builder.assertion_key(Algorithm::Ps256, key("rsa2048_public"))? } else { builder };
        #[cfg(not(feature = "jwt"))]
        let _ = signs;
        let sandbox = builder.start().await?;
        let credentials = Credentials::new(sandbox.credentials().client_id(), "secret_abcdefghijklmnop");
        Ok(Arc::new(Self {
            sandbox,
            credentials,
            excuses: Arc::default(),
            lifetime,
            #[cfg(feature = "jwt")]
            signs,
        }))
    }

    /// A grant whose clients authenticate as this world wants.
    fn grant(&self) -> Result<ClientCredentialsGrantBuilder, AuthError> {
        let environment = self.sandbox.environment();
        #[cfg(feature = "jwt")]
        if self.signs {
            let signer = PrivateKeyJwt::from_pem(Algorithm::Ps256, Audience::TokenEndpoint, key("rsa2048"))?;
            let client = Credentials::without_secret(self.credentials.client_id());
            // The server's clock is moved by minutes, and its time is known only when a token is there.
            return Ok(paynet::grant(&environment, client).client_assertion(signer));
        }
        Ok(paynet::grant(&environment, self.credentials.clone()))
    }
}

impl Subject {
    pub(crate) fn new(world: &Arc<World>, tally: &Arc<Tally>, settings: Settings) -> Result<Self, BoxError> {
        let (environment, credentials) = (world.sandbox.environment(), world.credentials.clone());
        let budget = BudgetSettings { refill: settings.refill, replays: settings.replays };
        let ledger = Ledger::new(settings.name, tally, &world.excuses, world.lifetime, budget);
        let source = world.grant()?.transport(TokenTransport::new(&ledger)).timeout(TOKEN_TIMEOUT).build()?;
        let policy = RefreshPolicy::default()
            .refresh_at(REFRESH_AT)
            .jitter(JITTER)
            .deadline(FETCH_DEADLINE)
            .attempts(ATTEMPTS)
            .failure_backoff(FAILURE_BACKOFF.0, FAILURE_BACKOFF.1)
            .refusal_backoff(REFUSAL_BACKOFF.0, REFUSAL_BACKOFF.1)
            .renewal_budget(BURST, settings.refill);
        let builder = AuthLayer::builder(source)
            .origin(environment.api_origin())
            .sign(paynet::sign_rules(), TimestampHmac::sha256(credentials))
            .refresh(policy);
        let builder = settings.max_wait.into_iter().fold(builder, AuthLayerBuilder::max_wait);
        let layer = if settings.replays {
            Layers::Replaying(builder.build()?)
        } else {
            Layers::SendingOnce(builder.replay(NoReplay).build()?)
        };
        Ok(Self { world: Arc::clone(world), ledger, settings, layer })
    }

    pub(crate) fn stack(&self, http2: bool) -> Stack {
        let environment = self.world.sandbox.environment();
        let gate = Gate {
            http: Client::builder(TokioExecutor::new()).http2_only(http2).build_http(),
            ledger: Arc::clone(&self.ledger),
            authority: environment.api_origin().trim_start_matches("http://").into(),
        };
        // Fewer than a caller sends at once, so that some have to wait until the service is ready.
        let api = paynet::RejectionLayer.layer(ConcurrencyLimit::new(gate, 2));
        match &self.layer {
            Layers::Replaying(layer) => self.boxed(layer.layer(api)),
            Layers::SendingOnce(layer) => self.boxed(layer.layer(api)),
        }
    }

    fn boxed<S>(&self, auth: S) -> Stack
    where
        S: Service<Request<Full<Bytes>>, Response = Response<PeekedBody<Incoming>>, Error = BoxError>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let steps = Steps { inner: auth, ledger: Arc::clone(&self.ledger) };
        BoxCloneSyncService::new(steps.and_then(|response: Response<PeekedBody<Incoming>>| async {
            let (head, body) = response.into_parts();
            Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
        }))
    }

    /// How long one call may take if its caller waits for its end: twice the wait for a token and twice that for the API,
    /// as it is sent twice at the most; all that once more, since others of its caller may be before it in the queue; and
    /// some for a busy machine.
    pub(crate) fn bound(&self) -> Duration {
        let wait = self.settings.max_wait.unwrap_or(FETCH_DEADLINE + Duration::from_secs(1));
        2 * 2 * (wait + API_LATENCY + LONGEST_LAG) + BUSY
    }

    /// How long after the last disruption a call may still fail: until the renewal budget has regained a unit, the longest
    /// backoff, the fetch after it, and some for a busy machine.
    pub(crate) fn all_well_after(&self) -> Duration {
        self.settings.refill + REFUSAL_BACKOFF.1 + FETCH_DEADLINE + BUSY
    }

    pub(crate) fn handle(&self) -> TokenHandle {
        match &self.layer {
            Layers::Replaying(layer) => layer.handle(),
            Layers::SendingOnce(layer) => layer.handle(),
        }
    }

    /// Forces a token, and invalidates it.
    pub(crate) async fn force_and_invalidate(&self) {
        self.ledger.excuses.begin();
        let handle = self.handle();
        match timeout(self.bound(), handle.refresh()).await {
            Ok(Ok(token)) => handle.invalidate(&token),
            Ok(Err(_)) => {}
            Err(_) => self.ledger.violated(Check::NothingHangs, "a forced refresh"),
        }
        self.ledger.excuses.end();
    }
}

const TOKEN_TIMEOUT: Duration = Duration::from_secs(1);
/// Three tries with all that can delay them end before it, so that no fetch is ever overdue.
const FETCH_DEADLINE: Duration = Duration::from_secs(4);
/// The longest that a fault delays an answer of the API.
pub(crate) const API_LATENCY: Duration = Duration::from_millis(500);
/// The longest that the network does.
pub(crate) const LONGEST_LAG: Duration = Duration::from_millis(300);
/// What a busy machine may add to a call.
const BUSY: Duration = Duration::from_secs(5);
