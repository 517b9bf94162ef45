//! The system's clock jumps to 1970, to 2200, and back, as far as another process can tell: libfaketime gives it the time.
//!
//! The tests take libfaketime, so they are left out unless asked for: `cargo test --test machine -- --ignored the_clock_jumps`.

use std::{
    env, fs, io,
    io::BufRead,
    path::PathBuf,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::{runtime::Runtime, task::block_in_place};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials,
    client::HttpsClient,
    oauth::ClientCredentialsGrant,
    signing::{SignRules, TimestampHmac},
    token::RefreshPolicy,
};

use crate::{
    TestResult,
    process::{MANY_FILES, Process, say},
    server::Server,
};

/// A client in another process, and the clock that it reads.
struct Client {
    process: Process,
    clock: PathBuf,
    /// By how many days of that clock it is ahead of ours.
    days: i64,
}

impl Client {
    async fn start(server: &Server, name: &str) -> Result<Self, BoxError> {
        let origin = format!("http://{}", server.listen("127.0.0.1:0").await?);
        let clock = env::temp_dir().join(format!("auth-test-clock-{}-{name}", std::process::id()));
        fs::write(&clock, "+0")?;
        let (library, path) = (faketime()?, clock.to_str().ok_or("no path")?.to_owned());
        let settings = [
            ("ORIGIN", origin.as_str()),
            ("LD_PRELOAD", &library),
            ("FAKETIME_TIMESTAMP_FILE", &path),
            ("FAKETIME_NO_CACHE", "1"),
            // Tokio's clock, which no jump moves. The second is the name of older versions.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ];
        let process = Process::start("client of a jumping clock", &settings, MANY_FILES)?;
        Ok(Self { process, clock, days: 0 })
    }

    /// Sets its clock so many days ahead of ours, or back. A layer reads it once a millisecond.
    fn jump(&mut self, days: i64) -> io::Result<()> {
        self.days = days;
        fs::write(&self.clock, format!("{days:+}d"))?;
        thread::sleep(Duration::from_millis(10));
        Ok(())
    }

    /// What comes of a call, or of `refresh`, by its clock.
    fn does(&mut self, what: &str) -> Result<String, BoxError> {
        let answer = block_in_place(|| {
            self.process.tell(what)?;
            self.process.hear()
        })?;
        let (outcome, time) = answer.split_once(' ').ok_or("no time")?;
        let off = time.parse::<i64>()? - self.now();
        assert!(off.abs() < 60, "its clock did not jump: {off} s");
        Ok(outcome.to_owned())
    }

    /// The unix time by its clock.
    fn now(&self) -> i64 {
        unix(SystemTime::now()) + self.days * 86_400
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.clock);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes libfaketime: see tests/all.sh"]
async fn t13_each_jump_of_the_clock_costs_one_fetch_at_most_and_signatures_follow_it() -> TestResult {
    let server = Server::new(Duration::from_secs(3_600), Duration::ZERO);
    let mut client = Client::start(&server, "jumps").await?;
    let mut tokens = 0;
    // A jump forward makes a token look old, a jump back does not. The second token is from 2200, so no jump makes it look old.
    for (days, extra) in
        [(0, 1), (TO_2200, 1), (TO_1970, 0), (0, 0), (TO_2200, 0), (0, 0), (-1, 0), (1, 0), (TO_2200, 0), (0, 0)]
    {
        client.jump(days)?;
        tokens += extra;
        for _ in 0..3 {
            assert_eq!(client.does("go")?, "200", "{days} days");
            let signed_for = server.seen().signed_for.last().copied().ok_or("not signed")?;
            assert!((signed_for - client.now()).abs() < 60, "{days} days: signed for {signed_for}");
        }
        assert_eq!(server.seen().token_requests, tokens, "{days} days");
    }
    client.jump(TO_1970)?;
    assert_eq!(client.does("refresh")?, "200");
    for days in [0, TO_1970, 0, TO_1970, 0] {
        client.jump(days)?;
        assert_eq!(client.does("go")?, "200", "{days} days");
    }
    let seen = server.seen();
    // The one that was forced, and one for the first jump from 1970 to now.
    assert_eq!((seen.token_requests, seen.dead), (tokens + 2, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes libfaketime: see tests/all.sh"]
async fn t8_no_jump_of_the_clock_ends_or_extends_a_backoff() -> TestResult {
    let server = Server::new(Duration::from_secs(3_600), Duration::ZERO);
    server.fail(true);
    let mut client = Client::start(&server, "backoff").await?;
    for days in [0, TO_2200, TO_1970, 0, 1, -1, TO_2200] {
        client.jump(days)?;
        for _ in 0..2 {
            assert_eq!(client.does("go")?, "Unavailable", "{days} days");
        }
        assert_eq!(server.seen().token_requests, 1, "{days} days: asked again during the backoff");
    }
    client.jump(TO_1970)?;
    tokio::time::sleep(BACKOFF).await;
    server.fail(false);
    assert_eq!(client.does("go")?, "200", "the backoff is over, whatever the date");
    assert_eq!(server.seen().token_requests, 2);
    Ok(())
}

/// The other process: for each line a call, or a refresh; the outcome, and what its clock says.
pub(crate) fn call_by_a_jumping_clock() -> TestResult {
    let origin = env::var("ORIGIN")?;
    let runtime = Runtime::new()?;
    let credentials = Credentials::new("client", "secret");
    let source = ClientCredentialsGrant::builder(&format!("{origin}/token"), credentials.clone());
    let policy = RefreshPolicy::default().attempts(1).failure_backoff(BACKOFF, BACKOFF);
    let layer = AuthLayer::builder(source.build()?)
        .origin(&origin)
        .refresh(policy)
        .sign(SignRules::all(), TimestampHmac::sha256(credentials))
        .build()?;
    let client = layer.layer(HttpsClient::builder().pool_idle_timeout(Duration::ZERO).build()?);
    for line in io::stdin().lock().lines() {
        let outcome = runtime.block_on(async {
            if line? == "refresh" {
                layer.handle().refresh().await?;
                return Ok::<_, BoxError>("200".to_owned());
            }
            let request = Request::get(format!("{origin}/api")).body(Full::<Bytes>::default())?;
            Ok(client.clone().oneshot(request).await?.status().as_str().to_owned())
        });
        let kind = |error: BoxError| AuthError::find(error.as_ref()).map(|error| format!("{:?}", error.kind()));
        let outcome = outcome.or_else(|error| kind(error).ok_or("another error"))?;
        say(&format!("{outcome} {}", unix(SystemTime::now())));
    }
    Ok(())
}

fn unix(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(-1, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Debian's libfaketime, for programs with several threads.
fn faketime() -> Result<String, BoxError> {
    let folders = fs::read_dir("/usr/lib")?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let library = libraries.find(|library| library.exists()).ok_or("libfaketime is needed here: see tests/all.sh")?;
    Ok(library.to_str().ok_or("no path")?.to_owned())
}

/// In days from the time of the test, which is after 2025.
const TO_2200: i64 = 174 * 365;
/// Not before 1970 at any such time.
const TO_1970: i64 = -55 * 365;
const BACKOFF: Duration = Duration::from_secs(10);
