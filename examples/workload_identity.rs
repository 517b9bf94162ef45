//! Demonstration: a workload whose platform keeps an identity token in a file and replaces it under load, as Kubernetes does.
//! Takes about four seconds.
//!
//! ```text
//! cargo run --example workload_identity
//! ```
//!
//! The platform, the authorization server and the API are functions here. What a program needs is in `client`.
#![expect(clippy::disallowed_methods, reason = "a demonstration runs in real time")]

mod support;

use std::{
    collections::HashSet,
    env, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use support::{conclude, figure, report};
use tokio::{task::JoinSet, time::sleep};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_outbound_auth::{
    AuthLayer, Credentials,
    oauth::{AssertionFile, ClientCredentialsGrant},
};

type Client = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let platform = Platform::start()?;
    let server = Server::default();
    let client = client(&platform.path(), &server)?;
    let rotations = tokio::spawn(platform.rotate(6));

    let (begin, mut callers) = (Instant::now(), JoinSet::new());
    for _ in 0..20 {
        let client = client.clone();
        callers.spawn(async move {
            let (mut calls, mut failed) = (0, 0);
            while begin.elapsed() < Duration::from_secs(4) {
                let request = Request::get("https://api.example.com/orders").body(Full::default());
                let response = client.clone().oneshot(request.unwrap_or_default()).await;
                failed += u64::from(!response.is_ok_and(|response| response.status() == StatusCode::OK));
                calls += 1;
                sleep(Duration::from_millis(5)).await;
            }
            (calls, failed)
        });
    }
    let ended = callers.join_all().await;
    let (calls, failed) = ended.iter().fold((0, 0), |(calls, failed), one| (calls + one.0, failed + one.1));
    rotations.await??;
    let identities = server.identities();
    conclude(&[report(
        "4 s of calls while the token in the file is replaced",
        &[
            figure("calls", calls, 200..=u64::MAX),
            figure("identity tokens used", identities, 3..=7),
            figure("failed calls", failed, 0),
        ],
    )])
}

/// What your program needs: a path, a client id, and no secret.
fn client(token_file: &Path, server: &Server) -> Result<Client, BoxError> {
    let credentials = Credentials::without_secret("system:serviceaccount:shop:orders");
    let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
        .client_assertion(AssertionFile::new(token_file))
        .transport(service_fn({
            let server = server.clone();
            move |request| server.clone().issue(request)
        }))
        .build()?;
    let auth = AuthLayer::builder(grant).origin("https://api.example.com").build()?;
    let api = service_fn(|request| std::future::ready(Server::serve(&request)));
    Ok(BoxCloneSyncService::new(ServiceBuilder::new().layer(auth).service(api)))
}

/// Writes identity tokens that live for 3 s, and swaps a symbolic link to the folder of the newest.
struct Platform {
    folder: PathBuf,
}

impl Platform {
    fn start() -> io::Result<Self> {
        let platform = Self { folder: env::temp_dir().join(format!("workload-identity-{}", std::process::id())) };
        fs::create_dir(&platform.folder)?;
        platform.write(0)?;
        Ok(platform)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("data").join("token")
    }

    async fn rotate(self, times: u32) -> io::Result<()> {
        for number in 1..=times {
            sleep(Duration::from_millis(600)).await;
            self.write(number)?;
        }
        Ok(())
    }

    fn write(&self, number: u32) -> io::Result<()> {
        let claims =
            json!({ "sub": "system:serviceaccount:shop:orders", "exp": now() + 3.0, "jti": number.to_string() });
        let [header, claims] = [json!({ "alg": "RS256" }), claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let version = self.folder.join(format!("version-{number}"));
        fs::create_dir(&version)?;
        fs::write(version.join("token"), format!("{header}.{claims}.c2lnbmF0dXJl\n"))?;
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&version, self.folder.join("data.new"))?;
            fs::rename(self.folder.join("data.new"), self.folder.join("data"))
        }
        #[cfg(not(unix))]
        {
            fs::create_dir_all(self.folder.join("data"))?;
            fs::copy(version.join("token"), self.path()).map(drop)
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Authorization server and API. A real one checks the signature of an identity token, too.
#[derive(Clone, Default)]
struct Server {
    /// The identity tokens that were accepted.
    identities: Arc<Mutex<HashSet<String>>>,
}

impl Server {
    fn identities(&self) -> u64 {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// Access tokens live for a second and end at the time that they name.
    async fn issue(self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
        let form = request.into_body().collect().await?.to_bytes();
        let assertion = url::form_urlencoded::parse(&form).find(|(name, _)| name == "client_assertion");
        let assertion = assertion.map(|(_, value)| value.into_owned()).unwrap_or_default();
        let claims = assertion.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
        let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
        if claims.get("exp").and_then(Value::as_f64).is_none_or(|end| end <= now()) {
            let body = r#"{"error":"invalid_client","error_description":"the assertion has expired"}"#;
            return Ok(Response::builder().status(StatusCode::UNAUTHORIZED).body(Full::from(body))?);
        }
        self.identities.lock().unwrap_or_else(PoisonError::into_inner).insert(claims.to_string());
        let token = json!({ "access_token": (now() + 1.0).to_string(), "token_type": "Bearer", "expires_in": 1 });
        Ok(Response::new(Full::from(token.to_string())))
    }

    fn serve(request: &Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let is_valid = token.and_then(|token| token.parse().ok()).is_some_and(|end: f64| now() < end);
        let status = if is_valid { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        Ok(Response::builder().status(status).body(Full::default())?)
    }
}

/// In seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
