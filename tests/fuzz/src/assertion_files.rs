//! `AssertionFile`: what a file holds is sent as it is, or not at all, and the error says which kind of trouble it is.

use std::{
    cell::RefCell,
    fs,
    future::Future,
    path::PathBuf,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, UNIX_EPOCH},
};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower_outbound_auth::{
    BoxError, Credentials,
    ErrorKind::{self, Config, Unavailable},
    oauth::{AssertionFile, AssertionRequest, AssertionSource, ClientCredentialsGrant},
    token::{FetchRequest, TokenSource},
};

use crate::{
    drive::{Limits, drive},
    input::Input,
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (text, expected) = if input.below(3) == 0 { wild(&mut input) } else { jwt(&mut input) };
    let path = write(&text);
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let source = AssertionFile::new(&path);
    let request = AssertionRequest::new("fuzz", "https://login.example.com/token", now);
    let shown = String::from_utf8_lossy(&text);
    match (now_or_never(source.assertion(request)), &expected) {
        (Ok(assertion), Ok(expected)) => assert_eq!(assertion.expose_secret(), expected),
        (Err(error), Err(kind)) => {
            assert_eq!(error.kind(), *kind, "{error}: {shown}");
            assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
            assert!(!format!("{error} {error:?}").contains(PLANTED), "{error:?}");
        }
        (Ok(_), Err(kind)) => panic!("accepted instead of {kind:?}: {shown}"),
        (Err(error), Ok(_)) => panic!("{error}: {shown}"),
    }
    if let Ok(expected) = expected
        && input.one_in(40)
    {
        arrives(&source, &expected);
    }
}

/// Outside of a runtime, a file is read on this thread, which is much faster.
fn now_or_never<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing to wait for"),
    }
}

/// The assertion arrives in the request as it is in the file. `exp` may be long past by the clock of this machine.
fn arrives(source: &AssertionFile, expected: &str) {
    let seen = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&seen);
    let transport = tower::service_fn(move |request: Request<Full<bytes::Bytes>>| {
        let kept = Arc::clone(&kept);
        async move {
            *kept.lock().expect("not poisoned") = Some(request.into_body().collect().await?.to_bytes());
            Ok::<_, BoxError>(Response::new(Full::new(bytes::Bytes::from_static(br#"{"access_token":"t"}"#))))
        }
    });
    let builder =
        ClientCredentialsGrant::builder("https://login.example.com/token", Credentials::without_secret("fuzz"));
    let grant = builder.client_assertion(source.clone()).transport(transport).build().expect("the settings are valid");
    if drive(LIMITS, grant.fetch(FetchRequest::new())).is_ok() {
        let body = seen.lock().expect("not poisoned").take().expect("a request");
        let form = url::form_urlencoded::parse(&body).find(|(name, _)| name == "client_assertion");
        assert_eq!(form.expect("an assertion").1, expected);
    }
}

/// Any bytes, around the limits.
fn wild(input: &mut Input<'_>) -> (Vec<u8>, Result<String, ErrorKind>) {
    let mut bytes = input.some_bytes().to_vec();
    let length = input.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 0, LONGEST, LONGEST + 1]);
    bytes.resize(length.max(bytes.len()), b'a');
    let expected = match String::from_utf8(bytes.clone()) {
        _ if bytes.len() > LONGEST => Err(Config),
        Err(_) => Err(Config),
        Ok(text) if text.trim().is_empty() => Err(Unavailable),
        Ok(text) if text.trim().contains(|c: char| c.is_whitespace() || c.is_control()) => Err(Config),
        Ok(text) => Ok(text.trim().to_owned()),
    };
    // By chance a JWT of the past: not likely, and not decided here.
    (bytes, expected)
}

/// A JWT, whose end is known.
fn jwt(input: &mut Input<'_>) -> (Vec<u8>, Result<String, ErrorKind>) {
    let (end, is_past) = input.pick(&ENDS);
    let padding = input.pick(&["", PLANTED, "\\u00e9", "\\\"exp\\\":1"]);
    let claims = format!(r#"{{"sub":"{padding}",{end}"aud":["a"]}}"#);
    let (before, after) = (input.pick(&["", "\n", " \t", "\u{feff}"]), input.pick(&["", "\n", "\r\n", "\n\n "]));
    let text = format!("{}.{}.{PLANTED}", base64url(br#"{"alg":"RS256"}"#), base64url(claims.as_bytes()));
    // A byte-order mark is no white space, and part of what is sent.
    let sent = format!("{}{text}", before.trim());
    let expected = if is_past { Err(Unavailable) } else { Ok(sent) };
    (format!("{before}{text}{after}").into_bytes(), expected)
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    let digit =
        |bits: u32| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[bits as usize & 63]);
    let group = |chunk: &[u8]| {
        let bits = [16, 8, 0].iter().zip(chunk).map(|(shift, byte)| u32::from(*byte) << shift).sum::<u32>();
        [18, 12, 6, 0].into_iter().take(chunk.len() + 1).map(|shift| digit(bits >> shift)).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// Writes the file of this thread.
fn write(text: &[u8]) -> PathBuf {
    thread_local! {
        static FILE: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
    }
    let name = || std::env::temp_dir().join(format!("fuzz-assertion-{}-{:x}", std::process::id(), fastrand::u64(..)));
    let path = FILE.with(|file| file.borrow_mut().get_or_insert_with(name).clone());
    fs::write(&path, text).expect("a file can be written");
    path
}

const NOW: u64 = 1_700_000_000;
const PLANTED: &str = "pLaNtEd";
const LONGEST: usize = 64 * 1024;
/// `exp`, and whether it is past.
const ENDS: [(&str, bool); 14] = [
    ("", false),
    ("\"exp\":1700000001,", false),
    ("\"exp\":1700000000,", true),
    ("\"exp\":1699999999.9,", true),
    ("\"exp\":0,", true),
    ("\"exp\":-5,", true),
    ("\"exp\":1e300,", false),
    ("\"exp\":1e400,", false),
    ("\"exp\":\"1\",", true),
    ("\"exp\":\"soon\",", false),
    ("\"exp\":null,", false),
    ("\"exp\":[1],", false),
    ("\"exp\":1,\"exp\":1800000000,", false),
    ("\"\\u0065xp\":1,", true),
];
const LIMITS: Limits = Limits { polls: 1_000, bytes: 1024 * 1024 };
