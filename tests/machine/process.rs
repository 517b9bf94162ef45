//! This program once more, in another process that can be stopped, and that ends with this one.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    TestResult, no_file_descriptor_is_left, the_client_is_suspended, the_clock_jumps, the_token_server_stands_still,
};

pub(crate) struct Process {
    child: Child,
    /// It ends when this does.
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// In the part of that name, with these settings in its environment, and at most so many open files.
    pub(crate) fn start(part: &str, settings: &[(&str, &str)], files: u32) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &files.to_string()]).arg(env::current_exe()?);
        command.args(THE_OTHER);
        command.env(PART, part).envs(settings.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (stdin, stdout) = stdin.zip(stdout).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    /// Sends a line; the other process may be stopped meanwhile.
    pub(crate) fn tell(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.stdin, "{line}")
    }

    /// The next line that it says, without what the test harness says.
    pub(crate) fn hear(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // The harness ends its own line after the first of ours.
            if let Some((_, said)) = line.split_once(MARK) {
                return Ok(said.trim().to_owned());
            }
        }
    }

    #[cfg(feature = "sandbox")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it for some time. Another process sees to it that it goes on, even if this one ends meanwhile.
    pub(crate) fn stop_for(&self, time: Duration) -> io::Result<Child> {
        // One thread takes the signal and stops the others, which go on until it does.
        let script = "kill -STOP \"$0\"
            while cat /proc/\"$0\"/task/*/stat 2>/dev/null | grep -qv ') [TZX] '; do sleep 0.01; done
            echo; sleep \"$1\"; kill -CONT \"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, &self.child.id().to_string(), &time.as_secs_f64().to_string()]);
        let mut stopping = command.stdout(Stdio::piped()).spawn()?;
        // All of it has been stopped once there is a line.
        BufReader::new(stopping.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).read_line(&mut String::new())?;
        Ok(stopping)
    }

    /// Waits until it has ended by itself; an error with what it said if it failed.
    pub(crate) fn succeeds(mut self) -> TestResult {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said)?;
        if self.child.wait()?.success() { Ok(()) } else { Err(said.into()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Also one that is stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "other tests start it in another process"]
fn the_other_process() -> TestResult {
    let part = env::var(PART).map_err(|_| "it is no test by itself")?;
    match part.as_str() {
        "token server" => the_token_server_stands_still::serve(),
        "client" => the_client_is_suspended::call_when_told(),
        "client of a jumping clock" => the_clock_jumps::call_by_a_jumping_clock(),
        "few files" => no_file_descriptor_is_left::run_out_of_files(),
        #[cfg(all(target_os = "linux", feature = "sandbox"))]
        "sandbox with few files" => no_file_descriptor_is_left::serve_without_files(),
        #[cfg(feature = "tracing")]
        "unread" => crate::nobody_reads_what_is_traced::call_unread(),
        _ => Err(part.into()),
    }
}

/// In the other process: a line to the one that started it.
pub(crate) fn say(line: &str) {
    println!("{MARK}{line}");
}

/// In the other process: ends it when the one that started it has ended.
pub(crate) fn end_with_parent() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
}

pub(crate) const MANY_FILES: u32 = 1_024;
/// What this program is to be called with in another process.
pub(crate) const THE_OTHER: [&str; 5] =
    ["process::the_other_process", "--exact", "--ignored", "--nocapture", "--test-threads=1"];
pub(crate) const PART: &str = "AUTH_TEST_PART";
const MARK: &str = "@@ ";
