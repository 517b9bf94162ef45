//! The hand that makes trouble: a deck of cards, dealt in an order that its seed decides.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use http::StatusCode;
use tokio::{task::JoinSet, time::sleep};
use tower_outbound_auth::sandbox::{Fault, FaultKind};

use crate::{
    MORTALS,
    tally::{Row, Tally},
    world::{API_LATENCY, Login, World},
};

pub(crate) struct Hand {
    random: Rng,
    tally: Arc<Tally>,
    worlds: Vec<Arc<World>>,
    logins: Vec<Arc<Login>>,
    rotations: u64,
    forced: JoinSet<()>,
}

#[derive(Clone, Copy)]
enum Card {
    ApiFault,
    TokenFault,
    Revoke,
    Rotate,
    /// A token is forced, and given back as refused.
    ForceAndReject,
    EndRuntime,
    MoveClock,
}

impl Hand {
    pub(crate) fn new(seed: u64, tally: &Arc<Tally>, worlds: &[Arc<World>], logins: &[Arc<Login>]) -> Self {
        Self {
            random: Rng::with_seed(seed),
            tally: Arc::clone(tally),
            worlds: worlds.to_vec(),
            logins: logins.to_vec(),
            rotations: 0,
            forced: JoinSet::new(),
        }
    }

    /// Plays for so long; `end_runtime` shuts a runtime down and starts another, by the number that it is given. Ends with
    /// the worst that it can leave behind: an outage that every layer notices, no token that is good, and wrong clocks.
    pub(crate) async fn play(&mut self, time: Duration, mut end_runtime: impl FnMut(u64)) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            let mut deck: Vec<Card> = DECK.iter().flat_map(|&(card, times)| vec![card; times]).collect();
            self.random.shuffle(&mut deck);
            for card in deck.into_iter().take_while(|_| begun.elapsed() < time) {
                self.deal(card, &mut end_runtime).await;
                sleep(Duration::from_millis(self.random.u64(5..120))).await;
            }
        }
        for world in &self.worlds {
            world.sandbox.inject(Fault::token(FaultKind::Status(StatusCode::SERVICE_UNAVAILABLE)).times(u32::MAX));
            world.sandbox.revoke_tokens();
            world.sandbox.set_clock_offset(self.random.i64(1_000..7_200));
            self.tally.count(Row::Hand, "revocations");
        }
        // A flight is nearly always under way now, so some end with these.
        for _ in 0..2 * MORTALS {
            sleep(LAST_OUTAGE / (2 * MORTALS)).await;
            self.deal(Card::EndRuntime, &mut end_runtime).await;
        }
    }

    /// Nothing new goes wrong from here on.
    pub(crate) async fn rest(mut self) {
        while self.forced.join_next().await.is_some() {}
        for world in &self.worlds {
            world.sandbox.clear_faults();
        }
    }

    async fn deal(&mut self, card: Card, end_runtime: &mut impl FnMut(u64)) {
        let world = Arc::clone(&self.worlds[self.random.usize(..self.worlds.len())]);
        match card {
            Card::ApiFault => self.api_fault(&world),
            Card::TokenFault => self.token_fault(&world),
            Card::Revoke => {
                world.sandbox.revoke_tokens();
                self.tally.count(Row::Hand, "revocations");
            }
            Card::Rotate => self.rotate(&world).await,
            Card::ForceAndReject => {
                let login = Arc::clone(&self.logins[self.random.usize(..self.logins.len())]);
                self.forced.spawn(async move { login.force_and_reject().await });
                self.tally.count(Row::Hand, "forced, and rejected through the handle");
            }
            Card::EndRuntime => {
                end_runtime(self.random.u64(..));
                self.tally.count(Row::Hand, "runtimes shut down");
            }
            Card::MoveClock => {
                world.sandbox.set_clock_offset(self.random.i64(-7200..7200));
                self.tally.count(Row::Hand, "clock moved");
            }
        }
    }

    fn api_fault(&mut self, world: &World) {
        let latency = API_LATENCY.mul_f64(self.random.f64());
        let (name, trouble) = match self.random.u8(..9) {
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
        world.sandbox.inject(Fault::api(trouble).times(times));
    }

    fn token_fault(&mut self, world: &World) {
        // Longer than one try may take, or not so long.
        let latency = Duration::from_millis(if self.random.bool() { 1_300 } else { self.random.u64(10..400) });
        let (name, trouble) = match self.random.u8(..8) {
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
        world.sandbox.inject(Fault::token(trouble).times(times));
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
        self.tally.count(Row::Hand, name);
        world.excuses.begin();
        for (side, pause) in sides.into_iter().zip([between, Duration::ZERO]) {
            side.rotate(secret.clone());
            sleep(pause).await;
        }
        world.excuses.end();
    }
}

/// Some 4 s.
const DECK: [(Card, usize); 7] = [
    (Card::ApiFault, 30),
    (Card::TokenFault, 8),
    (Card::Revoke, 4),
    (Card::Rotate, 1),
    (Card::ForceAndReject, 1),
    (Card::EndRuntime, 6),
    (Card::MoveClock, 2),
];

/// Long enough for a layer's flight to fail with all of its tries.
const LAST_OUTAGE: Duration = Duration::from_millis(1_500);
