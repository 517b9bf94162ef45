//! Demonstration: a small service that calls an API through the layer, with all that an operator looks at.
//!
//! ```text
//! cargo run --example observe --features metrics,sandbox              # a live view in the terminal
//! cargo run --example observe --features metrics,sandbox -- --check   # the same without a terminal, by a script of 20 s
//! ```
//!
//! | part | file | to copy |
//! |---|---|---|
//! | `/metrics`, a page for Prometheus; `/ready`, for a load balancer; graceful shutdown | `observe/service.rs` | yes |
//! | the API's client, and a sandbox in the place of the API | `observe/app.rs` | in part |
//! | log lines, kept for the view | `observe/logs.rs` | no: write to stderr |
//! | callers, keys, the view, the script | the others | no |
//!
//! Beside them are `dashboard.json` for Grafana and `alerts.yml` for Prometheus. Keys revoke the token, stop the authorization
//! server, rotate the client secret and quit; so do SIGTERM and Ctrl-C.
#![expect(clippy::disallowed_methods, reason = "a demonstration runs in real time")]

#[path = "observe/app.rs"]
mod app;
#[path = "observe/callers.rs"]
mod callers;
#[path = "observe/check.rs"]
mod check;
#[path = "observe/counts.rs"]
mod counts;
#[path = "observe/keys.rs"]
mod keys;
#[path = "observe/logs.rs"]
mod logs;
#[path = "observe/page.rs"]
mod page;
#[path = "observe/service.rs"]
mod service;
mod support;
#[path = "observe/terminal.rs"]
mod terminal;
#[path = "observe/view.rs"]
mod view;

use std::{
    env,
    io::{self, IsTerminal},
    time::Duration,
};

use tower_outbound_auth::BoxError;

use crate::{app::App, callers::Callers, keys::Key, logs::Logs, service::Service, terminal::Terminal};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    match env::args().nth(1).as_deref() {
        None if !io::stdout().is_terminal() => Err("stdout is no terminal; use `--check`".into()),
        None => watch().await,
        Some("--check") => check::run().await,
        Some(other) => Err(format!("`{other}`: unknown argument; use `--check`, or none").into()),
    }
}

async fn watch() -> Result<(), BoxError> {
    let app = App::start(Logs::install(), Duration::from_secs(20)).await?;
    let service = Service::start(&app).await?;
    let callers = Callers::start(&app, service.address(), 20)?;
    let mut terminal = Terminal::open(&app, service.address());
    let mut signal = Box::pin(service::shutdown_signal());
    loop {
        tokio::select! {
            key = terminal.key() => match key {
                Some(Key::Quit) | None => break,
                Some(key) => app.press(key),
            },
            signal = &mut signal => break signal?,
        }
    }
    let shut_down = service.shut_down(&app).await;
    terminal.close().await?;
    shut_down?;
    callers.end().await;
    println!("All calls have ended: {} succeeded, {} failed.", app.counts.succeeded(), app.counts.failed());
    Ok(())
}
