//! Demonstration: a PayNet-compatible server to try from a shell. Prints commands to paste, and runs until Ctrl-C.
//!
//! ```text
//! cargo run --example sandbox --features sandbox
//! cargo run --example sandbox --features sandbox -- --check    # runs the commands itself, and exits
//! ```

use std::{
    env, io,
    process::{Command, Stdio},
};

use tower_outbound_auth::{BoxError, sandbox::Sandbox};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let sandbox = Sandbox::builder().credentials(CLIENT_ID, CLIENT_SECRET).start().await?;
    let commands = commands(&sandbox);
    println!("{commands}");
    if env::args().nth(1).is_some_and(|argument| argument == "--check") {
        return check(&sandbox, commands).await;
    }
    println!("# The server runs until Ctrl-C.");
    tokio::signal::ctrl_c().await?;
    println!("\n{:#?}", sandbox.stats());
    Ok(())
}

/// Returns the commands that get a report with `curl` and `openssl`.
fn commands(sandbox: &Sandbox) -> String {
    let environment = sandbox.environment();
    let (token_url, api) = (environment.token_url(), environment.api_origin());
    format!(
        r#"# 1. Request a token with client id and client secret.
TOKEN=$(curl -fsS {token_url} -H 'Accept: application/json' \
  --data-urlencode grant_type=client_credentials \
  --data-urlencode 'client_id={CLIENT_ID}' \
  --data-urlencode 'client_secret={CLIENT_SECRET}' |
  sed 's/.*"access_token":"\([^"]*\)".*/\1/')

# 2. Make a signature: HMAC-SHA256 over the time. It is valid for five minutes; then paste this again.
TIME=$(date +%s)
SIGNATURE=$(printf %s "$TIME" | openssl dgst -sha256 -hmac '{CLIENT_SECRET}' | sed 's/.* //')

# 3. List the report types.
curl -fsS {api}/v1/reports/types \
  -H "Authorization: Bearer $TOKEN" -H "X-Timestamp: $TIME" -H "X-Signature: $SIGNATURE"; echo

# 4. Order a report. The response has the URL of its file.
FILE=$(curl -fsS {api}/v1/reports/download \
  -H "Authorization: Bearer $TOKEN" -H "X-Timestamp: $TIME" -H "X-Signature: $SIGNATURE" \
  -H 'Content-Type: application/json' \
  -d '{{"report_type":"settlement","product":"duitnow_qr","date":"2026-01-31"}}' |
  sed 's/.*"url":"\([^"]*\)".*/\1/')

# 5. Download the file, without credentials. This works once; a second time the response is 410.
curl -fsS "$FILE" | gzip -dc
"#
    )
}

/// Runs the commands, and compares what the server received.
async fn check(sandbox: &Sandbox, commands: String) -> Result<(), BoxError> {
    for tool in ["curl", "openssl", "gzip"] {
        if !is_installed(tool)? {
            println!("# Not run: {tool} is not installed.");
            return Ok(());
        }
    }
    // The server needs this runtime, so a blocking thread waits for the shell.
    let output = tokio::task::spawn_blocking(move || shell(&commands).output()).await??;
    let printed = String::from_utf8_lossy(&output.stdout);
    let stats = sandbox.stats();
    let received = (stats.token_requests, stats.accepted, stats.rejected, stats.downloads, stats.credentials_leaked);
    let has_all = printed.contains(r#""success":true"#) && printed.contains("date,fiid,transactions");
    if output.status.success() && has_all && received == (1, 2, 0, 1, 0) {
        println!("# The commands work.");
        return Ok(());
    }
    Err(format!("the commands do not work: {}\n{}\n{stats:?}", output.status, String::from_utf8_lossy(&output.stderr))
        .into())
}

fn is_installed(tool: &str) -> io::Result<bool> {
    Ok(shell(&format!("command -v {tool}")).stdout(Stdio::null()).status()?.success())
}

fn shell(commands: &str) -> Command {
    let mut shell = Command::new("sh");
    // A proxy cannot reach this machine's loopback address.
    shell.env("no_proxy", "127.0.0.1").args(["-euc", commands]).stdin(Stdio::null());
    shell
}

/// With characters that must be form-encoded in the token request, but not for `openssl`.
const CLIENT_ID: &str = "my_client";
const CLIENT_SECRET: &str = "50%_of+this&that";
