//! S3: a request whose origin is not quite the configured one is told once for each origin, from when its level is enabled.

use http::{Request, Response};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{AuthLayer, BoxError};
use tracing::{level_filters::LevelFilter, subscriber::NoSubscriber};

use crate::{
    json::Log,
    support::{Body, Issuer},
};

const TOLD: &str = "DEBUG request sent without credentials: its origin is not quite the configured one";

fn layer() -> AuthLayer {
    AuthLayer::builder(Issuer::new()).origin("https://shop.example").name("shop").build().unwrap()
}

async fn send(layer: &AuthLayer, uri: &str) {
    let api = service_fn(|_: Request<Body>| async { Ok::<_, BoxError>(Response::new(Body::default())) });
    let mut client = layer.layer(api);
    let request = Request::get(uri).body(Body::default()).unwrap();
    client.ready().await.unwrap().call(request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn s3_each_origin_is_told_once_with_both_origins() {
    let (log, _guard) = Log::of_this_thread(LevelFilter::DEBUG);
    let layer = layer();
    for uri in ["https://www.shop.example/a", "http://shop.example/b?c"] {
        for _ in 0..100 {
            send(&layer.clone(), uri).await;
        }
    }
    let lines = log.take();
    let fields = ["layer", "requested", "configured"];
    let told: Vec<_> = lines.iter().map(|line| fields.map(|field| line.text(field))).collect();
    let origins = ["https://www.shop.example", "http://shop.example"];
    assert_eq!(told, origins.map(|requested| ["shop", requested, "https://shop.example"]));
    send(&self::layer(), "http://shop.example/").await;
    assert_eq!(log.take_names(), [TOLD], "another layer tells it too");
}

#[tokio::test(start_paused = true)]
async fn s3_an_origin_is_told_once_its_level_is_enabled() {
    let layer = layer();
    let disabled = tracing::subscriber::set_default(NoSubscriber::default());
    send(&layer, "http://shop.example/").await;
    drop(disabled);
    let (log, guard) = Log::of_this_thread(LevelFilter::INFO);
    send(&layer, "http://shop.example/").await;
    assert_eq!(log.take_names(), [""; 0]);
    drop(guard);
    let (log, _guard) = Log::of_this_thread(LevelFilter::DEBUG);
    send(&layer, "http://shop.example/").await;
    assert_eq!(log.take_names(), [TOLD]);
}

#[tokio::test(start_paused = true)]
async fn s3_a_caller_that_tries_every_port_is_told_of_64() {
    let (log, _guard) = Log::of_this_thread(LevelFilter::DEBUG);
    let layer = layer();
    for _ in 0..2 {
        for port in 1..=200 {
            send(&layer, &format!("https://shop.example:{port}/")).await;
        }
    }
    assert_eq!(log.take_names().len(), 64);
}
