//! The terminal: draws the view, reads keys, and leaves the terminal as it was.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::{JoinHandle, spawn_blocking},
};
use tower_outbound_auth::BoxError;

use crate::{app::App, keys::Key, view};

pub(crate) struct Terminal {
    keys: UnboundedReceiver<Key>,
    closed: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

impl Terminal {
    /// Takes the terminal over, in another thread, because reading keys blocks.
    pub(crate) fn open(app: &Arc<App>, address: SocketAddr) -> Self {
        let (sender, keys) = unbounded_channel();
        let (app, closed) = (Arc::clone(app), Arc::new(AtomicBool::new(false)));
        let is_closed = Arc::clone(&closed);
        let thread = spawn_blocking(move || {
            // In raw mode Ctrl-C is a key. A panic gives the terminal back, too.
            let mut terminal = ratatui::try_init()?;
            let shown = show(&mut terminal, &app, address, &sender, &is_closed);
            ratatui::try_restore()?;
            shown
        });
        Self { keys, closed, thread }
    }

    /// Returns the next key; `None` if the terminal is gone.
    pub(crate) async fn key(&mut self) -> Option<Key> {
        self.keys.recv().await
    }

    pub(crate) async fn close(self) -> Result<(), BoxError> {
        self.closed.store(true, Relaxed);
        Ok(self.thread.await??)
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    app: &App,
    address: SocketAddr,
    keys: &UnboundedSender<Key>,
    closed: &AtomicBool,
) -> io::Result<()> {
    while !closed.load(Relaxed) {
        terminal.draw(|frame| view::draw(frame, app, address))?;
        if event::poll(REDRAWN_EVERY)?
            && let Event::Key(pressed) = event::read()?
            && let Some(key) = key(pressed)
        {
            // Nobody reads keys any more while calls end.
            _ = keys.send(key);
        }
    }
    Ok(())
}

fn key(pressed: KeyEvent) -> Option<Key> {
    match pressed.code {
        _ if pressed.kind != KeyEventKind::Press => None,
        KeyCode::Char('c') if pressed.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char(letter) => Key::of(letter),
        _ => None,
    }
}

const REDRAWN_EVERY: Duration = Duration::from_millis(100);
