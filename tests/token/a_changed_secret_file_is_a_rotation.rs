//! `Credentials::from_files`: a changed file counts as a rotation, and the secret before it is tried once more.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials, ErrorKind,
    oauth::ClientCredentialsGrant,
    paynet,
    signing::{SignRules, TimestampHmac},
    token::{AccessToken, FetchRequest, TokenSource, source_fn},
};

use crate::support::{Body, keys::Folder};

/// An authorization server that knows some secrets, and names its tokens after them.
#[derive(Clone, Default)]
struct Endpoint {
    known: Arc<Mutex<Vec<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
    code: Arc<Mutex<&'static str>>,
}

impl Endpoint {
    fn knowing(secrets: &[&str]) -> Self {
        let endpoint = Self::default();
        endpoint.know(secrets);
        endpoint.refuse_with("invalid_client");
        endpoint
    }

    fn know(&self, secrets: &[&str]) {
        *self.known.lock().unwrap() = secrets.iter().map(ToString::to_string).collect();
    }

    fn refuse_with(&self, code: &'static str) {
        *self.code.lock().unwrap() = code;
    }

    /// The secrets that it was asked with since the last time.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().drain(..).collect()
    }

    fn grant(&self, credentials: &Credentials) -> ClientCredentialsGrant {
        let endpoint = self.clone();
        let transport = service_fn(move |request: Request<Full<Bytes>>| {
            let endpoint = endpoint.clone();
            async move {
                let form = request.into_body().collect().await?.to_bytes();
                let secret = url::form_urlencoded::parse(&form).find(|(name, _)| name == "client_secret").unwrap().1;
                endpoint.asked.lock().unwrap().push(secret.to_string());
                let is_known = endpoint.known.lock().unwrap().iter().any(|known| *known == secret);
                let good = format!(r#"{{"access_token":"of.{secret}","expires_in":3600}}"#);
                let bad = format!(r#"{{"error":"{}"}}"#, endpoint.code.lock().unwrap());
                let (status, body) = if is_known { (200, good) } else { (400, bad) };
                Ok::<_, BoxError>(Response::builder().status(status).body(Body::from(body))?)
            }
        });
        let builder = ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone());
        builder.transport(transport).build().unwrap()
    }

    fn layer(&self, credentials: &Credentials) -> AuthLayer {
        let signer = TimestampHmac::sha256(credentials.clone());
        let builder = AuthLayer::builder(self.grant(credentials)).any_origin();
        builder.sign(SignRules::all(), signer).build().unwrap()
    }
}

struct Files {
    folder: Folder,
}

impl Files {
    fn new(secret: &str) -> Self {
        let folder = Folder::new();
        folder.write("id", "my-client\n");
        folder.write("secret", secret);
        Self { folder }
    }

    fn paths(&self) -> [PathBuf; 2] {
        ["id", "secret"].map(|name| self.folder.path(name))
    }

    fn credentials(&self) -> Credentials {
        let [id, secret] = self.paths();
        Credentials::from_files(id, secret).unwrap()
    }

    fn write(&self, secret: &str) {
        self.folder.write("secret", secret);
    }
}

/// One request: which secret its token and its signature are of.
async fn call(layer: &AuthLayer, secrets: &[&str]) -> (String, String) {
    let api = service_fn(|request: Request<Body>| async move {
        let text = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        let lines = [text("authorization"), text("x-timestamp"), text("x-signature")].join("\n");
        Ok::<_, BoxError>(Response::new(Body::from(lines)))
    });
    let request = Request::get("https://api.example.com/a").body(Body::default()).unwrap();
    let body = layer.layer(api).oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let mut lines = text.lines();
    let [token, timestamp, signature] = [(); 3].map(|()| lines.next().unwrap());
    let signs = |secret: &&&str| paynet::signature(timestamp, secret) == signature;
    let signed_with = secrets.iter().find(signs).map_or("another", |secret| *secret);
    (token.trim_start_matches("Bearer of.").to_owned(), signed_with.to_owned())
}

fn both(secret: &str) -> (String, String) {
    (secret.to_owned(), secret.to_owned())
}

/// Lets the thread that reads files do so. Paused time stands still while it does.
async fn let_it_look() {
    for _ in 0..50 {
        std::thread::yield_now();
        sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn one_line_end_is_dropped_and_nothing_else() {
    for (text, expected) in [
        ("secret", "secret"),
        ("secret\n", "secret"),
        ("secret\r\n", "secret"),
        ("sec ret\n", "sec ret"),
        ("\u{e9}", "\u{e9}"),
    ] {
        let credentials = Files::new(text).credentials();
        assert_eq!(credentials.client_id(), "my-client");
        let endpoint = Endpoint::knowing(&[expected]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(endpoint.grant(&credentials).fetch(FetchRequest::new())).unwrap();
        assert_eq!(endpoint.asked(), [expected]);
    }
    // Two are one too many, and then the grant says so.
    let error = ClientCredentialsGrant::builder("https://a.example", Files::new("secret\n\n").credentials()).build();
    assert!(error.unwrap_err().to_string().contains("control character"));
}

#[test]
fn a_file_that_cannot_be_used_is_a_config_error_that_names_it() {
    let files = Files::new("s3cret");
    let [id, secret] = files.paths();
    let missing = files.folder.path("missing");
    let empty = files.folder.write("empty", "\n");
    let long = files.folder.write("long", "s3cret".repeat(11_000));
    let binary = files.folder.write("binary", b"s3cret\xff");
    for (path, why) in [
        (&missing, "does not exist"),
        (&empty, "is empty"),
        (&long, "longer than 64 KiB"),
        (&binary, "not text"),
        (&files.folder.root().to_owned(), "is a directory"),
    ] {
        for error in
            [Credentials::from_files(path, &secret).unwrap_err(), Credentials::from_files(&id, path).unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::Config);
            let text = format!("{error} {error:?}");
            assert!(
                text.contains(&*path.to_string_lossy()) && text.contains(why) && !text.contains("s3cret"),
                "{text}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t14_a_changed_file_is_one_rotation_within_a_minute_and_off_the_requests_path() {
    let (files, endpoint) = (Files::new("first\n"), Endpoint::knowing(&["first", "second"]));
    let layer = endpoint.layer(&files.credentials());
    let secrets = ["first", "second"];
    assert_eq!(call(&layer, &secrets).await, both("first"));
    files.write("second\n");
    advance(Duration::from_secs(59)).await;
    for _ in 0..3 {
        assert_eq!(call(&layer, &secrets).await, both("first"));
        let_it_look().await;
    }
    assert_eq!(endpoint.asked(), ["first"], "not before a minute has passed");
    advance(Duration::from_secs(2)).await;
    let begin = Instant::now();
    assert_eq!(call(&layer, &secrets).await, both("first"));
    assert!(begin.elapsed() <= Duration::from_millis(1), "no request waits for a file");
    let_it_look().await;
    // It starts the fetch, unless the one before did: the file is read quickly.
    call(&layer, &secrets).await;
    let_it_look().await;
    for _ in 0..5 {
        assert_eq!(call(&layer, &secrets).await, both("second"));
        let_it_look().await;
    }
    assert_eq!(endpoint.asked(), ["second"], "one fetch for one change");
}

#[tokio::test(start_paused = true)]
async fn t14_a_file_is_looked_at_before_each_fetch_and_that_is_one_rotation_too() {
    let (files, endpoint) = (Files::new("first"), Endpoint::knowing(&["first", "second"]));
    let credentials = files.credentials();
    let layer = endpoint.layer(&credentials);
    files.write("second");
    let secrets = ["first", "second"];
    assert_eq!(call(&layer, &secrets).await, both("second"));
    for _ in 0..5 {
        assert_eq!(call(&layer, &secrets).await, both("second"));
        let_it_look().await;
    }
    assert_eq!(endpoint.asked(), ["second"], "the token is of the new secret already");
    // And what is rotated by hand stays until the file changes again.
    credentials.rotate("first");
    assert_eq!(call(&layer, &secrets).await.0, "second");
    let_it_look().await;
    assert_eq!(call(&layer, &secrets).await, both("first"));
    layer.handle().refresh().await.unwrap();
    assert_eq!(endpoint.asked(), ["first", "first"]);
}

#[tokio::test(start_paused = true)]
async fn t14_the_signer_alone_looks_at_the_file_too() {
    let files = Files::new("first");
    let signer = TimestampHmac::sha256(files.credentials());
    let source = source_fn(|_| async { AccessToken::new("of.elsewhere", Some(Duration::from_secs(3_600))) });
    let layer = AuthLayer::builder(source).any_origin().sign(SignRules::all(), signer).build().unwrap();
    let secrets = ["first", "second"];
    assert_eq!(call(&layer, &secrets).await.1, "first");
    files.write("second");
    advance(Duration::from_secs(61)).await;
    call(&layer, &secrets).await;
    let_it_look().await;
    assert_eq!(call(&layer, &secrets).await.1, "second");
}

#[tokio::test(start_paused = true)]
async fn t14_a_file_that_is_missing_or_useless_leaves_the_secret_as_it_is() {
    let (files, endpoint) = (Files::new("first"), Endpoint::knowing(&["first", "second"]));
    let layer = endpoint.layer(&files.credentials());
    for useless in [None, Some(""), Some("\n"), Some("two\nlines"), Some("\u{1}")] {
        match useless {
            Some(text) => files.write(text),
            None => std::fs::remove_file(files.folder.path("secret")).unwrap(),
        }
        layer.handle().refresh().await.unwrap();
        assert_eq!(endpoint.asked(), ["first"], "{useless:?}");
    }
    files.write("second");
    layer.handle().refresh().await.unwrap();
    assert_eq!(endpoint.asked(), ["second"]);
}

#[tokio::test(start_paused = true)]
async fn t14_within_a_minute_the_secret_before_is_tried_once_and_signs_what_it_obtained() {
    let endpoint = Endpoint::knowing(&["first"]);
    for by_file in [true, false] {
        let files = Files::new("first");
        let credentials = files.credentials();
        let rotate = |secret: &str| if by_file { files.write(secret) } else { credentials.rotate(secret) };
        let layer = endpoint.layer(&credentials);
        let secrets = ["first", "second"];
        assert_eq!(call(&layer, &secrets).await, both("first"));
        rotate("second");
        advance(Duration::from_secs(10)).await;
        layer.handle().refresh().await.unwrap();
        assert_eq!(endpoint.asked(), ["first", "second", "first"], "the server has not learnt it yet");
        for _ in 0..5 {
            assert_eq!(call(&layer, &secrets).await, both("first"), "the signature goes with the token");
            let_it_look().await;
        }
        assert!(endpoint.asked().is_empty(), "one fetch for one rotation, whoever obtained the token");
        advance(Duration::from_secs(60)).await;
        assert_eq!(layer.handle().refresh().await.unwrap_err().oauth_error(), Some("invalid_client"));
        assert_eq!(endpoint.asked(), ["second"], "a minute later the secret before is not tried");
        endpoint.know(&["second"]);
        layer.handle().refresh().await.unwrap();
        assert_eq!(call(&layer, &secrets).await, both("second"));
        endpoint.know(&["first"]);
        endpoint.asked();
    }
}

#[tokio::test(start_paused = true)]
async fn t14_the_secret_before_is_not_tried_for_another_error_nor_once_the_new_one_is_known() {
    let (endpoint, credentials) = (Endpoint::knowing(&["first"]), Credentials::new("id", "first"));
    let grant = endpoint.grant(&credentials);
    let fetch = || async { grant.fetch(FetchRequest::new()).await.map(drop).map_err(|error| error.kind()) };
    credentials.rotate("second");
    endpoint.refuse_with("invalid_scope");
    assert_eq!(fetch().await, Err(ErrorKind::Denied));
    assert_eq!(endpoint.asked(), ["second"]);
    endpoint.refuse_with("unauthorized_client");
    assert_eq!(fetch().await, Ok(()), "so some servers say it");
    assert_eq!(endpoint.asked(), ["second", "first"]);
    endpoint.know(&["second"]);
    assert_eq!(fetch().await, Ok(()));
    endpoint.know(&["first"]);
    endpoint.refuse_with("invalid_client");
    assert_eq!(fetch().await, Err(ErrorKind::Denied));
    assert_eq!(endpoint.asked(), ["second", "second"], "known once, so the one before is gone");

    // Refused as well, it changes nothing of what the caller hears.
    credentials.rotate("third");
    endpoint.know(&[]);
    assert_eq!(fetch().await, Err(ErrorKind::Denied));
    assert_eq!(endpoint.asked(), ["third", "second"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn t2_a_file_that_cannot_be_read_to_its_end_holds_up_no_fetch_for_long() {
    let (files, endpoint) = (Files::new("first"), Endpoint::knowing(&["first"]));
    let layer = endpoint.layer(&files.credentials());
    // A reader of a pipe waits for a writer.
    let pipe = files.folder.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::rename(&pipe, files.folder.path("secret")).unwrap();
    for _ in 0..2 {
        layer.handle().refresh().await.unwrap();
    }
    assert_eq!(endpoint.asked(), ["first", "first"]);
    // Lets the thread go, which the runtime waits for.
    std::fs::write(files.folder.path("secret"), "first").unwrap();
}
