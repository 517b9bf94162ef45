//! No file descriptor left for a connection.

use std::{
    env,
    fs::{self, File},
    io,
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy;
use tokio::{
    runtime::Builder,
    time::{sleep, timeout},
};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer, Credentials, ErrorKind, client::HttpsClient, oauth::ClientCredentialsGrant,
    token::RefreshPolicy,
};

use crate::{A_HANG, TestResult, process::Process, server::Server};

#[tokio::test(flavor = "multi_thread")]
async fn t9_a_process_without_a_file_descriptor_fails_in_time_and_recovers() -> TestResult {
    let server = Server::new(Duration::from_secs(3_600), Duration::ZERO);
    let origin = format!("http://{}", server.listen("127.0.0.1:0").await?);
    let client = Process::start("few files", &[("ORIGIN", &origin)], 64)?;
    tokio::task::spawn_blocking(|| client.succeeds()).await??;
    let seen = server.seen();
    assert_eq!((seen.token_requests, seen.calls, seen.dead), (2, 3, 0));
    Ok(())
}

/// The other process.
pub(crate) fn run_out_of_files() -> TestResult {
    let origin = env::var("ORIGIN")?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let source = ClientCredentialsGrant::builder(&format!("{origin}/token"), Credentials::new("client", "secret"));
    let rest = Duration::from_secs(600);
    let policy = RefreshPolicy::default().failure_backoff(rest, rest);
    let layer = AuthLayer::builder(source.build()?).origin(&origin).refresh(policy).build()?;
    let client = layer.layer(HttpsClient::builder().pool_idle_timeout(Duration::ZERO).build()?);
    let call = || {
        let request = Request::get(format!("{origin}/api")).body(Full::<Bytes>::default());
        let client = client.clone();
        async move { timeout(A_HANG, client.oneshot(request?)).await? }
    };
    runtime.block_on(async {
        let idle = open_files()?;
        let files = all_files();
        let error = call().await.err().ok_or("an answer without a connection")?;
        let error = AuthError::find(error.as_ref()).ok_or("another error")?;
        assert!(error.kind() == ErrorKind::Unavailable && error.is_transient(), "{error:?}");
        drop(files);
        // T8: `refresh()` need not wait.
        layer.handle().refresh().await?;
        assert_eq!(call().await?.status(), 200);

        // Until the connections of both are closed, of which none is kept.
        while open_files()? > idle {
            sleep(Duration::from_millis(1)).await;
        }
        let files = all_files();
        let error = call().await.err().ok_or("an answer without a connection")?;
        assert!(error.is::<legacy::Error>() && AuthError::find(error.as_ref()).is_none(), "{error:?}");
        let error = layer.handle().refresh().await.err().ok_or("a token without a connection")?;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        drop(files);
        // The token is as good as before.
        assert_eq!(call().await?.status(), 200);
        layer.handle().refresh().await?;
        assert_eq!(call().await?.status(), 200);
        Ok(())
    })
}

fn open_files() -> io::Result<usize> {
    Ok(fs::read_dir("/dev/fd")?.count())
}

/// As many as there are.
fn all_files() -> Vec<io::Result<File>> {
    (0..1_000).map(|_| File::open("/dev/null")).take_while(Result::is_ok).collect()
}
