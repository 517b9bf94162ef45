//! One process of a fleet for `run.py`: does what its standard input says, a line at a time, and answers each with a line.
//!
//! | line | answer |
//! |---|---|
//! | `check` | what the conformance suite says of the store |
//! | `call` | the status of one call of the API, its token, and how long it took in ms |
//! | `loop SECONDS INTERVAL_MS` | calls, those without a 200, and the slowest in ms |
//! | `rotate SECRET` | `ok` |
//! | `events` | how often the store was hit, led, followed and done without |
#![expect(clippy::disallowed_methods, reason = "a program that measures runs in real time")]

use std::{
    collections::BTreeMap,
    env,
    fmt::{self, Write as _},
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Request;
use http_body_util::BodyExt;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tower::{ServiceBuilder, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthLayer, BoxError, Credentials,
    client::HttpsClient,
    fleet::{RedisStore, SharedTokenSource, conformance},
    oauth::ClientCredentialsGrant,
    token::TokenHandle,
};
use tracing::field::{Field, Visit};
use tracing_subscriber::{Layer, layer::SubscriberExt, registry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let events = Events::default();
    tracing::subscriber::set_global_default(registry().with(events.clone()))?;
    let replica = Replica::new()?;
    let (sender, mut lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.blocking_send(line))
    });
    while let Some(line) = lines.recv().await {
        let words: Vec<_> = line.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["check"] => match conformance::check(&replica.store).await {
                Ok(()) => "ok".to_owned(),
                Err(error) => error.to_string(),
            },
            ["call"] => replica.call().await.to_string(),
            ["loop", seconds, interval] => replica.calls(seconds.parse()?, interval.parse()?).await,
            ["rotate", secret] => {
                replica.credentials.rotate(*secret);
                "ok".to_owned()
            }
            ["events"] => events.to_string(),
            _ => return Err(format!("cannot do {line:?}").into()),
        };
        // Not `println!`, which panics where nobody reads any more.
        writeln!(std::io::stdout(), "{answer}")?;
    }
    Ok(())
}

struct Replica {
    store: RedisStore,
    credentials: Credentials,
    handle: TokenHandle,
    client: Auth<HttpsClient>,
    api: String,
}

/// What came of one call.
struct Called {
    status: u16,
    token: String,
    took: Duration,
}

impl Replica {
    fn new() -> Result<Self, BoxError> {
        let store = store()?;
        let credentials = Credentials::new("replica", env::var("SECRET")?);
        let grant = ClientCredentialsGrant::builder(&env::var("TOKEN_URL")?, credentials.clone()).build()?;
        let mut source = SharedTokenSource::builder(grant, store.clone()).credentials(&credentials);
        if let Ok(key) = env::var("SEALING_KEY") {
            source = source.sealing_key(key, None);
        }
        let api = env::var("API")?;
        let auth = AuthLayer::builder(source.build()?).origin(&api).build()?;
        let handle = auth.handle();
        let client = ServiceBuilder::new().layer(auth).service(HttpsClient::new()?);
        Ok(Self { store, credentials, handle, client, api })
    }

    async fn call(&self) -> Called {
        let start = Instant::now();
        let status = self.status().await.unwrap_or_else(|error| {
            let _ = writeln!(std::io::stderr(), "a call failed: {error}");
            0
        });
        let took = start.elapsed();
        let token =
            self.handle.token().await.map_or_else(|_| "none".to_owned(), |token| token.expose_secret().to_owned());
        Called { status, token, took }
    }

    async fn status(&self) -> Result<u16, BoxError> {
        let request = Request::get(format!("{}/thing", self.api)).body(String::new())?;
        let response = self.client.clone().oneshot(request).await?;
        let status = response.status().as_u16();
        response.into_body().collect().await?;
        Ok(status)
    }

    async fn calls(&self, seconds: u64, interval: u64) -> String {
        let end = Instant::now() + Duration::from_secs(seconds);
        let (mut calls, mut failed, mut slowest) = (0, 0, Duration::ZERO);
        while Instant::now() < end {
            let called = self.call().await;
            calls += 1;
            failed += u32::from(called.status != 200);
            slowest = slowest.max(called.took);
            sleep(Duration::from_millis(interval)).await;
        }
        format!("{calls} {failed} {}", slowest.as_millis())
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.status, self.token, self.took.as_millis())
    }
}

fn store() -> Result<RedisStore, BoxError> {
    let text = env::var("STORE")?;
    let words: Vec<_> = text.split_whitespace().collect();
    let store = match words.as_slice() {
        ["one", url] => RedisStore::connect(url)?,
        ["sentinel", urls, master] => RedisStore::sentinel(urls.split(','), master)?,
        ["cluster", urls] => RedisStore::cluster(urls.split(','))?,
        _ => return Err("STORE: one URL, sentinel URLS MASTER, or cluster URLS".into()),
    };
    Ok(match env::var("CA") {
        Ok(path) => store.root_certificates(std::fs::read(path)?)?,
        Err(_) => store,
    })
}

/// Counts the events of the fleet.
#[derive(Clone, Default)]
struct Events {
    counts: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl<S: tracing::Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _context: tracing_subscriber::layer::Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

impl Visit for Events {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(value.to_owned()).or_default() += 1;
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}

impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (event, count) in counts.iter() {
            write!(text, "{event}={count} ")?;
        }
        f.write_str(text.trim_end())
    }
}
