//! S4: a layer that follows redirects belongs outside of this one.

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header::LOCATION};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_http::follow_redirect::{
    FollowRedirect,
    policy::{Limited, Standard},
};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    signing::{SignRules, TimestampHmac},
};

use crate::support::{Body, Issuer, Seen, answer, get};

const ELSEWHERE: &str = "https://files.example.net/report.gz";
const CREDENTIALS: [&str; 4] = ["authorization", "x-timestamp", "x-signature", "x-fiid"];

/// An API that redirects authenticated requests to another server.
fn redirecting(
    issuer: &Issuer,
) -> (Seen, impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone) {
    let (seen, issuer) = (Seen::default(), issuer.clone());
    let log = seen.clone();
    let service = service_fn(move |request: Request<Body>| {
        log.push(&request);
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap());
        let known = authorization.is_some_and(|value| issuer.knows(value));
        let response = match (request.uri().path(), known) {
            ("/report.gz", _) => answer(StatusCode::OK),
            (_, false) => answer(StatusCode::UNAUTHORIZED),
            ("/near", true) => moved("/far"),
            (_, true) => moved(ELSEWHERE),
        };
        async { Ok::<_, BoxError>(response) }
    });
    (seen, service)
}

fn moved(to: &'static str) -> Response<Body> {
    let mut response = answer(StatusCode::FOUND);
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
    response
}

fn layer(issuer: &Issuer) -> AuthLayer {
    let signer = TimestampHmac::sha256(Credentials::new("id", "secret"));
    let builder = issuer.builder().sign(SignRules::all(), signer);
    builder.header(HeaderName::from_static("x-fiid"), HeaderValue::from_static("FI0001")).build().unwrap()
}

/// Which credentials each of the servers received, in order.
fn shown(seen: &Seen) -> Vec<(String, Vec<&'static str>)> {
    let names = |request: &Request<()>| {
        CREDENTIALS.into_iter().filter(|name| request.headers().contains_key(*name)).collect::<Vec<_>>()
    };
    seen.requests().iter().map(|request| (request.uri().to_string(), names(request))).collect()
}

const NEAR: &str = "https://api.example.com/near";
const FAR: &str = "https://api.example.com/far";

#[tokio::test(start_paused = true)]
async fn s4_a_redirect_that_is_followed_outside_carries_no_credential_away() {
    let issuer = Issuer::new();
    let (seen, api) = redirecting(&issuer);
    let standard = FollowRedirect::new(layer(&issuer).layer(api.clone()));
    assert_eq!(standard.clone().oneshot(get("/near")).await.unwrap().status(), 200);
    issuer.revoke();
    assert_eq!(standard.oneshot(get("/near")).await.unwrap().status(), 200);
    let all = CREDENTIALS.to_vec();
    let way = [(NEAR.to_owned(), all.clone()), (FAR.to_owned(), all.clone()), (ELSEWHERE.to_owned(), Vec::new())];
    let rejected = [(NEAR.to_owned(), all)];
    assert_eq!(shown(&seen), [&way[..], &rejected, &way].concat());
}

#[tokio::test(start_paused = true)]
async fn s4_not_even_with_a_policy_that_filters_nothing() {
    let issuer = Issuer::new();
    let (seen, api) = redirecting(&issuer);
    let client = FollowRedirect::with_policy(layer(&issuer).layer(api), Limited::new(5));
    assert_eq!(client.oneshot(get("/far")).await.unwrap().status(), 200);
    assert_eq!(shown(&seen), [(FAR.to_owned(), CREDENTIALS.to_vec()), (ELSEWHERE.to_owned(), Vec::new())]);
}

#[tokio::test(start_paused = true)]
async fn s4_a_redirect_that_is_followed_inside_carries_credentials_away_as_the_docs_warn() {
    // Tower-http's own filter knows of `Authorization`, and not of the rest.
    let issuer = Issuer::new();
    let (seen, api) = redirecting(&issuer);
    let client = layer(&issuer).layer(FollowRedirect::with_policy(api, Standard::default()));
    assert_eq!(client.oneshot(get("/far")).await.unwrap().status(), 200);
    let leaked = vec!["x-timestamp", "x-signature", "x-fiid"];
    assert_eq!(shown(&seen), [(FAR.to_owned(), CREDENTIALS.to_vec()), (ELSEWHERE.to_owned(), leaked)]);

    let (seen, api) = redirecting(&issuer);
    let client = layer(&issuer).layer(FollowRedirect::with_policy(api, Limited::new(5)));
    issuer.set(|settings| settings.lifetime = None);
    assert_eq!(client.oneshot(get("/far")).await.unwrap().status(), 200);
    assert_eq!(shown(&seen), [(FAR.to_owned(), CREDENTIALS.to_vec()), (ELSEWHERE.to_owned(), CREDENTIALS.to_vec())]);
}
