//! Demonstration: processes that share one token over Redis, and what the authorization server counted.
//!
//! ```text
//! cargo run --example fleet --features redis,sandbox -- 10
//! ```
//!
//! `REDIS_URL` names the server; default: `redis://127.0.0.1:6379`. The number is that of the processes; default: 10.
#![expect(clippy::disallowed_methods, reason = "a demonstration runs in real time")]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    fleet::{Lookup, RedisStore, SealedToken, SharedTokenSource, StoreFuture, TokenStore},
    oauth::ClientCredentialsGrant,
    sandbox::Sandbox,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    if env::var("FLEET_TOKEN_URL").is_ok() {
        return run_process().await;
    }
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    if let Err(error) = RedisStore::connect(&url)?.renew("demonstration", "nobody", Duration::from_millis(1)).await {
        println!("{error}. Start a server, for example:");
        println!("    docker run --rm --publish 6379:6379 redis:7");
        println!("    apt install redis-server && redis-server --port 6379 --save ''");
        return Ok(());
    }
    let number = env::args().nth(1).map_or(Ok(10), |number| number.parse())?;
    let sandbox = Sandbox::builder().credentials("my-client", SECRET).start().await?;
    let mut fleet = (0..number).map(|_| Process::start(&sandbox, &url)).collect::<Result<Vec<_>, _>>()?;

    println!("{number} processes need a token at the same time:");
    together(&mut fleet, "token")?;
    println!("token requests: {}\n", sandbox.stats().token_requests);

    println!("The token is revoked, and every process learns of it:");
    sandbox.revoke_tokens();
    together(&mut fleet, "rejected")?;
    println!("token requests: {}", sandbox.stats().token_requests);
    Ok(())
}

/// One process, which does what its standard input says.
async fn run_process() -> Result<(), BoxError> {
    let credentials = Credentials::from_env("FLEET_CLIENT_ID", "FLEET_CLIENT_SECRET")?;
    let grant = ClientCredentialsGrant::builder(&env::var("FLEET_TOKEN_URL")?, credentials.clone()).build()?;
    let store = Counted { inner: RedisStore::connect(&env::var("FLEET_REDIS_URL")?)?, counts: Arc::default() };
    let counts = Arc::clone(&store.counts);
    let source = SharedTokenSource::builder(grant, store).credentials(&credentials).build()?;
    let handle = AuthLayer::builder(source).origin("https://api.example.com").build()?.handle();
    for line in std::io::stdin().lines() {
        let start = Instant::now();
        if line? == "rejected" {
            // As a 401 would.
            handle.refresh().await?;
        } else {
            handle.token().await?;
        }
        let (looks, published) = (counts.looks.swap(0, Relaxed), counts.published.swap(0, Relaxed));
        let did = if published > 0 { "fetched and published the token" } else { "took the token from the store" };
        println!("{did}, after {} ms; looks into the store: {looks}", start.elapsed().as_millis());
    }
    Ok(())
}

/// The other end of a process.
struct Process {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn start(sandbox: &Sandbox, url: &str) -> Result<Self, BoxError> {
        let mut child = Command::new(env::current_exe()?)
            .env("FLEET_TOKEN_URL", sandbox.environment().token_url())
            .env("FLEET_REDIS_URL", url)
            .env("FLEET_CLIENT_ID", sandbox.credentials().client_id())
            .env("FLEET_CLIENT_SECRET", SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, answers })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells all processes, then prints what each did.
fn together(fleet: &mut [Process], line: &str) -> Result<(), BoxError> {
    for process in fleet.iter_mut() {
        let input = process.child.stdin.as_mut().ok_or("no input")?;
        writeln!(input, "{line}")?;
    }
    for process in fleet {
        let mut answer = String::new();
        process.answers.read_line(&mut answer)?;
        println!("  process {} {}", process.child.id(), answer.trim_end());
    }
    Ok(())
}

/// A store that counts, to tell what a process did.
struct Counted {
    inner: RedisStore,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    looks: AtomicUsize,
    published: AtomicUsize,
}

impl TokenStore for Counted {
    fn read_or_lease<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, Lookup> {
        self.counts.looks.fetch_add(1, Relaxed);
        self.inner.read_or_lease(key, owner, lease)
    }

    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, bool> {
        self.inner.renew(key, owner, lease)
    }

    fn publish<'a>(&'a self, key: &'a str, owner: &'a str, token: &'a SealedToken) -> StoreFuture<'a, bool> {
        self.counts.published.fetch_add(1, Relaxed);
        self.inner.publish(key, owner, token)
    }

    fn retire<'a>(&'a self, key: &'a str, fingerprint: &'a str, tombstone: Duration) -> StoreFuture<'a, bool> {
        self.inner.retire(key, fingerprint, tombstone)
    }

    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> StoreFuture<'a, ()> {
        self.inner.release(key, owner)
    }
}

const SECRET: &str = "the secret of a demonstration";
