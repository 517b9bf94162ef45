//! S3: a request to an origin that is not quite a configured one gets no token, and that is told.

use std::time::Duration;

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthLayerBuilder, BoxError, NoAuth,
    rejection::{NotReplayed, OtherOrigin},
};

use crate::support::{Body, Issuer, answer, api};

/// The answer of an API that knows no client to one request of a layer.
async fn send(change: impl FnOnce(AuthLayerBuilder) -> AuthLayerBuilder, request: Request<Body>) -> Response<Body> {
    let issuer = Issuer::new();
    let (seen, api) = api(&Issuer::new(), Duration::ZERO);
    let builder = tower_outbound_auth::AuthLayer::builder(issuer.clone());
    let response = change(builder).build().unwrap().layer(api).oneshot(request).await.unwrap();
    assert_eq!((seen.count(), issuer.requests(), seen.tokens().len()), (1, 0, 0), "sent once, without a token");
    assert!(response.extensions().get::<NotReplayed>().is_none(), "it is not handled as a rejection");
    response
}

fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::default()).unwrap()
}

/// What the response to such a request says, where this origin is configured.
async fn told(origin: &str, uri: &str) -> Option<(String, String)> {
    let response = send(|builder| builder.origin("https://other.example").origin(origin), get(uri)).await;
    let told = response.extensions().get::<OtherOrigin>();
    told.map(|told| (told.requested().to_owned(), told.configured().to_owned()))
}

const ALMOST: &[(&str, &str, &str)] = &[
    ("https://shop.example", "https://www.shop.example/a", "https://www.shop.example"),
    ("https://www.shop.example", "https://shop.example/a", "https://shop.example"),
    ("https://shop.example", "https://WWW.Shop.Example/a", "https://www.shop.example"),
    ("https://shop.example", "https://shop.example./a", "https://shop.example."),
    ("https://shop.example.", "https://shop.example/a", "https://shop.example"),
    ("https://shop.example", "http://shop.example/a?b=pl4nted", "http://shop.example"),
    ("https://shop.example", "https://shop.example:8443/a", "https://shop.example:8443"),
    ("https://shop.example:8443", "https://shop.example/a", "https://shop.example"),
    ("https://shop.example", "http://www.shop.example.:8080/a", "http://www.shop.example.:8080"),
    ("http://127.0.0.1:8080", "http://127.0.0.1:8081/a", "http://127.0.0.1:8081"),
    ("https://[2001:db8::1]", "https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443"),
];

#[tokio::test(start_paused = true)]
async fn s3_the_401_to_a_request_that_was_perhaps_meant_for_the_origin_says_so() {
    for (origin, uri, requested) in ALMOST {
        let told = told(origin, uri).await;
        assert_eq!(told, Some(((*requested).to_owned(), (*origin).to_owned())), "{origin} {uri}");
    }
    let response = send(|builder| builder.origin("https://shop.example"), get("https://www.shop.example/")).await;
    assert_eq!(
        response.extensions().get::<OtherOrigin>().unwrap().to_string(),
        "the request went to https://www.shop.example without a token, since the configured origin is https://shop.example"
    );
}

#[tokio::test(start_paused = true)]
async fn s3_the_401_to_a_request_for_another_server_says_nothing() {
    for (origin, uri) in [
        ("https://shop.example", "https://shop.example.evil/"),
        ("https://shop.example", "https://api.shop.example/"),
        ("https://shop.example", "https://wwwshop.example/"),
        ("https://shop.example", "https://shop.example:99999/"),
        ("https://shop.example", "https://user:pl4nted@shop.example/"),
        ("https://shop.example", "wss://shop.example/"),
        ("https://shop.example", "https://shop.example@evil.example/"),
        ("https://www.example", "https://example.www/"),
    ] {
        assert_eq!(told(origin, uri).await, None, "{origin} {uri}");
    }
    let shop = |builder: AuthLayerBuilder| builder.origin("https://shop.example");
    let (mut no_auth, mut trace) = (get("https://www.shop.example/"), get("https://shop.example/"));
    no_auth.extensions_mut().insert(NoAuth);
    *trace.method_mut() = http::Method::TRACE;
    for request in [no_auth, trace] {
        assert!(send(shop, request).await.extensions().get::<OtherOrigin>().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn s3_a_request_with_the_callers_own_token_is_its_own_affair() {
    let request = Request::get("https://www.shop.example/").header(AUTHORIZATION, "Bearer own");
    let issuer = Issuer::new();
    let (_, api) = api(&issuer, Duration::ZERO);
    let layer = tower_outbound_auth::AuthLayer::builder(issuer).origin("https://shop.example").build().unwrap();
    let response = layer.layer(api).oneshot(request.body(Body::default()).unwrap()).await.unwrap();
    assert!(response.status() == 401 && response.extensions().get::<OtherOrigin>().is_none());
}

#[tokio::test(start_paused = true)]
async fn s3_plain_http_is_told_of_where_any_origin_is_allowed() {
    let response = send(AuthLayerBuilder::any_origin, get("http://shop.example:8080/")).await;
    let told = response.extensions().get::<OtherOrigin>().unwrap();
    assert_eq!((told.requested(), told.configured()), ("http://shop.example:8080", "https://shop.example"));
    let response = send(AuthLayerBuilder::any_origin, get("ftp://shop.example/")).await;
    assert!(response.extensions().get::<OtherOrigin>().is_none());
}

#[tokio::test(start_paused = true)]
async fn s3_other_responses_to_such_a_request_are_not_touched() {
    for status in [200, 302, 400, 403, 404, 407, 503] {
        let api = service_fn(move |_: Request<Body>| async move {
            Ok::<_, BoxError>(answer(StatusCode::from_u16(status).unwrap()))
        });
        let layer = tower_outbound_auth::AuthLayer::builder(Issuer::new()).origin("https://shop.example");
        let client = layer.build().unwrap().layer(api);
        let response = client.oneshot(get("https://www.shop.example/")).await.unwrap();
        assert!(response.status() == status && response.extensions().is_empty(), "{status}");
    }
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn s3_an_event_names_both_origins_and_nothing_else_of_the_request() {
    use crate::support::secrets::Ears;
    let (ears, _guard) = Ears::of_this_thread();
    for (origin, uri, requested) in ALMOST {
        ears.forget();
        told(origin, uri).await;
        let heard = ears.heard();
        let names = format!("requested=\"{requested}\" configured=\"{origin}\"");
        let lines: Vec<_> = heard.lines().filter(|line| line.contains(&names)).collect();
        let [line] = &lines[..] else { panic!("{uri}: {heard}") };
        assert!(line.contains("DEBUG") && line.contains("its origin is not quite the configured one"), "{heard}");
        assert!(!heard.contains("pl4nted"), "{heard}");
    }
    ears.forget();
    told("https://shop.example", "https://elsewhere.example/").await;
    assert_eq!(ears.heard(), "");
}
