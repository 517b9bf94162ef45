//! Disrupts servers, secrets, clocks and runtimes, in an order that its seed decides.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use http::StatusCode;
use tokio::{task::JoinSet, time::sleep};
use tower_outbound_auth::sandbox::{Fault, FaultKind};

use crate::{
    SHORT_LIVED,
    tally::{Row, Tally},
    world::{API_LATENCY, Subject, World},
};

pub(crate) struct Disruptor {
    random: Rng,
    tally: Arc<Tally>,
    worlds: Vec<Arc<World>>,
    subjects: Vec<Arc<Subject>>,
    rotations: u64,
    forced: JoinSet<()>,
}

#[derive(Clone, Copy)]
enum Disruption {
    ApiFault,
    /// The API rejects whatever token it gets, so that renewals do not help.
    RejectAll,
    TokenFault,
    Revoke,
    Rotate,
    /// A token is forced, and invalidated.
    ForceAndInvalidate,
    EndRuntime,
    MoveClock,
}

impl Disruptor {
    pub(crate) fn new(seed: u64, tally: &Arc<Tally>, worlds: &[Arc<World>], subjects: &[Arc<Subject>]) -> Self {
        Self {
            random: Rng::with_seed(seed),
            tally: Arc::clone(tally),
            worlds: worlds.to_vec(),
            subjects: subjects.to_vec(),
            rotations: 0,
            forced: JoinSet::new(),
        }
    }

    /// Disrupts for so long; `end_runtime` shuts a runtime down and starts another, by the number that it is given. Ends with
    /// the worst that it can leave behind: an outage that every layer notices, no token that is good, and wrong clocks.
    pub(crate) async fn run(&mut self, time: Duration, mut end_runtime: impl FnMut(u64)) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            let mut round: Vec<Disruption> = ROUND.iter().flat_map(|&(one, times)| vec![one; times]).collect();
            self.random.shuffle(&mut round);
            for next in round.into_iter().take_while(|_| begun.elapsed() < time) {
                self.disrupt(next, &mut end_runtime).await;
                sleep(Duration::from_millis(self.random.u64(5..120))).await;
            }
        }
        for world in &self.worlds {
            world.sandbox.inject(Fault::token(FaultKind::Status(StatusCode::SERVICE_UNAVAILABLE)).times(u32::MAX));
            world.sandbox.revoke_tokens();
            world.sandbox.set_clock_offset(self.random.i64(1_000..7_200));
            self.tally.count(Row::Disruptions, "revocations");
        }
        // A fetch is nearly always under way now, so some end with these.
        for _ in 0..2 * SHORT_LIVED {
            sleep(LAST_OUTAGE / (2 * SHORT_LIVED)).await;
            self.disrupt(Disruption::EndRuntime, &mut end_runtime).await;
        }
    }

    /// Nothing new goes wrong from here on.
    pub(crate) async fn end(mut self) {
        while self.forced.join_next().await.is_some() {}
        for world in &self.worlds {
            world.sandbox.clear_faults();
        }
    }

    async fn disrupt(&mut self, next: Disruption, end_runtime: &mut impl FnMut(u64)) {
        let world = Arc::clone(&self.worlds[self.random.usize(..self.worlds.len())]);
        match next {
            Disruption::ApiFault => self.api_fault(&world),
            Disruption::RejectAll => {
                let times = self.random.u32(50..300);
                world.sandbox.inject(Fault::api(FaultKind::Status(StatusCode::UNAUTHORIZED)).times(times));
                self.tally.add(Row::Faults, "API: 401, for a while", times.into());
            }
            Disruption::TokenFault => self.token_fault(&world),
            Disruption::Revoke => {
                world.sandbox.revoke_tokens();
                self.tally.count(Row::Disruptions, "revocations");
            }
            Disruption::Rotate => self.rotate(&world).await,
            Disruption::ForceAndInvalidate => {
                let subject = Arc::clone(&self.subjects[self.random.usize(..self.subjects.len())]);
                self.forced.spawn(async move { subject.force_and_invalidate().await });
                self.tally.count(Row::Disruptions, "forced, and invalidated through the handle");
            }
            Disruption::EndRuntime => {
                end_runtime(self.random.u64(..));
                self.tally.count(Row::Disruptions, "runtimes shut down");
            }
            Disruption::MoveClock => {
                world.sandbox.set_clock_offset(self.random.i64(-7200..7200));
                self.tally.count(Row::Disruptions, "clock moved");
            }
        }
    }

    fn api_fault(&mut self, world: &World) {
        let latency = API_LATENCY.mul_f64(self.random.f64());
        let (name, kind) = match self.random.u8(..9) {
            0 => ("401", FaultKind::Status(StatusCode::UNAUTHORIZED)),
            1 => ("500", FaultKind::Status(StatusCode::INTERNAL_SERVER_ERROR)),
            2 => ("503", FaultKind::Status(StatusCode::SERVICE_UNAVAILABLE)),
            3 => ("429, Retry-After", FaultKind::RetryAfter(StatusCode::TOO_MANY_REQUESTS, Duration::from_secs(1))),
            4 => ("latency", FaultKind::Latency(latency)),
            5 => ("reset", FaultKind::Reset),
            6 => ("malformed", FaultKind::Malformed),
            7 => ("cut off", FaultKind::CutOff),
            _ => ("wrong clock", FaultKind::WrongClock(self.random.i64(-7200..7200))),
        };
        let times = self.random.u32(1..=3);
        self.tally.add(Row::Faults, format!("API: {name}"), times.into());
        world.sandbox.inject(Fault::api(kind).times(times));
    }

    fn token_fault(&mut self, world: &World) {
        // Longer than one attempt may take, or not so long.
        let latency = Duration::from_millis(if self.random.bool() { 1_300 } else { self.random.u64(10..400) });
        let (name, kind) = match self.random.u8(..8) {
            0 => ("500", FaultKind::Status(StatusCode::INTERNAL_SERVER_ERROR)),
            1 => ("503", FaultKind::Status(StatusCode::SERVICE_UNAVAILABLE)),
            2 => ("429, Retry-After", FaultKind::RetryAfter(StatusCode::TOO_MANY_REQUESTS, Duration::from_secs(1))),
            3 => ("latency", FaultKind::Latency(latency)),
            4 => ("reset", FaultKind::Reset),
            5 => ("malformed", FaultKind::Malformed),
            6 => ("cut off", FaultKind::CutOff),
            _ => ("wrong clock", FaultKind::WrongClock(self.random.i64(-7200..7200))),
        };
        let times = self.random.u32(1..=3);
        self.tally.add(Row::Faults, format!("token: {name}"), times.into());
        world.sandbox.inject(Fault::token(kind).times(times));
    }

    async fn rotate(&mut self, world: &World) {
        self.rotations += 1;
        let secret = format!("secret&{}+%=", self.rotations);
        let between = Duration::from_millis(self.random.u64(20..400));
        let (server, client) = (world.sandbox.credentials(), world.credentials.clone());
        let (name, sides, between) = match self.random.u8(..3) {
            0 => ("rotations at both sides", [server, client], Duration::ZERO),
            1 => ("rotations at the server first", [server, client], between),
            _ => ("rotations at the client first", [client, server], between),
        };
        self.tally.count(Row::Disruptions, name);
        world.excuses.begin();
        for (side, pause) in sides.into_iter().zip([between, Duration::ZERO]) {
            side.rotate(secret.clone());
            sleep(pause).await;
        }
        world.excuses.end();
    }
}

/// Some 4 s.
const ROUND: [(Disruption, usize); 8] = [
    (Disruption::ApiFault, 30),
    (Disruption::RejectAll, 2),
    (Disruption::TokenFault, 8),
    (Disruption::Revoke, 4),
    (Disruption::Rotate, 1),
    (Disruption::ForceAndInvalidate, 1),
    (Disruption::EndRuntime, 6),
    (Disruption::MoveClock, 2),
];

/// Long enough for a layer's fetch to fail with all of its attempts.
const LAST_OUTAGE: Duration = Duration::from_millis(1_500);
