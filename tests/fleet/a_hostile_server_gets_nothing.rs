//! F4, F5: a server that answers every command with every kind of RESP value, whole or cut off.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower_outbound_auth::{
    Credentials,
    fleet::{RedisStore, SealedToken, SharedTokenSource, TokenStore},
    token::{AccessToken, FetchRequest, TokenSource, source_fn},
};

const SECOND: Duration = Duration::from_secs(1);
const TOKEN: &str = "a-planted-token-that-nobody-may-see";
const SECRET: &str = "a-planted-secret-that-nobody-may-see";

/// Each kind of value of RESP2 and RESP3, and what a client might trip over.
const ANSWERS: &[&str] = &[
    "+OK\r\n",
    "+\r\n",
    "-ERR no\r\n",
    "-NOPERM no\r\n",
    "-MOVED 1 127.0.0.1:1\r\n",
    "-MOVED 1 :1\r\n",
    "-MOVED\r\n",
    "-ASK 99999 x\r\n",
    "-\r\n",
    ":1\r\n",
    ":0\r\n",
    ":-9223372036854775808\r\n",
    ":999999999999999999999\r\n",
    ":x\r\n",
    "$-1\r\n",
    "$0\r\n\r\n",
    "$5\r\nhello\r\n",
    "$-2\r\n",
    "$9223372036854775807\r\n",
    "*-1\r\n",
    "*0\r\n",
    "*1\r\n:1\r\n",
    "*3\r\n$-1\r\n:0\r\n:0\r\n",
    "*3\r\n$-1\r\n:0\r\n:1\r\n",
    "*3\r\n$-1\r\n:-1\r\n:7\r\n",
    "*3\r\n$10\r\n1 5 ab xyz\r\n:1000\r\n:0\r\n",
    "*3\r\n$10\r\n1 5 ab xyz\r\n:-1\r\n:1\r\n",
    "*3\r\n$10\r\n1 5 ab xyz\r\n:9223372036854775807\r\n:1\r\n",
    "*3\r\n:1\r\n:1\r\n:1\r\n",
    "*2147483647\r\n",
    "*9223372036854775807\r\n:1\r\n",
    "%1\r\n+a\r\n:1\r\n",
    "%-1\r\n",
    "%9223372036854775807\r\n",
    "~2\r\n:1\r\n:2\r\n",
    "|1\r\n+a\r\n:1\r\n:2\r\n",
    "|4611686018427387903\r\n",
    ">2\r\n+message\r\n:1\r\n",
    ">0\r\n",
    "_\r\n",
    ",1.5\r\n",
    ",nan\r\n",
    "#t\r\n",
    "#x\r\n",
    "!5\r\nERR x\r\n",
    "!-1\r\n",
    "=8\r\ntxt:some\r\n",
    "=3\r\nabc\r\n",
    "(3492890328409238509324850943850943825024385\r\n",
    "(x\r\n",
    "?\r\n",
    "\r\n",
    "\u{0}\u{0}\u{0}\u{0}",
    "HTTP/1.1 400 Bad Request\r\n\r\n",
];

/// What a server says, and whether it closes the connection then.
type Answer = Mutex<(Vec<u8>, bool)>;

/// A server that answers every command with this and closes the connection, or leaves it open.
struct Hostile {
    url: String,
    heard: Arc<Mutex<Vec<u8>>>,
    answer: Arc<Answer>,
    connections: Arc<AtomicUsize>,
}

impl Hostile {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let (heard, answer, connections) =
            (Arc::<Mutex<Vec<u8>>>::default(), Arc::<Answer>::default(), Arc::<AtomicUsize>::default());
        let (log, says, count) = (Arc::clone(&heard), Arc::clone(&answer), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&log), Arc::clone(&says)));
            }
        });
        Self { url, heard, answer, connections }
    }

    fn answers(&self, bytes: &[u8], closes: bool) {
        *self.answer.lock().unwrap() = (bytes.to_vec(), closes);
    }

    fn store(&self) -> RedisStore {
        RedisStore::connect(&self.url).unwrap()
    }
}

async fn serve(mut stream: TcpStream, heard: Arc<Mutex<Vec<u8>>>, answer: Arc<Answer>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        heard.lock().unwrap().extend(buffer.iter().take(read));
        let (bytes, closes) = answer.lock().unwrap().clone();
        if stream.write_all(&bytes).await.is_err() || closes {
            return;
        }
    }
}

fn source(store: impl TokenStore) -> SharedTokenSource<impl TokenSource> {
    let inner = source_fn(|_| async { AccessToken::new(TOKEN, Some(1000 * SECOND)) });
    let credentials = Credentials::new("id", SECRET);
    SharedTokenSource::builder(inner, store).credentials(&credentials).identity("a").build().unwrap()
}

/// Uses each step of the store; any answer will do, if it comes.
async fn each_step(store: &RedisStore) {
    let token = SealedToken::new("sealed", "ab", SECOND, SECOND);
    let limit = |step| tokio::time::timeout(SECOND / 4, step);
    let _ = tokio::time::timeout(SECOND / 4, store.read_or_lease("key", "owner", SECOND)).await;
    let _ = limit(store.renew("key", "owner", SECOND)).await;
    let _ = limit(store.publish("key", "owner", &token)).await;
    let _ = limit(store.retire("key", "ab", SECOND)).await;
    let _ = tokio::time::timeout(SECOND / 4, store.release("key", "owner")).await;
}

#[tokio::test]
async fn f4_no_answer_of_any_kind_cut_at_any_byte_fails_a_request() {
    let server = Hostile::start().await;
    // `CUT_STEP=1` takes every byte, as `tests/all.sh` does.
    let step = std::env::var("CUT_STEP").map_or(5, |step| step.parse().unwrap());
    for answer in ANSWERS {
        for cut in (0..answer.len()).step_by(step).chain([answer.len()]) {
            server.answers(&answer.as_bytes()[..cut], true);
            let source = source(server.store());
            let rejected = AccessToken::new("another", None).unwrap();
            for request in [FetchRequest::new(), FetchRequest::new().with_rejected(rejected)] {
                let token = source.fetch(request).await;
                assert_eq!(token.unwrap().expose_secret(), TOKEN, "{answer:?} cut at {cut}");
            }
            each_step(&server.store()).await;
            each_step(&RedisStore::cluster([&server.url]).unwrap()).await;
            each_step(&RedisStore::sentinel([&server.url], "mymaster").unwrap()).await;
        }
    }
    let heard = String::from_utf8_lossy(&server.heard.lock().unwrap()).into_owned();
    assert!(heard.contains("EVAL"));
    for planted in [TOKEN, SECRET] {
        assert!(!heard.contains(planted), "sent in clear");
    }
    assert!(server.connections.load(SeqCst) > 500);
}

#[tokio::test]
async fn f4_an_answer_without_an_end_costs_no_memory_and_a_quarter_of_a_second() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = RedisStore::connect(&format!("redis://{}", listener.local_addr().unwrap())).unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    tokio::spawn(async move {
        let mut round = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = ["$1000000000\r\n", "+", "*1000000\r\n", "*1\r\n*1\r\n"][round % 4];
            round += 1;
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let chunk = if head.starts_with('*') { ":1\r\n".repeat(4096) } else { "x".repeat(16 * 1024) };
                let chunk = if head.len() > 10 && head.contains("\r\n*") { head.repeat(1024) } else { chunk };
                if stream.write_all(head.as_bytes()).await.is_ok() {
                    while stream.write_all(chunk.as_bytes()).await.is_ok() {
                        count.fetch_add(chunk.len(), SeqCst);
                    }
                }
            });
        }
    });
    for _ in 0..4 {
        let start = Instant::now();
        sent.store(0, SeqCst);
        let token = source(store.clone()).fetch(FetchRequest::new()).await.unwrap();
        assert_eq!(token.expose_secret(), TOKEN);
        assert!(start.elapsed() < 10 * SECOND, "{:?}", start.elapsed());
        tokio::time::sleep(SECOND / 10).await;
        // What the sockets hold comes on top of the 256 KiB that are read at most.
        assert!(sent.load(SeqCst) < 16 << 20, "{} bytes", sent.load(SeqCst));
    }
}

#[tokio::test]
async fn f4_a_server_that_accepts_and_never_answers_costs_a_quarter_of_a_second_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = RedisStore::connect(&format!("redis://:password@{}", listener.local_addr().unwrap())).unwrap();
    let source = source(store);
    let mut fetches = JoinSet::new();
    for _ in 0..10 {
        let source = source.clone();
        fetches.spawn(async move { source.fetch(FetchRequest::new()).await.unwrap().expose_secret().to_owned() });
    }
    assert_eq!(fetches.join_all().await, [TOKEN; 10]);
    drop(listener);
}

#[tokio::test]
async fn f5_an_error_of_the_store_repeats_nothing_that_the_server_wrote() {
    let server = Hostile::start().await;
    for answer in [
        "-planted-in-a-code x\r\n",
        "-ERR planted\r\n",
        "-PLANTEDPLANTEDPLANTEDPLANTEDPLANTED x\r\n",
        "+planted\r\n",
        "$7\r\nplanted\r\n",
    ] {
        server.answers(answer.as_bytes(), true);
        let error = server.store().renew("key", "owner", SECOND).await.unwrap_err();
        let shown = format!("{error} {error:?}").to_lowercase();
        assert!(!shown.contains("planted"), "{shown}");
    }
    let shown = format!("{:?}", RedisStore::connect("rediss://user:planted@host").unwrap());
    assert!(!shown.contains("planted"), "{shown}");
}

#[test]
fn f5_settings_that_cannot_work_are_refused() {
    use tower_outbound_auth::ErrorKind::Config;
    let kinds = [
        RedisStore::connect("http://host").unwrap_err().kind(),
        RedisStore::connect("redis://host").unwrap().root_certificates("x").unwrap_err().kind(),
        RedisStore::connect("rediss://host").unwrap().root_certificates("x").unwrap_err().kind(),
        RedisStore::cluster::<&str>([]).unwrap_err().kind(),
        RedisStore::cluster(["redis://host/1"]).unwrap_err().kind(),
        RedisStore::sentinel::<&str>([], "mymaster").unwrap_err().kind(),
        RedisStore::sentinel(["redis://host"], "").unwrap_err().kind(),
    ];
    assert_eq!(kinds, [Config; 7]);
    let store = RedisStore::sentinel(vec!["redis://host".to_owned()], "rediss://user:pw@MyMaster/2").unwrap();
    assert!(format!("{store:?}").contains("MyMaster"));
}
