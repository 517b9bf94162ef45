//! R1: `accept_when` says that a response is not about the token, whatever its status and challenges.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header::WWW_AUTHENTICATE, response::Parts};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{
    BoxError,
    rejection::{NotReplayed, Rejection},
};

use crate::support::{Body, Issuer, Seen, answer, get};

const PIN_ERROR: &str = "x-pin-error";

/// An API that answers everything with this status and these headers.
fn always(
    status: StatusCode,
    headers: HeaderMap,
) -> (Seen, impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone) {
    let seen = Seen::default();
    let log = seen.clone();
    let service = service_fn(move |request: Request<Body>| {
        log.push(&request);
        let mut response = answer(status);
        *response.headers_mut() = headers.clone();
        async { Ok::<_, BoxError>(response) }
    });
    (seen, service)
}

fn wrong_pin() -> HeaderMap {
    HeaderMap::from_iter([
        (PIN_ERROR.try_into().unwrap(), HeaderValue::from_static("2 tries left")),
        (WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer error="invalid_token""#)),
    ])
}

fn is_about_the_pin(response: &Parts) -> bool {
    response.headers.contains_key(PIN_ERROR)
}

#[tokio::test(start_paused = true)]
async fn r1_it_overrules_status_and_challenges() {
    for status in [401, 400, 403, 429] {
        let issuer = Issuer::new();
        let (seen, api) = always(StatusCode::from_u16(status).unwrap(), wrong_pin());
        let layer = issuer.builder().accept_when(is_about_the_pin).build().unwrap();
        for calls in 1..=3 {
            let response = layer.layer(api.clone()).oneshot(get("/a")).await.unwrap();
            assert_eq!((response.status().as_u16(), response.extensions().get::<NotReplayed>()), (status, None));
            assert_eq!(response.headers(), &wrong_pin());
            assert_eq!((seen.count(), issuer.requests()), (calls, 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r1_a_post_that_is_refused_for_its_data_is_sent_once_and_costs_no_token_request() {
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let issuer = Issuer::new();
        let (seen, api) = always(StatusCode::UNAUTHORIZED, wrong_pin());
        let layer = issuer.builder().accept_when(is_about_the_pin).build().unwrap();
        layer.handle().token().await.unwrap();
        for calls in 1..=20 {
            let mut request = get("/a").map(|_| Body::from("pin=1234"));
            *request.method_mut() = method.clone();
            let response = layer.layer(api.clone()).oneshot(request).await.unwrap();
            assert_eq!((response.status().as_u16(), response.extensions().get::<NotReplayed>()), (401, None));
            assert_eq!((seen.count(), issuer.requests()), (calls, 1), "{method}");
        }
        assert_eq!(layer.handle().status().state, tower_outbound_auth::token::TokenState::Fresh);
    }
}

#[tokio::test(start_paused = true)]
async fn r1_a_response_that_it_does_not_name_is_classified_as_ever() {
    let issuer = Issuer::new();
    let (seen, api) = always(StatusCode::UNAUTHORIZED, HeaderMap::new());
    let layer = issuer.builder().accept_when(is_about_the_pin).build().unwrap();
    let response = layer.layer(api).oneshot(get("/a")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::RejectedAgain));
    assert_eq!((seen.count(), issuer.requests()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn r1_it_overrules_neither_reject_when_nor_an_inner_layer() {
    let issuer = Issuer::new();
    let (seen, api) = always(StatusCode::UNAUTHORIZED, wrong_pin());
    let builder = issuer.builder().accept_when(is_about_the_pin).reject_when(|_| Some(Rejection::Token));
    builder.build().unwrap().layer(api.clone()).oneshot(get("/a")).await.unwrap();
    assert_eq!((seen.count(), issuer.requests()), (2, 2), "rejected, renewed and replayed");

    let issuer = Issuer::new();
    let marked = api.map_response(|mut response: Response<Body>| {
        response.extensions_mut().insert(Rejection::Token);
        response
    });
    issuer.builder().accept_when(|_| true).build().unwrap().layer(marked).oneshot(get("/a")).await.unwrap();
    assert_eq!((seen.count(), issuer.requests()), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn r5_a_response_that_it_names_is_an_acceptance() {
    // Rejections that an acceptance comes between are each the first in a row, which retires no token.
    let issuer = Issuer::new();
    let (_, wrong) = always(StatusCode::UNAUTHORIZED, wrong_pin());
    let (_, rejecting) = always(StatusCode::UNAUTHORIZED, HeaderMap::new());
    let layer = issuer.builder().accept_when(is_about_the_pin).replay(tower_outbound_auth::replay::NoReplay);
    let layer = layer.build().unwrap();
    issuer.set(|settings| settings.failure = None);
    layer.handle().token().await.unwrap();
    issuer.set(|settings| settings.latency = std::time::Duration::from_secs(20));
    for _ in 0..3 {
        layer.layer(rejecting.clone()).oneshot(get("/a")).await.unwrap();
        layer.layer(wrong.clone()).oneshot(get("/a")).await.unwrap();
        assert_eq!(layer.handle().status().state, tower_outbound_auth::token::TokenState::Fresh);
    }
    layer.layer(rejecting.clone()).oneshot(get("/a")).await.unwrap();
    layer.layer(rejecting).oneshot(get("/a")).await.unwrap();
    assert_ne!(layer.handle().status().state, tower_outbound_auth::token::TokenState::Fresh, "two in a row");
}
