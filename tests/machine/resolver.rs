//! Names and their addresses, as a test has them.

use std::{
    future::{Future, pending},
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    Gives(Vec<IpAddr>),
    Fails,
    NeverEnds,
}

/// For each name the same.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Mutex<State>>);

struct State {
    next: Vec<Lookup>,
    then: Lookup,
    asked: usize,
}

impl Resolver {
    pub(crate) fn new(then: Lookup) -> Self {
        Self(Arc::new(Mutex::new(State { next: Vec::new(), then, asked: 0 })))
    }

    /// First these, then as before.
    pub(crate) fn at_first(self, next: &[Lookup]) -> Self {
        self.with(|state| state.next = next.iter().rev().cloned().collect());
        self
    }

    pub(crate) fn set(&self, then: Lookup) {
        self.with(|state| state.then = then);
    }

    pub(crate) fn asked(&self) -> usize {
        self.with(|state| state.asked)
    }

    fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _name: Name) -> Self::Future {
        let lookup = self.with(|state| {
            state.asked += 1;
            state.next.pop().unwrap_or_else(|| state.then.clone())
        });
        Box::pin(async move {
            match lookup {
                // The connector knows the port.
                Lookup::Gives(addresses) => {
                    Ok(addresses.into_iter().map(|address| (address, 0).into()).collect::<Vec<_>>().into_iter())
                }
                Lookup::Fails => Err(io::Error::other("temporary failure in name resolution")),
                Lookup::NeverEnds => pending().await,
            }
        })
    }
}
