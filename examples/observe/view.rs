//! The view: the token's life, calls, fetches, rejections, and the log.

use std::net::SocketAddr;

use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Stylize},
    text::Line,
    widgets::{Block, Gauge, Paragraph},
};
use tower_outbound_auth::token::{TokenState, TokenStatus};

use crate::{app::App, keys::Key, page::Page};

pub(crate) fn draw(frame: &mut Frame<'_>, app: &App, address: SocketAddr) {
    let figures = figures(app);
    let rows = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(u16::try_from(figures.len()).unwrap_or(u16::MAX).saturating_add(2)),
        Constraint::Min(3),
        Constraint::Length(1),
    ]);
    let [life, middle, bottom, keys] = rows.areas(frame.area());
    frame.render_widget(token(app), life);
    let title = format!(" http://{address}/metrics and /ready ");
    frame.render_widget(Paragraph::new(figures).block(Block::bordered().title(title)), middle);
    let lines = app.logs.last(bottom.height.saturating_sub(2).into());
    let lines: Vec<_> = lines.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Log ")), bottom);
    frame.render_widget(footer(app), keys);
}

/// The part of the token's life that is left.
fn token(app: &App) -> Gauge<'static> {
    let TokenStatus { state, expires_in, .. } = app.handle.status();
    let left = expires_in.unwrap_or_default();
    let color = match state {
        TokenState::Fresh => Color::Green,
        TokenState::Stale => Color::Yellow,
        _ => Color::Red,
    };
    let ratio = (left.as_secs_f64() / app.lifetime.as_secs_f64()).clamp(0.0, 1.0);
    let label = format!("{state}, {:.1} s left", left.as_secs_f64());
    Gauge::default().block(Block::bordered().title(" Token ")).gauge_style(color).ratio(ratio).label(label)
}

fn figures(app: &App) -> Vec<Line<'static>> {
    let (page, counts, status) = (app.page(), &app.counts, app.handle.status());
    let fetches = |label: &str| page.count("outbound_auth_token_fetches_total", &[label]);
    let last = status.last_error.map_or_else(|| "none".to_owned(), |error| error.to_string());
    let (renewals, throttled) =
        (fetches(r#"trigger="rejected""#), page.count("outbound_auth_rejections_total", &[r#"action="throttled""#]));
    [
        (
            "Calls",
            format!(
                "{} succeeded, {} failed, {} at the API",
                counts.succeeded(),
                counts.failed(),
                counts.at_the_api.now()
            ),
        ),
        ("Waiting callers", counts.waiting().to_string()),
        ("Token fetches", format!("{} brought a token, {} failed", status.issued, status.failures)),
        ("Last error", last),
        ("Rejections", rejections(&page)),
        ("Renewal budget", format!("4, and one more every 10 s: {renewals} renewals, {throttled} requests throttled")),
        ("Server", if app.is_server_stopped() { "stopped" } else { "running" }.to_owned()),
    ]
    .map(|(name, value)| Line::from(format!(" {name:<16} {value}")))
    .into()
}

fn rejections(page: &Page) -> String {
    let all = page.count("outbound_auth_rejections_total", &[]);
    let replays = |outcome| page.count("outbound_auth_replays_total", &[outcome]);
    let (accepted, rejected) = (replays(r#"outcome="accepted""#), replays(r#"outcome="rejected""#));
    format!("{all}; of the replays, {accepted} were accepted and {rejected} rejected")
}

fn footer(app: &App) -> Line<'static> {
    if app.is_shutting_down() {
        return Line::from(" Shutting down: no more requests, calls under way end").bold();
    }
    let keys = Key::ALL.map(|(letter, _, what)| format!(" [{letter}] {what} "));
    Line::from(keys.concat()).bold()
}
