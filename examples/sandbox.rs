//! A PayNet-compatible server to play with from a shell. Prints the commands to paste, and runs until Ctrl-C.
//!
//! ```text
//! cargo run --features sandbox --example sandbox
//! cargo run --features sandbox --example sandbox -- --check    # runs the commands itself, and exits
//! ```

use std::{
    env, io,
    process::{Command, ExitCode, Stdio},
};

use tower_outbound_auth::{BoxError, sandbox::Sandbox};

#[tokio::main]
async fn main() -> ExitCode {
    let check = env::args().nth(1).is_some_and(|argument| argument == "--check");
    match run(check).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(check: bool) -> Result<(), BoxError> {
    let sandbox = Sandbox::builder().credentials(CLIENT_ID, CLIENT_SECRET).start().await?;
    let commands = commands(&sandbox);
    println!("{commands}");
    if check {
        return verify(&sandbox, commands).await;
    }
    println!("# The server runs until Ctrl-C.");
    tokio::signal::ctrl_c().await?;
    println!("\n{:#?}", sandbox.stats());
    Ok(())
}

/// What a shell needs to get a report, with `curl` and `openssl`.
fn commands(sandbox: &Sandbox) -> String {
    let environment = sandbox.environment();
    let (token_url, api) = (environment.token_url(), environment.api_origin());
    format!(
        r#"# 1. A token, from the client id and its secret.
TOKEN=$(curl -fsS {token_url} -H 'Accept: application/json' \
  --data-urlencode grant_type=client_credentials \
  --data-urlencode 'client_id={CLIENT_ID}' \
  --data-urlencode 'client_secret={CLIENT_SECRET}' |
  sed 's/.*"access_token":"\([^"]*\)".*/\1/')

# 2. A signature: HMAC-SHA256 over the time. Old ones are refused: paste this again after five minutes.
TIME=$(date +%s)
SIGNATURE=$(printf %s "$TIME" | openssl dgst -sha256 -hmac '{CLIENT_SECRET}' | sed 's/.* //')

# 3. The kinds of reports.
curl -fsS {api}/v1/reports/types \
  -H "Authorization: Bearer $TOKEN" -H "X-Timestamp: $TIME" -H "X-Signature: $SIGNATURE"; echo

# 4. Orders a report. The answer has the URL of its file.
FILE=$(curl -fsS {api}/v1/reports/download \
  -H "Authorization: Bearer $TOKEN" -H "X-Timestamp: $TIME" -H "X-Signature: $SIGNATURE" \
  -H 'Content-Type: application/json' \
  -d '{{"report_type":"settlement","product":"duitnow_qr","date":"2026-01-31"}}' |
  sed 's/.*"url":"\([^"]*\)".*/\1/')

# 5. The file, without any credential. It is there once: a second time the answer is 410.
curl -fsS "$FILE" | gzip -dc
"#
    )
}

/// Runs the commands, and looks at what the server saw of them.
async fn verify(sandbox: &Sandbox, commands: String) -> Result<(), BoxError> {
    for tool in ["curl", "openssl", "gzip"] {
        if !is_here(tool)? {
            println!("# Not run: there is no {tool} here.");
            return Ok(());
        }
    }
    // The server lives on this runtime, so the shell is waited for on a thread that may block.
    let output = tokio::task::spawn_blocking(move || shell(&commands).output()).await??;
    let printed = String::from_utf8_lossy(&output.stdout);
    let stats = sandbox.stats();
    let seen = (stats.token_requests, stats.accepted, stats.rejected, stats.downloads, stats.credentials_leaked);
    let has_all = printed.contains(r#""success":true"#) && printed.contains("date,fiid,transactions");
    if output.status.success() && has_all && seen == (1, 2, 0, 1, 0) {
        println!("# Run: the commands work.");
        return Ok(());
    }
    Err(format!("the commands do not work: {}\n{}\n{stats:?}", output.status, String::from_utf8_lossy(&output.stderr))
        .into())
}

fn is_here(tool: &str) -> io::Result<bool> {
    Ok(shell(&format!("command -v {tool}")).stdout(Stdio::null()).status()?.success())
}

fn shell(commands: &str) -> Command {
    let mut shell = Command::new("sh");
    // No proxy has a way to this machine's loopback address.
    shell.env("no_proxy", "127.0.0.1").args(["-euc", commands]).stdin(Stdio::null());
    shell
}

/// With characters that a client has to encode, and that a shell and `openssl` must be given as they are.
const CLIENT_ID: &str = "my_client";
const CLIENT_SECRET: &str = "50%_of+this&that";
