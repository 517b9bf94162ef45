//! `PayNetLayer` recognizes rejections, signs and replays.

use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
#[cfg(feature = "client")]
use tower::BoxError;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{
    Auth, AuthLayer, Credentials,
    paynet::{self, Environment, PayNetLayer, RejectionLayer, Rejections},
    rejection::NotReplayed,
    signing::TimestampHmac,
};

use crate::script::MESSAGES;

type Body = Full<Bytes>;

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
            if rejected { (400, format!(r#"{{"message":"{}"}}"#, MESSAGES[0].0)) } else { (200, "{}".to_owned()) };
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
fn the_layer_is_clone_debug_send_and_sync() {
    fn check<T: Clone + std::fmt::Debug + Send + Sync + 'static>(_: &T) {}
    check(&PayNetLayer::from(auth()));
}

#[tokio::test]
async fn debug_output_names_the_future_and_the_body() {
    let silent = service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>());
    let future = RejectionLayer.layer(silent).call(Request::default());
    assert!(format!("{future:?}").starts_with("RejectionFuture"), "{future:?}");
    let answer = service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(Response::new(Body::default()))));
    let body = RejectionLayer.layer(answer).oneshot(Request::<Body>::default()).await.unwrap().into_body();
    assert!(format!("{body:?}").starts_with("PeekedBody"), "{body:?}");
}
