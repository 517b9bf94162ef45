//! PayNet: which bodies report a rejection, and what its layer brings with it.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION, header::CONTENT_LENGTH};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    Auth, AuthLayer, Credentials,
    paynet::{self, Environment, PayNetLayer, PeekedBody, RejectionLayer, Rejections},
    rejection::{NotReplayed, Rejection},
    signing::TimestampHmac,
};

type Body = Full<Bytes>;

const FORBIDDEN: &str = "Access to this resource is forbidden";
const SKEWED: &str = "Timestamp not within valid range";

async fn rejection_in(status: u16, body: &str) -> Option<Rejection> {
    let response = Response::builder().status(status).body(Body::from(body.to_owned())).unwrap();
    let response = through_layer(response).await;
    let rejection = response.extensions().get().copied();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body, "the body comes whole");
    rejection
}

async fn through_layer<B: HttpBody + 'static>(response: Response<B>) -> Response<PeekedBody<B>> {
    let response = Mutex::new(Some(response));
    let api = service_fn(move |_: Request<()>| ready(Ok::<_, Infallible>(response.lock().unwrap().take().unwrap())));
    RejectionLayer.layer(api).oneshot(Request::new(())).await.unwrap()
}

#[tokio::test]
async fn a_message_counts_as_a_whole_json_string_or_as_the_whole_body() {
    for (message, rejection) in [(FORBIDDEN, Rejection::Token), (SKEWED, Rejection::ClockSkew)] {
        let escaped = message.replace(' ', r"\u0020");
        let bodies = [
            message.to_owned(),
            format!("\r\n {message}\t\n"),
            format!(r#""{message}""#),
            format!(r#" {{ "message" : "{message}" }} "#),
            format!(r#"{{"code":400,"error":{{"details":[null,1.5,true,["other",{{"text":"{message}"}}]]}}}}"#),
            format!(r#"["{message}"]"#),
            format!(r#"{{"message":"{escaped}"}}"#),
        ];
        for body in bodies {
            for status in [400, 401, 403] {
                assert_eq!(rejection_in(status, &body).await, Some(rejection), "{status} {body}");
            }
            for status in [200, 402, 404, 409, 422, 500] {
                assert_eq!(rejection_in(status, &body).await, None, "{status} {body}");
            }
        }
    }
}

#[tokio::test]
async fn a_message_does_not_count_as_a_part_of_a_longer_text() {
    for message in [FORBIDDEN, SKEWED] {
        let bodies = [
            format!("{message}."),
            format!("<p>{message}</p>"),
            format!(r#"{{"message":"{message}."}}"#),
            format!(r#"{{"message":" {message}"}}"#),
            format!(r#"{{"note":"the field said: \"{message}\""}}"#),
            format!(r#"{{"{message}":"a member's name"}}"#),
            format!(r#"{{"message":"{}"}}"#, message.to_lowercase()),
            format!(r#"{{"message":"{message}""#),
            format!(r#"{{"message":"{message}"}} and more"#),
            format!("{message} {message}"),
        ];
        for body in bodies {
            assert_eq!(rejection_in(400, &body).await, None, "{body}");
        }
    }
}

#[tokio::test]
async fn of_two_messages_the_rejected_token_counts() {
    let body = format!(r#"{{"errors":["{SKEWED}","{FORBIDDEN}"]}}"#);
    assert_eq!(rejection_in(400, &body).await, Some(Rejection::Token));
}

#[tokio::test]
async fn json_nested_deeper_than_anybody_reads_is_handed_on() {
    let deep = format!("{}\"{FORBIDDEN}\"{}", "[".repeat(1_000), "]".repeat(1_000));
    assert_eq!(rejection_in(400, &deep).await, None);
}

/// A body of unknown length that never comes.
struct Never;

impl HttpBody for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[test]
fn a_response_whose_content_length_is_over_4_kib_is_handed_on_at_once() {
    for (length, at_once) in [("4096", false), ("4097", true), ("99999999999", true), ("unreadable", false)] {
        let response = Response::builder().status(400).header(CONTENT_LENGTH, length).body(Never).unwrap();
        let response = pin!(through_layer(response));
        let polled = response.poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled.is_ready(), at_once, "{length}");
    }
}

/// A token endpoint that numbers its tokens.
fn auth() -> AuthLayer {
    let environment = Environment::custom("https://login.example.com/token", "https://api.example.com").unwrap();
    let credentials = Credentials::new("id", "a key");
    let issued = Mutex::new(0);
    let issued = Arc::new(issued);
    let endpoint = service_fn(move |_: Request<Body>| {
        let mut issued = issued.lock().unwrap();
        *issued += 1;
        let body = format!(r#"{{"access_token":"token-{issued}","token_type":"Bearer","expires_in":3600}}"#);
        ready(Ok::<_, Infallible>(Response::new(Body::from(body))))
    });
    let grant = paynet::grant(&environment, credentials.clone()).transport(endpoint).build().unwrap();
    AuthLayer::builder(grant)
        .origin(environment.api_origin())
        .sign(paynet::sign_rules(), TimestampHmac::sha256(credentials))
        .build()
        .unwrap()
}

#[tokio::test]
async fn the_layer_recognizes_rejections_signs_and_replays() {
    let seen = Arc::new(Mutex::new(Vec::<HeaderMap>::new()));
    let requests = Arc::clone(&seen);
    let api = service_fn(move |request: Request<Body>| {
        let mut requests = requests.lock().unwrap();
        requests.push(request.headers().clone());
        let rejected = request.headers()[AUTHORIZATION] == "Bearer token-1";
        let (status, body) =
            if rejected { (400, format!(r#"{{"message":"{FORBIDDEN}"}}"#)) } else { (200, "{}".to_owned()) };
        ready(Response::builder().status(status).body(Body::from(body)))
    });
    let layer = PayNetLayer::from(auth());
    let handle = layer.handle();
    let client: Auth<Rejections<_>> = layer.clone().layer(api);
    let request = Request::get("https://api.example.com/v1/reports/types").body(Body::default()).unwrap();
    let response = client.oneshot(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.extensions().get::<NotReplayed>()), (200, None));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
    assert_eq!(handle.status().issued, 2);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2, "sent, rejected, replayed");
    for headers in seen.iter() {
        let timestamp = headers[paynet::X_TIMESTAMP].to_str().unwrap();
        assert_eq!(headers[paynet::X_SIGNATURE], paynet::signature(timestamp, "a key"));
    }
}

#[cfg(feature = "client")]
#[test]
fn t11_one_call_makes_the_whole_layer_without_a_runtime() -> Result<(), BoxError> {
    let layer = paynet::layer(&Environment::non_production(), Credentials::new("id", "planted"))?;
    let text = format!("{layer:?}");
    assert!(text.contains("PayNetLayer") && !text.contains("planted"), "{text}");
    for bad in [Credentials::new("", "key"), Credentials::new("id", ""), Credentials::new("id", "key\n")] {
        let error = paynet::layer(&Environment::production(), bad).map(drop).unwrap_err();
        assert_eq!(error.kind(), tower_outbound_auth::ErrorKind::Config);
    }
    let service = layer.layer(service_fn(|_: Request<Body>| ready(Ok::<_, BoxError>(Response::new(Body::default())))));
    drop(service);
    Ok(())
}

#[test]
fn an_environment_is_displayed_by_the_name_that_it_is_parsed_from() {
    for environment in [Environment::production(), Environment::non_production()] {
        assert_eq!(environment.to_string().parse::<Environment>().unwrap(), environment);
    }
    assert_eq!(Environment::production().to_string(), "production");
    assert_eq!(Environment::non_production().to_string(), "non-production");
    let custom = Environment::custom("https://login.example.com/token", "https://api.example.com").unwrap();
    assert_eq!(custom.to_string(), "https://api.example.com");
}

#[test]
fn the_layer_is_clone_debug_send_and_sync() {
    fn check<T: Clone + std::fmt::Debug + Send + Sync + 'static>(_: &T) {}
    check(&PayNetLayer::from(auth()));
}
