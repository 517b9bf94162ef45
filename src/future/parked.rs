//! A request that waits for a token before it is sent for the first time.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Request;
use tower_service::Service;

use crate::{
    clock::Moment,
    error::AuthError,
    future::ticket::{Flow, Sent, Ticket},
    origin::Admission,
    replay::Replay,
    settings::Hold,
    token::{Acquisition, Issued},
};

pub(crate) struct Parked<S, R, B> {
    settings: Hold,
    acquisition: Acquisition,
    since: Moment,
    /// Ready, since the request came when it was.
    service: S,
    policy: R,
    request: Request<B>,
    admission: Admission,
}

impl<S, R, B> Parked<S, R, B> {
    pub(crate) fn new(settings: Hold, service: S, policy: R, request: Request<B>, admission: Admission) -> Self {
        let refresher = &settings.refresher;
        Self {
            acquisition: Acquisition::of_any(refresher, settings.max_wait),
            since: refresher.now(),
            settings,
            service,
            policy,
            request,
            admission,
        }
    }

    pub(super) fn poll_token(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arc<Issued>, AuthError>> {
        Pin::new(&mut self.acquisition).poll(cx)
    }

    pub(super) fn send(mut self, issued: &Issued) -> Result<Flow<S, R, B>, AuthError>
    where
        S: Service<Request<B>> + Clone,
        R: Replay<B>,
    {
        let now = self.settings.refresher.now();
        let max_wait = self.settings.max_wait.map(|limit| limit.saturating_sub(self.since.until(now)));
        let sent = Sent::new(Arc::clone(&self.settings), self.admission, issued, now);
        let ticket = Ticket::stamp(&self.service, &self.policy, &mut self.request, sent, max_wait, issued)?;
        Ok((self.service.call(self.request), ticket))
    }
}
