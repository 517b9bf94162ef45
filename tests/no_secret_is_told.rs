//! No secret, no token and no signature is told: in no trace, no error and no `Debug`, through success and failure.
#![expect(clippy::panic, reason = "a helper of a test may panic")]

#[path = "support/planted.rs"]
mod planted;
#[path = "support/secrets.rs"]
mod secrets;
mod support;
#[path = "support/token_server.rs"]
mod token_server;

use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    task::{Poll, ready},
    time::Duration,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header::LOCATION};
use http_body_util::Full;
use planted::{api, credentials, dressed, run, source, token_number};
use secrets::{Ears, SECRET, TOKEN};
use serde_json::json;
use support::{Body, ORIGIN, get};
use token_server::{Answer, endpoint, fetch, reply};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{
    AccessToken, Auth, AuthError, BoxError, Clock, CloneBody, Credentials, EmptyBody, ErrorKind, FetchRequest, NoAuth,
    NoReplay, Overwrite, RefreshPolicy, Rejection, Sign, SignRules, SignatureHeaders, Signer, SigningContext,
    TimestampHmac, TokenSource,
    oauth::{ClientAuth, ClientCredentialsGrant},
    paynet::{self, Environment, X_SIGNATURE},
    secrecy::SecretString,
};

#[tokio::test(start_paused = true)]
async fn nothing_is_told_while_all_goes_well() {
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
async fn nothing_is_told_of_a_rejected_request() {
    let (ears, _guard) = Ears::of_this_thread();
    for (statuses, answers) in
        [(&[401][..], &[200, 200][..]), (&[401, 401, 401, 401], &[401, 401]), (&[200, 401], &[200, 200])]
    {
        let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
        assert_eq!(run(&ears, &layer, statuses, &[0, 0]).await, answers);
    }
    let skewed = dressed(source(token_number).build().unwrap());
    let skewed = skewed.reject_when(|parts| (parts.status == 400).then_some(Rejection::ClockSkew)).build().unwrap();
    assert_eq!(run(&ears, &skewed, &[400], &[0]).await, [200]);
    let same = |_| Ok(reply(200, &[], json!({ "access_token": TOKEN }).to_string()));
    let layer = dressed(source(same).build().unwrap()).build().unwrap();
    assert_eq!(run(&ears, &layer, &[401], &[0]).await, [401]);
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_a_refresh_that_fails() {
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
        assert_eq!(run(&ears, &layer, &[200, 401], &[0, 0, 60, 60]).await, [200, 401, 0, 0]);
        ears.tell_error(&layer.handle().refresh().await.unwrap_err());
    }
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_an_answer_that_echoes_the_secret() {
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
            let transport = move |_| Ok(reply(status, &headers, answer.clone()));
            let layer = dressed(source(transport).build().unwrap()).build().unwrap();
            assert_eq!(run(&ears, &layer, &[], &[0]).await, [0]);
        }
    }
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn a_code_that_echoes_the_secret_is_not_told() {
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
async fn nothing_is_told_of_a_server_that_is_away_or_silent() {
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
struct Panicking;

impl TokenSource for Panicking {
    fn fetch<'a>(
        &'a self,
        _request: FetchRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>> {
        Box::pin(async { panic!("cannot use {SECRET}") })
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_a_signer_that_fails_or_a_source_that_panics() {
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

#[tokio::test(start_paused = true)]
async fn no_public_type_shows_a_secret() {
    let (ears, _guard) = Ears::of_this_thread();
    let token = AccessToken::new(TOKEN, Some(Duration::from_secs(60))).unwrap().with_scope("read");
    let mut signature = SignatureHeaders::new();
    signature.insert(X_SIGNATURE, HeaderValue::from_static(TOKEN));
    let environment = Environment::non_production();
    let inner = service_fn(|_: Request<Body>| async { Ok::<_, BoxError>(Response::new(Body::default())) });
    let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
    ears.tell(&(&token, FetchRequest::new().with_rejected(&token), token.expires_in(), token.scope()));
    ears.tell(&(
        credentials(),
        TimestampHmac::sha256(credentials()),
        signature,
        paynet::grant(&environment, credentials()),
    ));
    ears.tell(&(source(token_number), source(token_number).build().unwrap(), dressed(Panicking)));
    ears.tell(&(&layer, layer.clone().replay(NoReplay), layer.handle(), layer.handle().status()));
    ears.tell(&(
        layer.handle().keep_warm(),
        RefreshPolicy::default(),
        Clock::Tokio,
        Overwrite::Keep,
        Sign::Always,
        NoAuth,
    ));
    ears.tell(&(
        CloneBody,
        NoReplay,
        EmptyBody,
        SignRules::all(),
        paynet::sign_rules(),
        environment,
        paynet::RejectionLayer,
    ));
    ears.tell(&(paynet::RejectionLayer.layer(inner), ClientAuth::Basic));
    credentials().rotate(SecretString::from(SECRET));
    ears.tell_error(&Credentials::from_env("NO_SUCH_ID", "NO_SUCH_SECRET").unwrap_err());
    ears.tell_error(&source(token_number).param("client_secret", SECRET).build().unwrap_err());
    ears.tell_error(&source(token_number).param("a", SECRET).param("a", SECRET).build().unwrap_err());
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn a_password_in_an_origin_or_a_token_url_is_not_shown() {
    let (ears, _guard) = Ears::of_this_thread();
    let url = format!("https://user:{}@host.example", &SECRET[9..24]);
    let builder = dressed(Panicking).origin(&url);
    ears.tell(&builder);
    ears.tell_error(&builder.build().unwrap_err());
    let source = ClientCredentialsGrant::builder(&url, credentials());
    ears.tell(&source);
    ears.tell_error(&source.build().unwrap_err());
    ears.tell_error(&Environment::custom(&url, ORIGIN).unwrap_err());
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn a_response_future_shows_its_state_only() {
    let (ears, _guard) = Ears::of_this_thread();
    let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
    let mut service: Auth<_> = layer.layer(api(&[200, 401]).1);
    for _ in 0..2 {
        let mut response = pin!(service.call(get("/a")));
        let answered = poll_fn(|cx| {
            ears.tell(&response);
            let answer = ready!(response.as_mut().poll(cx));
            ears.tell(&response);
            Poll::Ready(answer)
        });
        assert_eq!(answered.await.unwrap().status(), StatusCode::OK);
        poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    }
    let mut failed =
        pin!(dressed(Panicking).max_wait(Duration::ZERO).build().unwrap().layer(api(&[]).1).oneshot(get("/a")));
    ears.tell_error(failed.as_mut().await.unwrap_err().as_ref());
    ears.check();
}

#[cfg(all(feature = "client", feature = "sandbox"))]
#[tokio::test]
async fn the_http_client_tells_nothing_either() {
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    use tower_outbound_auth::sandbox::Sandbox;
    let ears = Ears::of_all_threads();
    let sandbox = Sandbox::builder().credentials("client-id", SECRET).start().await.unwrap();
    ears.tell(&sandbox);
    let layer = paynet::auth(&sandbox.environment(), sandbox.credentials()).unwrap().build().unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let service = layer.layer(paynet::RejectionLayer.layer(client));
    for _ in 0..2 {
        let url = format!("{}/v1/reports/types", sandbox.environment().api_origin());
        let response = service.clone().oneshot(Request::get(url).body(Body::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        ears.tell(&(&layer, &service, &response));
        ears.learn(layer.handle().token().await.unwrap().expose_secret());
        sandbox.revoke_tokens();
    }
    ears.tell(&(sandbox.stats(), sandbox.credentials(), sandbox.environment()));
    assert!(ears.heard().contains("hyper"), "the trace of the client is listened to as well");
    ears.check();
}

#[cfg(feature = "client")]
#[tokio::test]
async fn nothing_is_told_of_what_the_proxy_is_told() {
    use tokio::{io::AsyncReadExt, net::TcpListener};
    use tower_outbound_auth::client::HttpsClient;
    let ears = Ears::of_all_threads();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let builder = HttpsClient::builder().proxy(&url).proxy_credentials("user", SECRET);
    ears.tell(&builder);
    let transport = builder.build().unwrap();
    ears.tell(&transport);
    let source = source(token_number).transport(transport).build().unwrap();
    ears.tell(&source);
    let proxy = tokio::spawn(async move {
        let mut head = vec![0; 4096];
        let read = listener.accept().await.unwrap().0.read(&mut head).await.unwrap();
        String::from_utf8_lossy(&head[..read]).into_owned()
    });
    ears.tell_error(&fetch(&source).await.unwrap_err());
    assert!(proxy.await.unwrap().contains(&STANDARD.encode(format!("user:{SECRET}"))), "it is told to the proxy");
    ears.check();
}

#[test]
fn a_secret_is_found_in_every_form() {
    let encoded: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    for told in [
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
        assert!(secrets::forms(SECRET).iter().any(|form| told.contains(form)), "{told}");
    }
}

#[cfg(feature = "tracing")]
mod traces {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flight_is_a_span_with_all_that_people_ask_for() {
        let (ears, _guard) = Ears::of_this_thread();
        let answer = |number| match number {
            0 => Ok(reply(503, &[], "")),
            2.. => Ok(reply(400, &[], json!({ "error": "invalid_client" }).to_string())),
            number => token_number(number),
        };
        let layer = dressed(source(answer).build().unwrap()).build().unwrap();
        assert_eq!(run(&ears, &layer, &[], &[0, 80, 30]).await, [200, 200, 0]);
        let heard = ears.heard();
        let closed: Vec<_> = heard.lines().filter(|line| line.contains(": close")).collect();
        let first = closed.first().unwrap();
        for field in ["token_flight{trigger=\"missing\"", "outcome=\"token\"", "next_refresh_ms="] {
            assert!(first.contains(field), "{field} is missing in {first}");
        }
        let attempts = first.rsplit("attempt=").next().unwrap();
        assert!(attempts.starts_with('2'), "{first}");
        assert!(closed.iter().any(|line| line.contains("trigger=\"aging\"") && line.contains("outcome=Denied")));
        for event in ["token request failed, will try again", "token obtained", "no token"] {
            assert!(heard.contains(event), "{event} is missing in {heard}");
        }
        assert!(heard.contains("invalid_client") && heard.contains("kind=Denied"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejection_and_what_comes_of_it_are_events() {
        let (ears, _guard) = Ears::of_this_thread();
        let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
        assert_eq!(run(&ears, &layer, &[401], &[0]).await, [200]);
        let heard = ears.heard();
        assert!(heard.contains("response rejected rejection=Token status=401"), "{heard}");
        assert!(heard.contains("request sent again") && heard.contains("trigger=\"rejected\""), "{heard}");
        assert!(!heard.contains("rejected request not sent again"));
        assert!(heard.contains("token obtained") && !heard.contains("no token"), "both flights brought one: {heard}");

        assert_eq!(run(&ears, &layer, &[401, 401], &[0]).await, [401]);
        assert!(ears.heard().contains("rejected request not sent again reason=RejectedAgain"));
    }

    #[test]
    fn t10_keep_warm_outside_of_a_runtime_says_that_it_keeps_nothing_warm() {
        let (ears, _guard) = Ears::of_this_thread();
        drop(dressed(source(token_number).build().unwrap()).build().unwrap().handle().keep_warm());
        assert!(ears.heard().contains("keeps nothing warm"), "{}", ears.heard());
    }

    #[tokio::test(start_paused = true)]
    async fn a_warm_request_is_not_told_of_at_all() {
        let (ears, _guard) = Ears::of_this_thread();
        let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
        let service = layer.layer(api(&[]).1);
        service.clone().oneshot(get("/a")).await.unwrap();
        assert!(!ears.heard().is_empty());
        ears.forget();
        service.clone().oneshot(get("/a")).await.unwrap();
        let elsewhere = Request::get("https://evil.example").body(Body::default()).unwrap();
        service.oneshot(elsewhere).await.unwrap();
        assert_eq!(ears.heard(), "");
    }
}
