//! R5: one caller whose requests are rejected whatever the token, among others who are doing well.

use std::time::Duration;

use http::{Request, Response};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{
    AuthLayer, BoxError,
    rejection::{NotReplayed, Rejection},
    replay::{CloneBody, NoReplay, Replay},
};

use crate::{
    load::{Api, Tally, load, millis, seconds},
    support::{Body, Issuer, get},
};

/// Token requests in each of the ten seconds to come.
async fn costs(issuer: &Issuer, rounds: usize) -> Vec<u64> {
    let mut costs = Vec::new();
    for _ in 0..rounds {
        let before = issuer.requests();
        sleep(seconds(10)).await;
        costs.push(issuer.requests() - before);
    }
    costs
}

async fn five_minutes<R: Replay<Body>>(policy: R, good_every: Duration, bad_every: Duration) {
    five_minutes_of(Issuer::new(), policy, good_every, bad_every).await;
}

/// Five minutes of one bad caller among healthy ones: four token requests, and one more in each ten seconds.
async fn five_minutes_of<R: Replay<Body>>(issuer: Issuer, policy: R, good_every: Duration, bad_every: Duration) {
    let client = issuer.builder().replay(policy).build().unwrap().layer(Api::new(&issuer));
    client.clone().oneshot(get("/a")).await.unwrap();
    let (good, bad, costs) = tokio::join!(
        load(&client, "/a", good_every, seconds(300)),
        load(&client, "/bad", bad_every, seconds(300)),
        costs(&issuer, 30)
    );
    assert_eq!(good.failed, 0, "{good:?}");
    assert_eq!(bad.failed, bad.calls);
    assert_eq!(bad.marked(None), 0, "{bad:?}");
    let traffic = format!("one good call in {good_every:?}, a bad one in {bad_every:?}: {costs:?}");
    let (first, settled) = costs.split_first().unwrap();
    assert_eq!(*first, 4, "the budget is used up, {traffic}");
    assert!(settled.windows(10).all(|costs| costs.iter().sum::<u64>() <= 11), "{traffic}");
    assert!(settled.iter().sum::<u64>() >= 20, "it is still tried, {traffic}");
}

#[tokio::test(start_paused = true)]
async fn r5_one_bad_caller_costs_one_token_request_in_ten_seconds_and_no_one_else_anything() {
    for (good, bad) in [(50, 200), (20, 50), (500, 20)] {
        five_minutes(CloneBody, millis(good), millis(bad)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r5_one_bad_caller_among_rare_healthy_ones_costs_no_more() {
    for good in [3, 7, 15, 33] {
        five_minutes(CloneBody, seconds(good), millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r5_one_bad_caller_costs_no_more_where_nothing_is_replayed() {
    five_minutes(NoReplay, millis(50), millis(200)).await;
}

#[tokio::test(start_paused = true)]
async fn r11_nor_where_the_authorization_server_gives_out_the_same_token() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.same_token = true);
    five_minutes_of(issuer, CloneBody, millis(50), millis(200)).await;
}

#[tokio::test(start_paused = true)]
async fn r5_a_bad_caller_may_be_told_so_by_reject_when() {
    let issuer = Issuer::new();
    let told = |parts: &http::response::Parts| (parts.status == 400).then_some(Rejection::Token);
    let layer = issuer.builder().reject_when(told).build().unwrap();
    let api = tower::util::MapResponse::new(Api::new(&issuer), |mut response: Response<Body>| {
        if response.status() == 401 {
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
        }
        response
    });
    let client = layer.layer(api);
    client.clone().oneshot(get("/a")).await.unwrap();
    let (good, bad, costs) = tokio::join!(
        load(&client, "/a", millis(50), seconds(60)),
        load(&client, "/bad", millis(200), seconds(60)),
        costs(&issuer, 6)
    );
    assert_eq!((good.failed, bad.failed), (0, bad.calls));
    assert!(costs[0] == 4 && costs[1..].iter().all(|cost| *cost <= 1), "{costs:?}");
}

/// A layer whose budget a bad caller has just used up.
async fn used_up() -> (Issuer, Api, AuthLayer) {
    let issuer = Issuer::new();
    let (api, layer) = (Api::new(&issuer), issuer.layer());
    let client = layer.layer(api.clone());
    client.clone().oneshot(get("/a")).await.unwrap();
    let bad = bad_for(&client, seconds(1)).await;
    assert_eq!((bad.failed, issuer.requests()), (bad.calls, 5));
    (issuer, api, layer)
}

async fn bad_for<S>(client: &S, lasting: Duration) -> Tally
where
    S: Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone + Send + 'static,
{
    load(client, "/bad", millis(50), lasting).await
}

#[tokio::test(start_paused = true)]
async fn r5_a_renewal_that_helps_gives_its_unit_back() {
    let (issuer, api, layer) = used_up().await;
    let client = layer.layer(api);
    sleep(seconds(10)).await;
    for round in 6..26 {
        issuer.revoke();
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
        assert_eq!(issuer.requests(), round, "there was one unit, and it came back each time");
        sleep(millis(1_100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r5_one_unit_is_regained_in_ten_seconds_up_to_four() {
    // The bad caller used up the budget about a second before, and then takes half a second.
    for (quiet, renewals) in [(5, 0), (10, 1), (20, 2), (30, 3), (40, 4), (600, 4)] {
        let (issuer, api, layer) = used_up().await;
        let client = layer.layer(api);
        assert_eq!(load(&client, "/a", seconds(1), seconds(quiet)).await.failed, 0);
        bad_for(&client, millis(500)).await;
        assert_eq!(issuer.requests() - 5, renewals, "after {quiet} s");
    }
}

#[tokio::test(start_paused = true)]
async fn r5_an_accepted_request_gives_a_bad_caller_no_unit() {
    let (issuer, api, layer) = used_up().await;
    let client = layer.layer(api);
    for _ in 0..4 {
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
        let tally = bad_for(&client, seconds(1)).await;
        // The first in a row is replayed at once, with the same token.
        assert_eq!(tally.marked(NotReplayed::RejectedAgain), 1, "{tally:?}");
        assert_eq!(tally.marked(NotReplayed::Throttled), tally.calls - 1, "{tally:?}");
    }
    assert_eq!(issuer.requests(), 5);
}

#[tokio::test(start_paused = true)]
async fn r5_a_revocation_amid_a_bad_caller_is_recovered_from_within_ten_seconds() {
    let (issuer, api, layer) = used_up().await;
    let client = layer.layer(api);
    let bad = tokio::spawn({
        let client = client.clone();
        async move { bad_for(&client, seconds(40)).await }
    });
    sleep(seconds(12)).await;
    issuer.revoke();
    let waiting = load(&client, "/a", millis(50), seconds(10)).await;
    assert!(waiting.failed > 0);
    assert_eq!(waiting.failed, waiting.marked(NotReplayed::Throttled), "{waiting:?}");
    assert_eq!(load(&client, "/a", millis(50), seconds(15)).await.failed, 0);
    let bad = bad.await.unwrap();
    assert_eq!(bad.failed, bad.calls);
}
