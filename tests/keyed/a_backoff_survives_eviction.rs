use std::time::Duration;

use tower_outbound_auth::{AuthError, ErrorKind};

use crate::tenants::{Tenants, api, send};

#[tokio::test(start_paused = true)]
async fn k4_a_key_whose_backoff_runs_does_not_lose_it_by_eviction() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().capacity(1).build();
    tenants.fail(Some(AuthError::new(ErrorKind::Denied, "no")));
    for round in 0..5 {
        for tenant in 0..300 {
            let error = send(&keyed, &api, tenant).await.unwrap_err();
            let error = AuthError::find(error.as_ref()).unwrap();
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(error.retry_after().is_some_and(|wait| wait > Duration::ZERO), "round {round}");
        }
        assert_eq!((tenants.all_fetched(), keyed.len()), (300, 1), "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn k4_nor_by_being_idle() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().idle_timeout(Duration::from_secs(1)).build();
    tenants.fail(Some(AuthError::new(ErrorKind::Denied, "no")));
    for _ in 0..3 {
        assert!(send(&keyed, &api, 1).await.is_err());
        assert!(send(&keyed, &api, 2).await.is_err());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!((tenants.made(1), tenants.fetched(1)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn k4_an_entry_is_let_go_of_once_its_backoff_is_over() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().capacity(1).build();
    tenants.fail(Some(AuthError::new(ErrorKind::Denied, "no")));
    for tenant in 0..10 {
        assert!(send(&keyed, &api, tenant).await.is_err());
    }
    tenants.fail(None);
    tokio::time::advance(Duration::from_secs(11)).await;
    for tenant in [100, 101, 3] {
        send(&keyed, &api, tenant).await.unwrap();
    }
    assert_eq!((tenants.made(3), tenants.made(100)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn k4_a_tenants_backoffs_harm_no_other_tenant() {
    let (tenants, api) = (Tenants::default(), api());
    let keyed = tenants.keyed().capacity(10).build();
    send(&keyed, &api, 1).await.unwrap();
    tenants.fail(Some(AuthError::new(ErrorKind::Denied, "no")));
    for tenant in 100..3_000 {
        assert!(send(&keyed, &api, tenant).await.is_err());
        if tenant % 5 == 0 {
            assert_eq!(send(&keyed, &api, 1).await.unwrap(), "token-1-1");
        }
    }
    tenants.fail(None);
    send(&keyed, &api, 2).await.unwrap();
    assert_eq!((tenants.made(1), keyed.len()), (1, 10));
}
