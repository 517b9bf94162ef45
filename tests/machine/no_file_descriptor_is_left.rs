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

/// A sandbox that cannot accept a connection for want of a file waits for one, and takes no processor meanwhile.
#[cfg(all(target_os = "linux", feature = "sandbox"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_without_a_file_descriptor_waits() -> TestResult {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    let mut sandbox = Process::start("sandbox with few files", &[], 64)?;
    let address = sandbox.hear()?;
    sandbox.tell("take all files")?;
    assert_eq!(sandbox.hear()?, "taken");
    // They are in the queue, which nothing takes them from.
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(TcpStream::connect(&address).await?);
    }
    let before = processor_time(sandbox.id())?;
    sleep(Duration::from_secs(2)).await;
    let taken = processor_time(sandbox.id())? - before;
    assert!(taken < 20, "{taken} of 200 ticks of 10 ms");
    sandbox.tell("give them back")?;
    for mut connection in connections {
        connection.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        timeout(A_HANG, connection.read_to_string(&mut answer)).await??;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    Ok(())
}

/// The time that a process has taken of all processors, in ticks of usually 10 ms.
#[cfg(all(target_os = "linux", feature = "sandbox"))]
fn processor_time(process: u32) -> Result<u64, tower_outbound_auth::BoxError> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let times: Result<Vec<u64>, _> = fields.skip(11).take(2).map(str::parse).collect();
    Ok(times?.iter().sum())
}

/// The other process.
#[cfg(all(target_os = "linux", feature = "sandbox"))]
pub(crate) fn serve_without_files() -> TestResult {
    use crate::process::say;

    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let sandbox = runtime.block_on(tower_outbound_auth::sandbox::Sandbox::start())?;
    let environment = sandbox.environment();
    say(environment.api_origin().trim_start_matches("http://"));
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let files = all_files();
    say("taken");
    io::stdin().read_line(&mut line)?;
    drop(files);
    crate::process::end_with_parent();
    loop {
        std::thread::park();
    }
}

fn open_files() -> io::Result<usize> {
    Ok(fs::read_dir("/dev/fd")?.count())
}

/// As many as there are.
fn all_files() -> Vec<io::Result<File>> {
    (0..1_000).map(|_| File::open("/dev/null")).take_while(Result::is_ok).collect()
}
