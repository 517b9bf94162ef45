//! The script in the place of a person: presses each key, and looks at what the service shows of it.

use std::{fmt::Display, sync::Arc, time::Duration};

use http::StatusCode;
use ratatui::{Terminal, backend::TestBackend};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};
use tower_outbound_auth::{
    BoxError,
    sandbox::{Fault, FaultKind},
    token::TokenState,
};

use crate::{
    app::App,
    callers::{Caller, Callers},
    keys::Key,
    logs::Logs,
    page::Page,
    service::Service,
    support::{conclude, figure, report},
    view,
};

/// What the script knows of the service.
struct Stage {
    app: Arc<App>,
    caller: Caller,
}

pub(crate) async fn run() -> Result<(), BoxError> {
    let app = App::start(Logs::install(), Duration::from_secs(8)).await?;
    let service = Service::start(&app).await?;
    let callers = Callers::start(&app, service.address(), CALLERS)?;
    let stage = Stage { app: Arc::clone(&app), caller: Caller::new(service.address())? };
    let steps = async {
        conclude(&[
            stage.starts().await?,
            stage.server_stops().await?,
            stage.server_starts().await?,
            stage.token_is_revoked().await?,
            stage.secret_is_rotated().await?,
            stage.view_shows_it(&service)?,
            stage.shuts_down(service).await?,
        ])
    };
    let ended = steps.await;
    app.begin_shutdown();
    callers.end().await;
    if ended.is_err() {
        app.logs.last(100).iter().for_each(|line| eprintln!("{line}"));
    }
    ended
}

impl Stage {
    async fn starts(&self) -> Result<bool, BoxError> {
        self.until("/ready answers 200", async || Ok(self.is_ready().await?)).await?;
        self.until("calls succeed", async || Ok(self.app.counts.succeeded() > 50)).await?;
        let page = self.page().await?;
        let gauge = page.sum(EXPIRY, &[r#"layer="reports""#]);
        let buckets = page.count("outbound_auth_token_fetch_duration_seconds_bucket", &[r#"le="+Inf""#]);
        Ok(report(
            "the service starts",
            &[
                figure("token fetches", page.count(FETCHES, &[r#"outcome="ok""#]), 1..=3),
                figure("and in the buckets", buckets, 1..=3),
                figure("expiry on the page", u64::from(gauge > 1e9), 1),
                figure("failed calls", self.app.counts.failed(), 0),
            ],
        ))
    }

    /// Ready while the token lives, although each fetch fails; and no longer when it has expired.
    async fn server_stops(&self) -> Result<bool, BoxError> {
        self.app.press(Key::StopServer);
        let failed = |page: &Page| page.count(FETCHES, &[r#"outcome="unavailable""#]);
        self.until("a fetch fails", async || Ok(failed(&self.page().await?) > 0)).await?;
        let calls_failed = self.app.counts.failed();
        let was_ready = self.is_ready().await?;
        self.until("/ready answers 503", async || Ok(!self.is_ready().await?)).await?;
        let state = self.app.handle.status().state;
        self.until("calls fail", async || Ok(self.app.counts.failed() > 0)).await?;
        Ok(report(
            "[s] the authorization server is stopped",
            &[
                figure("ready after a failed fetch", was_ready.into(), 1),
                figure("calls failed by then", calls_failed, 0),
                figure("expired when not ready", u64::from(state == TokenState::Expired), 1),
            ],
        ))
    }

    async fn server_starts(&self) -> Result<bool, BoxError> {
        self.app.press(Key::StopServer);
        self.until("/ready answers 200", async || Ok(self.is_ready().await?)).await?;
        let before = self.app.counts.succeeded();
        self.until("calls succeed", async || Ok(self.app.counts.succeeded() > before + 10)).await?;
        Ok(report("[s] the authorization server is back", &[figure("ready", self.is_ready().await?.into(), 1)]))
    }

    async fn token_is_revoked(&self) -> Result<bool, BoxError> {
        let failed = self.app.counts.failed();
        self.app.press(Key::Revoke);
        let renewed = [r#"trigger="rejected""#, r#"outcome="ok""#];
        self.until("a token is renewed", async || Ok(self.page().await?.count(FETCHES, &renewed) > 0)).await?;
        let replayed = async || Ok(self.page().await?.count(REPLAYS, &[r#"outcome="accepted""#]) > 0);
        self.until("a request is replayed", replayed).await?;
        let rejections = self.page().await?.count(REJECTIONS, &[r#"kind="token""#, r#"action="replayed""#]);
        Ok(report(
            "[r] the token is revoked",
            &[
                figure("rejected and replayed", rejections, 1..=8),
                figure("failed calls", self.app.counts.failed() - failed, 0),
            ],
        ))
    }

    async fn secret_is_rotated(&self) -> Result<bool, BoxError> {
        let failed = self.app.counts.failed();
        self.app.press(Key::Rotate);
        let rotated = [r#"trigger="rotated""#, r#"outcome="ok""#];
        self.until("a token is fetched", async || Ok(self.page().await?.count(FETCHES, &rotated) > 0)).await?;
        // A call under way is signed with the secret before, which the API no longer knows.
        Ok(report("[t] the secret is rotated", &[figure("failed calls", self.app.counts.failed() - failed, 0..=8)]))
    }

    fn view_shows_it(&self, service: &Service) -> Result<bool, BoxError> {
        let mut terminal = Terminal::new(TestBackend::new(120, 30))?;
        terminal.draw(|frame| view::draw(frame, &self.app, service.address()))?;
        let screen = terminal.backend().to_string();
        let shows = |text: &str| u64::from(screen.contains(text));
        let figures = [
            figure("token", shows(" s left"), 1),
            figure("callers", shows("Waiting callers"), 1),
            figure("budget", shows("1 renewals, 0 requests throttled"), 1),
            figure("log", shows("token_fetch"), 1),
            figure("keys", shows("[r] revoke the token"), 1),
        ];
        let ok = report("the view shows it", &figures);
        if !ok {
            eprintln!("{screen}");
        }
        Ok(ok)
    }

    /// The call under way ends well, and nothing listens any more.
    async fn shuts_down(&self, service: Service) -> Result<bool, BoxError> {
        self.app.sandbox.inject(Fault::api(FaultKind::Latency(Duration::from_secs(2))).times(100));
        let (address, caller) = (service.address(), self.caller.clone());
        let under_way = tokio::spawn(async move { caller.get("/reports").await.map_err(|error| error.to_string()) });
        let calls = CALLERS as u64 + 1;
        self.until("all calls are under way", async || Ok(self.app.counts.called.now() == calls)).await?;
        self.app.press(Key::Quit);
        let ready = self.caller.get("/ready").await?.0;
        service.shut_down(&self.app).await?;
        let left = self.app.counts.called.now();
        let (status, _) = under_way.await??;
        Ok(report(
            "[q] the service shuts down",
            &[
                figure("calls under way", calls, 9),
                figure("left at the end", left, 0),
                figure("answer", status.as_u16().into(), 200),
                figure("/ready meanwhile", ready.as_u16().into(), 503),
                figure("listens", TcpStream::connect(address).await.is_ok().into(), 0),
            ],
        ))
    }

    async fn is_ready(&self) -> Result<bool, BoxError> {
        Ok(self.caller.get("/ready").await?.0 == StatusCode::OK)
    }

    async fn page(&self) -> Result<Page, BoxError> {
        Ok(Page::new(self.caller.get("/metrics").await?.1))
    }

    async fn until(
        &self,
        what: impl Display,
        mut is_so: impl AsyncFnMut() -> Result<bool, BoxError>,
    ) -> Result<(), BoxError> {
        let end = Instant::now() + LIMIT;
        while !is_so().await? {
            if Instant::now() > end {
                return Err(format!("{what}: not within {LIMIT:?}").into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

const EXPIRY: &str = "outbound_auth_token_expiry_timestamp_seconds";
const FETCHES: &str = "outbound_auth_token_fetches_total";
const REJECTIONS: &str = "outbound_auth_rejections_total";
const REPLAYS: &str = "outbound_auth_replays_total";
const CALLERS: usize = 8;
/// For a machine that is slow.
const LIMIT: Duration = Duration::from_secs(30);
