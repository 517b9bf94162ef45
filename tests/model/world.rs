//! Plays a history to a real layer on paused time, and notes what can be seen.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Request, header::AUTHORIZATION, response::Parts};
use tokio::{
    runtime::Builder,
    task::yield_now,
    time::{advance, sleep, timeout},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials,
    oauth::ClientCredentialsGrant,
    rejection::Rejection,
    replay::Replay,
    token::{AccessToken, FetchRequest, KeepWarm, RefreshPolicy, TokenSource},
};

use crate::{
    history::{DEFAULT, History, Path, RUN_OUT, Settings, What},
    log::{Draws, Entry},
    notes::{Body, Notes},
    server::{REJECTED_AS_TOLD, Server},
};

const ORIGIN: &str = "https://api.example.com";

/// What the layer did, and drew.
pub(crate) fn play(history: &History) -> (Vec<Entry>, Draws) {
    fastrand::seed(history.seed);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(history);
        world.play(history).await;
        world.notes.read()
    })
}

struct World {
    layer: AuthLayer<Replays>,
    credentials: Credentials,
    warm: Option<KeepWarm>,
    notes: Notes,
}

impl World {
    fn new(history: &History) -> Self {
        let notes = Notes::new(history.endpoint);
        let credentials = Credentials::new("id", "secret");
        let endpoint = notes.clone();
        let transport = service_fn(move |_: Request<Body>| endpoint.clone().token_request());
        let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone());
        let grant = grant.timeout(Duration::MAX).transport(transport).build().unwrap();
        let builder = AuthLayer::builder(Source { grant, notes: notes.clone() }).origin(ORIGIN);
        let builder = builder.refresh(policy(history.settings));
        let told = |parts: &Parts| (parts.status == REJECTED_AS_TOLD).then_some(Rejection::Token);
        let builder = builder.reject_when(told);
        let builder = match history.max_wait {
            Some(wait) => builder.max_wait(Duration::from_millis(wait)),
            None => builder,
        };
        let layer = builder.replay(Replays(history.replays)).build().unwrap();
        Self { layer, credentials, warm: None, notes }
    }

    async fn play(&mut self, history: &History) {
        for (number, step) in history.steps.iter().enumerate() {
            wait(step.after).await;
            self.notes.status(number, &self.layer.handle().status());
            self.take(number, step.what).await;
        }
        wait(RUN_OUT).await;
        self.notes.status(history.steps.len(), &self.layer.handle().status());
    }

    async fn take(&mut self, step: usize, what: What) {
        match what {
            What::Call { path, latency, dropped_after } => self.call(step, path, latency, dropped_after),
            What::Ask { refresh, dropped_after } => self.ask(step, refresh, dropped_after),
            What::Invalidate => {
                if let Some(token) = self.notes.held() {
                    self.layer.handle().invalidate(&token);
                }
            }
            What::Revoke => self.notes.server(Server::revoke),
            What::Takes(any) => self.notes.server(|server| server.take(any)),
            What::Endpoint(endpoint) => self.notes.server(|server| server.endpoint = endpoint),
            What::Rotate => self.credentials.rotate(format!("secret of step {step}")),
            What::Jump(millis) => advance(Duration::from_millis(millis)).await,
            What::Warm(warm) => self.warm = warm.then(|| self.layer.handle().keep_warm()),
        }
        // What this began runs until it has to wait.
        for _ in 0..4 {
            yield_now().await;
        }
    }

    fn call(&self, step: usize, path: Path, latency: u64, dropped_after: Option<u64>) {
        let notes = self.notes.clone();
        let sent = Arc::new(AtomicBool::new(false));
        let api = service_fn(move |request: Request<Body>| {
            let token = request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap();
            let response = notes.sent(step, path, sent.swap(true, SeqCst), token);
            async move {
                sleep(Duration::from_millis(latency)).await;
                Ok::<_, BoxError>(response)
            }
        });
        self.send(step, self.layer.layer(api), dropped_after);
    }

    fn send<S>(&self, step: usize, client: S, dropped_after: Option<u64>)
    where
        S: Service<Request<Body>, Response = http::Response<Body>, Error = BoxError, Future: Send> + Send + 'static,
    {
        let request = Request::get(format!("{ORIGIN}/")).body(Body::default()).unwrap();
        let notes = self.notes.clone();
        spawn(client.oneshot(request), dropped_after, move |ended| notes.answered(step, ended));
    }

    fn ask(&self, step: usize, refresh: bool, dropped_after: Option<u64>) {
        let (handle, notes) = (self.layer.handle(), self.notes.clone());
        let asking = async move { if refresh { handle.refresh().await } else { handle.token().await } };
        spawn(asking, dropped_after, move |ended| notes.given(step, ended));
    }
}

/// Whether requests are replayed.
#[derive(Clone, Copy)]
struct Replays(bool);

impl Replay<Body> for Replays {
    fn clone_body(&self, body: &Body) -> Option<Body> {
        self.0.then(|| body.clone())
    }
}

/// Notes each token request, and why.
struct Source {
    grant: ClientCredentialsGrant,
    notes: Notes,
}

impl TokenSource for Source {
    fn fetch(
        &self,
        request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        self.notes.asked(&request);
        self.grant.fetch(request)
    }

    fn generation(&self) -> u64 {
        self.grant.generation()
    }
}

/// Runs this to its end, unless it is dropped before.
fn spawn<T>(
    future: impl Future<Output = T> + Send + 'static,
    dropped_after: Option<u64>,
    note: impl FnOnce(T) + Send + 'static,
) {
    tokio::spawn(async move {
        let ended = match dropped_after {
            Some(millis) => timeout(Duration::from_millis(millis), future).await.ok(),
            None => Some(future.await),
        };
        if let Some(ended) = ended {
            note(ended);
        }
    });
}

fn policy(settings: Settings) -> RefreshPolicy {
    let default = RefreshPolicy::default().jitter(0.0);
    if settings == DEFAULT {
        return default;
    }
    let both = |(first, max)| (Duration::from_millis(first), Duration::from_millis(max));
    let (failure, refusal) = (both(settings.failure_backoff), both(settings.refusal_backoff));
    let (burst, refill) = settings.budget;
    #[expect(clippy::cast_precision_loss, reason = "it is at most a hundred")]
    let refresh_at = settings.refresh_at as f64 / 100.0;
    default
        .refresh_at(refresh_at)
        .expiry_margin(Duration::from_millis(settings.expiry_margin))
        .default_lifetime(Duration::from_millis(settings.default_lifetime))
        .deadline(Duration::from_millis(settings.deadline))
        .attempts(settings.attempts)
        .failure_backoff(failure.0, failure.1)
        .refusal_backoff(refusal.0, refusal.1)
        .renewal_budget(burst, Duration::from_millis(refill))
}

async fn wait(millis: u64) {
    if millis > 0 {
        sleep(Duration::from_millis(millis)).await;
    }
}
