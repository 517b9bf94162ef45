//! A report from order to file: token, download request, one-time file. Against a sandbox on this machine, or PayNet.
//!
//! ```text
//! cargo run --features sandbox --example reports
//!
//! PAYNET_ENVIRONMENT=uat PAYNET_CLIENT_ID=.. PAYNET_CLIENT_SECRET=.. \
//!     cargo run --features sandbox --example reports -- report.csv.gz 2026-01-31
//! ```

use std::{
    env,
    error::Error,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tower::{ServiceBuilder, ServiceExt};
use tower_outbound_auth::{
    Auth, BoxError, Credentials,
    paynet::{self, Environment, PeekedBody, RejectionLayer, Rejections},
    sandbox::Sandbox,
};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reports: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let mut arguments = env::args_os().skip(1);
    let path = arguments.next().map_or_else(|| env::temp_dir().join("paynet-report.csv.gz"), PathBuf::from);
    let date = arguments.next().unwrap_or_else(|| "2026-01-31".into());

    let place = Place::from_env().await?;
    let client = place.client()?;
    let url = order(&client, &place.environment, &date.to_string_lossy()).await?;
    download(&client, &url, &path).await?;
    println!("{}: {} lines", path.display(), count_lines(&path)?);
    Ok(())
}

/// The server to talk to.
struct Place {
    environment: Environment,
    credentials: Credentials,
    /// It runs until it is dropped. None with PayNet itself.
    sandbox: Option<Sandbox>,
}

impl Place {
    /// PayNet if `PAYNET_ENVIRONMENT` is set, else a sandbox.
    async fn from_env() -> Result<Self, BoxError> {
        let Some(name) = env::var_os("PAYNET_ENVIRONMENT") else {
            let sandbox = Sandbox::start().await?;
            let (environment, credentials) = (sandbox.environment(), sandbox.credentials());
            return Ok(Self { environment, credentials, sandbox: Some(sandbox) });
        };
        let environment = name.to_string_lossy().parse()?;
        // A variable that is missing is named by the error; a value never is.
        let credentials = Credentials::from_env("PAYNET_CLIENT_ID", "PAYNET_CLIENT_SECRET")?;
        Ok(Self { environment, credentials, sandbox: None })
    }

    fn client(&self) -> Result<Client, BoxError> {
        let connector =
            HttpsConnectorBuilder::new().with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?;
        // The sandbox does not speak TLS. Towards PayNet nothing may go out in the clear, the one-time URL included.
        let connector = if self.sandbox.is_some() { connector.https_or_http() } else { connector.https_only() };
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector.enable_http1().build());
        Ok(ServiceBuilder::new()
            .layer(paynet::auth(&self.environment, self.credentials.clone())?.build()?)
            .layer(RejectionLayer)
            .service(http))
    }
}

type Client = Auth<Rejections<legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>>>;
type Answer = Response<PeekedBody<hyper::body::Incoming>>;

/// Orders the report; gives the URL of its file. Whoever has it can get the file, so it is not printed either.
async fn order(client: &Client, environment: &Environment, date: &str) -> Result<String, BoxError> {
    let order = json!({ "report_type": "settlement", "product": "duitnow_qr", "date": date });
    let request = Request::post(format!("{}/v1/reports/download", environment.api_origin()))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(order.to_string()))?;
    let answer = send(client, request).await?.into_body().collect().await?.to_bytes();
    let answer: Value = serde_json::from_slice(&answer)?;
    // PayNet's own errors come with status 200 and a code such as E0001.
    let text = |pointer| answer.pointer(pointer).and_then(Value::as_str);
    let refused = || format!("no report was made: {}", text("/error/code").unwrap_or("without a code"));
    Ok(text("/data/url").ok_or_else(refused)?.to_owned())
}

/// Fetches the file. The same client does, as the layer gives its credentials to PayNet's API alone.
///
/// The URL is good for one request, so there is no second try: after a failure, order the report again.
async fn download(client: &Client, url: &str, path: &Path) -> Result<(), BoxError> {
    let mut body = send(client, Request::get(url).body(Full::default())?).await?.into_body();
    let progress = match body.size_hint().exact() {
        Some(length) => ProgressBar::new(length).with_style(ProgressStyle::with_template(BAR)?),
        None => ProgressBar::new_spinner().with_style(ProgressStyle::with_template(SPINNER)?),
    };
    // Under another name until it is whole: half a report must not be taken for one.
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

async fn send(client: &Client, request: Request<Full<Bytes>>) -> Result<Answer, BoxError> {
    let response = client.clone().oneshot(request).await?;
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(format!("the server answered {status}").into()),
    }
}

/// Reads the file to its end, which also shows that it is whole: gzip ends with a checksum.
fn count_lines(path: &Path) -> Result<usize, BoxError> {
    let lines = BufReader::new(MultiGzDecoder::new(File::open(path)?)).split(b'\n');
    let mut count = 0;
    for line in lines {
        line?;
        count += 1;
    }
    Ok(count)
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

const BAR: &str = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}";
const SPINNER: &str = "{spinner} {bytes}, {bytes_per_sec}";
