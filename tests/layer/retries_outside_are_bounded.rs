//! The documented retry policy sends what may help, when it may help, and no more than a bounded number of requests.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, header::RETRY_AFTER};
use tokio::time::Instant;
use tower::{
    Layer, ServiceExt,
    retry::{Retry, budget::TpsBudget},
    service_fn,
    util::BoxCloneService,
};
use tower_outbound_auth::{AuthError, BoxError, ErrorKind, rejection::NotReplayed, token::RefreshPolicy};

use crate::{
    policy::Patient,
    support::{Answering, Body, Issuer, answer, get},
};

/// When the API got its requests.
type Times = Arc<Mutex<Vec<Instant>>>;
type Client = BoxCloneService<Request<Body>, Response<Body>, BoxError>;

/// A client that retries three times, and an API that gives the n-th request, from 0, this answer.
fn client(
    issuer: &Issuer,
    budget: TpsBudget,
    answers: impl Fn(usize) -> Response<Body> + Clone + Send + 'static,
) -> (Times, Client) {
    // Long backoffs: three quick tries would all be within the first.
    let policy = RefreshPolicy::default().failure_backoff(Duration::from_secs(10), Duration::from_secs(60));
    client_with(issuer, policy, budget, answers)
}

fn client_with(
    issuer: &Issuer,
    policy: RefreshPolicy,
    budget: TpsBudget,
    answers: impl Fn(usize) -> Response<Body> + Clone + Send + 'static,
) -> (Times, Client) {
    let times = Times::default();
    let log = Arc::clone(&times);
    let api = service_fn(move |_: Request<Body>| -> Answering {
        let mut log = log.lock().unwrap();
        log.push(Instant::now());
        let response = answers(log.len() - 1);
        Box::pin(async { Ok(response) })
    });
    let layer = issuer.builder().refresh(policy).build().unwrap();
    let client = Retry::new(Patient::new(3, budget), layer.layer(api));
    (times, Client::new(client))
}

fn always(status: StatusCode) -> impl Fn(usize) -> Response<Body> + Clone {
    move |_| answer(status)
}

fn busy_for(seconds: u64) -> Response<Body> {
    let mut response = answer(StatusCode::TOO_MANY_REQUESTS);
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

fn failing(kind: ErrorKind) -> Issuer {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.failure = Some(AuthError::new(kind, "no token today")));
    issuer
}

fn sent(times: &Times) -> usize {
    times.lock().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_not_retried() {
    for kind in [ErrorKind::Denied, ErrorKind::Malformed, ErrorKind::Signing] {
        let issuer = failing(kind);
        let (times, client) = client(&issuer, TpsBudget::default(), always(StatusCode::OK));
        let error = client.oneshot(get("/")).await.unwrap_err();
        assert_eq!(AuthError::find(error.as_ref()).map(AuthError::kind), Some(kind));
        assert_eq!((issuer.requests(), sent(&times)), (1, 0), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_try_comes_when_the_layer_asks_again() {
    let issuer = failing(ErrorKind::Unavailable);
    let (times, client) = client(&issuer, TpsBudget::default(), always(StatusCode::OK));
    let call = tokio::spawn(client.oneshot(get("/")));
    while issuer.requests() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(60)).await; // The fetch has failed by now.
    issuer.set(|settings| settings.failure = None);
    assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!((issuer.requests(), sent(&times)), (4, 1), "one fetch of three tries that fails, and one that does not");
}

#[tokio::test(start_paused = true)]
async fn a_dead_token_endpoint_gets_four_fetches_however_many_callers_retry() {
    let issuer = failing(ErrorKind::Unavailable);
    let plenty = TpsBudget::new(Duration::from_secs(10), 1_000, 1.0);
    let (times, client) = client(&issuer, plenty, always(StatusCode::OK));
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(client.clone().oneshot(get("/")))).collect();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(AuthError::find(error.as_ref()).unwrap().is_transient());
    }
    assert_eq!((issuer.requests(), sent(&times)), (12, 0), "of three tries each");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_the_layers_to_replay_and_is_not_retried() {
    let issuer = Issuer::new();
    let (times, client) = client(&issuer, TpsBudget::default(), always(StatusCode::UNAUTHORIZED));
    assert_eq!(client.oneshot(get("/")).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!((issuer.requests(), sent(&times)), (2, 2), "once more with a new token");
}

#[tokio::test(start_paused = true)]
async fn a_busy_api_gets_four_requests_of_one_call() {
    let issuer = Issuer::new();
    let (times, client) = client(&issuer, TpsBudget::default(), always(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(client.oneshot(get("/")).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((issuer.requests(), sent(&times)), (1, 4));
}

/// Whatever an API answers to the first eight requests: a rejection, that it is busy, or that it will be for so long that
/// the renewal budget regains one.
#[tokio::test(start_paused = true)]
async fn three_retries_of_replayed_requests_are_at_most_eight() {
    let mut most = (0, 0);
    for script in 0..3_usize.pow(8) {
        let issuer = Issuer::new();
        let answers = move |n: usize| match script / 3_usize.pow(n.min(8).try_into().unwrap()) % 3 {
            0 => busy_for(11),
            1 => answer(StatusCode::UNAUTHORIZED),
            _ => answer(StatusCode::SERVICE_UNAVAILABLE),
        };
        let (times, client) = client(&issuer, TpsBudget::default(), answers);
        client.oneshot(get("/")).await.unwrap();
        most = (most.0.max(sent(&times)), most.1.max(issuer.requests()));
    }
    assert_eq!(most, (8, 5), "requests, and tokens: the first one, and one for each rejection");
}

#[tokio::test(start_paused = true)]
async fn r5_a_used_up_renewal_budget_ends_the_retries() {
    let issuer = Issuer::new();
    let worst = |n| answer(if n % 2 == 0 { StatusCode::UNAUTHORIZED } else { StatusCode::SERVICE_UNAVAILABLE });
    let policy = RefreshPolicy::default().renewal_budget(1, Duration::from_secs(60));
    let (times, client) = client_with(&issuer, policy, TpsBudget::default(), worst);
    let response = client.oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.extensions().get(), Some(&NotReplayed::Throttled));
    // Renewed and replayed; replayed with the same token, the first rejection of it; returned, the second.
    assert_eq!((issuer.requests(), sent(&times)), (2, 5));
}

#[tokio::test(start_paused = true)]
async fn all_calls_together_keep_to_the_budget() {
    let issuer = Issuer::new();
    let one_a_second = TpsBudget::new(Duration::from_secs(10), 1, 0.2);
    let (times, client) = client(&issuer, one_a_second, always(StatusCode::SERVICE_UNAVAILABLE));
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(client.clone().oneshot(get("/")))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(sent(&times), 110, "each once, and ten retries in the ten seconds that the budget looks back");
}

#[tokio::test(start_paused = true)]
async fn calls_that_go_well_pay_for_a_fifth_of_their_number_in_retries() {
    let issuer = Issuer::new();
    let a_fifth = TpsBudget::new(Duration::from_secs(10), 0, 0.2);
    let answers = |n| answer(if n < 100 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE });
    let (times, client) = client(&issuer, a_fifth, answers);
    for _ in 0..200 {
        client.clone().oneshot(get("/")).await.unwrap();
    }
    assert_eq!(sent(&times), 220);
}

#[tokio::test(start_paused = true)]
async fn what_the_api_asks_for_is_waited_for_unless_it_is_too_long() {
    for (asked, sent_in_all) in [(20, 2), (3_600, 1)] {
        let issuer = Issuer::new();
        let busy = move |n| if n == 0 { busy_for(asked) } else { answer(StatusCode::OK) };
        let (times, client) = client(&issuer, TpsBudget::default(), busy);
        client.oneshot(get("/")).await.unwrap();
        assert_eq!(sent(&times), sent_in_all);
        let times = times.lock().unwrap();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(20)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_carried_out_twice_is_sent_once() {
    let issuer = Issuer::new();
    let (times, client) = client(&issuer, TpsBudget::default(), always(StatusCode::SERVICE_UNAVAILABLE));
    let mut request = get("/");
    *request.method_mut() = Method::POST;
    assert_eq!(client.oneshot(request).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(sent(&times), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_together_do_not_come_back_together() {
    let issuer = Issuer::new();
    let plenty = TpsBudget::new(Duration::from_secs(10), 1_000, 1.0);
    let busy = |n| answer(if n < 20 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK });
    let (times, client) = client(&issuer, plenty, busy);
    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(client.clone().oneshot(get("/")))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    let mut times = times.lock().unwrap().split_off(20);
    times.dedup();
    assert!(times.len() > 5, "{} moments for 20 calls", times.len());
}
