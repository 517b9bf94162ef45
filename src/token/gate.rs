//! What is decided under the store's lock: the flight under way, cool-down, spacing, and the count of it all.

use std::sync::Arc;

use crate::{
    clock::Moment,
    error::AuthError,
    token::{AccessToken, flight::Flight, issued::Issued, schedule::Life, spacing::Spacing},
};

#[derive(Debug, Default)]
pub(super) struct Gate {
    pub(super) flight: Option<Arc<Flight>>,
    /// Whether somebody with a rejected token waits for the flight.
    pub(super) renews: bool,
    pub(super) spacing: Spacing,
    /// Whether a request was ever accepted with the token that was retired last.
    pub(super) retired_was_accepted: bool,
    pub(super) failures_in_a_row: u32,
    pub(super) record: Record,
    cool_down: Option<CoolDown>,
    /// The newest token, retired or not.
    newest: Option<Arc<Issued>>,
}

/// The count of a layer's flights.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) issued: u64,
    pub(super) failures: u64,
    /// None if the last flight brought a token.
    pub(super) last_error: Option<AuthError>,
}

#[derive(Debug)]
struct CoolDown {
    until: Moment,
    generation: u64,
    error: AuthError,
}

impl Gate {
    /// Until when nothing is started, and why. A rotation of the secret ends it: the failure was the old secret's.
    pub(super) fn cooling_down(&self, now: Moment, generation: u64) -> Option<(Moment, &AuthError)> {
        let cool_down = self.cool_down.as_ref()?;
        let runs = now < cool_down.until && generation <= cool_down.generation;
        runs.then_some((cool_down.until, &cool_down.error))
    }

    /// When the last cool-down ends or ended.
    pub(super) fn cool_down_end(&self) -> Option<Moment> {
        self.cool_down.as_ref().map(|cool_down| cool_down.until)
    }

    /// The token that the API refused, if there is no newer one.
    pub(super) fn refused(&self) -> Option<AccessToken> {
        let newest = self.newest.as_ref().filter(|newest| newest.is_retired())?;
        Some(newest.token.clone())
    }

    pub(super) fn issue(&mut self, token: AccessToken, life: Life, generation: u64, now: Moment) -> Arc<Issued> {
        let issued = Arc::new(Issued::new(token, life, self.newest.as_deref(), generation, now));
        if self.renews {
            self.spacing.renewed(issued.ordinal, now);
        }
        self.record.issued = issued.ordinal.into();
        self.record.last_error = None;
        self.failures_in_a_row = 0;
        self.cool_down = None;
        self.newest = Some(Arc::clone(&issued));
        issued
    }

    fn fail(&mut self, error: AuthError) {
        self.record.failures = self.record.failures.saturating_add(1);
        self.record.last_error = Some(error);
    }

    pub(super) fn cool_down(&mut self, until: Moment, generation: u64, error: AuthError) {
        self.fail(error.clone());
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.cool_down = Some(CoolDown { until, generation, error });
    }

    /// Nothing is known about the server any more, so nothing holds the next flight back.
    pub(super) fn abort(&mut self, error: AuthError) {
        self.cool_down = None;
        self.fail(error);
    }

    pub(super) fn did_not_heal(&mut self, ordinal: u32, accepted: bool, now: Moment) {
        self.spacing.did_not_heal(ordinal, accepted || self.retired_was_accepted, now);
    }
}
