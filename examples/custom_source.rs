//! A token source and a signer of one's own: tokens from a file that a side-car keeps fresh, and a signature over the
//! request itself.
//!
//! ```text
//! cargo run --example custom_source
//! cargo test --example custom_source
//! ```

use std::{
    env,
    fs::{read_to_string, remove_file, write},
    future::{Future, ready},
    io,
    path::PathBuf,
    pin::Pin,
    process::{self, ExitCode},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header::AUTHORIZATION};
use http_body_util::Full;
use sha2::Sha256;
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{
    AccessToken, AuthError, AuthLayer, BoxError, ErrorKind, FetchRequest, SignRules, SignatureHeaders, Signer,
    SigningContext, TokenSource,
    secrecy::{ExposeSecret, SecretString},
};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("custom_source: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let file = TokenFile { path: env::temp_dir().join(format!("custom-source-{}", process::id())) };
    write(&file.path, "first-token\n")?;
    let auth = AuthLayer::builder(file.clone())
        .origin("https://api.example.com")
        .sign(SignRules::all(), RequestHmac { key: KEY.into() })
        .build()?;
    let client = auth.layer(tower::service_fn({
        let file = file.clone();
        move |request| ready(api(&file, &request))
    }));

    let first = call(client.clone()).await?;
    println!("with the token of the file, and signed: {first}");
    // From now on the API refuses the first token. The layer reads the file again, and the caller notices nothing.
    write(&file.path, "second-token\n")?;
    let second = call(client).await?;
    let read = auth.handle().status().issued;
    println!("after the file has changed: {second}, tokens read: {read}");
    remove_file(&file.path)?;
    let as_promised = (first, second, read) == (StatusCode::OK, StatusCode::OK, 2);
    as_promised.then_some(()).ok_or_else(|| "that is not what the layer promises".into())
}

async fn call(
    client: impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = BoxError>,
) -> Result<StatusCode, BoxError> {
    let request = Request::get("https://api.example.com/accounts?page=2").body(Full::default())?;
    Ok(client.oneshot(request).await?.status())
}

/// A file with a token in it, which somebody else replaces in time: an agent, a mounted secret.
///
/// The layer does the rest: it reads the file once however many requests wait, and goes on with the old token meanwhile.
#[derive(Clone, Debug)]
struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    fn read(&self, request: FetchRequest<'_>) -> Result<AccessToken, AuthError> {
        // A small local file: not worth a thread of its own. A slow disk is a case for `tokio::fs`.
        let mut text = read_to_string(&self.path).map_err(unavailable)?;
        // Editors and `echo` end a file with a line end, which no header may have. Cut in place: no copy is left behind.
        text.truncate(text.trim_end().len());
        // Its real lifetime is not in the file. After a minute, well before the end, the layer asks again.
        let token = AccessToken::new(text, Some(LOOK_AGAIN))?;
        match request.rejected() {
            // The API refused this one, so it is of no use to give it out again. Transient: the layer tries once more
            // in a moment, when the file may have been replaced.
            Some(rejected) if rejected.expose_secret() == token.expose_secret() => {
                Err(AuthError::new(ErrorKind::Unavailable, "the token file still has the token that the API refused"))
            }
            _ => Ok(token),
        }
    }
}

impl TokenSource for TokenFile {
    fn fetch<'a>(
        &'a self,
        request: FetchRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>> {
        Box::pin(async move { self.read(request) })
    }
}

fn unavailable(error: io::Error) -> AuthError {
    AuthError::new(ErrorKind::Unavailable, "the token file cannot be read").with_source(error)
}

/// `X-Date: <unix seconds>` and `X-Request-Signature: <hex>`, the HMAC-SHA256 of method, path with query, and date.
///
/// Unlike a signature over the time alone, it is of no use for another request.
struct RequestHmac {
    key: SecretString,
}

impl Signer for RequestHmac {
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        // `now` is the server's time as far as the layer has learnt it. A signer needs no clock.
        let date = context.now().duration_since(UNIX_EPOCH).map_err(signing)?.as_secs().to_string();
        let signature = signature(self.key.expose_secret(), context.method(), context.uri(), &date).map_err(signing)?;
        let mut headers = SignatureHeaders::new();
        headers.insert(X_DATE, HeaderValue::from_str(&date).map_err(signing)?);
        headers.insert(X_REQUEST_SIGNATURE, HeaderValue::from_str(&signature).map_err(signing)?);
        Ok(headers)
    }
}

fn signing(error: impl Into<BoxError>) -> AuthError {
    AuthError::new(ErrorKind::Signing, "the request cannot be signed").with_source(error)
}

fn signature(key: &str, method: &Method, uri: &Uri, date: &str) -> Result<String, BoxError> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())?;
    mac.update(format!("{method}\n{target}\n{date}").as_bytes());
    Ok(hex::encode(mac.finalize().into_bytes()))
}

/// In place of a server: takes the token that is in the file, and signatures that are right.
fn api(file: &TokenFile, request: &Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
    let expected = format!("Bearer {}", read_to_string(&file.path)?.trim_end());
    let right = signature(KEY, request.method(), request.uri(), text(request.headers(), &X_DATE))?;
    let headers = request.headers();
    let known = text(headers, &AUTHORIZATION) == expected && text(headers, &X_REQUEST_SIGNATURE) == right;
    let mut response = Response::new(Full::default());
    *response.status_mut() = if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    Ok(response)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

const LOOK_AGAIN: Duration = Duration::from_secs(60);
const X_DATE: HeaderName = HeaderName::from_static("x-date");
const X_REQUEST_SIGNATURE: HeaderName = HeaderName::from_static("x-request-signature");
/// Of a demonstration. A real one comes from where secrets are kept.
const KEY: &str = "a-key-that-both-sides-know";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_read_without_its_line_end() {
        let file = TokenFile::with("line-end", "the-token\r\n");
        let token = file.read(FetchRequest::new()).unwrap();
        assert_eq!((token.expose_secret(), token.expires_in()), ("the-token", Some(LOOK_AGAIN)));
        remove_file(file.path).unwrap();
    }

    #[test]
    fn a_refused_token_is_not_given_out_again() {
        let file = TokenFile::with("refused", "refused\n");
        let refused = file.read(FetchRequest::new()).unwrap();
        let error = file.read(FetchRequest::new().with_rejected(&refused)).unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        write(&file.path, "replaced\n").unwrap();
        let token = file.read(FetchRequest::new().with_rejected(&refused)).unwrap();
        assert_eq!(token.expose_secret(), "replaced");
        remove_file(file.path).unwrap();
    }

    #[test]
    fn a_missing_file_is_worth_another_try_and_an_empty_one_is_not() {
        let missing = TokenFile { path: env::temp_dir().join("custom-source-nobody-wrote-this") };
        assert_eq!(missing.read(FetchRequest::new()).unwrap_err().kind(), ErrorKind::Unavailable);
        let empty = TokenFile::with("empty", "\n");
        assert_eq!(empty.read(FetchRequest::new()).unwrap_err().kind(), ErrorKind::Malformed);
        remove_file(empty.path).unwrap();
    }

    #[test]
    fn the_signature_is_that_of_openssl_and_good_for_one_request() {
        let signature = |method, uri| signature("key", &method, &Uri::from_static(uri), "1700000000").unwrap();
        let of_get = signature(Method::GET, "https://api.example.com/a?b=c");
        // printf 'GET\n/a?b=c\n1700000000' | openssl dgst -sha256 -hmac key
        assert_eq!(of_get, "6aab2552aaed37e232994e3a1701bc9792055ba64f1a973b02cb8c4f4818989e");
        assert_ne!(of_get, signature(Method::POST, "https://api.example.com/a?b=c"));
        assert_ne!(of_get, signature(Method::GET, "https://api.example.com/a?b=d"));
    }

    #[test]
    fn a_time_before_1970_is_an_error_and_no_request_goes_out() {
        let signer = RequestHmac { key: "key".into() };
        let (uri, headers) = (Uri::from_static("https://api.example.com/"), HeaderMap::new());
        let token = AccessToken::new("token", None).unwrap();
        let sign = |now| signer.sign(&SigningContext::new(&Method::GET, &uri, &headers, &token, now));
        assert_eq!(sign(UNIX_EPOCH - LOOK_AGAIN).unwrap_err().kind(), ErrorKind::Signing);
        let signed = sign(UNIX_EPOCH + LOOK_AGAIN).unwrap();
        assert_eq!(signed.get(&X_DATE), Some(&HeaderValue::from_static("60")));
        assert!(signed.get(&X_REQUEST_SIGNATURE).is_some_and(HeaderValue::is_sensitive));
    }

    #[tokio::test]
    async fn the_api_takes_what_the_layer_sends() {
        run().await.unwrap();
    }

    impl TokenFile {
        fn with(name: &str, content: &str) -> Self {
            let path = env::temp_dir().join(format!("custom-source-{name}-{}", process::id()));
            write(&path, content).unwrap();
            Self { path }
        }
    }
}
