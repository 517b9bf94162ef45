//! A token server that stands still (SIGSTOP) and goes on: its port still takes connections, and nothing answers.

use std::{env, io, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::{
    runtime::Runtime,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthError, AuthLayer, BoxError, Credentials, ErrorKind,
    client::HttpsClient,
    oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    token::{RefreshPolicy, TokenHandle},
};

use crate::{
    A_HANG, TestResult,
    process::{MANY_FILES, Process, end_with_parent, say},
    server::Server,
};

struct World {
    tokens: Process,
    token_url: String,
    /// Where any token is taken: the tokens are of another process.
    api: String,
    client: Auth<HttpsClient>,
    handle: TokenHandle,
}

impl World {
    async fn new(
        set: impl Fn(ClientCredentialsGrantBuilder) -> ClientCredentialsGrantBuilder,
        policy: RefreshPolicy,
    ) -> Result<Self, BoxError> {
        let mut tokens = Process::start("token server", &[], MANY_FILES)?;
        let token_url = tokens.hear()?;
        let api = format!("http://{}/count", Server::new(A_HANG, Duration::ZERO).listen("127.0.0.1:0").await?);
        let source =
            ClientCredentialsGrant::builder(&format!("{token_url}/token"), Credentials::new("client", "secret"));
        let layer = AuthLayer::builder(set(source).build()?).any_origin().refresh(policy).build()?;
        let client = layer.layer(HttpsClient::builder().pool_idle_timeout(Duration::ZERO).build()?);
        Ok(Self { tokens, token_url, api, client, handle: layer.handle() })
    }

    async fn call(client: Auth<HttpsClient>, api: String) -> TestResult {
        let request = Request::get(api).body(Full::<Bytes>::default())?;
        let answer = timeout(A_HANG, client.oneshot(request)).await??;
        if answer.status() == 200 { Ok(()) } else { Err(answer.status().as_str().into()) }
    }

    async fn calls(&self, callers: usize) -> TestResult {
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            tasks.spawn(Self::call(self.client.clone(), self.api.clone()));
        }
        while let Some(end) = tasks.join_next().await {
            end??;
        }
        Ok(())
    }

    /// Token requests that the server got to read.
    async fn token_requests(&self) -> Result<usize, BoxError> {
        let request = Request::get(format!("{}/count", self.token_url)).body(Full::<Bytes>::default())?;
        let answer = HttpsClient::builder()
            .pool_idle_timeout(Duration::ZERO)
            .build()?
            .oneshot(request)
            .await?
            .into_body()
            .collect()
            .await?
            .to_bytes();
        Ok(String::from_utf8_lossy(&answer).parse()?)
    }
}

/// With the timeouts that there are without settings: 10 s and 30 s where it stands still for 20.
#[tokio::test(flavor = "multi_thread")]
async fn t9_a_token_server_that_stands_still_for_20_s_costs_cold_callers_time_and_no_error() -> TestResult {
    let (exchange, fetch) = (stopped() / 2, stopped() * 3 / 2);
    let world = World::new(|source| source.timeout(exchange), RefreshPolicy::default().deadline(fetch)).await?;
    let mut stopping = world.tokens.stop_for(stopped())?;
    let begin = Instant::now();
    world.calls(100).await?;
    assert!(begin.elapsed() > stopped() / 2, "it did not stand still");
    stopping.wait()?;
    // Those that their client gave up are still in the queue of the server, which reads them when it goes on.
    assert!(world.token_requests().await? <= 3);
    assert_eq!(world.handle.status().issued, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t4_a_token_server_that_stands_still_is_not_noticed_while_the_token_lives() -> TestResult {
    // The token is old at once, and lives for an hour.
    let policy = RefreshPolicy::default().refresh_at(1e-6).jitter(0.0);
    let world = World::new(|source| source, policy).await?;
    world.calls(1).await?;
    sleep(Duration::from_millis(50)).await;
    let mut stopping = world.tokens.stop_for(stopped())?;
    let mut calls = 0;
    while stopping.try_wait()?.is_none() {
        // Far less than it stands still.
        timeout(stopped() / 2, world.calls(1)).await??;
        calls += 1;
        sleep(Duration::from_millis(10)).await;
    }
    assert!(calls > 10, "{calls}");
    let renewed = async {
        while world.handle.status().issued < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(A_HANG, renewed).await?;
    assert_eq!(world.handle.status().failures, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t2_t8_a_token_server_that_stands_still_for_longer_than_a_fetch_is_asked_again_when_it_goes_on() -> TestResult {
    let rest = Duration::from_millis(200);
    let policy = RefreshPolicy::default().deadline(stopped() / 4).failure_backoff(rest, rest);
    let world = World::new(|source| source, policy).await?;
    let mut stopping = world.tokens.stop_for(stopped())?;
    let mut failed = 0;
    let served = async {
        while let Err(error) = world.calls(1).await {
            let error = AuthError::find(error.as_ref()).ok_or("another error")?.clone();
            assert!(error.kind() == ErrorKind::Timeout && error.is_transient(), "{error:?}");
            sleep(error.retry_after().ok_or("no word on when to come back")?).await;
            failed += 1;
        }
        TestResult::Ok(())
    };
    timeout(A_HANG, served).await??;
    assert!((1..=5).contains(&failed), "{failed}");
    stopping.wait()?;
    Ok(())
}

/// The other process.
pub(crate) fn serve() -> TestResult {
    end_with_parent();
    Runtime::new()?.block_on(async {
        let address = Server::new(Duration::from_secs(3_600), Duration::ZERO).listen("127.0.0.1:0").await?;
        say(&format!("http://{address}"));
        std::future::pending::<io::Result<()>>().await
    })?;
    Ok(())
}

pub(crate) fn stopped() -> Duration {
    Duration::from_secs(env::var("STOPPED_SECONDS").map_or(4, |seconds| seconds.parse().unwrap()))
}
