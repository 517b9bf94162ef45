//! The peers, and which of them each table has.

use std::{
    future::{Future, ready},
    pin::Pin,
};

use tower_outbound_auth::BoxError;

use crate::{
    api::{Boxed, Client},
    world::World,
};

pub(crate) mod cf_gears;
pub(crate) mod gcp;
pub(crate) mod google;
pub(crate) mod hand_written;
pub(crate) mod huskarl;
pub(crate) mod kube;
pub(crate) mod middle;
pub(crate) mod prototype;
pub(crate) mod smithy;
pub(crate) mod static_header;
pub(crate) mod this_crate;

/// A peer; `make` creates a client with an empty cache.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    /// How many seconds before its expiry it renews a token, if that cannot be set.
    pub(crate) fixed_margin: Option<u64>,
    pub(crate) make: Make,
}

/// Where the token source is. Only peers with the same one are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    InProcess,
    Loopback,
    /// A program that makes a request over loopback.
    Plugin,
}

type Make = fn(&World) -> Pin<Box<dyn Future<Output = Result<Boxed, BoxError>> + '_>>;

const fn peer(name: &'static str, source: Source, make: Make) -> Peer {
    Peer { name, source, fixed_margin: None, make }
}

pub(crate) const WITH_A_COLD_START: [Peer; 11] = [
    peer("this crate", Source::InProcess, |world| now(this_crate::client(world))),
    peer("this crate; NoReplay", Source::InProcess, |world| now(this_crate::no_replay(world))),
    peer("prototype", Source::InProcess, |world| now(Ok(prototype::client(world)))),
    peer("hand-written RwLock", Source::InProcess, |world| now(Ok(hand_written::client(world)))),
    peer("aws-smithy identity cache", Source::InProcess, |world| now(smithy::client(world))),
    peer("huskarl", Source::InProcess, |world| now(huskarl::client(world))),
    peer("this crate over HTTP", Source::Loopback, |world| now(this_crate::over_http(world))),
    peer("cf-gears auto-refresh layer", Source::Loopback, |world| now(cf_gears::auto_refresh(world))),
    GOOGLE,
    GCP,
    KUBE,
];

pub(crate) const WITH_EXPIRY: [Peer; 10] = [
    peer("static header", Source::InProcess, |_| now(Ok(static_header::client()))),
    peer("this crate", Source::InProcess, |world| now(this_crate::client(world))),
    peer("this crate over HTTP", Source::Loopback, |world| now(this_crate::over_http(world))),
    peer("hand-written RwLock", Source::InProcess, |world| now(Ok(hand_written::client(world)))),
    peer("aws-smithy identity cache", Source::InProcess, |world| now(smithy::client(world))),
    peer("huskarl", Source::InProcess, |world| now(huskarl::client(world))),
    peer("middle", Source::Loopback, |world| Box::pin(async { Ok(middle::client(world).await?.boxed()) })),
    peer("cf-gears auto-refresh layer", Source::Loopback, |world| now(cf_gears::auto_refresh(world))),
    GOOGLE,
    GCP,
];

pub(crate) const GOOGLE: Peer =
    Peer { fixed_margin: Some(240), ..peer("google-cloud-auth", Source::Loopback, |world| now(google::client(world))) };

pub(crate) const GCP: Peer =
    Peer { fixed_margin: Some(20), ..peer("gcp_auth", Source::Loopback, |world| now(gcp::client(world))) };

/// It fetches its first token while it is built, so its callers start with an expired one.
pub(crate) const KUBE: Peer =
    Peer { fixed_margin: Some(60), ..peer("kube-client", Source::Plugin, |world| now(kube::client(world))) };

fn now<'a>(client: Result<impl Client, BoxError>) -> Pin<Box<dyn Future<Output = Result<Boxed, BoxError>> + 'a>> {
    Box::pin(ready(client.map(Client::boxed)))
}
