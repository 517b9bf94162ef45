//! The current token, and what may be done about it: a state machine without I/O.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use crate::{
    clock::Moment,
    error::AuthError,
    token::{
        AccessToken,
        flight::{Flight, Trigger, Waiter},
        gate::{Gate, Record},
        issued::Issued,
        schedule::Life,
        sync::{AtomicU64, Guard, Mutex, MutexGuard, Swap},
    },
};

#[cfg(all(test, auth_model))]
mod model;

/// What the store says to somebody who wants a token.
pub(crate) enum Answer {
    Usable(Arc<Issued>),
    Joined(Waiter),
    /// The caller has to run this flight, and to finish it.
    Begun(Waiter, Arc<Flight>),
    CoolingDown(AuthError),
}

/// What may be done about a rejected token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It is retired, or was succeeded before: ask for a token.
    Renew,
    /// Renewing did not help the last time; too soon to try again.
    TooSoon,
    /// The authorization server is left alone after a failure, so the token stays what it is.
    CoolingDown,
}

/// What the API made of a request that was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replayed {
    Accepted,
    /// With neither a yes nor a no to the token.
    Answered,
    Rejected,
}

/// How a flight ended, with what the store needs to know about it.
pub(crate) enum End {
    Token {
        token: AccessToken,
        life: Life,
    },
    /// Without a cool-down: nothing is known about the server.
    Aborted(AuthError),
    Failed {
        error: AuthError,
        cool_down: Duration,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    current: Swap<Issued>,
    /// The newest token with which a request was accepted.
    accepted: AtomicU64,
    /// Never locked across an await, and every change of `current` is made under it.
    gate: Mutex<Gate>,
    /// How far behind the clock may be.
    clock_lag: Duration,
    /// How long a flight may be under way.
    flight_limit: Duration,
}

impl Store {
    pub(super) fn new(clock_lag: Duration, flight_limit: Duration) -> Self {
        Self { clock_lag, flight_limit, ..Self::default() }
    }

    /// The flight that should have ended long ago.
    pub(super) fn overdue(&self, now: Moment) -> Option<Arc<Flight>> {
        self.gate().flight.clone().filter(|flight| now >= flight.overdue)
    }

    /// The current token, usable or not. The guard must not live across an await.
    #[inline]
    pub(crate) fn current(&self) -> Guard<Issued> {
        self.current.load()
    }

    fn usable(&self, now: Moment) -> Option<Arc<Issued>> {
        self.current.load_full().filter(|issued| issued.is_usable(now))
    }

    /// What somebody gets for whom a flight brought this token: a wake-up is a hint, and time has passed.
    pub(crate) fn after_flight(&self, brought: Arc<Issued>, now: Moment) -> Option<Arc<Issued>> {
        self.usable(now).or_else(|| Some(brought).filter(|brought| brought.is_good_once()))
    }

    /// A usable token, or a place among those who wait for one.
    pub(crate) fn ask(&self, trigger: Trigger, now: Moment, generation: u64) -> Answer {
        let mut gate = self.gate();
        let forced = trigger == Trigger::Forced;
        if !forced && let Some(issued) = self.usable(now) {
            return Answer::Usable(issued);
        }
        let rejected = trigger == Trigger::Rejected;
        if let Some(flight) = gate.flight.clone() {
            gate.renews |= rejected;
            return Answer::Joined(Waiter::new(flight));
        }
        if !forced && let Some((until, error)) = gate.cooling_down(now, generation) {
            return Answer::CoolingDown(self.telling(error.clone(), now.until(until)));
        }
        let flight = self.begin(&mut gate, trigger, now, generation);
        Answer::Begun(Waiter::new(Arc::clone(&flight)), flight)
    }

    /// A flight for the caller to run, if the current token should be succeeded and nobody sees to it yet.
    pub(crate) fn attend(&self, trigger: Trigger, now: Moment, generation: u64) -> Option<Arc<Flight>> {
        let mut gate = self.gate();
        let current = self.current.load_full()?;
        if gate.flight.is_some() || !current.needs_attention(now, generation) {
            return None;
        }
        let trigger = if current.is_outdated(generation) { Trigger::Rotated } else { trigger };
        Some(self.begin(&mut gate, trigger, now, generation))
    }

    /// A response rejected the token with this ordinal.
    pub(crate) fn rejected(&self, ordinal: u32, now: Moment, generation: u64) -> Course {
        let mut gate = self.gate();
        gate.spacing.rejected(now);
        let Some(current) = self.current.load_full().filter(|current| current.is_same_as(ordinal)) else {
            return Course::Renew;
        };
        if gate.spacing.runs(now) {
            return Course::TooSoon;
        }
        let accepted = self.was_accepted(current.ordinal);
        if gate.spacing.is_unproven(current.ordinal, accepted, now) {
            gate.did_not_heal(current.ordinal, accepted, now);
            return Course::TooSoon;
        }
        if gate.flight.is_none() && gate.cooling_down(now, generation).is_some() {
            return Course::CoolingDown;
        }
        self.retire(&mut gate, &current);
        Course::Renew
    }

    /// Retires this token if it is the current one, whatever the spacing.
    pub(crate) fn retire_token(&self, token: &AccessToken) {
        let mut gate = self.gate();
        if let Some(current) = self.current.load_full().filter(|current| current.token.is_same(token)) {
            self.retire(&mut gate, &current);
        }
    }

    /// A request was answered with the token with this ordinal.
    #[inline]
    pub(crate) fn accepted(&self, ordinal: u32) {
        if self.accepted.load(Relaxed) < u64::from(ordinal) {
            self.accepted.fetch_max(ordinal.into(), Relaxed);
            self.gate().spacing.first_accepted();
        }
    }

    /// What became of a rejected request that was sent again with this token.
    pub(crate) fn replayed(&self, issued: &Issued, replayed: Replayed, now: Moment) {
        let mut gate = self.gate();
        match replayed {
            Replayed::Accepted => gate.spacing.healed(issued.ordinal),
            Replayed::Answered => gate.spacing.answered(issued.ordinal),
            Replayed::Rejected => {
                gate.spacing.rejected(now);
                gate.did_not_heal(issued.ordinal, self.was_accepted(issued.ordinal), now);
            }
        }
    }

    /// Ends the flight: publishes its token, or begins a cool-down; then wakes everybody who waited.
    pub(crate) fn finish(&self, flight: &Arc<Flight>, end: End, now: Moment) {
        let mut gate = self.gate();
        if gate.flight.take_if(|current| Arc::ptr_eq(current, flight)).is_none() {
            return;
        }
        let outcome = match end {
            End::Token { token, life } => {
                let issued = gate.issue(token, life, flight.generation, now);
                self.current.store(Some(Arc::clone(&issued)));
                Ok(issued)
            }
            End::Aborted(error) => {
                self.put_off(now, flight.generation);
                gate.abort(error.clone());
                Err(error)
            }
            End::Failed { error, cool_down } => {
                let until = now.after(cool_down);
                self.put_off(until, flight.generation);
                gate.cool_down(until, flight.generation, error.clone());
                Err(self.telling(error, cool_down))
            }
        };
        drop(gate);
        flight.complete(outcome);
    }

    /// How many flights in a row have failed.
    pub(crate) fn failures_in_a_row(&self) -> u32 {
        self.gate().failures_in_a_row
    }

    pub(super) fn record(&self) -> Record {
        self.gate().record.clone()
    }

    /// When a flight is due for want of a usable, young token; `None` while one is under way.
    pub(super) fn next_visit(&self) -> Option<Moment> {
        let gate = self.gate();
        let due = self.current.load_full().map_or(Moment::from_nanos(0), |current| current.due());
        let allowed = gate.cool_down_end().unwrap_or(due);
        gate.flight.is_none().then(|| due.max(allowed))
    }

    fn begin(&self, gate: &mut Gate, trigger: Trigger, now: Moment, generation: u64) -> Arc<Flight> {
        let overdue = now.after(self.flight_limit);
        if let Some(current) = self.current.load_full() {
            current.attended(generation, overdue);
        }
        let flight = Arc::new(Flight::new(trigger, generation, gate.refused(), overdue));
        gate.renews = trigger == Trigger::Rejected;
        gate.flight = Some(Arc::clone(&flight));
        flight
    }

    fn put_off(&self, until: Moment, generation: u64) {
        if let Some(current) = self.current.load_full() {
            current.put_off(until, generation);
        }
    }

    fn retire(&self, gate: &mut Gate, current: &Issued) {
        gate.retired_was_accepted = self.was_accepted(current.ordinal);
        current.retire();
        self.current.store(None);
    }

    /// The error with the wait that is sure to be long enough, though the clock may be behind.
    fn telling(&self, error: AuthError, wait: Duration) -> AuthError {
        error.with_retry_after(Some(wait.saturating_add(self.clock_lag)))
    }

    fn was_accepted(&self, ordinal: u32) -> bool {
        self.accepted.load(Relaxed) >= u64::from(ordinal)
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, pending},
        pin::Pin,
        sync::{atomic::AtomicUsize, mpsc},
        task::{Context, Poll, Wake, Waker},
        thread,
    };

    use super::*;
    use crate::{
        clock::{Clock, Timepiece},
        error::ErrorKind,
        token::{FetchRequest, RefreshPolicy, Refresher, TokenSource},
    };

    const START: Moment = Moment::from_nanos(0);
    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Moment {
        START.after(SECOND * seconds)
    }

    fn token(text: &str) -> End {
        let life = Life { refresh: at(75), usable: at(90), end: at(100) };
        End::Token { token: AccessToken::new(text, None).unwrap(), life }
    }

    fn failure() -> End {
        End::Failed { error: AuthError::new(ErrorKind::Unavailable, "down"), cool_down: 10 * SECOND }
    }

    fn begun(answer: Answer) -> (Waiter, Arc<Flight>) {
        match answer {
            Answer::Begun(waiter, flight) => (waiter, flight),
            _ => panic!("no flight was begun"),
        }
    }

    fn joined(answer: Answer) -> Waiter {
        match answer {
            Answer::Joined(waiter) => waiter,
            _ => panic!("no flight to join"),
        }
    }

    /// A store whose current token is this one.
    fn holding(text: &str) -> Store {
        let store = Store::new(Duration::ZERO, 30 * SECOND);
        let (_, flight) = begun(store.ask(Trigger::Missing, START, 0));
        store.finish(&flight, token(text), START);
        store
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn poll(waiter: &mut Waiter, count: &Arc<Count>) -> Poll<crate::token::flight::Outcome> {
        waiter.poll(&mut Context::from_waker(&Waker::from(Arc::clone(count))))
    }

    #[test]
    fn t1_the_first_begins_and_the_others_join() {
        let store = Store::new(Duration::ZERO, 30 * SECOND);
        let (_, flight) = begun(store.ask(Trigger::Missing, START, 0));
        joined(store.ask(Trigger::Missing, START, 0));
        joined(store.ask(Trigger::Forced, START, 0));
        store.finish(&flight, token("a"), START);
        assert!(matches!(store.ask(Trigger::Missing, START, 0), Answer::Usable(_)));
    }

    #[test]
    fn t3_everybody_who_waits_is_woken_and_gets_the_same() {
        let store = Store::new(Duration::ZERO, 30 * SECOND);
        let (mut first, flight) = begun(store.ask(Trigger::Missing, START, 0));
        let mut second = joined(store.ask(Trigger::Missing, START, 0));
        let count = Arc::new(Count::default());
        assert!(poll(&mut first, &count).is_pending() && poll(&mut second, &count).is_pending());
        store.finish(&flight, failure(), START);
        assert_eq!(count.0.load(Relaxed), 2);
        for waiter in [&mut first, &mut second] {
            let Poll::Ready(Err(error)) = poll(waiter, &count) else { panic!("still waiting") };
            assert_eq!(error.retry_after(), Some(10 * SECOND));
        }
    }

    /// Notes whether it could have asked the store for a token when it was woken.
    struct Probe(Arc<Store>, AtomicU64);

    impl Wake for Probe {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(u64::from(self.0.gate.try_lock().is_ok()), Relaxed);
        }
    }

    #[test]
    fn t3_nobody_is_woken_while_the_lock_is_held() {
        let store = Arc::new(Store::new(Duration::ZERO, 30 * SECOND));
        let (mut waiter, flight) = begun(store.ask(Trigger::Missing, START, 0));
        let probe = Arc::new(Probe(Arc::clone(&store), AtomicU64::new(0)));
        assert!(waiter.poll(&mut Context::from_waker(&Waker::from(Arc::clone(&probe)))).is_pending());
        store.finish(&flight, failure(), START);
        assert_eq!(probe.1.load(Relaxed), 1);
    }

    #[test]
    fn who_looks_only_after_the_end_is_not_forgotten() {
        let store = Store::new(Duration::ZERO, 30 * SECOND);
        let (mut waiter, flight) = begun(store.ask(Trigger::Missing, START, 0));
        store.finish(&flight, token("a"), START);
        assert!(poll(&mut waiter, &Arc::default()).is_ready());
    }

    #[test]
    fn s8_who_gives_up_leaves_no_waker_behind() {
        let store = Store::new(Duration::ZERO, 30 * SECOND);
        let (mut waiter, flight) = begun(store.ask(Trigger::Missing, START, 0));
        let count = Arc::new(Count::default());
        assert!(poll(&mut waiter, &count).is_pending());
        assert!(poll(&mut waiter, &count).is_pending(), "twice by the same takes one place");
        assert_eq!(Arc::strong_count(&count), 2);
        drop(waiter);
        assert_eq!(Arc::strong_count(&count), 1);
        store.finish(&flight, token("a"), START);
        assert_eq!(count.0.load(Relaxed), 0);
    }

    #[test]
    fn r2_only_the_current_token_is_retired() {
        let store = holding("a");
        assert_eq!(store.rejected(1, at(1), 0), Course::Renew);
        assert!(store.current().is_none());
        let (_, flight) = begun(store.ask(Trigger::Rejected, at(1), 0));
        store.finish(&flight, token("b"), at(2));
        assert_eq!(store.rejected(1, at(3), 0), Course::Renew, "late, for the first token");
        assert!(matches!(store.ask(Trigger::Rejected, at(3), 0), Answer::Usable(issued) if issued.ordinal == 2));
    }

    #[test]
    fn r11_the_same_text_again_is_the_same_token() {
        let store = holding("a");
        store.rejected(1, at(1), 0);
        let (_, flight) = begun(store.ask(Trigger::Rejected, at(1), 0));
        assert_eq!(flight.rejected.as_ref().map(AccessToken::expose_secret), Some("a"));
        store.finish(&flight, token("a"), at(2));
        let Answer::Usable(issued) = store.ask(Trigger::Rejected, at(2), 0) else { panic!("not published") };
        assert!(issued.ordinal == 2 && issued.is_same_as(1));
    }

    #[test]
    fn t8_a_cool_down_answers_at_once_and_ends_with_time_force_or_rotation() {
        let store = Store::new(Duration::ZERO, 30 * SECOND);
        let (_, flight) = begun(store.ask(Trigger::Missing, START, 0));
        store.finish(&flight, failure(), START);
        let Answer::CoolingDown(error) = store.ask(Trigger::Missing, at(4), 0) else { panic!("no cool-down") };
        assert_eq!(error.retry_after(), Some(6 * SECOND));
        for (trigger, now, generation) in
            [(Trigger::Missing, at(10), 0), (Trigger::Forced, at(4), 0), (Trigger::Missing, at(4), 1)]
        {
            let (_, flight) = begun(store.ask(trigger, now, generation));
            store.finish(&flight, End::Aborted(AuthError::new(ErrorKind::Aborted, "gone")), now);
        }
    }

    #[test]
    fn t2_an_aborted_flight_leaves_no_cool_down() {
        let store = Store::new(Duration::ZERO, 30 * SECOND);
        let (_, flight) = begun(store.ask(Trigger::Missing, START, 0));
        store.finish(&flight, End::Aborted(AuthError::new(ErrorKind::Aborted, "gone")), START);
        begun(store.ask(Trigger::Missing, START, 0));
    }

    #[test]
    fn t2_a_flight_is_overdue_when_its_time_is_over() {
        let store = Store::new(Duration::ZERO, 30 * SECOND);
        begun(store.ask(Trigger::Missing, at(5), 0));
        assert!(store.overdue(at(34)).is_none());
        assert!(store.overdue(at(35)).is_some());
    }

    #[test]
    fn t4_an_aging_token_is_attended_once_and_again_after_the_cool_down() {
        let store = holding("a");
        assert!(store.attend(Trigger::Aging, at(74), 0).is_none());
        let flight = store.attend(Trigger::Aging, at(75), 0).unwrap();
        assert_eq!(flight.trigger, Trigger::Aging);
        assert!(store.attend(Trigger::Aging, at(76), 0).is_none(), "one is under way");
        store.finish(&flight, failure(), at(76));
        assert!(store.attend(Trigger::Aging, at(85), 0).is_none(), "cooling down");
        assert!(matches!(store.ask(Trigger::Missing, at(85), 0), Answer::Usable(_)), "and still of use");
        assert!(store.attend(Trigger::Aging, at(86), 0).is_some());
    }

    #[test]
    fn t4_a_forced_flight_that_fails_brings_no_refresh_forward() {
        let store = holding("a");
        let (_, flight) = begun(store.ask(Trigger::Forced, at(1), 0));
        store.finish(&flight, failure(), at(1));
        assert!(store.attend(Trigger::Aging, at(74), 0).is_none());
        assert!(store.attend(Trigger::Aging, at(75), 0).is_some());
    }

    #[test]
    fn s1_no_request_takes_the_lock_while_a_flight_for_the_successor_is_on_its_way() {
        let store = holding("a");
        let needs_attention = |now, generation| store.current.load_full().unwrap().needs_attention(now, generation);
        store.attend(Trigger::Aging, at(75), 1).unwrap();
        assert!(!needs_attention(at(75), 1));
        assert!(!needs_attention(at(104), 1));
        assert!(needs_attention(at(105), 1), "overdue");
        assert!(needs_attention(at(75), 2), "rotated again");
    }

    struct NoSource;

    impl TokenSource for NoSource {
        fn fetch<'a>(
            &'a self,
            _request: FetchRequest<'a>,
        ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>> {
            Box::pin(pending())
        }
    }

    #[test]
    fn s1_a_request_with_a_young_token_waits_for_no_lock() {
        let clock = Timepiece::new(Clock::Tokio);
        let mut refresher = Refresher::new(Box::new(NoSource), RefreshPolicy::default(), clock);
        refresher.store = holding("a");
        let refresher = Arc::new(refresher);
        let held = refresher.store.gate();
        let (done, is_done) = mpsc::channel();
        let request = Arc::clone(&refresher);
        thread::spawn(move || {
            let current = request.store.current();
            request.attend(current.as_ref().unwrap(), at(74));
            request.store.accepted(0);
            done.send(()).unwrap();
        });
        assert!(is_done.recv_timeout(30 * SECOND).is_ok(), "it waits for the lock");
        drop(held);
    }

    #[test]
    fn t14_a_rotation_is_attended_at_once_and_again_after_a_failure() {
        let store = holding("a");
        let flight = store.attend(Trigger::Aging, at(1), 1).unwrap();
        assert_eq!(flight.trigger, Trigger::Rotated);
        store.finish(&flight, failure(), at(2));
        assert!(store.attend(Trigger::Aging, at(11), 1).is_none());
        assert!(store.attend(Trigger::Aging, at(12), 1).is_some());
    }

    #[test]
    fn t6_a_stillborn_token_is_for_those_who_waited_unless_it_was_rejected() {
        let store = Store::new(Duration::ZERO, 30 * SECOND);
        let (mut waiter, flight) = begun(store.ask(Trigger::Missing, at(95), 0));
        store.finish(&flight, token("late"), at(95));
        let Poll::Ready(Ok(brought)) = poll(&mut waiter, &Arc::default()) else { panic!("no token") };
        assert!(store.after_flight(Arc::clone(&brought), at(95)).is_some());
        store.retire_token(&brought.token);
        assert!(store.after_flight(brought, at(95)).is_none());
    }

    #[test]
    fn a_token_that_ended_before_its_waiter_woke_is_not_handed_out() {
        let store = holding("a");
        let Answer::Usable(brought) = store.ask(Trigger::Missing, START, 0) else { panic!("no token") };
        assert!(store.after_flight(Arc::clone(&brought), at(89)).is_some());
        assert!(store.after_flight(brought, at(90)).is_none());
    }

    #[test]
    fn r5_a_rejected_renewal_that_nobody_was_accepted_with_is_not_renewed_at_once() {
        let store = holding("a");
        store.rejected(1, at(1), 0);
        let (_, flight) = begun(store.ask(Trigger::Rejected, at(1), 0));
        store.finish(&flight, token("b"), at(1));
        assert_eq!(store.rejected(2, at(1), 0), Course::TooSoon);
        assert_eq!(store.rejected(2, at(2), 0), Course::Renew);
    }

    #[test]
    fn r5_a_renewal_that_others_were_accepted_with_for_ten_seconds_is_renewed_at_once() {
        let store = holding("a");
        store.rejected(1, at(1), 0);
        let (_, flight) = begun(store.ask(Trigger::Rejected, at(1), 0));
        store.finish(&flight, token("b"), at(1));
        store.accepted(2);
        assert_eq!(store.rejected(2, at(11), 0), Course::Renew);
    }

    #[test]
    fn r5_a_renewal_that_healed_is_renewed_at_once() {
        let store = holding("a");
        store.rejected(1, at(1), 0);
        let (_, flight) = begun(store.ask(Trigger::Rejected, at(1), 0));
        store.finish(&flight, token("b"), at(1));
        let Answer::Usable(issued) = store.ask(Trigger::Rejected, at(1), 0) else { panic!("no token") };
        store.replayed(&issued, Replayed::Accepted, at(1));
        assert_eq!(store.rejected(2, at(1), 0), Course::Renew);
    }

    /// The token with this ordinal is rejected and renewed, and the request sent again is rejected too.
    fn unhealed(store: &Store, ordinal: u32, next: &str, now: Moment) {
        assert_eq!(store.rejected(ordinal, now, 0), Course::Renew);
        let (_, flight) = begun(store.ask(Trigger::Rejected, now, 0));
        store.finish(&flight, token(next), now);
        store.replayed(&store.current.load_full().unwrap(), Replayed::Rejected, now);
    }

    #[test]
    fn r5_one_bad_caller_among_healthy_ones_is_still_spaced_when_they_are_accepted() {
        let store = holding("a");
        store.accepted(1);
        unhealed(&store, 1, "b", at(4));
        store.accepted(2);
        assert_eq!(store.rejected(2, at(4), 0), Course::TooSoon);
        assert_eq!(store.rejected(2, at(5), 0), Course::Renew);
    }

    #[test]
    fn r5_a_flight_that_a_rejected_request_only_joined_is_a_renewal_too() {
        let store = holding("a");
        let flight = store.attend(Trigger::Aging, at(75), 0).unwrap();
        assert_eq!(store.rejected(1, at(75), 0), Course::Renew);
        joined(store.ask(Trigger::Rejected, at(75), 0));
        joined(store.ask(Trigger::Missing, at(75), 0));
        store.finish(&flight, token("b"), at(76));
        assert_eq!(store.rejected(2, at(76), 0), Course::TooSoon, "so its token has to prove itself");
    }

    #[test]
    fn r5_a_quiet_minute_counts_from_the_last_rejection_where_nothing_is_sent_again_too() {
        let store = holding("a");
        let mut ordinal = 1;
        let mut spaced = |seconds| {
            store.accepted(ordinal);
            assert_eq!(store.rejected(ordinal, at(seconds), 0), Course::Renew);
            let (_, flight) = begun(store.ask(Trigger::Rejected, at(seconds), 0));
            store.finish(&flight, token(&seconds.to_string()), at(seconds));
            ordinal += 1;
            assert_eq!(store.rejected(ordinal, at(seconds), 0), Course::TooSoon);
            (seconds..99).find(|later| !store.gate().spacing.runs(at(*later))).unwrap() - seconds
        };
        assert_eq!([spaced(1), spaced(3), spaced(64)], [1, 2, 1]);
    }

    #[test]
    fn r5_a_rejection_of_a_request_that_was_sent_again_breaks_the_quiet_too() {
        let store = holding("a");
        store.accepted(1);
        unhealed(&store, 1, "b", at(4));
        store.replayed(&store.current.load_full().unwrap(), Replayed::Rejected, at(50));
        unhealed(&store, 2, "c", at(70));
        assert_eq!(store.rejected(3, at(71), 0), Course::TooSoon, "the count goes on, so that it is two seconds");
        assert_eq!(store.rejected(3, at(72), 0), Course::Renew);
    }

    #[test]
    fn r5_a_late_answer_to_an_earlier_token_ends_no_spacing() {
        let store = holding("a");
        store.accepted(1);
        unhealed(&store, 1, "b", at(4));
        unhealed(&store, 2, "c", at(8));
        store.accepted(1);
        assert_eq!(store.rejected(3, at(9), 0), Course::TooSoon);
        store.accepted(3);
        assert_eq!(store.rejected(3, at(9), 0), Course::Renew, "an answer to this one does");
    }

    #[test]
    fn r6_a_rejection_during_a_cool_down_leaves_the_token_where_it_is() {
        let store = holding("a");
        let flight = store.attend(Trigger::Aging, at(80), 0).unwrap();
        store.finish(&flight, failure(), at(80));
        assert_eq!(store.rejected(1, at(81), 0), Course::CoolingDown);
        assert!(store.current().is_some());
    }
}
