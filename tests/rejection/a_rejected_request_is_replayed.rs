//! A request whose token the API rejects is sent again with a new one, once, and else its caller gets the API's answer.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    Credentials,
    rejection::NotReplayed,
    signing::{SignRules, TimestampHmac},
};

use crate::{
    answering::{answering, assert_whole, refusing},
    support::{Issuer, ORIGIN, answer, get},
};

#[tokio::test(start_paused = true)]
async fn r2_fifty_late_401s_for_one_token_cost_one_renewal() {
    let issuer = Issuer::new();
    let (seen, api) = answering(|count, request| async move {
        if request.headers().get("authorization").unwrap() == "Bearer token-1" {
            sleep(Duration::from_millis(100) * u32::try_from(count).unwrap()).await;
            return answer(StatusCode::UNAUTHORIZED);
        }
        answer(StatusCode::OK)
    });
    let layer = issuer.layer();
    let client = layer.layer(api);
    layer.handle().token().await.unwrap();
    let calls: Vec<_> = (0..50).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(issuer.requests(), 2);
    let tokens = seen.tokens();
    assert_eq!(tokens.iter().filter(|token| *token == "token-1").count(), 50);
    assert_eq!(tokens.iter().filter(|token| *token == "token-2").count(), 50);
}

#[tokio::test(start_paused = true)]
async fn r3_a_newer_token_that_is_there_is_used_at_once() {
    let issuer = Issuer::new();
    let (seen, api) = answering(|count, _| async move {
        sleep(Duration::from_secs(1)).await;
        answer(if count == 1 { StatusCode::UNAUTHORIZED } else { StatusCode::OK })
    });
    let layer = issuer.layer();
    layer.handle().token().await.unwrap();
    let began = Instant::now();
    let call = tokio::spawn(layer.layer(api).oneshot(get("/a")));
    sleep(Duration::from_millis(100)).await;
    layer.handle().refresh().await.unwrap();
    issuer.set(|settings| settings.latency = Duration::from_secs(20));

    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    assert_eq!(began.elapsed().as_millis(), 2_000, "nothing but the two answers of the API was waited for");
    assert_eq!(seen.tokens(), ["token-1", "token-2"]);
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn r4_the_second_request_carries_a_new_token_a_new_time_and_a_new_signature() {
    let issuer = Issuer::new();
    let (seen, api) = answering(|count, _| async move {
        if count == 1 {
            // Signatures take the wall clock, which cannot be paused.
            std::thread::sleep(Duration::from_millis(1_100));
        }
        answer(if count == 1 { StatusCode::UNAUTHORIZED } else { StatusCode::OK })
    });
    let signer = TimestampHmac::sha256(Credentials::new("id", "secret"));
    let client = issuer.builder().sign(SignRules::all(), signer).build().unwrap().layer(api);
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);

    let sent = seen.requests();
    let values = |request: &Request<()>, name: &str| {
        let values = request.headers().get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values(&sent[0], "authorization"), ["Bearer token-1"]);
    assert_eq!(values(&sent[1], "authorization"), ["Bearer token-2"]);
    let times: Vec<u64> = sent.iter().map(|request| values(request, "x-timestamp")[0].parse().unwrap()).collect();
    assert!(times[1] > times[0], "signed when it was sent");
    assert_ne!(values(&sent[0], "x-signature"), values(&sent[1], "x-signature"));
    for request in &sent {
        assert_eq!([values(request, "x-timestamp").len(), values(request, "x-signature").len()], [1, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn r4_the_second_request_is_the_callers_in_all_else() {
    let issuer = Issuer::new();
    let requests = Bodies::default();
    let log = requests.clone();
    let (_seen, api) = answering(move |count, request| {
        let log = log.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let own = parts.extensions.get::<Own>().copied();
            log.lock().unwrap().push((
                parts.method,
                parts.uri.to_string(),
                parts.version,
                parts.headers.len(),
                own,
                body,
            ));
            answer(if count == 1 { StatusCode::UNAUTHORIZED } else { StatusCode::OK })
        }
    });
    let request = Request::post(format!("{ORIGIN}/a?b=c"))
        .version(Version::HTTP_2)
        .header("x-own", "1")
        .header("x-own", "2")
        .extension(Own(7))
        .body(Full::from("payload"))
        .unwrap();
    assert_eq!(issuer.layer().layer(api).oneshot(request).await.unwrap().status(), 200);
    let expected =
        (Method::POST, format!("{ORIGIN}/a?b=c"), Version::HTTP_2, 3, Some(Own(7)), Bytes::from_static(b"payload"));
    assert_eq!(*requests.lock().unwrap(), [expected.clone(), expected]);
}

type Bodies = std::sync::Arc<std::sync::Mutex<Vec<(Method, String, Version, usize, Option<Own>, Bytes)>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Own(u8);

#[tokio::test(start_paused = true)]
async fn r4_a_second_rejection_goes_to_the_caller() {
    let issuer = Issuer::new();
    let (seen, api) = refusing();
    let response = issuer.layer().layer(api).oneshot(get("/a")).await.unwrap();
    assert_whole(response, NotReplayed::RejectedAgain).await;
    assert_eq!(seen.tokens(), ["token-1", "token-2"]);
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn r10_the_first_body_is_not_waited_for() {
    let issuer = Issuer::new();
    let stalled = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = std::sync::Arc::clone(&stalled);
    let (seen, api) = answering(move |count, request| {
        // A peer that answers without having read the request, and never lets go of it.
        kept.lock().unwrap().push(request);
        async move { answer(if count == 1 { StatusCode::UNAUTHORIZED } else { StatusCode::OK }) }
    });
    let began = Instant::now();
    let request = Request::post(format!("{ORIGIN}/a")).body(Full::from("payload")).unwrap();
    assert_eq!(issuer.layer().layer(api).oneshot(request).await.unwrap().status(), 200);
    assert_eq!(began.elapsed().as_millis(), 100, "two token requests and nothing else");
    assert_eq!((seen.count(), stalled.lock().unwrap().len()), (2, 2));
}
