//! A call that finds a token: this crate's middleware beside one that adds a static header, and beside its peers.
//!
//! `cargo run --release`; see benches/README.md. In memory, the end of the chain answers in the place of reqwest, so that
//! only the middlewares are measured. Over loopback, reqwest sends. All take turns within each round.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use aliri_tokens::{AccessToken as Token, TokenLifetimeConfig, TokenWithLifetime, sources::AsyncTokenSource};
use http::HeaderValue;
use outbound_auth_reqwest_peers::{BoxError, Cache, ReadWriteLock, aliri_from, reqwest_auth};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use tower_outbound_auth::{
    AuthLayer,
    replay::NoReplay,
    reqwest::AuthMiddleware,
    signing::{SignRules, TimestampHmac},
    token::{AccessToken, source_fn},
};

#[path = "../../../peers/src/allocations.rs"]
mod allocations;
#[path = "../../../support/report.rs"]
mod report;

/// The static header and the end of the chain, for one version of reqwest.
macro_rules! version {
    ($module:ident, $reqwest:ident, $middleware:ident) => {
        mod $module {
            use http::{Extensions, HeaderValue, header::AUTHORIZATION};
            use $middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};
            use $reqwest::{Client, Request, Response, ResponseBuilderExt};

            pub(crate) struct Static(pub(crate) HeaderValue);

            #[async_trait::async_trait]
            impl Middleware for Static {
                async fn handle(
                    &self,
                    mut request: Request,
                    extensions: &mut Extensions,
                    next: Next<'_>,
                ) -> Result<Response> {
                    request.headers_mut().insert(AUTHORIZATION, self.0.clone());
                    next.run(request, extensions).await
                }
            }

            struct End;

            #[async_trait::async_trait]
            impl Middleware for End {
                async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> Result<Response> {
                    assert!(request.headers().contains_key(AUTHORIZATION));
                    let response = http::Response::builder().url(request.url().clone()).body("").unwrap();
                    Ok(Response::from(response))
                }
            }

            pub(crate) fn client(http: &Client, auth: impl Middleware, in_memory: bool) -> ClientWithMiddleware {
                let builder = ClientBuilder::new(http.clone()).with(auth);
                if in_memory { builder.with(End).build() } else { builder.build() }
            }
        }
    };
}

version!(now, reqwest, reqwest_middleware);
version!(before, reqwest_before, reqwest_middleware_before);

struct Endless;

#[async_trait::async_trait]
impl AsyncTokenSource for Endless {
    type Error = Infallible;

    async fn request_token(&mut self) -> Result<TokenWithLifetime, Infallible> {
        let token = Token::from(token());
        Ok(TokenLifetimeConfig::default().create_token(&token, None::<aliri_tokens::IdToken>, aliri_clock_seconds()))
    }
}

fn main() -> Result<(), BoxError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let address = serve()?;
    let mut report = report::Report::new("reqwest");
    table(&mut report, &runtime, "in memory", "https://api.example.com/v1/orders?day=1", true)?;
    table(&mut report, &runtime, "over loopback", &format!("http://{address}/v1/orders?day=1"), false)?;
    report.finish()?;
    Ok(())
}

fn table(
    report: &mut report::Report,
    runtime: &Runtime,
    table: &str,
    url: &str,
    in_memory: bool,
) -> Result<(), BoxError> {
    let (http, http_before) = (reqwest::Client::new(), reqwest_before::Client::new());
    let aliri = runtime.block_on(aliri_from(Endless))?;
    let mut header = HeaderValue::try_from(format!("Bearer {}", token()))?;
    header.set_sensitive(true);
    let origin = url.split("/v1").next().unwrap_or_default();
    let ours = || AuthLayer::builder(source_fn(|_| async { AccessToken::new(token(), None) })).origin(origin);
    let signer = TimestampHmac::sha256(tower_outbound_auth::Credentials::new("id", "secret"));

    let mine = [
        ("static header", now::client(&http, now::Static(header.clone()), in_memory)),
        ("this crate", now::client(&http, AuthMiddleware::from(ours().build()?), in_memory)),
        ("this crate; NoReplay", now::client(&http, AuthMiddleware::from(ours().replay(NoReplay).build()?), in_memory)),
        (
            "this crate; signed",
            now::client(&http, AuthMiddleware::from(ours().sign(SignRules::all(), signer).build()?), in_memory),
        ),
        ("hand-written RwLock", now::client(&http, ReadWriteLock(Cache::filled(&token())), in_memory)),
    ];
    let others = [
        ("static header; reqwest 0.12", before::client(&http_before, before::Static(header), in_memory)),
        ("reqwest-auth; reqwest 0.12", before::client(&http_before, reqwest_auth(Cache::filled(&token())), in_memory)),
        ("aliri_reqwest; reqwest 0.12", before::client(&http_before, aliri, in_memory)),
    ];
    let names: Vec<_> = mine.iter().map(|(name, _)| *name).chain(others.iter().map(|(name, _)| *name)).collect();
    let calls = if in_memory { 200 } else { 20 };
    let run = |variant: usize, calls: u32| {
        runtime.block_on(tokio::task::unconstrained(async {
            for _ in 0..calls {
                if let Some((_, client)) = mine.get(variant) {
                    client.get(url).send().await.unwrap().bytes().await.unwrap();
                } else if let Some((_, client)) = others.get(variant - mine.len()) {
                    client.get(url).send().await.unwrap().bytes().await.unwrap();
                }
            }
        }));
    };
    let mut least = vec![Duration::MAX; names.len()];
    for _ in 0..ROUNDS {
        for (variant, least) in least.iter_mut().enumerate() {
            let begin = Instant::now();
            run(variant, calls);
            *least = (*least).min(begin.elapsed());
        }
    }
    for (variant, name) in names.iter().enumerate() {
        let base = if variant < mine.len() { 0 } else { mine.len() };
        let counted = allocations::count(|| run(variant, 100)) as f64 / 100.0;
        let (time, to) = (least[variant].as_secs_f64(), least[base].as_secs_f64());
        let each = time * 1e6 / f64::from(calls);
        report.row(table, *name, [("us", each), ("ratio", time / to), ("allocations", counted)]);
    }
    Ok(())
}

fn token() -> String {
    "t".repeat(800)
}

fn aliri_clock_seconds() -> aliri_clock::DurationSecs {
    aliri_clock::DurationSecs(3600)
}

/// A server of HTTP/1.1 that answers each request with the same, in a thread of its own.
fn serve() -> Result<std::net::SocketAddr, BoxError> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = vec![0; 16_384];
                    let mut length = 0;
                    while let Ok(read @ 1..) = stream.read(&mut buffer[length..]).await {
                        length += read;
                        if buffer[..length].ends_with(b"\r\n\r\n") {
                            length = 0;
                            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
                        }
                    }
                });
            }
        });
    });
    Ok(address)
}

const ROUNDS: u32 = 1_000;
