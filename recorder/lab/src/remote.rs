//! An agent seen from the lab.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::agent::Place;

/// A running agent; dropping it ends it.
pub(crate) struct Remote {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Remote {
    /// Starts an agent without waiting for it.
    pub(crate) fn spawn(program: &Path, place: &Place) -> io::Result<Self> {
        let mut command = Command::new(program);
        command
            .arg("agent")
            .arg("--cgroup")
            .arg(&place.cgroup)
            .arg("--netns")
            .arg(&place.netns);
        for address in &place.addresses {
            command.arg("--address").arg(address.to_string());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("the agent has no output"))?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Waits until it has joined its place.
    pub(crate) fn wait_ready(&mut self) -> io::Result<()> {
        match self.line()?.as_str() {
            "ready" => Ok(()),
            other => Err(io::Error::other(format!("the agent did not start: `{other}`"))),
        }
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a command without waiting for the answer.
    pub(crate) fn send(&mut self, command: &str) -> io::Result<()> {
        let input = self
            .input
            .as_mut()
            .ok_or_else(|| io::Error::other("the agent has ended"))?;
        writeln!(input, "{command}")?;
        input.flush()
    }

    /// The next line of an answer.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the agent has ended"));
        }
        Ok(line.trim_end().to_owned())
    }

    /// Sends a command that is answered by `ok`.
    pub(crate) fn ask(&mut self, command: &str) -> io::Result<()> {
        self.send(command)?;
        match self.line()?.as_str() {
            "ok" => Ok(()),
            other => Err(io::Error::other(format!("`{command}`: {other}"))),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // Its input ends, so it would end by itself; blocked connections would keep it.
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
