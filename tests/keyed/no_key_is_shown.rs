use tower::Layer;
use tower_outbound_auth::{AuthError, ErrorKind, keyed::KeyedAuthLayer};

use crate::{
    support::{get, secrets::Ears},
    tenants::{Tenant, Tenants, api, request},
};

/// A key that shows itself, as most do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name(&'static str);

const KEY: &str = "acme-corporation-of-somewhere";

#[tokio::test(start_paused = true)]
async fn k6_no_key_is_in_any_debug_error_or_trace() {
    let (ears, _guard) = Ears::of_this_thread();
    ears.learn(KEY);
    let tenants = Tenants::default();
    let of_make = tenants.clone();
    let builder = KeyedAuthLayer::builder(move |_: &Name| of_make.layer(Tenant(1)).build()).key(|head| {
        let tenant = head.extensions.get::<Name>();
        tenant.cloned()
    });
    ears.tell(&builder);
    let keyed = builder.capacity(7).build();
    let mut client = keyed.layer(tower::service_fn(|_| async {
        Ok::<_, AuthError>(crate::support::answer(http::StatusCode::UNAUTHORIZED))
    }));
    // Another test may have met the spans and events first, in a thread without a subscriber, which is remembered.
    assert!(keyed.handle(&Name("another")).unwrap().token().await.is_ok());
    tracing::callsite::rebuild_interest_cache();
    for failure in [None, Some(AuthError::new(ErrorKind::Unavailable, "down"))] {
        tenants.fail(failure);
        for key in [Some(Name(KEY)), None] {
            let mut request = get("/");
            request.extensions_mut().extend(
                key.map(|key| {
                    let mut extensions = http::Extensions::new();
                    extensions.insert(key);
                    extensions
                })
                .unwrap_or_default(),
            );
            let response = tower::Service::call(&mut client, request);
            ears.tell(&response);
            if let Err(error) = response.await {
                ears.tell_error(error.as_ref());
            }
        }
        ears.tell(&(&keyed, keyed.handle(&Name(KEY)).unwrap()));
        assert!(keyed.remove(&Name(KEY)));
    }
    ears.check();
    assert!(ears.heard().contains("KeyedAuthLayer"));
    assert_eq!(ears.heard().contains("token_fetch"), cfg!(feature = "tracing"));
}

#[test]
fn debug_shows_the_settings() {
    let keyed = Tenants::default().keyed().capacity(7).build();
    let shown = format!("{keyed:?} {:?}", keyed.layer(1));
    for part in ["KeyedAuthLayer", "KeyedAuth {", "capacity: 7", "idle_timeout: 3600s", "len: 0", "inner: 1"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let _ = (api(), request(1));
}
