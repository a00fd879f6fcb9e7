//! The recorder as a process of its own: this very program, told to be `flowtape-recorder`, or the one that is asked for.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use clap::Parser as _;
use flowtape_recorder::cli::{self, Cli};
use flowtape_recorder::output;

use crate::Outcome;

/// The first argument of a process that is to be the recorder.
pub(crate) const AS_RECORDER: &str = "--as-recorder";

/// Is `flowtape-recorder`, with the arguments after [`AS_RECORDER`].
pub(crate) fn be_recorder(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let line = [OsString::from("flowtape-recorder")].into_iter().chain(arguments);
    match cli::run(Cli::parse_from(line)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// The program that `FLOWTAPE_RECORDER` names, or this very one.
fn recorder() -> Outcome<Command> {
    if let Some(program) = std::env::var_os("FLOWTAPE_RECORDER") {
        return Ok(Command::new(program));
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(AS_RECORDER);
    Ok(command)
}

/// A recorder that records.
pub(crate) struct Process {
    child: Child,
    stderr: BufReader<ChildStderr>,
    home: tempfile::TempDir,
}

impl Process {
    /// Starts it and waits until its hooks are attached.
    pub(crate) fn start(options: &[&str]) -> Outcome<Self> {
        let home = tempfile::tempdir()?;
        let mut child = recorder()?
            .args(["record", "--node", "bench", "-o"])
            .arg(home.path().join("tape"))
            .args(options)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stderr = BufReader::new(child.stderr.take().ok_or("no stderr")?);
        let mut said = String::new();
        while !said.lines().any(|line| line.starts_with("recording on ")) {
            if stderr.read_line(&mut said)? == 0 {
                return Err(format!("the recorder ended: {said}").into());
            }
        }
        Ok(Self { child, stderr, home })
    }

    /// Processor time of all its threads so far, in milliseconds.
    pub(crate) fn cpu_milliseconds(&self) -> Outcome<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name before it may hold anything; after it, time in user mode is the 12th field and in kernel mode the 13th.
        let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?;
        let ticks = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u64>)
            .sum::<Result<u64, _>>()?;
        // SAFETY: no pointers are involved.
        let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) })?;
        Ok(ticks * 1_000 / per_second)
    }

    /// The most memory it ever had, in KiB; `None` once it ended.
    fn peak_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Ends the window and watches until all is written.
    pub(crate) fn stop(mut self) -> Outcome<Ended> {
        let process = libc::pid_t::try_from(self.child.id())?;
        // SAFETY: no pointers are involved, and the child was not waited for, so the number is its own.
        unsafe { libc::kill(process, libc::SIGTERM) };
        // What it says is shorter than a pipe, so it does not wait for us. As a zombie it still tells its processor time.
        let mut peak_kib = 0;
        while let Some(peak) = self.peak_kib() {
            peak_kib = peak;
            thread::sleep(Duration::from_millis(2));
        }
        let cpu_milliseconds = self.cpu_milliseconds()?;
        let mut said = String::new();
        self.stderr.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("the recorder failed ({status}): {said}").into());
        }
        Ok(Ended {
            cpu_milliseconds,
            peak_kib,
            home: self.home,
        })
    }
}

/// A recorder that wrote all it had.
pub(crate) struct Ended {
    /// Processor time of all its threads from its start to its end.
    pub(crate) cpu_milliseconds: u64,
    /// The most memory it ever had.
    pub(crate) peak_kib: u64,
    home: tempfile::TempDir,
}

impl Ended {
    /// Where the tape is.
    pub(crate) fn tape(&self) -> PathBuf {
        self.home.path().join("tape")
    }
}
