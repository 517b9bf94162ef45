//! A sandbox, and the layers that log clients in to it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, util::BoxCloneSyncService};
use tower_outbound_auth::{
    AuthLayer, AuthLayerBuilder, BoxError, Clock, Credentials, NoReplay, RefreshPolicy, TimestampHmac, TokenHandle,
    paynet::{self, PeekedBody},
    sandbox::{RejectionStyle, Sandbox},
};

use crate::{
    flights::{ATTEMPTS, Excuses, FIRST_COOL_DOWN, JITTER, REFRESH_AT},
    ledger::Ledger,
    tally::{Check, Tally},
    watch::{Gate, Steps, TokenDesk},
};

/// A client with its own connections, logged in by a layer that it shares with others.
pub(crate) type Stack = BoxCloneSyncService<Request<Full<Bytes>>, Response<Bytes>, BoxError>;

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    /// The clients' own, so that they can be wrong.
    pub(crate) credentials: Credentials,
    pub(crate) excuses: Arc<Excuses>,
    lifetime: Duration,
}

/// A layer, with what the oracle knows of it.
pub(crate) struct Login {
    pub(crate) world: Arc<World>,
    pub(crate) ledger: Arc<Ledger>,
    settings: Settings,
    layer: AuthLayer,
}

/// In what the layers differ.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) name: &'static str,
    /// `CloneBody`, or else `NoReplay`.
    pub(crate) replays: bool,
    pub(crate) max_wait: Option<Duration>,
    pub(crate) clock: Clock,
}

impl World {
    pub(crate) async fn start(lifetime: Duration, style: RejectionStyle) -> Result<Arc<Self>, BoxError> {
        let sandbox = Sandbox::builder().token_lifetime(lifetime).rejection(style).start().await?;
        let credentials = Credentials::new(sandbox.credentials().client_id(), "secret_abcdefghijklmnop");
        Ok(Arc::new(Self { sandbox, credentials, excuses: Arc::default(), lifetime }))
    }
}

impl Login {
    pub(crate) fn new(world: &Arc<World>, tally: &Arc<Tally>, settings: Settings) -> Result<Self, BoxError> {
        let (environment, credentials) = (world.sandbox.environment(), world.credentials.clone());
        let ledger = Ledger::new(settings.name, tally, &world.excuses, world.lifetime);
        let source = paynet::grant(&environment, credentials.clone())
            .transport(TokenDesk::new(&ledger))
            .timeout(TOKEN_TIMEOUT)
            .build()?;
        let policy = RefreshPolicy::default()
            .refresh_at(REFRESH_AT)
            .jitter(JITTER)
            .deadline(FLIGHT_DEADLINE)
            .attempts(ATTEMPTS)
            .cool_down(FIRST_COOL_DOWN, 2 * FIRST_COOL_DOWN);
        let builder = AuthLayer::builder(source)
            .origin(environment.api_origin())
            .sign(paynet::sign_rules(), TimestampHmac::sha256(credentials))
            .refresh(policy)
            .clock(settings.clock);
        let layer = settings.max_wait.into_iter().fold(builder, AuthLayerBuilder::max_wait).build()?;
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
        if self.settings.replays {
            self.boxed(self.layer.layer(api))
        } else {
            self.boxed(self.layer.clone().replay(NoReplay).layer(api))
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
        let wait = self.settings.max_wait.unwrap_or(FLIGHT_DEADLINE + Duration::from_secs(1));
        2 * 2 * (wait + API_LATENCY + LONGEST_LAG) + BUSY
    }

    /// How long after the last trouble a call may still fail: the longest spacing of renewals, the longest cool-down, the
    /// flight after it, and some for a busy machine.
    ///
    /// Renewals that heal keep the spacing short. Where requests are sent once, nobody can tell, and it may come to the
    /// longest there is.
    pub(crate) fn all_well_after(&self) -> Duration {
        let spacing = Duration::from_secs(if self.settings.replays { 10 } else { 60 });
        spacing + 10 * FIRST_COOL_DOWN + FLIGHT_DEADLINE + BUSY
    }

    pub(crate) fn handle(&self) -> TokenHandle {
        self.layer.handle()
    }

    /// Forces a token, and says that it was refused.
    pub(crate) async fn force_and_reject(&self) {
        self.ledger.excuses.begin();
        let handle = self.handle();
        match timeout(self.bound(), handle.refresh()).await {
            Ok(Ok(token)) => handle.reject(&token),
            Ok(Err(_)) => {}
            Err(_) => self.ledger.violated(Check::NothingHangs, "a forced refresh"),
        }
        self.ledger.excuses.end();
    }
}

const TOKEN_TIMEOUT: Duration = Duration::from_secs(1);
/// Three tries with all that can delay them end before it, so that no flight is ever overdue.
const FLIGHT_DEADLINE: Duration = Duration::from_secs(4);
/// The longest that a fault delays an answer of the API.
pub(crate) const API_LATENCY: Duration = Duration::from_millis(500);
/// The longest that the network does.
pub(crate) const LONGEST_LAG: Duration = Duration::from_millis(300);
/// What a busy machine may add to a call.
const BUSY: Duration = Duration::from_secs(5);
