//! The renewal budget: how many token fetches rejected requests may cause (guarantee R5).

use std::{mem, time::Duration};

use crate::time::Instant;

/// Units in the bank, and those that are out until their renewal is judged; never more than `burst` together.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    burst: u32,
    /// How long it takes to regain a unit.
    refill: Duration,
    /// In time: `refill` for each unit, so that nothing is rounded.
    bank: Duration,
    counted_at: Option<Instant>,
    out: Vec<Renewal>,
    /// Whether a warning was given since a unit was last taken while nothing was spent.
    has_warned: bool,
}

/// A fetch that a rejection caused, and what is known of its use. It holds one unit.
#[derive(Clone, Debug)]
struct Renewal {
    old_version: u32,
    began: Instant,
    /// Whether the rejected request could be replayed, so that something will tell of the new token.
    replayable: bool,
    /// `None` while the fetch is under way.
    new_version: Option<u32>,
    first_accepted: Option<Instant>,
    first_replay: Option<Replay>,
    /// A request that was sent later was accepted with the old token: it was no revocation.
    contradicted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replay {
    Accepted,
    Rejected,
}

/// An accepted or rejected request, and the token that it carried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentWith {
    pub(crate) version: u32,
    pub(crate) at: Instant,
    /// Whether it was the replay of a request whose token was rejected.
    pub(crate) is_replay: bool,
}

impl Budget {
    pub(super) fn new(burst: u32, refill: Duration) -> Self {
        Self { burst, refill, bank: refill.saturating_mul(burst), counted_at: None, out: Vec::new(), has_warned: false }
    }

    /// Takes a unit to renew this token, if there is one.
    pub(super) fn take(&mut self, old_version: u32, replayable: bool, now: Instant) -> bool {
        self.settle(now);
        let is_full = self.out.is_empty() && self.bank >= self.refill.saturating_mul(self.burst);
        // A token that is to be renewed before any request was accepted with it has lost the unit that it cost. Where the
        // burst is 1, no other could ever be regained.
        self.out.retain(|renewal| renewal.new_version != Some(old_version) || renewal.first_accepted.is_some());
        self.regain(now);
        let Some(left) = self.bank.checked_sub(self.refill).filter(|_| self.burst > 0) else {
            return false;
        };
        self.bank = left;
        self.has_warned &= !is_full;
        self.out.push(Renewal {
            old_version,
            began: now,
            replayable,
            new_version: None,
            first_accepted: None,
            first_replay: None,
            contradicted: false,
        });
        true
    }

    /// The fetch under way, whatever began it, has brought this token. A renewal whose token no request was accepted with
    /// by now has lost its unit: nothing more would ever be heard of it.
    pub(super) fn fetched(&mut self, new_version: u32, now: Instant) {
        self.settle(now);
        self.out.retain(|renewal| renewal.new_version.is_none() || renewal.first_accepted.is_some());
        if let Some(renewal) = self.out.iter_mut().find(|renewal| renewal.new_version.is_none()) {
            renewal.new_version = Some(new_version);
        }
    }

    /// The fetch under way has brought no token. If it failed, its unit comes back. If its runtime ended it is lost, or a
    /// runtime for each call would renew without limit.
    pub(super) fn fetch_ended(&mut self, has_failed: bool, now: Instant) {
        self.settle(now);
        if let Some(position) = self.out.iter().position(|renewal| renewal.new_version.is_none()) {
            self.out.remove(position);
            self.give_back(has_failed);
        }
    }

    pub(super) fn accepted(&mut self, sent: SentWith, now: Instant) {
        self.settle(now);
        for renewal in &mut self.out {
            if renewal.old_version == sent.version && sent.at > renewal.began {
                renewal.contradicted = true;
            }
            if renewal.new_version == Some(sent.version) {
                renewal.first_accepted.get_or_insert(now);
                if sent.is_replay {
                    renewal.first_replay.get_or_insert(Replay::Accepted);
                }
            }
        }
    }

    pub(super) fn replay_rejected(&mut self, version: u32, now: Instant) {
        self.settle(now);
        if let Some(renewal) = self.out.iter_mut().find(|renewal| renewal.new_version == Some(version)) {
            renewal.first_replay.get_or_insert(Replay::Rejected);
        }
    }

    /// Whether anything depends on whether requests are accepted.
    pub(super) fn awaits_acceptance(&self) -> bool {
        self.out.iter().any(|renewal| !renewal.contradicted || renewal.first_accepted.is_none())
    }

    /// Whether a warning is due that it is used up: once, and once more each time that it is used up after it was full.
    pub(super) fn warns(&mut self) -> bool {
        !mem::replace(&mut self.has_warned, true)
    }

    /// Judges the renewals whose time has come, each as of that time, and regains units.
    fn settle(&mut self, now: Instant) {
        while let Some((position, judged_at)) = self.next_judgment().filter(|(_, judged_at)| *judged_at <= now) {
            self.regain(judged_at);
            let renewal = self.out.swap_remove(position);
            self.give_back(renewal.helped());
        }
        self.regain(now);
    }

    fn give_back(&mut self, deserved: bool) {
        if deserved {
            self.bank = self.bank.saturating_add(self.refill);
        }
    }

    fn next_judgment(&self) -> Option<(usize, Instant)> {
        let judged_at = |renewal: &Renewal| Some(crate::time::after(renewal.first_accepted?, JUDGED_AFTER));
        let all = self.out.iter().enumerate().filter_map(|(position, renewal)| Some((position, judged_at(renewal)?)));
        all.min_by_key(|(_, judged_at)| *judged_at)
    }

    fn regain(&mut self, now: Instant) {
        let counted_at = *self.counted_at.get_or_insert(now);
        let passed = now.saturating_duration_since(counted_at);
        let out = u32::try_from(self.out.len()).unwrap_or(u32::MAX);
        let most = self.refill.saturating_mul(self.burst.saturating_sub(out));
        self.bank = self.bank.saturating_add(passed).min(most);
        // Threads read the clock before they come to the lock.
        self.counted_at = Some(counted_at.max(now));
    }
}

impl Renewal {
    fn helped(&self) -> bool {
        self.replayable && !self.contradicted && self.first_replay != Some(Replay::Rejected)
    }
}

/// By then the API's nodes know the new token, and the requests with the old one are answered.
const JUDGED_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        start: Instant,
        budget: Budget,
    }

    impl Scene {
        fn new() -> Self {
            Self { start: crate::time::instant(), budget: Budget::new(4, Duration::from_secs(10)) }
        }

        fn at(&self, seconds: f64) -> Instant {
            self.start + Duration::from_secs_f64(seconds)
        }

        fn take(&mut self, version: u32, seconds: f64) -> bool {
            let now = self.at(seconds);
            self.budget.take(version, true, now)
        }

        /// Renews this token, by a fetch that takes no time.
        fn renew(&mut self, version: u32, seconds: f64) -> bool {
            let may = self.take(version, seconds);
            if may {
                self.fetched(version + 1, seconds);
            }
            may
        }

        fn fetched(&mut self, version: u32, seconds: f64) {
            let now = self.at(seconds);
            self.budget.fetched(version, now);
        }

        fn accept(&mut self, version: u32, is_replay: bool, sent: f64, now: f64) {
            let sent = SentWith { version, at: self.at(sent), is_replay };
            let now = self.at(now);
            self.budget.accepted(sent, now);
        }

        fn left(&mut self, seconds: f64) -> f64 {
            let now = self.at(seconds);
            self.budget.settle(now);
            self.budget.bank.as_secs_f64() / self.budget.refill.as_secs_f64()
        }
    }

    #[test]
    fn r5_four_renewals_at_once_and_one_more_every_ten_seconds() {
        let mut scene = Scene::new();
        assert_eq!([1, 2, 3, 4, 5].map(|version| scene.renew(version, 0.0)), [true, true, true, true, false]);
        assert_eq!([9.9, 10.1].map(|now| scene.renew(5, now)), [false, true]);
        assert!(!scene.renew(6, 15.0));
    }

    #[test]
    fn r5_a_unit_is_regained_after_its_refill_however_often_it_is_looked_at() {
        let mut scene = Scene::new();
        for version in 1..=4 {
            scene.renew(version, 0.0);
        }
        for millis in 1..10_000 {
            scene.left(f64::from(millis) / 1_000.0);
        }
        assert!(scene.renew(5, 10.0));
    }

    #[test]
    fn r5_a_renewal_that_helped_gives_its_unit_back_a_second_after_the_first_acceptance() {
        let mut scene = Scene::new();
        scene.renew(1, 0.0);
        scene.accept(2, true, 0.1, 0.2);
        scene.accept(2, false, 1.0, 1.1);
        assert!(scene.left(1.1) < 3.5);
        assert!((scene.left(1.3) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn r5_units_in_the_bank_and_out_are_never_more_than_the_burst() {
        let mut scene = Scene::new();
        scene.take(1, 0.0);
        assert!((scene.left(1_000.0) - 3.0).abs() < 1e-9, "its fetch is under way for long");
        let now = scene.at(1_000.0);
        scene.budget.fetch_ended(true, now);
        assert!((scene.left(1_000.0) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn r5_a_unit_is_lost_if_the_first_replay_is_rejected() {
        let mut scene = Scene::new();
        scene.renew(1, 0.0);
        let now = scene.at(0.1);
        scene.budget.replay_rejected(2, now);
        scene.accept(2, true, 0.2, 0.2);
        assert!(scene.left(1.3) < 3.5);
    }

    #[test]
    fn r5_only_the_first_replay_counts() {
        let mut scene = Scene::new();
        scene.renew(1, 0.0);
        scene.accept(2, true, 0.1, 0.1);
        let now = scene.at(0.2);
        scene.budget.replay_rejected(2, now);
        assert!(scene.left(1.2) > 3.5);
    }

    #[test]
    fn r5_a_unit_is_lost_if_the_old_token_is_accepted_later() {
        for (sent, helped) in [(-0.1, true), (0.0, true), (0.1, false)] {
            let mut scene = Scene::new();
            scene.start += Duration::from_secs(1);
            scene.renew(1, 0.0);
            let sent = SentWith {
                version: 1,
                at: scene.start - Duration::from_secs(1) + Duration::from_secs_f64(1.0 + sent),
                is_replay: false,
            };
            let now = scene.at(0.2);
            scene.budget.accepted(sent, now);
            scene.accept(2, true, 0.3, 0.3);
            assert_eq!(scene.left(1.4) > 3.5, helped);
        }
    }

    #[test]
    fn r5_what_comes_after_the_judgment_does_not_change_it() {
        let mut scene = Scene::new();
        scene.renew(1, 0.0);
        scene.accept(2, true, 0.1, 0.1);
        scene.accept(1, false, 0.2, 1.2);
        assert!((scene.left(1.2) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn r5_a_unit_is_lost_if_the_rejected_request_could_not_be_replayed() {
        let mut scene = Scene::new();
        let now = scene.start;
        scene.budget.take(1, false, now);
        scene.fetched(2, 0.0);
        scene.accept(2, false, 0.1, 0.1);
        assert!(scene.left(1.2) < 3.5);
    }

    #[test]
    fn r5_a_token_that_is_renewed_before_it_was_accepted_has_lost_its_unit() {
        let mut scene = Scene::new();
        scene.renew(1, 0.0);
        scene.renew(2, 0.1);
        assert_eq!(scene.budget.out.len(), 1);
        scene.accept(2, false, 0.05, 0.2);
        scene.accept(3, true, 0.2, 0.3);
        let left = scene.left(1.4);
        assert!((3.0..3.2).contains(&left), "{left}");
    }

    #[test]
    fn r5_a_renewal_that_helped_is_judged_though_its_token_is_renewed_too() {
        for (seconds, left) in [(1.3, 3.0), (3.0, 4.0)] {
            let mut scene = Scene::new();
            scene.renew(1, 0.0);
            scene.accept(2, true, 0.1, 0.2);
            scene.renew(2, 0.5);
            scene.accept(3, true, 0.6, 0.7);
            assert!((scene.left(seconds) - left).abs() < 1e-9, "{seconds}");
        }
    }

    #[test]
    fn r5_a_lost_unit_is_regained_from_when_it_was_judged() {
        let mut scene = Scene::new();
        scene.renew(1, 0.0);
        scene.accept(1, false, 0.1, 0.1);
        scene.accept(2, true, 0.1, 0.2);
        assert!(scene.left(11.1) < 4.0);
        assert!((scene.left(11.3) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn r5_a_thread_that_read_the_clock_before_another_regains_nothing_twice() {
        let mut scene = Scene::new();
        (1..=4).for_each(|version| _ = scene.renew(version, 10.0));
        scene.left(5.0);
        assert!((scene.left(15.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn r5_a_token_that_nobody_used_until_its_successor_was_there_has_lost_its_unit_and_no_more() {
        let mut scene = Scene::new();
        for day in 0..10_u16 {
            let version = u32::from(day) * 2 + 1;
            assert!(scene.renew(version, f64::from(day) * 86_400.0), "day {day}");
            // It expires unused, and a request that finds none fetches the next.
            scene.fetched(version + 2, f64::from(day) * 86_400.0 + 3_600.0);
        }
        assert!((scene.left(1e6) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn r5_a_unit_is_regained_from_when_it_was_lost() {
        let mut scene = Scene::new();
        scene.renew(1, 0.0);
        scene.fetched(3, 100.0);
        assert!((3.0..3.1).contains(&scene.left(100.5)), "not from when it was taken");
        assert!((scene.left(110.1) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn r5_a_warning_is_given_once_and_again_after_the_budget_was_full() {
        let mut scene = Scene::new();
        let mut use_up = |from: u32, start: f64| {
            assert_eq!([0, 1, 2, 3, 4].map(|n| scene.renew(from + n, start)), [true, true, true, true, false]);
            let first = scene.budget.warns();
            assert!(scene.renew(from + 4, start + 10.1), "one is regained");
            let second = scene.budget.warns();
            scene.accept(from + 5, true, start + 10.2, start + 10.2);
            [first, second]
        };
        assert_eq!(use_up(1, 0.0), [true, false]);
        assert_eq!(use_up(6, 100.0), [true, false]);
    }

    #[test]
    fn r5_a_budget_of_nothing_warns_once() {
        let mut scene = Scene { budget: Budget::new(0, Duration::from_secs(10)), ..Scene::new() };
        assert!(!scene.renew(1, 0.0) && scene.budget.warns());
        assert!(!scene.renew(1, 100.0) && !scene.budget.warns());
    }

    #[test]
    fn r5_with_a_burst_of_one_an_api_that_rejects_everything_is_tried_again_after_each_refill() {
        let mut scene = Scene { budget: Budget::new(1, Duration::from_secs(10)), ..Scene::new() };
        assert!(scene.renew(1, 0.0));
        assert_eq!([5.0, 14.9, 15.1].map(|now| scene.renew(2, now)), [false, false, true]);
        assert_eq!([16.0, 25.9, 26.1].map(|now| scene.renew(3, now)), [false, false, true]);
    }

    #[test]
    fn a_burst_of_none_and_a_refill_of_nothing_are_safe() {
        let now = crate::time::instant();
        let mut none = Budget::new(0, Duration::from_secs(10));
        assert!(!none.take(1, true, now) && !none.take(1, true, now + Duration::from_secs(1_000)));
        let mut at_once = Budget::new(1, Duration::ZERO);
        for version in 1..10 {
            assert!(at_once.take(version, true, now));
            at_once.fetched(version + 1, now);
        }
    }
}
