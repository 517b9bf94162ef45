//! The client's own process stands still (SIGSTOP) while its token ends, as a laptop's or a paused container's does.

use std::{
    env,
    io::{self, BufRead},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::{runtime::Runtime, time::sleep};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{AuthLayer, Credentials, client::HttpsClient, oauth::ClientCredentialsGrant};

use crate::{
    TestResult,
    process::{MANY_FILES, Process, say},
    server::Server,
};

#[tokio::test(flavor = "multi_thread")]
async fn t5_the_first_request_after_waking_carries_no_token_that_ended_meanwhile() -> TestResult {
    for warm in ["", "yes"] {
        let server = Server::new(LIFETIME, Duration::ZERO);
        let mut client = start(&server, warm).await?;
        client.tell("go")?;
        assert_eq!(client.hear()?, "200");
        let mut stopping = client.stop_for(LIFETIME + Duration::from_secs(1))?;
        // It reads this as soon as it wakes.
        client.tell("go")?;
        assert_eq!(client.hear()?, "200");
        stopping.wait()?;
        let seen = server.seen();
        assert_eq!((seen.token_requests, seen.calls, seen.dead), (2, 2, 0), "kept warm: {warm:?}");
    }
    Ok(())
}

/// Its token came, and ended, while it stood still. That cannot be told from an answer that was slow, so it may be tried.
#[tokio::test(flavor = "multi_thread")]
async fn t6_a_request_that_slept_through_the_life_of_its_token_is_served_all_the_same() -> TestResult {
    let latency = Duration::from_secs(1);
    let server = Server::new(LIFETIME, latency);
    let mut client = start(&server, "").await?;
    client.tell("go")?;
    while server.seen().token_requests == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let mut stopping = client.stop_for(latency + LIFETIME + Duration::from_secs(1))?;
    assert_eq!(client.hear()?, "200");
    stopping.wait()?;
    let seen = server.seen();
    assert_eq!((seen.token_requests, seen.calls, seen.dead), (2, 2, 1));
    Ok(())
}

async fn start(server: &Server, warm: &str) -> io::Result<Process> {
    let origin = format!("http://{}", server.listen("127.0.0.1:0").await?);
    Process::start("client", &[("ORIGIN", &origin), ("WARM", warm)], MANY_FILES)
}

/// The other process: one request for each line, and the status of its answer.
pub(crate) fn call_when_told() -> TestResult {
    let origin = env::var("ORIGIN")?;
    let runtime = Runtime::new()?;
    let _context = runtime.enter();
    let source = ClientCredentialsGrant::builder(&format!("{origin}/token"), Credentials::new("client", "secret"));
    let layer = AuthLayer::builder(source.build()?).origin(&origin).build()?;
    let client = layer.layer(HttpsClient::builder().pool_idle_timeout(Duration::ZERO).build()?);
    let _warm = env::var("WARM").is_ok_and(|warm| !warm.is_empty()).then(|| layer.handle().keep_warm());
    for _line in io::stdin().lock().lines() {
        let request = Request::get(format!("{origin}/api")).body(Full::<Bytes>::default())?;
        let answer = runtime.block_on(client.clone().oneshot(request));
        say(&answer.map_or_else(|error| error.to_string(), |answer| answer.status().as_str().to_owned()));
    }
    Ok(())
}

const LIFETIME: Duration = Duration::from_secs(2);
