//! Stdout and stderr are pipes that nobody reads any more, and the usual subscriber writes there: it cannot, says so by
//! `eprintln!`, and that panics.

use std::{
    env,
    io::{self, BufRead, BufReader, Read},
    process::{Command, ExitStatus, Stdio, exit},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Full;
use tokio::{runtime::Builder, time::timeout};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, ErrorKind,
    token::{AccessToken, FetchRequest, TokenSource, source_fn},
};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::{A_HANG, TestResult, process};

#[test]
fn a_process_whose_output_nobody_reads_serves_all_calls() -> TestResult {
    for spans in ["", "spans"] {
        for threads in ["1", "4"] {
            let ended = ended(spans, threads)?;
            assert_eq!(ended.code(), Some(SERVED), "{spans} {threads}: {ended}");
        }
    }
    Ok(())
}

/// How the other process ends, whose pipes are closed before it begins.
fn ended(spans: &str, threads: &str) -> Result<ExitStatus, BoxError> {
    let mut command = Command::new(env::current_exe()?);
    command.args(process::THE_OTHER).env(process::PART, "unread").env("SPANS", spans).env("THREADS", threads);
    command.env("RUST_BACKTRACE", "0");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or("no pipe")?);
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        if stdout.read_line(&mut line)? == 0 {
            return Ok(child.wait()?);
        }
    }
    drop((stdout, child.stderr.take()));
    // It begins at the end of its input.
    drop(child.stdin.take());
    Ok(child.wait()?)
}

/// The other process.
pub(crate) fn call_unread() -> TestResult {
    process::say("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    let spans = if env::var("SPANS")?.is_empty() { FmtSpan::NONE } else { FmtSpan::FULL };
    // Events of other crates would make the subscriber panic outside of the layer: mio writes some when a runtime is built.
    tracing_subscriber::fmt().with_env_filter("tower_outbound_auth=trace").with_span_events(spans).init();
    let threads = env::var("THREADS")?.parse()?;
    // Nothing can be said of what fails but by the exit code.
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let code = thread::spawn(move || runtime.block_on(async { timeout(A_HANG, calls()).await })).join();
    exit(match code {
        Ok(Ok(Ok(()))) => SERVED,
        Ok(Ok(Err(code))) => code,
        Ok(Err(_)) => HANGS,
        Err(_) => PANICS,
    })
}

/// Many calls: cold, warm and rejected, with a fetch that is tried again, one that fails and one that panics.
async fn calls() -> Result<(), i32> {
    let (asked, takes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(1)));
    let layer = AuthLayer::builder(source(&asked)).origin("https://api.example.com").build().map_err(|_| 1)?;
    let valid = Arc::clone(&takes);
    let api = service_fn(move |request: Request<Full<Bytes>>| {
        let token = request.headers()[AUTHORIZATION].to_str().unwrap().trim_start_matches("Bearer ").parse::<u64>();
        let mut response = Response::new(Full::<Bytes>::default());
        if token.unwrap() < valid.load(SeqCst) {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        async move { Ok::<_, BoxError>(response) }
    });
    let client = layer.layer(api);
    for round in 0..3 {
        let calls: Vec<_> = (0..50).map(|_| tokio::spawn(client.clone().oneshot(get()))).collect();
        for call in calls {
            let response = call.await.map_err(|_| 10 + round)?.map_err(|_| 20 + round)?;
            if response.status() != StatusCode::OK {
                return Err(30 + round);
            }
        }
        takes.store(asked.load(SeqCst), SeqCst);
    }
    asked.store(10, SeqCst);
    for _ in 0..3 {
        match layer.handle().refresh().await {
            Err(error) if error.kind() == ErrorKind::Aborted => {}
            _ => return Err(40),
        }
    }
    // The old token is still in use.
    client.oneshot(get()).await.map(drop).map_err(|_| 41)
}

/// Is unavailable at first, and panics from the tenth time on.
fn source(asked: &Arc<AtomicU64>) -> impl TokenSource + use<> {
    let asked = Arc::clone(asked);
    source_fn(move |_: FetchRequest| {
        let number = asked.fetch_add(1, SeqCst);
        async move {
            assert!(number < 10, "a source that panics");
            match number {
                0 => Err(AuthError::new(ErrorKind::Unavailable, "tried again")),
                _ => AccessToken::new(number.to_string(), Some(Duration::from_secs(3_600))),
            }
        }
    })
}

fn get() -> Request<Full<Bytes>> {
    Request::get("https://api.example.com/a").body(Full::default()).unwrap()
}

const SERVED: i32 = 77;
const HANGS: i32 = 78;
const PANICS: i32 = 79;
