//! The layer as a reqwest middleware: what it does to requests, extensions, time limits, errors, and middlewares around it.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::{
    error::Error as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Extensions, HeaderName, HeaderValue, header::AUTHORIZATION};
use reqwest::{Body, Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error, Middleware, Next};
use reqwest_retry::{Jitter, RetryTransientMiddleware, policies::ExponentialBackoff};
use tokio::time::{Instant, sleep};
use tower::BoxError;
use tower_outbound_auth::{
    AuthError, AuthLayer, Credentials, ErrorKind, NoAuth,
    rejection::NotReplayed,
    replay::{EmptyBody, NoReplay, Replay},
    reqwest::{AuthMiddleware, RequestBody, auth_error},
    signing::{Sign, SignRules, SignatureHeaders, SigningContext, TimestampHmac, signer_fn},
};

use crate::{
    authenticated::{A_MINUTE, TestResult},
    support::{
        Issuer, ORIGIN,
        chain::{Arrived, End, plain, ready},
    },
};

/// Takes the tokens of this issuer, and answers others with 401.
fn api(issuer: &Issuer) -> End {
    let issuer = issuer.clone();
    End::new(move |arrived, _| if knows(&issuer, arrived) { ready(200, "yes") } else { ready(401, "no") })
}

fn knows(issuer: &Issuer, arrived: &Arrived) -> bool {
    arrived.headers.get(AUTHORIZATION).is_some_and(|value| issuer.knows(value.to_str().unwrap()))
}

fn url() -> String {
    format!("{ORIGIN}/orders")
}

fn signed(issuer: &Issuer, rules: SignRules) -> AuthLayer {
    let signer = TimestampHmac::sha256(Credentials::new("id", "secret"));
    issuer.builder().sign(rules, signer).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn r4_a_rejected_request_is_replayed_whole_with_a_new_token() -> TestResult {
    let issuer = Issuer::new();
    let end = api(&issuer);
    let client = end.client(issuer.layer());
    client.get(url()).send().await?;
    issuer.revoke();
    let response = client.post(url()).header("x-own", "7").json(&["a", "b"]).send().await?;
    assert_eq!((response.status().as_u16(), response.text().await?.as_str()), (200, "yes"));
    let own = "Bearer token-";
    let tokens: Vec<_> = end.header("authorization").into_iter().flatten().collect();
    assert_eq!(tokens, [format!("{own}1"), format!("{own}1"), format!("{own}2")]);
    for arrived in &end.arrived()[1..] {
        assert_eq!(arrived.body.as_deref(), Some(&br#"["a","b"]"#[..]));
        assert_eq!(arrived.headers["x-own"], "7");
        assert_eq!(arrived.headers["content-type"], "application/json");
        assert_eq!(arrived.url.as_str(), url());
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn t1_a_hundred_calls_share_one_token_request() {
    let issuer = Issuer::new();
    let client = api(&issuer).client(issuer.layer());
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(client.get(url()).send())).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn s3_a_request_to_another_origin_passes_untouched() -> TestResult {
    let issuer = Issuer::new();
    let end = api(&issuer);
    let client = end.client(issuer.layer());
    for url in ["http://api.example.com/a", "https://api.example.com:444/a", "https://api.example.com.evil.example/a"] {
        assert_eq!(client.get(url).send().await?.status(), 401, "{url}");
    }
    assert_eq!((end.header("authorization"), issuer.requests()), (vec![None; 3], 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn s5_a_callers_own_authorization_is_kept() -> TestResult {
    let issuer = Issuer::new();
    let end = api(&issuer);
    let client = end.client(issuer.layer());
    assert_eq!(client.get(url()).bearer_auth("own").send().await?.status(), 401);
    assert_eq!(end.header("authorization"), [Some("Bearer own".to_owned())]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn s6_extensions_of_one_request_overrule_the_settings() -> TestResult {
    let issuer = Issuer::new();
    let end = api(&issuer);
    let client = end.client(signed(&issuer, SignRules::paths(["/signed"])?));
    assert_eq!(client.get(url()).with_extension(NoAuth).send().await?.status(), 401);
    client.get(url()).with_extension(Sign::Always).send().await?;
    client.get(format!("{ORIGIN}/signed")).with_extension(Sign::Never).send().await?;
    client.get(format!("{ORIGIN}/signed")).send().await?;
    let is_there = |name: &str| end.header(name).iter().map(Option::is_some).collect::<Vec<_>>();
    assert_eq!(is_there("authorization"), [false, true, true, true]);
    assert_eq!(is_there("x-signature"), [false, true, false, true]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_signer_sees_method_uri_and_headers() -> TestResult {
    let issuer = Issuer::new();
    let end = api(&issuer);
    let signer = signer_fn(|context: &SigningContext<'_>| {
        let text = format!("{} {} {:?}", context.method(), context.uri(), context.headers().get("x-own"));
        let mut headers = SignatureHeaders::new();
        headers.insert(HeaderName::from_static("x-seen"), HeaderValue::try_from(text).unwrap());
        Ok(headers)
    });
    let client = end.client(issuer.builder().sign(SignRules::all(), signer).build()?);
    client.patch(format!("{ORIGIN}/a%20b?c=%C3%A9#d")).header("x-own", "7").send().await?;
    let seen = r#"PATCH https://api.example.com/a%20b?c=%C3%A9 Some("7")"#;
    assert_eq!(end.header("x-seen"), [Some(seen.to_owned())]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn r7_a_stream_is_sent_once_and_its_response_marked() -> TestResult {
    let issuer = Issuer::new();
    let end = api(&issuer);
    let client = end.client(issuer.layer());
    client.get(url()).send().await?;
    issuer.revoke();
    let response = client.put(url()).body(Body::wrap("a stream".to_owned())).send().await?;
    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get(), Some(&NotReplayed::BodyNotReplayable));
    assert_eq!(response.text().await?, "no", "the API's own response");
    // The token is renewed for the others.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(client.get(url()).send().await?.status(), 200);
    assert_eq!((end.arrived().len(), issuer.requests()), (3, 2));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn another_policy_decides_which_requests_are_replayed() -> TestResult {
    let empty = |issuer: &Issuer| AuthMiddleware::from(issuer.builder().replay(EmptyBody).build().unwrap());
    let none = |issuer: &Issuer| AuthMiddleware::from(issuer.builder().replay(NoReplay).build().unwrap());
    let small = |issuer: &Issuer| AuthMiddleware::from(issuer.builder().replay(UpTo(5)).build().unwrap());
    let policies: [Policy<'_>; 3] = [(&empty, [200, 401, 401]), (&none, [401, 401, 401]), (&small, [200, 200, 401])];
    for (policy, expected) in policies {
        let issuer = Issuer::new();
        let client = api(&issuer).client(policy(&issuer));
        let mut statuses = Vec::new();
        for body in ["", "small", "larger"] {
            client.get(url()).send().await?;
            issuer.revoke();
            statuses.push(client.post(url()).body(body).send().await?.status().as_u16());
            // A token that could not be replayed with is renewed meanwhile.
            sleep(Duration::from_secs(20)).await;
        }
        assert_eq!(statuses, expected);
    }
    Ok(())
}

/// Makes a middleware; and the statuses of rejected requests whose bodies are empty, small and larger.
type Policy<'a> = (&'a dyn Fn(&Issuer) -> AuthMiddleware, [u16; 3]);

#[derive(Clone)]
struct UpTo(usize);

impl Replay<RequestBody> for UpTo {
    fn clone_body(&self, body: &RequestBody) -> Option<RequestBody> {
        let len = body.as_bytes()?.len();
        assert_eq!(format!("{body:?}"), format!("RequestBody {{ len: Some({len}), .. }}"), "no URL, no header");
        (len <= self.0).then(|| body.try_clone())?
    }
}

#[tokio::test(start_paused = true)]
async fn the_requests_timeout_covers_the_wait_for_a_token() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.latency = Duration::from_secs(10));
    let end = api(&issuer);
    let client = end.client(issuer.layer());
    let begin = Instant::now();
    let error = client.get(url()).timeout(Duration::from_secs(2)).send().await.unwrap_err();
    assert_eq!(begin.elapsed().as_secs(), 2);
    assert_eq!(auth_error(&error).map(AuthError::kind), Some(ErrorKind::Timeout));
    assert!(end.arrived().is_empty());
    // The fetch goes on, and its token is the next caller's.
    sleep(Duration::from_secs(8)).await;
    assert_eq!(client.get(url()).timeout(Duration::from_secs(1)).send().await.unwrap().status(), 200);
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_send_gets_what_is_left_of_the_timeout() -> TestResult {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.latency = Duration::from_secs(3));
    let end = slow_api(&issuer);
    let client = end.client(issuer.layer());
    let left =
        || end.arrived().iter().filter_map(|arrived| arrived.timeout).map(|left| left.as_secs()).collect::<Vec<_>>();
    client.get(url()).timeout(A_MINUTE).send().await?;
    assert_eq!(left(), [57], "the token took 3 s");
    issuer.revoke();
    client.get(url()).timeout(A_MINUTE).send().await?;
    assert_eq!(left(), [57, 60, 52], "the rejection took 5 s, the token 3 s");
    client.get(url()).send().await?;
    assert_eq!(end.arrived().last().unwrap().timeout, None, "none set");
    Ok(())
}

/// Takes 5 s for each answer.
fn slow_api(issuer: &Issuer) -> End {
    let issuer = issuer.clone();
    End::new(move |arrived, _| {
        let response = if knows(&issuer, arrived) { ready(200, "yes") } else { ready(401, "no") };
        Box::pin(async move {
            sleep(Duration::from_secs(5)).await;
            response.await
        })
    })
}

#[tokio::test(start_paused = true)]
async fn during_a_send_the_timeout_is_left_to_reqwest_and_counts_again_in_the_wait_for_a_replay() -> TestResult {
    let issuer = Issuer::new();
    let client = slow_api(&issuer).client(issuer.layer());
    let begin = Instant::now();
    // In the place of reqwest there is something that knows no timeout.
    assert_eq!(client.get(url()).timeout(Duration::from_secs(3)).send().await?.status(), 200);
    issuer.revoke();
    issuer.set(|settings| settings.latency = A_MINUTE);
    let error = client.get(url()).timeout(Duration::from_secs(8)).send().await.unwrap_err();
    assert_eq!(auth_error(&error).map(AuthError::kind), Some(ErrorKind::Timeout));
    assert_eq!(begin.elapsed().as_secs(), 5 + 8);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn no_timeout_is_too_long() -> TestResult {
    let issuer = Issuer::new();
    let end = api(&issuer);
    let client = end.client(issuer.layer());
    assert_eq!(client.get(url()).timeout(Duration::MAX).send().await?.status(), 200);
    assert_eq!(end.arrived()[0].timeout, Some(Duration::MAX));
    Ok(())
}

#[tokio::test]
async fn an_error_of_reqwest_stays_one() {
    let issuer = Issuer::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let layer = AuthLayer::builder(issuer).origin(&format!("http://{free}")).build().unwrap();
    let client = ClientBuilder::new(plain()).with(AuthMiddleware::from(layer)).build();
    let error = client.get(format!("http://{free}/a")).send().await.unwrap_err();
    assert!(matches!(&error, Error::Reqwest(error) if error.is_connect()), "{error:?}");
    assert!(auth_error(&error).is_none());

    let error = client.get(format!("http://{free}/{}", "a".repeat(70_000))).send().await.unwrap_err();
    assert!(matches!(&error, Error::Reqwest(error) if error.is_builder()), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_this_crate_is_found_in_whatever_is_around_it() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "no such client")));
    let end = api(&issuer);
    let is_denied = |error: Option<&AuthError>| error.is_some_and(|error| error.kind() == ErrorKind::Denied);

    let error = end.client(issuer.layer()).get(url()).send().await.unwrap_err();
    assert!(is_denied(auth_error(&error)), "{error:?}");
    assert!(is_denied(AuthError::find(&error)), "{error:?}");
    assert_eq!(error.to_string(), "the request could not be authenticated");
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("no such client"));
    let Error::Middleware(inner) = &error else { panic!("{error:?}") };
    assert!(is_denied(inner.downcast_ref()), "as anyhow's users look for it");

    for tries in [0, 2] {
        let error = retrying(tries, &end, issuer.layer()).get(url()).send().await.unwrap_err();
        assert!(is_denied(auth_error(&error)), "{error:?}");
        assert!(is_denied(AuthError::find(&error)), "{error:?}");
        let reported: BoxError = error.into();
        assert!(is_denied(AuthError::find(reported.as_ref())), "{reported:?}");
    }
    // As a middleware of others makes it, without a word around it.
    assert!(is_denied(auth_error(&Error::middleware(AuthError::new(ErrorKind::Denied, "")))));
    assert!(auth_error(&Error::middleware(std::fmt::Error)).is_none());
}

fn retrying(tries: u32, end: &End, layer: AuthLayer) -> ClientWithMiddleware {
    let policy = ExponentialBackoff::builder().jitter(Jitter::None).build_with_max_retries(tries);
    ClientBuilder::new(plain())
        .with(RetryTransientMiddleware::new_with_policy(policy))
        .with(AuthMiddleware::from(layer))
        .with(end.clone())
        .build()
}

#[tokio::test(start_paused = true)]
async fn within_a_retry_middleware_each_try_takes_the_current_token() -> TestResult {
    let issuer = Issuer::new();
    let layer = issuer.layer();
    let handle = layer.handle();
    let end = End::new(move |arrived, _| {
        let (handle, is_first) = (handle.clone(), arrived.headers[AUTHORIZATION] == "Bearer token-1");
        Box::pin(async move {
            if is_first {
                handle.refresh().await.unwrap();
                return ready(503, "").await;
            }
            ready(200, "yes").await
        })
    });
    let response = retrying(3, &end, layer).post(url()).json(&7).send().await?;
    assert_eq!(response.status(), 200);
    assert_eq!(end.header("authorization"), ["Bearer token-1", "Bearer token-2"].map(|value| Some(value.to_owned())));
    Ok(())
}

/// Notes what a middleware after it has left, and leaves something itself.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<Option<Left>>>>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Left(u32);

#[derive(Clone)]
struct Given(u32);

#[async_trait::async_trait]
impl Middleware for Noting {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response, Error> {
        extensions.insert(Given(7));
        let response = next.run(request, extensions).await;
        assert!(extensions.get::<Given>().is_some());
        self.0.lock().unwrap().push(extensions.get().copied());
        response
    }
}

#[tokio::test(start_paused = true)]
async fn extensions_go_through_the_middleware_both_ways() -> TestResult {
    let issuer = Issuer::new();
    let known = issuer.clone();
    let end = End::new(move |arrived, extensions| {
        let Given(given) = extensions.get().cloned().unwrap_or(Given(0));
        let is_replay = arrived.headers[AUTHORIZATION] != "Bearer token-1";
        let before = extensions.insert(Left(given + u32::from(is_replay)));
        assert_eq!(before, None, "each send begins with the caller's own");
        if knows(&known, arrived) { ready(200, "") } else { ready(401, "") }
    });
    let noting = Noting::default();
    let client = ClientBuilder::new(plain())
        .with(noting.clone())
        .with(AuthMiddleware::from(issuer.layer()))
        .with(end.clone())
        .build();
    client.get(url()).send().await?;
    issuer.revoke();
    client.get(url()).send().await?;
    assert_eq!(end.arrived().len(), 3);
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "no")));
    let other = ClientBuilder::new(plain()).with(noting.clone()).with(AuthMiddleware::from(issuer.layer())).build();
    other.get(url()).send().await.unwrap_err();
    assert_eq!(*noting.0.lock().unwrap(), [Some(Left(7)), Some(Left(8)), None]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn s8_a_dropped_call_leaves_the_middleware_usable() -> TestResult {
    let issuer = Issuer::new();
    let end = api(&issuer);
    let client = end.client(issuer.layer());
    tokio::time::timeout(Duration::from_millis(10), client.get(url()).send()).await.unwrap_err();
    assert_eq!(client.get(url()).send().await?.status(), 200);
    assert_eq!(issuer.requests(), 1);
    Ok(())
}

#[cfg(feature = "paynet")]
#[tokio::test(start_paused = true)]
async fn paynets_rejections_are_read_in_the_body() -> TestResult {
    use tower_outbound_auth::paynet::PayNetLayer;

    let issuer = Issuer::new();
    let known = issuer.clone();
    let message = r#"{ "message": "Access to this resource is forbidden" }"#;
    let end = End::new(move |arrived, _| if knows(&known, arrived) { ready(200, "") } else { ready(400, message) });
    let client = end.client(PayNetLayer::from(issuer.layer()));
    client.get(url()).send().await?;
    issuer.revoke();
    assert_eq!(client.get(url()).send().await?.status(), 200);
    assert_eq!((end.arrived().len(), issuer.requests()), (3, 2));
    // What was read ahead is the caller's all the same.
    issuer.revoke();
    let response = client.put(url()).body(Body::wrap("a stream".to_owned())).send().await?;
    assert_eq!(response.url().as_str(), url());
    assert_eq!((response.status().as_u16(), response.content_length()), (400, Some(message.len() as u64)));
    assert_eq!(response.text().await?, message);
    Ok(())
}

#[test]
fn debug_shows_the_settings() {
    let shown = format!("{:?}", AuthMiddleware::from(Issuer::new().layer()));
    assert!(shown.contains("AuthMiddleware") && shown.contains(ORIGIN), "{shown}");
}
