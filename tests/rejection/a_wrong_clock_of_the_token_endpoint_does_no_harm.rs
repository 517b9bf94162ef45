//! R8: the authorization server's clock is wrong, ours and the API's are right: every call is served.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::DATE};
use http_body_util::Full;
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    oauth::ClientCredentialsGrant,
    rejection::{NotReplayed, Rejection},
    signing::SignRules,
};

use crate::{
    a_rejected_timestamp_corrects_the_clock::{Ahead, Millis, date, get},
    answering::answering,
    support::{Body, ORIGIN, answer},
};

/// A layer whose token endpoint has a clock that is so many seconds ahead.
fn layer(endpoint: &str, ahead: i64) -> (Arc<AtomicUsize>, AuthLayer) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let transport = service_fn(move |_: Request<Full<Bytes>>| {
        let number = count.fetch_add(1, SeqCst);
        let mut response =
            Response::new(Full::<Bytes>::from(format!(r#"{{"access_token":"t{number}","expires_in":3600}}"#)));
        response.headers_mut().insert(DATE, date(ahead));
        async { Ok::<_, BoxError>(response) }
    });
    let source = ClientCredentialsGrant::builder(endpoint, Credentials::new("id", "secret")).transport(transport);
    let builder = AuthLayer::builder(source.build().unwrap()).origin(ORIGIN);
    (asked, builder.sign(SignRules::all(), Millis).build().unwrap())
}

/// An API whose clock is right, and that rejects a signature of another time as the function says.
fn refuses(
    wrong: impl Fn() -> Response<Body> + Clone + Send + 'static,
) -> (Ahead, impl tower::Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone) {
    let ahead = Ahead::default();
    let log = ahead.clone();
    let (_, api) = answering(move |_, request| {
        let is_right = log.note(&request).abs() <= 30_000;
        let mut response = if is_right { answer(StatusCode::OK) } else { wrong() };
        response.headers_mut().insert(DATE, date(0));
        async { response }
    });
    (ahead, api)
}

fn by_401() -> Response<Body> {
    answer(StatusCode::UNAUTHORIZED)
}

fn by_clock_skew() -> Response<Body> {
    let mut response = answer(StatusCode::BAD_REQUEST);
    response.extensions_mut().insert(Rejection::ClockSkew);
    response
}

#[tokio::test(start_paused = true)]
async fn r8_every_call_is_served_however_wrong_the_clock_of_the_token_endpoint_is() {
    for endpoint in ["https://api.example.com/oauth/token", "https://login.example.com/token"] {
        for wrong in [by_401, by_clock_skew] {
            for told in [-3_600, 3_600, -240, 240, 290, -290, -45, -86_000, -90_000, 90_000, -315_360_000, 3] {
                let (asked, layer) = layer(endpoint, told);
                let (_, api) = refuses(wrong);
                let (handle, client) = (layer.handle(), layer.layer(api));
                for round in 0..4 {
                    for _ in 0..3 {
                        let response = client.clone().oneshot(get(ORIGIN)).await.unwrap();
                        assert_eq!(response.status(), 200, "{endpoint} tells {told} s, in round {round}");
                        assert!(response.extensions().get::<NotReplayed>().is_none());
                        sleep(Duration::from_secs(10)).await;
                    }
                    handle.refresh().await.unwrap();
                }
                let asked = asked.load(SeqCst);
                assert!(asked <= 6, "{endpoint} tells {told} s: {asked} token requests, 4 of them forced");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r8_a_clock_of_the_token_endpoint_that_is_over_five_minutes_off_signs_nothing() {
    for told in [-3_600, 3_600, 301, -301, -90_000, 90_000] {
        let (_, layer) = layer("https://api.example.com/oauth/token", told);
        let (ahead, api) = refuses(by_401);
        let (handle, client) = (layer.handle(), layer.layer(api));
        for _ in 0..3 {
            client.clone().oneshot(get(ORIGIN)).await.unwrap();
            handle.refresh().await.unwrap();
        }
        ahead.assert(&[0; 3]);
    }
}
