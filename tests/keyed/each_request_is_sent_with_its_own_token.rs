use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use http::{
    HeaderValue,
    header::{AUTHORIZATION, HOST},
};
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer, ErrorKind, NoAuth,
    keyed::KeyedAuthLayer,
    replay::NoReplay,
    token::{AccessToken, source_fn},
};

use crate::{
    support::{Body, ORIGIN, get},
    tenants::{STATIC, Tenant, Tenants, api, request, send},
};

#[tokio::test(start_paused = true)]
async fn k1_every_request_carries_token_signature_and_header_of_its_own_key() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().build();
    for round in 0..3 {
        for tenant in 0..50 {
            assert_eq!(send(&keyed, &api, tenant).await.unwrap(), format!("token-{tenant}-1"), "round {round}");
        }
    }
    assert_eq!((keyed.len(), tenants.all_fetched()), (50, 50));
}

#[tokio::test(start_paused = true)]
async fn k1_requests_of_two_keys_on_their_way_at_once_are_not_mixed_up() {
    let (tenants, api) = (Tenants::default(), api());
    tenants.slow_down(std::time::Duration::from_secs(1));
    let keyed = tenants.keyed().build();
    let sent = (0..200).map(|number| send(&keyed, &api, number % 7));
    for (number, token) in (0..).zip(futures_of(sent).await) {
        assert_eq!(token, format!("token-{}-1", number % 7));
    }
}

async fn futures_of(
    futures: impl Iterator<Item = impl Future<Output = Result<String, tower::BoxError>>>,
) -> Vec<String> {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    for future in &mut waiting {
        // Each is polled once first, so that all of them wait at once.
        let _ = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
    }
    for future in waiting {
        done.push(future.await.unwrap());
    }
    done
}

#[tokio::test(start_paused = true)]
async fn k2_a_request_without_a_key_is_not_sent() {
    let (tenants, (seen, api)) = (Tenants::default(), api());
    let by_extension = tenants.keyed().build();
    let by_function = tenants.keyed().key(|_| None).build();
    for mut own in [get("/"), get("/")] {
        own.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic own"));
        for request in [get("/"), own] {
            for keyed in [&by_extension, &by_function] {
                let error = keyed.layer(api.clone()).oneshot(request.clone()).await.unwrap_err();
                let error = AuthError::find(error.as_ref()).unwrap();
                assert_eq!(error.kind(), ErrorKind::Config);
                assert!(error.to_string().contains("has no key"), "{error}");
            }
        }
    }
    // The function alone decides, whatever is in the extensions.
    assert!(by_function.layer(api).oneshot(request(1)).await.is_err());
    assert_eq!((seen.count(), tenants.all_fetched(), by_extension.len(), by_function.len()), (0, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn k2_a_request_with_no_auth_needs_no_key_and_makes_no_entry() {
    let (tenants, (seen, api)) = (Tenants::default(), api());
    let keyed = tenants.keyed().build();
    let mut client = keyed.layer(api);
    for mut request in [get("/"), request(1)] {
        request.extensions_mut().insert(NoAuth);
        client.ready().await.unwrap().call(request).await.unwrap();
    }
    assert_eq!((tenants.made(1), keyed.len()), (0, 0));
    client.call(request(1)).await.unwrap();
    let mut warm = request(1);
    warm.extensions_mut().insert(NoAuth);
    client.call(warm).await.unwrap();
    let authorized: Vec<_> = seen.requests().iter().map(|sent| sent.headers().contains_key(AUTHORIZATION)).collect();
    assert_eq!((authorized, tenants.made(1)), (vec![false, false, true, false], 1));
}

#[tokio::test(start_paused = true)]
async fn k1_a_function_of_the_head_can_select_the_key() {
    let (tenants, (seen, api)) = (Tenants::default(), api());
    let keyed = tenants.keyed().key(|head| Some(Tenant(head.uri.path().trim_start_matches('/').parse().ok()?))).build();
    let client = keyed.layer(api);
    for tenant in [3, 4, 3] {
        let mut sent = get(&format!("/{tenant}"));
        // It is not looked at.
        sent.extensions_mut().insert(Tenant(99));
        client.clone().oneshot(sent).await.unwrap();
    }
    assert!(client.oneshot(get("/not-a-number")).await.is_err());
    assert_eq!(seen.tokens(), ["token-3-1", "token-4-1", "token-3-1"]);
    assert_eq!(tenants.made(99), 0);
}

#[tokio::test(start_paused = true)]
async fn s3_the_origins_of_the_key_decide_where_credentials_go() {
    let keyed = KeyedAuthLayer::builder(|host: &String| {
        let token = format!("token-for-{host}");
        let source = source_fn(move |_| std::future::ready(AccessToken::new(token.clone(), None)));
        AuthLayer::builder(source).origin(&format!("https://{host}.example.com")).build()
    })
    .build();
    let (seen, api) = api();
    for (key, host) in [("a", "a"), ("a", "b"), ("b", "b")] {
        let mut request = get("/");
        *request.uri_mut() = format!("https://{host}.example.com/").parse().unwrap();
        request.headers_mut().insert(HOST, format!("{host}.example.com").parse().unwrap());
        request.extensions_mut().insert(key.to_owned());
        keyed.layer(api.clone()).oneshot(request).await.unwrap();
    }
    let tokens: Vec<_> = seen.requests().iter().map(|sent| sent.headers().get(AUTHORIZATION).cloned()).collect();
    let bearer = |token| Some(HeaderValue::from_static(token));
    assert_eq!(tokens, [bearer("Bearer token-for-a"), None, bearer("Bearer token-for-b")]);
}

#[tokio::test(start_paused = true)]
async fn s5_a_callers_own_authorization_is_kept() {
    let (tenants, (seen, api)) = (Tenants::default(), api());
    let mut own = request(1);
    own.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic own"));
    tenants.keyed().build().layer(api).oneshot(own).await.unwrap();
    assert_eq!(seen.requests()[0].headers()[AUTHORIZATION], "Basic own");
    assert!(!seen.requests()[0].headers().contains_key(STATIC));
    assert_eq!(tenants.all_fetched(), 0);
}

#[tokio::test(start_paused = true)]
async fn r4_a_rejected_request_is_replayed_with_the_new_token_of_its_own_key() {
    let tenants = Tenants::default();
    let keyed = tenants.keyed().build();
    let first = Arc::new(AtomicU32::new(0));
    let seen = crate::support::Seen::default();
    let log = seen.clone();
    let api = tower::service_fn(move |request: http::Request<Body>| {
        log.push(&request);
        let status = if first.fetch_add(1, SeqCst) == 1 { 401 } else { 200 };
        std::future::ready(Ok::<_, tower::BoxError>(crate::support::answer(status.try_into().unwrap())))
    });
    let client = keyed.layer(api);
    for tenant in [1, 2, 1] {
        assert_eq!(client.clone().oneshot(request(tenant)).await.unwrap().status(), 200);
    }
    assert_eq!(seen.tokens(), ["token-1-1", "token-2-1", "token-2-2", "token-1-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_handle_is_that_of_its_key_and_of_its_requests() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().build();
    let token = keyed.handle(&Tenant(5)).unwrap().token().await.unwrap();
    assert_eq!(token.expose_secret(), "token-5-1");
    assert_eq!(send(&keyed, &api, 5).await.unwrap(), "token-5-1");
    keyed.handle(&Tenant(5)).unwrap().invalidate(&token);
    assert_eq!(send(&keyed, &api, 5).await.unwrap(), "token-5-2");
    assert_eq!((tenants.made(5), keyed.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_layer_can_have_any_replay_policy_and_clones_share_the_entries() {
    let tenants = Tenants::default();
    let of_make = tenants.clone();
    let keyed = KeyedAuthLayer::builder(move |tenant: &Tenant| of_make.layer(*tenant).replay(NoReplay).build()).build();
    let (seen, api) = api();
    let client = keyed.clone().layer(api);
    client.clone().oneshot(request(1)).await.unwrap();
    client.oneshot(request(1)).await.unwrap();
    assert_eq!((seen.tokens().len(), tenants.made(1), keyed.len()), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn layers_of_one_origin_each_can_be_stacked_without_a_key() {
    let layer = |host: &'static str| {
        let source = source_fn(move |_| std::future::ready(AccessToken::new(format!("token-for-{host}"), None)));
        AuthLayer::builder(source).origin(&format!("https://{host}.example.com")).build().unwrap()
    };
    let (seen, api) = api();
    let client = tower::ServiceBuilder::new().layer(layer("a")).layer(layer("b")).service(api);
    for host in ["a", "b"] {
        let mut request = get("/");
        *request.uri_mut() = format!("https://{host}.example.com/").parse().unwrap();
        client.clone().oneshot(request).await.unwrap();
    }
    client.oneshot(get("/")).await.unwrap();
    assert_eq!(seen.tokens(), ["token-for-a", "token-for-b"]);
    assert!(ORIGIN.ends_with("api.example.com") && seen.count() == 3, "a third host gets neither");
}

#[test]
fn a_service_gives_its_inner_service_back() {
    let keyed = Tenants::default().keyed().build();
    let mut service = keyed.layer(1_u8);
    *service.get_mut() += 1;
    assert_eq!((*service.get_ref(), service.clone().into_inner()), (2, 2));
}
