//! A caller: now patient, now with a timeout, now gone in the middle; and now and then somewhere else.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fastrand::Rng;
use http::{
    Request, Response,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::Full;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tower::ServiceExt;
use tower_outbound_auth::{AuthError, BoxError, NoAuth, rejection::NotReplayed};

use crate::{
    tally::{Check, Row, Tally},
    watch::Marks,
    world::{LONGEST_LAG, Stack, Subject},
};

pub(crate) struct Caller {
    subject: Arc<Subject>,
    tally: Arc<Tally>,
    stack: Stack,
    elsewhere: Arc<str>,
    random: Rng,
}

#[derive(Clone, Copy)]
enum Patience {
    /// Waits for the end, which must come within the bound.
    ToTheEnd,
    /// Has a timeout around the stack.
    Timeout(Duration),
    /// Is gone after so long: the response future is dropped. Zero is right after its first poll.
    Gone(Duration),
}

impl Caller {
    pub(crate) fn new(subject: &Arc<Subject>, http2: bool, elsewhere: &Arc<str>, seed: u64) -> Self {
        Self {
            subject: Arc::clone(subject),
            tally: Arc::clone(&subject.ledger.tally),
            stack: subject.stack(http2),
            elsewhere: Arc::clone(elsewhere),
            random: Rng::with_seed(seed),
        }
    }

    /// Calls until it is told that the chaos is over.
    pub(crate) async fn live(mut self, mut over: watch::Receiver<bool>) {
        while !*over.borrow_and_update() {
            let [first, second, third] = [0; 3].map(|_| (self.request(), self.patience()));
            if self.random.u8(..8) == 0 {
                tokio::join!(self.call(first), self.call(second), self.call(third));
            } else {
                self.call(first).await;
            }
            sleep(Duration::from_millis(self.random.u64(5..60))).await;
        }
    }

    /// Calls until there is a good answer; how long that took.
    pub(crate) async fn succeed(mut self) {
        let limit = self.subject.all_well_after();
        let begun = Instant::now();
        loop {
            let answer = timeout(self.subject.bound(), self.stack.clone().oneshot(self.types())).await;
            if matches!(&answer, Ok(Ok(response)) if is_good(response)) {
                let name = self.subject.ledger.name();
                break self.tally.took(format!("until all was well, {name}"), begun.elapsed());
            }
            if begun.elapsed() > limit {
                let name = self.subject.ledger.name();
                break self.tally.violated(Check::AllEndsWell, format!("{name}: after {limit:?} still {answer:?}"));
            }
            sleep(Duration::from_millis(self.random.u64(20..80))).await;
        }
    }

    async fn call(&self, (request, patience): (Request<Full<Bytes>>, Patience)) {
        self.tally.count(Row::Calls, "all");
        let limit = match patience {
            Patience::ToTheEnd => self.subject.bound(),
            Patience::Timeout(limit) | Patience::Gone(limit) => limit,
        };
        let untouched = request.extensions().get::<Marks>().is_some_and(|marks| marks.untouched);
        let begun = Instant::now();
        let answer = timeout(limit, self.stack.clone().oneshot(request)).await;
        match (answer, patience) {
            (Ok(answer), _) => {
                self.tally.took(format!("call, {}", self.subject.ledger.name()), begun.elapsed());
                self.note(answer, untouched);
            }
            (Err(_), Patience::Timeout(_)) => self.tally.count(Row::Calls, "ended by the caller's timeout"),
            (Err(_), Patience::Gone(_)) => self.tally.count(Row::Calls, "dropped by the caller"),
            (Err(_), Patience::ToTheEnd) => {
                self.subject.ledger.violated(Check::NothingHangs, format!("over {limit:?}"));
            }
        }
    }

    fn note(&self, answer: Result<Response<Bytes>, BoxError>, untouched: bool) {
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                let ours = AuthError::find(error.as_ref());
                if let Some(ours) = ours.filter(|_| untouched) {
                    self.subject.ledger.violated(Check::Untouched, ours.to_string());
                }
                let kind = ours.map_or("of the transport".to_owned(), |ours| format!("{:?}", ours.kind()));
                return self.tally.count(Row::Errors, kind);
            }
        };
        if is_good(&response) {
            return self.tally.count(Row::Answers, "good");
        }
        let why = response.extensions().get::<NotReplayed>();
        if why.is_some() && untouched {
            self.subject.ledger.violated(Check::Untouched, format!("{why:?}"));
        }
        if why.is_some() && !response.body().starts_with(br#"{"message":""#) {
            self.subject.ledger.violated(Check::AnswersWhole, format!("{why:?}, {:?}", response.body()));
        }
        let why = why.map(|why| format!(", {why:?}")).unwrap_or_default();
        self.tally.count(Row::Answers, format!("{}{why}", response.status()));
    }

    fn patience(&mut self) -> Patience {
        match self.random.u8(..20) {
            0..=1 => Patience::Timeout(Duration::from_millis(self.random.u64(20..400))),
            2 => Patience::Gone(Duration::ZERO),
            3..=4 => Patience::Gone(Duration::from_micros(self.random.u64(..30_000))),
            _ => Patience::ToTheEnd,
        }
    }

    fn request(&mut self) -> Request<Full<Bytes>> {
        let lag = match self.random.u8(..8) {
            0 => LONGEST_LAG.mul_f64(self.random.f64()),
            1..=3 => LONGEST_LAG.mul_f64(self.random.f64() / 10.0),
            _ => Duration::ZERO,
        };
        let world = &self.subject.world;
        let api = world.sandbox.environment().api_origin().to_owned();
        let (elsewhere, downloads) = (&self.elsewhere, world.sandbox.download_origin());
        let ours = Marks { lag, ..Marks::default() };
        let untouched = Marks { untouched: true, ..ours.clone() };
        let types = Request::get(format!("{api}/v1/reports/types"));
        match self.random.u8(..20) {
            0 => marked(types.extension(NoAuth), "", untouched),
            1 => marked(Request::get(format!("{elsewhere}/v1/reports/types")), "", untouched),
            2 => marked(Request::get(format!("{downloads}/files/none")), "", untouched),
            3 => marked(types.header(AUTHORIZATION, OWN), "", Marks { own: Some(OWN), ..untouched }),
            4..=6 => {
                let json = Request::post(format!("{api}/v1/reports/download")).header(CONTENT_TYPE, "application/json");
                marked(json, r#"{"report_type":"settlement","product":"duitnow_qr","date":"2026-01-31"}"#, ours)
            }
            _ => marked(types, "", ours),
        }
    }

    fn types(&self) -> Request<Full<Bytes>> {
        let api = self.subject.world.sandbox.environment();
        marked(Request::get(format!("{}/v1/reports/types", api.api_origin())), "", Marks::default())
    }
}

fn marked(builder: http::request::Builder, body: &'static str, marks: Marks) -> Request<Full<Bytes>> {
    builder.extension(marks).body(Full::from(body)).unwrap()
}

/// Neither a refusal, nor the page of a proxy.
fn is_good(response: &Response<Bytes>) -> bool {
    response.status() == 200 && response.body().starts_with(b"{")
}

/// What a caller authenticates with that does so by itself.
const OWN: &str = "Bearer of_the_caller";
