//! Demonstration: a report from order to file. Against a sandbox on your machine, or PayNet.
//!
//! ```text
//! cargo run --example reports --features sandbox
//!
//! PAYNET_ENVIRONMENT=uat PAYNET_CLIENT_ID=.. PAYNET_CLIENT_SECRET=.. \
//!     cargo run --example reports --features sandbox -- report.csv.gz 2026-01-31
//! ```

use std::{
    env,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{BodyExt, combinators::BoxBody};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tower::{ServiceBuilder, ServiceExt};
use tower_outbound_auth::{
    Auth, BoxError, Credentials,
    client::HttpsClient,
    paynet::{self, Environment, PeekedBody, Rejections},
    sandbox::Sandbox,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = env::args_os().skip(1);
    let path = arguments.next().map_or_else(|| env::temp_dir().join("paynet-report.csv.gz"), PathBuf::from);
    let date = arguments.next().unwrap_or_else(|| "2026-01-31".into());

    let server = Server::from_env().await?;
    let paynet = paynet::layer(&server.environment, server.credentials.clone())?;
    let client = ServiceBuilder::new().layer(paynet).service(HttpsClient::new()?);
    let url = order(&client, &server.environment, &date.to_string_lossy()).await?;
    if server.sandbox.is_none() && !url.starts_with("https://") {
        return Err("the report's URL is not https".into());
    }
    download(&client, &url, &path).await?;
    println!("{}: {} lines", path.display(), count_lines(&path)?);
    Ok(())
}

struct Server {
    environment: Environment,
    credentials: Credentials,
    /// Runs until it is dropped. `None` for PayNet.
    sandbox: Option<Sandbox>,
}

impl Server {
    /// Returns PayNet if `PAYNET_ENVIRONMENT` is set, a sandbox otherwise.
    async fn from_env() -> Result<Self, BoxError> {
        let Some(name) = env::var_os("PAYNET_ENVIRONMENT") else {
            let sandbox = Sandbox::start().await?;
            let (environment, credentials) = (sandbox.environment(), sandbox.credentials());
            return Ok(Self { environment, credentials, sandbox: Some(sandbox) });
        };
        let environment = name.to_string_lossy().parse()?;
        let credentials = Credentials::from_env("PAYNET_CLIENT_ID", "PAYNET_CLIENT_SECRET")?;
        Ok(Self { environment, credentials, sandbox: None })
    }
}

type Client = Auth<Rejections<HttpsClient>>;
type ReportResponse = Response<PeekedBody<BoxBody<Bytes, BoxError>>>;

/// Orders a report and returns the URL of its file. The URL works without credentials, so it is not printed.
async fn order(client: &Client, environment: &Environment, date: &str) -> Result<String, BoxError> {
    let order = json!({ "report_type": "settlement", "product": "duitnow_qr", "date": date });
    let request = Request::post(format!("{}/v1/reports/download", environment.api_origin()))
        .header(CONTENT_TYPE, "application/json")
        .body(order.to_string())?;
    let body = send(client, request).await?.into_body().collect().await?.to_bytes();
    let body: Value = serde_json::from_slice(&body)?;
    // PayNet's own errors have status 200 and a code such as E0001.
    let text = |pointer| body.pointer(pointer).and_then(Value::as_str);
    let no_report = || format!("no report was created: {}", text("/error/code").unwrap_or("no error code"));
    Ok(text("/data/url").ok_or_else(no_report)?.to_owned())
}

/// Downloads the file with the same client: the layer sends its credentials to PayNet's API only.
///
/// The URL works once. After a failure, order the report again.
async fn download(client: &Client, url: &str, path: &Path) -> Result<(), BoxError> {
    let mut body = send(client, Request::get(url).body(String::new())?).await?.into_body();
    let progress = match body.size_hint().exact() {
        Some(length) => ProgressBar::new(length).with_style(ProgressStyle::with_template(BAR)?),
        None => ProgressBar::new_spinner().with_style(ProgressStyle::with_template(SPINNER)?),
    };
    // Renamed when it is complete, so that a part of a report is never taken for a report.
    let mut partial = path.as_os_str().to_owned();
    partial.push(".part");
    let mut file = tokio::fs::File::create(&partial).await?;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            file.write_all(&data).await?;
            progress.inc(data.len() as u64);
        }
    }
    file.sync_all().await?;
    tokio::fs::rename(&partial, path).await?;
    progress.finish();
    Ok(())
}

async fn send(client: &Client, request: Request<String>) -> Result<ReportResponse, BoxError> {
    let response = client.clone().oneshot(request).await?;
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(format!("the server answered {status}").into()),
    }
}

/// Reads the whole file. This also checks that it is complete: gzip ends with a checksum.
fn count_lines(path: &Path) -> Result<usize, BoxError> {
    let mut lines = BufReader::new(MultiGzDecoder::new(File::open(path)?)).split(b'\n');
    Ok(lines.try_fold(0, |count, line| line.map(|_| count + 1))?)
}

const BAR: &str = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}";
const SPINNER: &str = "{spinner} {bytes}, {bytes_per_sec}";
