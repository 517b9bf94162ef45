//! Every body that people send works with the policies that the guide names for it, and with no other.

use std::{
    fmt::{self, Debug},
    fs,
    marker::PhantomData,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{
    BodyExt, BodyStream, Empty, Full, Limited, StreamBody,
    combinators::{BoxBody, UnsyncBoxBody},
};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    BoxError,
    rejection::NotReplayed,
    replay::{CloneBody, EmptyBody, NoReplay, Replay, ReplayBody},
};

use crate::support::{Issuer, ORIGIN};

/// A cell of the guide's table: what becomes of a rejected request with this body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    SentAgain,
    SentAgainIfEmpty,
    NotSentAgain,
    DoesNotCompile,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SentAgain => "replayed",
            Self::SentAgainIfEmpty => "replayed if empty",
            Self::NotSentAgain => "not replayed",
            Self::DoesNotCompile => "does not compile",
        })
    }
}

/// A policy and a body that may be one for the other. Where they are, the compiler takes this type's own `fate`; where not,
/// it takes that of [`Unfit`].
struct Pair<R, B>(PhantomData<(R, B)>);

impl<R: Replay<B> + Default, B: Body<Error: Debug>> Pair<R, B> {
    async fn fate(body: impl AsyncFn(&'static str) -> B) -> Fate {
        match (is_sent_again(R::default(), &body, "payload").await, is_sent_again(R::default(), &body, "").await) {
            (true, true) => Fate::SentAgain,
            (false, true) => Fate::SentAgainIfEmpty,
            (false, false) => Fate::NotSentAgain,
            (true, false) => unreachable!("an empty body is sent again where another is"),
        }
    }
}

trait Unfit<B> {
    async fn fate(_body: impl AsyncFn(&'static str) -> B) -> Fate {
        Fate::DoesNotCompile
    }
}

impl<R, B> Unfit<B> for Pair<R, B> {}

/// Has a request rejected, and says whether the API got it a second time, and then as it was at first.
async fn is_sent_again<R, B>(policy: R, body: &impl AsyncFn(&'static str) -> B, text: &'static str) -> bool
where
    R: Replay<B>,
    B: Body<Error: Debug>,
{
    let layer = Issuer::new().builder().replay(policy).build().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let api = service_fn(move |request: Request<B>| {
        let log = Arc::clone(&log);
        async move {
            let payload = request.into_body().collect().await.unwrap().to_bytes();
            let mut response = Response::new(String::new());
            log.lock().unwrap().push(payload);
            if log.lock().unwrap().len() == 1 {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
            Ok::<_, BoxError>(response)
        }
    });
    let request = Request::post(format!("{ORIGIN}/a")).body(body(text).await).unwrap();
    let response = layer.layer(api).oneshot(request).await.unwrap();
    let (mark, seen) = (response.extensions().get().copied(), seen.lock().unwrap().clone());
    if seen.len() == 1 {
        assert_eq!((response.status().as_u16(), mark), (401, Some(NotReplayed::BodyNotReplayable)));
        return false;
    }
    assert_eq!((response.status().as_u16(), mark), (200, None));
    assert_eq!(seen.len(), 2);
    assert_eq!(seen.first(), seen.last(), "the second body is the first");
    true
}

/// A line of the guide's table: the body of this type that carries a text, under each policy.
macro_rules! line {
    ($body:ty, $name:literal, $make:expr) => {{
        let make = async |text: &'static str| -> $body { $make(text).await };
        let (clone, empty) = (Pair::<CloneBody, $body>::fate(make).await, Pair::<EmptyBody, $body>::fate(make).await);
        format!("| `{}` | {clone} | {empty} | {} |", $name, Pair::<NoReplay, $body>::fate(make).await)
    }};
}

type Streaming = StreamBody<BodyStream<UnsyncBoxBody<Bytes, BoxError>>>;

async fn lines() -> Vec<String> {
    let full = |text| Full::<Bytes>::from(text);
    vec![
        line!(Full<Bytes>, "http_body_util::Full<Bytes>", async |text| full(text)),
        line!(Empty<Bytes>, "http_body_util::Empty<Bytes>", async |_| Empty::new()),
        line!(String, "String", async |text| String::from(text)),
        line!(BoxBody<Bytes, BoxError>, "http_body_util::combinators::BoxBody<..>", async |text| {
            BoxBody::new(full(text).map_err(BoxError::from))
        }),
        line!(UnsyncBoxBody<Bytes, BoxError>, "http_body_util::combinators::UnsyncBoxBody<..>", async |text| unsync(text)),
        line!(Streaming, "http_body_util::StreamBody<S>", async |text| StreamBody::new(BodyStream::new(unsync(text)))),
        line!(Limited<Full<Bytes>>, "http_body_util::Limited<Full<Bytes>>", async |text| Limited::new(full(text), 100)),
        line!(axum::body::Body, "axum::body::Body", async |text| axum::body::Body::from(text)),
        line!(reqwest::Body, "reqwest::Body", async |text| reqwest::Body::from(text)),
        line!(Incoming, "hyper::body::Incoming", incoming),
    ]
}

fn unsync(text: &'static str) -> UnsyncBoxBody<Bytes, BoxError> {
    UnsyncBoxBody::new(Full::from(text).map_err(BoxError::from))
}

/// The body of an answer, from a server in memory.
async fn incoming(text: &'static str) -> Incoming {
    let (client, server) = tokio::io::duplex(1024);
    let answer = move |_| std::future::ready(Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(text))));
    let service = hyper::service::service_fn(answer);
    tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service));
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    client.send_request(Request::new(Empty::<Bytes>::new())).await.unwrap().into_body()
}

/// The guide's table without its head.
fn guide() -> Vec<String> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/replay_policies.rs")).unwrap();
    page.lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .filter(|line| line.starts_with("| `"))
        .map(str::to_owned)
        .collect()
}

const REPLAY_BODY: &str =
    "| `ReplayBody<B>` of any of these | replayed up to its limit | does not compile | not replayed |";

#[tokio::test(start_paused = true)]
async fn a_replay_body_is_replayed_up_to_its_limit() {
    type Recorded = ReplayBody<Streaming>;
    let recorded = |limit| async move |text| ReplayBody::new(StreamBody::new(BodyStream::new(unsync(text))), limit);
    assert_eq!(Pair::<CloneBody, Recorded>::fate(recorded(100)).await, Fate::SentAgain);
    assert_eq!(Pair::<CloneBody, Recorded>::fate(recorded(3)).await, Fate::SentAgainIfEmpty);
    assert_eq!(Pair::<EmptyBody, Recorded>::fate(recorded(100)).await, Fate::DoesNotCompile);
    assert_eq!(Pair::<NoReplay, Recorded>::fate(recorded(100)).await, Fate::NotSentAgain);
}

#[tokio::test(start_paused = true)]
async fn every_body_fares_under_every_policy_as_the_guide_says() {
    let mut lines = lines().await;
    lines.push(REPLAY_BODY.to_owned());
    assert_eq!(guide().join("\n"), lines.join("\n"));
}
