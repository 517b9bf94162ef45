//! Has everything happen that is traced, with planted secrets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use http::{Request, Response, header};
use serde_json::json;
use tokio::{
    runtime::Builder,
    time::{advance, sleep},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    fleet::{Lookup, MemoryStore, SealedToken, SharedTokenSource, StoreFuture, TokenStore},
    oauth::ClientCredentialsGrant,
    rejection::Rejection,
    replay::{NoReplay, Replay},
    signing::{SignRules, TimestampHmac},
    token::{AccessToken, source_fn},
};

use crate::{
    json::Log,
    support::{
        Body, Issuer, ORIGIN, get,
        keys::Folder,
        planted::{api, credentials, dressed, source, token_number},
        secrets::{SECRET, TOKEN},
        token_server::{Answer, endpoint, reply},
    },
};

pub(crate) async fn run(log: &Log) {
    fetches(log).await;
    triggers().await;
    failures(log).await;
    rejections(log).await;
    other_rejections(log).await;
    clock_skews().await;
    a_fleet().await;
    files_and_documents().await;
    #[cfg(feature = "reqwest")]
    redirects().await;
}

/// The status of the response to one request, or 0 for an error. Its signature is a secret from then on.
async fn call<R: Replay<Body>>(log: &Log, layer: &AuthLayer<R>, statuses: &'static [u16]) -> u16 {
    let (seen, api) = api(statuses);
    let answer = layer.layer(api).oneshot(get("/a")).await;
    for request in seen.requests() {
        log.0.learn(request.headers()["x-signature"].to_str().unwrap());
    }
    answer.map_or(0, |response| response.status().as_u16())
}

/// A refusal whose description repeats the secret.
fn refusal() -> Response<Body> {
    // As much of it as has the characters of a description.
    let description = format!("no client has {}", SECRET.trim_end_matches('\u{e9}'));
    reply(401, &[], json!({ "error": "invalid_client", "error_description": description }).to_string())
}

/// A cold start at the second attempt, a refresh, and a lifetime that is no number.
async fn fetches(log: &Log) {
    let answer = |number| match number {
        0 => Ok(reply(503, &[], format!("no {SECRET}"))),
        2 => Ok(reply(200, &[], json!({ "access_token": TOKEN, "expires_in": "soon" }).to_string())),
        _ => token_number(number),
    };
    let layer = dressed(source(answer).build().unwrap()).build().unwrap();
    assert_eq!(call(log, &layer, &[]).await, 200);
    advance(Duration::from_secs(80)).await;
    assert_eq!(call(log, &layer, &[]).await, 200);
    sleep(Duration::from_secs(1)).await;
    let elsewhere = Request::get("http://api.example.com:8080/a").body(Body::default()).unwrap();
    layer.layer(api(&[401]).1).oneshot(elsewhere).await.unwrap();
}

async fn triggers() {
    let issuer = Issuer::new();
    let layer = issuer.layer();
    let handle = layer.handle();
    let _warm = handle.keep_warm();
    sleep(Duration::from_secs(1)).await;
    handle.refresh().await.unwrap();
    issuer.rotate();
    layer.layer(api(&[]).1).oneshot(get("/a")).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    std::thread::spawn(move || drop(handle.keep_warm())).join().unwrap();
}

/// Every outcome of a fetch; of those without a backoff, that of a runtime without timers.
async fn failures(log: &Log) {
    let said = json!({ "error": "invalid_client", "error_description": "the client is locked" }).to_string();
    let denied = source(move |_| Ok(reply(400, &[], said.clone()))).build().unwrap();
    let malformed = source(|_| Ok(reply(200, &[], format!("<b>{SECRET}</b>")))).build().unwrap();
    let away = source(|_| Ok(reply(500, &[], SECRET))).build().unwrap();
    for source in [denied, malformed, away] {
        assert_eq!(call(log, &dressed(source).build().unwrap(), &[]).await, 0);
    }
    let silent = source_fn(|_| std::future::pending());
    assert_eq!(call(log, &dressed(silent).build().unwrap(), &[]).await, 0);
    let timeless = dressed(source(token_number).build().unwrap()).build().unwrap().handle();
    let without_timers = move || Builder::new_current_thread().build().unwrap().block_on(timeless.token()).unwrap_err();
    std::thread::spawn(without_timers).join().unwrap();
}

async fn rejections(log: &Log) {
    let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
    assert_eq!(call(log, &layer, &[401]).await, 200);
    for _ in 0..9 {
        assert_eq!(call(log, &layer, &[401; 9]).await, 401);
    }
    let once: AuthLayer<NoReplay> = dressed(source(token_number).build().unwrap()).replay(NoReplay).build().unwrap();
    assert_eq!(call(log, &once, &[401]).await, 401);
    let answer = |number| if number == 0 { token_number(number) } else { Ok(refusal()) };
    let denied = dressed(source(answer).build().unwrap()).build().unwrap();
    assert_eq!(call(log, &denied, &[401]).await, 401);
    let same = dressed(source(|_| token_number(0)).build().unwrap()).build().unwrap();
    assert_eq!(call(log, &same, &[401]).await, 401);
}

/// A scope that the token lacks.
async fn other_rejections(log: &Log) {
    let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
    let api = service_fn(|_: Request<Body>| async {
        let challenge = r#"Bearer error="insufficient_scope""#;
        Ok::<_, BoxError>(reply(403, &[(header::WWW_AUTHENTICATE, challenge)], ""))
    });
    let response = layer.layer(api).oneshot(get("/a")).await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(call(log, &layer, &[]).await, 200);
}

async fn clock_skews() {
    for date in [Some(SystemTime::now() + Duration::from_secs(60)), None] {
        let signer = TimestampHmac::sha256(credentials());
        let layer = Issuer::new().builder().sign(SignRules::all(), signer);
        let layer =
            layer.reject_when(|response| (response.status == 409).then_some(Rejection::ClockSkew)).build().unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        let api = service_fn(move |_: Request<Body>| {
            let status = if sent.fetch_add(1, Relaxed) == 0 { 409 } else { 200 };
            let date = date.map(httpdate::fmt_http_date);
            async move {
                let headers = date.iter().map(|date| (header::DATE, date.as_str())).collect::<Vec<_>>();
                Ok::<_, BoxError>(reply(status, &headers, ""))
            }
        });
        let response = layer.layer(api).oneshot(get("/a")).await.unwrap();
        assert_eq!(response.status(), if date.is_some() { 200 } else { 409 });
    }
}

/// A store that is down, or up and publishes nothing.
struct Odd {
    is_up: bool,
}

impl TokenStore for Odd {
    fn read_or_lease<'a>(&'a self, _key: &'a str, _owner: &'a str, _lease: Duration) -> StoreFuture<'a, Lookup> {
        let answer = if self.is_up { Ok(Lookup::new(None, true)) } else { Err("a reason of the store's".into()) };
        Box::pin(async { answer })
    }

    fn renew<'a>(&'a self, _key: &'a str, _owner: &'a str, _lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    fn publish<'a>(&'a self, _key: &'a str, _owner: &'a str, _token: &'a SealedToken) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    fn retire<'a>(&'a self, _key: &'a str, _fingerprint: &'a str, _tombstone: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(false) })
    }
}

fn shared(store: impl TokenStore) -> AuthLayer {
    let number = AtomicUsize::new(0);
    let inner = source_fn(move |_| {
        let token = format!("{TOKEN}{}", number.fetch_add(1, Relaxed));
        async {
            sleep(Duration::from_secs(1)).await;
            AccessToken::new(token, Some(Duration::from_secs(100)))
        }
    });
    let source = SharedTokenSource::builder(inner, store).credentials(&Credentials::new("id", SECRET)).identity("a");
    AuthLayer::builder(source.build().unwrap()).origin(ORIGIN).build().unwrap()
}

async fn a_fleet() {
    let store = MemoryStore::new();
    let [first, second, third] = [(); 3].map(|()| shared(store.clone()).handle());
    let tokens = tokio::join!(first.token(), second.token());
    assert!(tokens.0.is_ok() && tokens.1.is_ok());
    third.token().await.unwrap();
    third.refresh().await.unwrap();
    for is_up in [true, false] {
        shared(Odd { is_up }).handle().token().await.unwrap();
    }
}

/// A secret file and a discovery document that cannot be read any more.
async fn files_and_documents() {
    let folder = Folder::new();
    let files = ["id", SECRET].map(|text| folder.write(text.get(..2).unwrap(), text));
    let of_files = Credentials::from_files(&files[0], &files[1]).unwrap();
    let grant = ClientCredentialsGrant::builder("https://login.example.com/token", of_files);
    let handle = dressed(grant.transport(endpoint(token_number).1).build().unwrap()).build().unwrap().handle();
    handle.token().await.unwrap();
    folder.write("s3", format!("{SECRET}\u{7}"));
    handle.refresh().await.unwrap();

    let issuer = "https://login.example.com";
    let documents = AtomicUsize::new(0);
    let web = Arc::new(move |head: &http::request::Parts| {
        if head.method == "POST" {
            return token_number(1);
        }
        let document = json!({ "issuer": issuer, "token_endpoint": format!("{issuer}/token") });
        let is_first = documents.fetch_add(1, Relaxed) == 0;
        Ok(if is_first { reply(200, &[], document.to_string()) } else { reply(503, &[], SECRET) })
    });
    let web = service_fn(move |request: Request<Body>| {
        let answer: Answer = web(&request.into_parts().0);
        async move { answer }
    });
    let grant = ClientCredentialsGrant::discover(issuer, credentials()).transport(web).build().unwrap();
    let handle = dressed(grant).build().unwrap().handle();
    handle.token().await.unwrap();
    advance(Duration::from_secs(7 * 3600)).await;
    handle.refresh().await.unwrap();
}

#[cfg(feature = "reqwest")]
async fn redirects() {
    use crate::support::chain::End;
    let end = End::new(|_, _| {
        let mut response = Response::new(String::new());
        response.extensions_mut().insert(reqwest::Url::parse("https://files.example.net/secret/path").unwrap());
        Box::pin(async { response })
    });
    let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
    end.client(layer).get(format!("{ORIGIN}/a")).send().await.unwrap();
}
