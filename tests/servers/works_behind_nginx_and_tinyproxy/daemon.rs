//! A server that others wrote, in a temporary folder with its configuration; it ends with this process, however that ends.

use std::{
    env, fs, io,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

pub(crate) struct Daemon {
    /// Waits for the end of its standard input, and then ends the server.
    guard: Child,
    pub(crate) folder: PathBuf,
}

impl Daemon {
    /// Runs a program that stays in the foreground, and waits until it takes connections on this port.
    pub(crate) fn start(
        program: &[&str],
        port: u16,
        configure: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("auth-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        configure(&folder)?;
        let script = "PATH=$PATH:/usr/sbin; cd \"$0\" && command -v \"$1\" >found && { \"$@\" >output 2>&1 & \
                      server=$!; read -r _; kill $server; wait $server; }";
        let guard = Command::new("sh").args(["-c", script]).arg(&folder).args(program).stdin(Stdio::piped()).spawn()?;
        let mut daemon = Self { guard, folder };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let missing = daemon.guard.try_wait()?.is_some();
            if missing || begin.elapsed() > Duration::from_secs(20) {
                let [program, ..] = program else { break };
                let (output, error) = (daemon.read("output"), daemon.read("error.log"));
                return Err(io::Error::other(format!("{program} is needed here: see tests/all.sh. {output}{error}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(daemon)
    }

    /// A file that it wrote.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port on which no program listens.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
