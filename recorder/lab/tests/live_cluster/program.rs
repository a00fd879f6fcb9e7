//! The recorder and the analyzer as programs: this executable under another name.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use clap::Parser as _;
use flowtape_recorder::cli::Cli;
use flowtape_recorder::exit::Exit;
use flowtape_recorder::{cli, output};

use crate::Outcome;

const ANALYZER: &str = "flowtape";
const RECORDER: &str = "flowtape-recorder";

/// How long a recorder may take to attach its programs, or to write what it has, on a machine that has much to do.
const PATIENCE: Duration = Duration::from_mins(1);

/// Is the program it was called as; `None` if that is the test.
pub(crate) fn as_called() -> Option<ExitCode> {
    match std::env::args_os().next()?.to_str()? {
        ANALYZER => Some(flowtape::cli::main()),
        RECORDER => Some(cli::run(Cli::parse()).map_or_else(
            |error| {
                output::error(&error);
                Exit::Failed.into()
            },
            ExitCode::from,
        )),
        _ => None,
    }
}

fn command(name: &str) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(name).stdin(Stdio::null());
    Ok(command)
}

/// Runs the analyzer to its end.
pub(crate) fn analyzer(arguments: &[&str]) -> Outcome<Output> {
    Ok(command(ANALYZER)?.args(arguments).output()?)
}

/// Makes metadata of snapshots, each `FILE@TIME`.
pub(crate) fn metadata(snapshots: &[String], to: &Path) -> Outcome {
    let mut command = command(RECORDER)?;
    command.arg("metadata").arg("-o").arg(to);
    for snapshot in snapshots {
        command.arg("--from").arg(snapshot);
    }
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("metadata failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// A recorder at work; dropping it ends it.
pub(crate) struct Recorder {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Recorder {
    /// Starts one and waits until its programs are attached.
    pub(crate) fn start(to: &Path, options: &[&str]) -> Outcome<Self> {
        let mut command = command(RECORDER)?;
        command
            .arg("record")
            .arg("--node")
            .arg("lab")
            .arg("-o")
            .arg(to)
            .args(options);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let (sender, lines) = channel();
        if let Some(errors) = child.stderr.take() {
            // Reads for as long as the recorder speaks: a full pipe would stop it.
            std::thread::spawn(move || {
                let said = BufReader::new(errors).lines().map_while(Result::ok);
                for line in said {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let mut recorder = Self {
            child,
            lines,
            said: Vec::new(),
        };
        recorder.wait_ready()?;
        Ok(recorder)
    }

    fn wait_ready(&mut self) -> Outcome {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let is_ready = line.starts_with("recording");
                    self.said.push(line);
                    if is_ready {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err("the recorder was not ready in a minute".into()),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("the recorder ended at once:\n{}", self.said.join("\n")).into());
                }
            }
        }
    }

    /// Stops it in the middle of whatever it does, so that nobody reads what the kernel programs write.
    pub(crate) fn pause(&self) -> Outcome {
        self.signal(libc::SIGSTOP)
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) -> Outcome {
        self.signal(libc::SIGCONT)
    }

    /// Asks it to end and gives its last line: whether the recording is complete, and why not.
    pub(crate) fn stop(mut self) -> Outcome<String> {
        self.signal(libc::SIGTERM)?;
        let status = self.wait()?;
        self.said.extend(self.lines.iter());
        if !status.success() {
            return Err(format!("the recorder ended with {status}:\n{}", self.said.join("\n")).into());
        }
        self.said.pop().ok_or_else(|| "the recorder said nothing".into())
    }

    /// Ends it as nothing can refuse.
    pub(crate) fn kill(mut self) -> Outcome {
        self.signal(libc::SIGKILL)?;
        self.wait().map(|_status| ())
    }

    fn wait(&mut self) -> Outcome<ExitStatus> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > until {
                return Err(format!("the recorder did not end in a minute:\n{}", self.said.join("\n")).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: libc::c_int) -> Outcome {
        let process = libc::pid_t::try_from(self.child.id())?;
        // SAFETY: kill takes two numbers; the child has not been waited for, so the number is still its own.
        if unsafe { libc::kill(process, signal) } != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Both fail where it has ended, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
