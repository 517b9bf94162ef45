//! No secret, no token and no signature is shown: in no trace, no error and no `Debug`, through success and failure.

use std::{
    future::{Future, pending},
    pin::Pin,
    time::Duration,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use bytes::Bytes;
use http::{
    HeaderName, Request, Response,
    header::{DATE, LOCATION},
};
use http_body_util::Full;
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, Credentials, ErrorKind,
    oauth::{ClientAuth, ClientCredentialsGrant},
    rejection::Rejection,
    signing::{SignRules, SignatureHeaders, Signer, SigningContext},
    token::{AccessToken, FetchRequest, RefreshPolicy, TokenSource},
};

use crate::support::{
    Body, get,
    planted::{api, dressed, run, source, token_number},
    secrets::{Ears, SECRET, TOKEN, forms},
    token_server::{Answer, endpoint, fetch, reply},
};

#[tokio::test(start_paused = true)]
async fn no_secret_is_shown_while_all_goes_well() {
    let (ears, _guard) = Ears::of_this_thread();
    for method in [ClientAuth::Body, ClientAuth::Basic, ClientAuth::BasicUnencoded] {
        let source = source(token_number).client_auth(method).build().unwrap();
        let layer = dressed(source).build().unwrap();
        let _warm = layer.handle().keep_warm();
        assert_eq!(run(&ears, &layer, &[], &[0, 1, 80, 1, 200]).await, [200; 5]);
        assert!(layer.handle().status().issued >= 3);
        ears.tell(&layer.handle().refresh().await.unwrap());
    }
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_shown_of_a_rejected_request() {
    let (ears, _guard) = Ears::of_this_thread();
    for (statuses, answers) in
        [(&[401][..], &[200, 200][..]), (&[401, 401, 401, 401], &[401, 401]), (&[200, 401], &[200, 200])]
    {
        let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
        assert_eq!(run(&ears, &layer, statuses, &[0, 0]).await, answers);
    }
    let skewed = dressed(source(token_number).build().unwrap());
    let skewed = skewed.reject_when(|parts| (parts.status == 400).then_some(Rejection::ClockSkew)).build().unwrap();
    assert_eq!(run(&ears, &skewed, &[400], &[0]).await, [400], "nothing is learnt without a Date");
    let dated = api(&[400]).1.map_response(|mut response: Response<Body>| {
        let two_minutes_ahead = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(120);
        let date = httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + two_minutes_ahead);
        response.headers_mut().insert(DATE, date.parse().unwrap());
        response
    });
    let service = skewed.layer(dated);
    assert_eq!(service.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    ears.tell(&(&skewed, &service));
    let same = |_| Ok(reply(200, &[], json!({ "access_token": TOKEN }).to_string()));
    let layer = dressed(source(same).build().unwrap()).build().unwrap();
    assert_eq!(run(&ears, &layer, &[401], &[0]).await, [401]);
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_shown_of_a_refresh_that_fails() {
    let (ears, _guard) = Ears::of_this_thread();
    for status in [400, 503, 302] {
        let answer = move |number| match number {
            0 => token_number(number),
            _ => Ok(reply(
                status,
                &[(LOCATION, TOKEN)],
                json!({ "error": "x", "error_description": SECRET }).to_string(),
            )),
        };
        let layer = dressed(source(answer).build().unwrap()).build().unwrap();
        assert_eq!(run(&ears, &layer, &[200, 401], &[0, 0, 60, 60]).await, [200, 401, 200, 0]);
        ears.tell_error(&layer.handle().refresh().await.unwrap_err());
    }
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_shown_of_an_answer_that_echoes_the_secret() {
    let (ears, _guard) = Ears::of_this_thread();
    for answer in [
        SECRET.to_owned(),
        format!("client_secret={SECRET}"),
        json!(SECRET).to_string(),
        json!({ SECRET: TOKEN }).to_string(),
        json!({ "access_token": { "value": TOKEN } }).to_string(),
        json!({ "access_token": [SECRET] }).to_string(),
        json!({ "access_token": format!("{TOKEN}\n") }).to_string(),
        json!({ "access_token": format!("{TOKEN}{}", "x".repeat(20_000)) }).to_string(),
        json!({ "access_token": TOKEN, "token_type": SECRET }).to_string(),
        json!({ "access_token": TOKEN, "expires_in": SECRET }).to_string(),
        json!({ "access_token": TOKEN, "scope": [SECRET] }).to_string(),
        json!({ "access_token": TOKEN, "error": { SECRET: TOKEN } }).to_string(),
        json!({ "error": "invalid_client", "error_description": format!("not {SECRET}"), "error_uri": SECRET })
            .to_string(),
    ] {
        for status in [200, 400, 401, 429, 500, 307] {
            let (answer, headers) =
                (answer.clone(), [(HeaderName::from_static("retry-after"), TOKEN), (LOCATION, TOKEN)]);
            // A member that is not needed does not cost the token.
            let is_token = status == 200 && ["expires_in", "scope"].iter().any(|member| answer.contains(member));
            let transport = move |_| Ok(reply(status, &headers, answer.clone()));
            let layer = dressed(source(transport).build().unwrap()).build().unwrap();
            let (statuses, end) = if is_token { (&[200][..], 200) } else { (&[][..], 0) };
            assert_eq!(run(&ears, &layer, statuses, &[0]).await, [end]);
        }
    }
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn a_code_that_echoes_the_secret_is_not_shown() {
    let (ears, _guard) = Ears::of_this_thread();
    let secret = SECRET.trim_end_matches('\u{e9}');
    for code in [secret.to_owned(), format!("no client has {secret}")] {
        let answer = json!({ "error": code }).to_string();
        let transport = move |_| Ok(reply(401, &[], answer.clone()));
        let source = ClientCredentialsGrant::builder("https://login.example.com/token", Credentials::new("id", secret));
        let source = source.transport(endpoint(transport).1).build().unwrap();
        ears.tell_error(&fetch(&source).await.unwrap_err());
    }
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_shown_of_a_server_that_is_away_or_silent() {
    let (ears, _guard) = Ears::of_this_thread();
    let away = source(|_| Err(std::io::Error::other("connection refused").into())).build().unwrap();
    let silent = source(token_number).transport(service_fn(|_: Request<Full<Bytes>>| pending::<Answer>()));
    for source in [away, silent.build().unwrap()] {
        let policy = RefreshPolicy::default().deadline(Duration::from_secs(25));
        let layer = dressed(source).refresh(policy).max_wait(Duration::from_secs(60)).build().unwrap();
        assert_eq!(run(&ears, &layer, &[], &[0, 0, 300]).await, [0; 3]);
    }
    let impatient = source(token_number).transport(service_fn(|_: Request<Full<Bytes>>| pending::<Answer>()));
    let layer = dressed(impatient.build().unwrap()).max_wait(Duration::ZERO).build().unwrap();
    assert_eq!(run(&ears, &layer, &[], &[0]).await, [0]);
    ears.check();
}

/// Shows what it is given, and fails.
struct Failing(Ears);

impl Signer for Failing {
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        self.0.tell(context);
        let source = AuthError::new(ErrorKind::Config, "no key store");
        Err(AuthError::new(ErrorKind::Signing, "the key is gone").with_source(source))
    }
}

/// Panics with the secret in its message, as a careless one would.
pub(crate) struct Panicking;

impl TokenSource for Panicking {
    fn fetch(
        &self,
        _request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        Box::pin(async { panic!("cannot use {SECRET}") })
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_shown_of_a_signer_that_fails_or_a_source_that_panics() {
    let (ears, _guard) = Ears::of_this_thread();
    let source = source(token_number).build().unwrap();
    let layer = dressed(source).sign(SignRules::all(), Failing(ears.clone())).build().unwrap();
    assert_eq!(run(&ears, &layer, &[], &[0, 0]).await, [0, 0]);
    std::panic::set_hook(Box::new(|_| {}));
    let layer = dressed(Panicking).build().unwrap();
    assert_eq!(run(&ears, &layer, &[], &[0, 0]).await, [0, 0]);
    drop(std::panic::take_hook());
    ears.check();
}

#[test]
fn a_secret_is_found_in_every_form() {
    let encoded: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    for shown in [
        format!("key={SECRET}!"),
        format!("...{}...", &SECRET[5..20]),
        encoded.clone(),
        hex::encode(SECRET),
        hex::encode_upper(format!("a{SECRET}")),
        STANDARD.encode(format!("id:{SECRET}")),
        STANDARD.encode(format!("i:{SECRET}")),
        URL_SAFE.encode(format!("{SECRET}.")),
        STANDARD.encode(format!("id:{encoded}")),
        format!("{:?}", SECRET.as_bytes()),
        format!("{:?}", Bytes::from_static(SECRET.as_bytes())),
    ] {
        assert!(forms(SECRET).iter().any(|form| shown.contains(form)), "{shown}");
    }
}
