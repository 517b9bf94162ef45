//! The same for all of a process at once: another one lives with secrets, and this one searches its memory. It knows more of
//! what to look for: whatever of a key is as good as the key, and signatures.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    future::{Future, ready},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::FileExt,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use sha2::{Digest, Sha256, block_api::compress256};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    oauth::{ClientAuth, ClientCredentialsGrant},
    secrecy::{ExposeSecret, SecretString},
    signing::{SignRules, SignatureHeaders, Signer, SigningContext, TimestampHmac},
    token::{AccessToken, RefreshPolicy},
};
use zeroize::Zeroizing;

/// What the other process is given: two client secrets, one after the other, a token and a parameter.
struct Secrets {
    keys: [String; 2],
    token: String,
    param: String,
}

impl Secrets {
    /// Random, but for a length that decides how HMAC takes a key, and for what forms and JSON write in another way.
    fn new(key_length: usize) -> Self {
        let text = |length: usize| {
            let start = ["+", "/", "=", "&"].concat();
            start.chars().chain((4..length).map(|_| fastrand::alphanumeric())).collect::<String>()
        };
        Self { keys: [text(key_length), text(key_length)], token: text(60), param: text(60) }
    }

    /// What no memory may hold once all is dropped, and what it is.
    fn patterns(&self, timestamps: &[String]) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        let mut add = |what: &str, bytes: &[u8]| {
            // The ends: an allocator writes its own notes over the beginning of what it gets back.
            all.push((what.to_owned(), bytes[bytes.len().saturating_sub(PART)..].to_vec()));
            all.push((what.to_owned(), bytes[bytes.len() / 2 - PART / 2..][..PART.min(bytes.len())].to_vec()));
        };
        add("token", self.token.as_bytes());
        add("parameter", self.param.as_bytes());
        for key in &self.keys {
            add("client secret", key.as_bytes());
            let basic = STANDARD.encode(format!("id:{key}"));
            add("client secret in Basic credentials", &basic.as_bytes()[..basic.len() - 4]);
            let encoded: String = form_urlencoded::byte_serialize(key.as_bytes()).collect();
            let basic = STANDARD.encode(format!("id:{encoded}"));
            add("client secret in Basic credentials", &basic.as_bytes()[..basic.len() - 4]);
            let hashed = Sha256::digest(key);
            let key_of_hmac = if key.len() > 64 { &hashed[..] } else { key.as_bytes() };
            add("key of HMAC", key_of_hmac);
            for pad in [0x36, 0x5c] {
                let mut block = [pad; 64];
                block.iter_mut().zip(key_of_hmac).for_each(|(byte, key)| *byte ^= key);
                add("padded key", &block[..key_of_hmac.len()]);
                let mut state = INITIAL;
                compress256(&mut state, &[block]);
                // In the order of the standard, and in that of the processor's own instructions.
                for order in [[0, 1, 2, 3], [4, 5, 6, 7], [5, 4, 1, 0], [7, 6, 3, 2]] {
                    let words = order.map(|word: usize| state[word]);
                    add("state of HMAC", &words.map(u32::to_le_bytes).concat());
                    add("state of HMAC", &words.map(u32::to_be_bytes).concat());
                }
            }
            for timestamp in timestamps {
                let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
                mac.update(timestamp.as_bytes());
                let signature = mac.finalize().into_bytes();
                add("signature", hex::encode(signature).as_bytes());
                add("signature", &signature);
            }
        }
        all
    }
}

/// FIPS 180-4, section 5.3.3.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
const PART: usize = 16;

/// How often each pattern is in memory that this process writes to.
fn search(process: u32, patterns: &[(String, Vec<u8>)]) -> BTreeMap<String, usize> {
    let mut by_start: BTreeMap<[u8; 2], Vec<usize>> = BTreeMap::new();
    let mut is_start = vec![false; 1 << 16];
    for (number, (_, pattern)) in patterns.iter().enumerate() {
        let start = [pattern[0], pattern[1]];
        is_start[usize::from(u16::from_le_bytes(start))] = true;
        by_start.entry(start).or_default().push(number);
    }
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let mut found = BTreeMap::new();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"))) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let address = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let mut region = vec![0; usize::try_from(address(end) - address(start)).unwrap()];
        // Some regions are not for reading.
        let read = memory.read_at(&mut region, address(start)).unwrap_or(0);
        for at in 0..read.saturating_sub(1) {
            let first = [region[at], region[at + 1]];
            if !is_start[usize::from(u16::from_le_bytes(first))] {
                continue;
            }
            for number in &by_start[&first] {
                let (what, pattern) = &patterns[*number];
                if region[at..read].starts_with(pattern) {
                    *found.entry(what.clone()).or_default() += 1;
                }
            }
        }
    }
    found
}

struct Other {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Other {
    fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let test = "another_process::the_other_process";
        command.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]).env(IS_OTHER, "yes");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// What it says until it says this.
    fn hear_until(&mut self, last: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it has ended: {heard:?}");
            if let Some((_, said)) = line.split_once(MARK) {
                if said.trim() == last {
                    return heard;
                }
                heard.push(said.trim().to_owned());
            }
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn o6_a_process_that_has_dropped_everything_holds_no_secret_and_no_signature() {
    // Shorter than a block of HMAC, as long as one, and longer, which HMAC hashes first.
    for key_length in [40, 64, 65, 200] {
        let (secrets, mut other) = (Secrets::new(key_length), Other::start());
        for secret in [&secrets.keys[0], &secrets.keys[1], &secrets.token, &secrets.param] {
            other.tell(&hex::encode(secret.bytes().map(|byte| byte ^ MASK).collect::<Vec<_>>()));
        }
        let timestamps = other.hear_until("held");
        assert!(timestamps.len() > 50, "{timestamps:?}");
        let patterns = secrets.patterns(&timestamps);
        let held = search(other.child.id(), &patterns);
        for what in ["client secret", "token", "parameter", "signature"] {
            assert!(held.contains_key(what), "{key_length}: the search finds what is held: {held:?}");
        }
        other.tell("drop it");
        other.hear_until("dropped");
        let left = search(other.child.id(), &patterns);
        assert!(left.is_empty(), "a key of {key_length} bytes left {left:?}");
    }
}

/// In the other process: a secret that arrives masked, in memory that is wiped and was never moved.
fn unmasked(line: &str) -> SecretString {
    let mut text = String::with_capacity(line.len() / 2);
    for digits in line.trim().as_bytes().chunks(2) {
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).unwrap();
        text.push(char::from(byte[0] ^ MASK));
    }
    SecretString::from(text)
}

/// Bytes of these parts, wiped with the last reference.
fn wiped(parts: &[&str]) -> Bytes {
    let mut text = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        text.extend_from_slice(part.as_bytes());
    }
    Bytes::from_owner(text)
}

fn say(line: &str) {
    println!("{MARK}{line}");
}

const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");

fn say_timestamp(headers: &HeaderMap) {
    say(headers[TIMESTAMP].to_str().unwrap());
}

#[test]
#[ignore = "another test starts it in another process"]
fn the_other_process() {
    if env::var_os(IS_OTHER).is_none() {
        return;
    }
    let next = || {
        let mut line = String::new();
        io::stdin().read_line(&mut line).unwrap();
        line
    };
    let mut secrets = [(); 4].map(|()| unmasked(&next()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let held = runtime.block_on(live(&secrets));
    say("held");
    next();
    // One by one, so that none is moved.
    for secret in &mut secrets {
        *secret = SecretString::default();
    }
    drop((held, runtime));
    say("dropped");
    next();
}

type Held = (AuthLayer, ClientCredentialsGrant, SignatureHeaders, AccessToken);

/// Everything that secrets go through, for each way to send them; what is left is held.
async fn live(secrets: &[SecretString; 4]) -> Vec<Held> {
    let mut held = Vec::new();
    for method in [ClientAuth::Body, ClientAuth::Basic, ClientAuth::BasicUnencoded] {
        for is_json in [false, true] {
            held.push(live_with(secrets, method, is_json).await);
        }
    }
    held
}

async fn live_with(
    [first, second, token, param]: &[SecretString; 4],
    method: ClientAuth,
    is_json: bool,
) -> (AuthLayer, ClientCredentialsGrant, SignatureHeaders, AccessToken) {
    let credentials = Credentials::new("id", first.clone());
    let signer = Arc::new(TimestampHmac::sha256(credentials.clone()));
    let signature = signed(&signer);
    let transport = token_endpoint(token.clone(), first.clone());
    let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone());
    let grant = grant.client_auth(method).param("password", param.expose_secret()).transport(transport);
    let grant = if is_json { grant.json_body() } else { grant }.build().unwrap();
    let builder = AuthLayer::builder(grant.clone()).any_origin().sign(SignRules::all(), signer);
    let layer = builder.refresh(RefreshPolicy::default().attempts(1)).build().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let api = service_fn(move |request: Request<Full<Bytes>>| {
        say_timestamp(request.headers());
        let mut response = Response::new(Full::<Bytes>::default());
        if calls.fetch_add(1, SeqCst) == 0 {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        async { Ok::<_, BoxError>(response) }
    });
    let get = || Request::get("https://api.example.com").body(Full::default()).unwrap();
    // Rejected and replayed; rotated; refused; and well again.
    assert_eq!(layer.layer(api.clone()).oneshot(get()).await.unwrap().status(), 200);
    credentials.rotate(second.clone());
    assert_eq!(layer.layer(api.clone()).oneshot(get()).await.unwrap().status(), 200);
    for _ in 0..2 {
        assert!(layer.handle().refresh().await.is_err());
    }
    let token = layer.handle().refresh().await.unwrap();
    assert_eq!(layer.layer(api).oneshot(get()).await.unwrap().status(), 200);
    (layer, grant, signature, token)
}

/// Signs in each of 50 seconds; the last signature.
fn signed(signer: &TimestampHmac) -> SignatureHeaders {
    let mut signature = SignatureHeaders::new();
    for second in 0..50 {
        let (method, uri, headers) = (Method::GET, Uri::from_static("https://api.example.com"), HeaderMap::new());
        let token = AccessToken::new("t", None).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second);
        signature = signer.sign(&SigningContext::new(&method, &uri, &headers, &token, now)).unwrap();
        say(signature.get(&TIMESTAMP).unwrap().to_str().unwrap());
    }
    signature
}

/// A token with escapes, twice; then refusals that repeat it, and a secret; then a token again.
fn token_endpoint(
    token: SecretString,
    key: SecretString,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<Full<Bytes>>,
    Error = BoxError,
    Future = impl Future<Output = Result<Response<Full<Bytes>>, BoxError>> + Send,
> + Clone
+ Send
+ Sync
+ 'static {
    let (asked, secrets) = (Arc::new(AtomicUsize::new(0)), Arc::new((token, key)));
    service_fn(move |request: Request<Full<Bytes>>| {
        drop(request);
        let (token, key) = (secrets.0.expose_secret(), secrets.1.expose_secret());
        let number = asked.fetch_add(1, SeqCst).to_string();
        let first = r#"{"access_token":"\u002B"#;
        let (status, parts) = match &*number {
            "0" | "1" => (200, [first, token, &number, r#"\u003d","scope":["a","b"],"x":"\u002B"#, token, "\"}"]),
            "2" => (200, [r#"{"access_token":""#, token, r#"","error":"\u002B"#, key, "\"}", ""]),
            "3" => (400, [r#"{"error":"\u002B"#, key, r#"","error_description":"\u002B"#, token, "\"}", ""]),
            _ => (200, [first, token, r#"","scope":["\u002B"#, token, r#"","b"]}"#, ""]),
        };
        let mut response = Response::new(Full::new(wiped(&parts)));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        ready(Ok(response))
    })
}

const IS_OTHER: &str = "AUTH_TEST_OTHER_PROCESS";
const MARK: &str = "@@ ";
const MASK: u8 = 0xa5;
