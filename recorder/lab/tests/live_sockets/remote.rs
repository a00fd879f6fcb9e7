//! An actor, seen from the test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Outcome;

/// An actor at work; dropping it kills it.
pub(crate) struct Remote {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Inode number of its network namespace.
    pub(crate) netns: u32,
}

impl Remote {
    /// Starts one in a control group (several, if they are of several hierarchies) and a network namespace.
    pub(crate) fn start(cgroup: &str, netns: &str) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--actor", cgroup, netns])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no stdin")?;
        let output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut remote = Self {
            child,
            input,
            output,
            netns: 0,
        };
        remote.netns = remote.line()?.parse()?;
        Ok(remote)
    }

    /// Begins a command.
    pub(crate) fn begin(&mut self, command: &str) -> Outcome {
        Ok(writeln!(self.input, "{command}")?)
    }

    /// The answer to a command that was begun.
    pub(crate) fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("the actor has ended".into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// The answer to a command.
    pub(crate) fn ask(&mut self, command: &str) -> Outcome<String> {
        self.begin(command)?;
        self.line()
    }

    /// Commands that must be done, one after the other.
    pub(crate) fn must(&mut self, commands: &[&str]) -> Outcome {
        for command in commands {
            let answer = self.ask(command)?;
            expect(command, &answer, "ok")?;
        }
        Ok(())
    }

    /// A command that must fail with this error.
    pub(crate) fn must_fail(&mut self, command: &str, errno: i32) -> Outcome {
        let answer = self.ask(command)?;
        expect(command, &answer, &format!("errno {errno}"))
    }

    /// A command whose answer is an address or a number.
    pub(crate) fn value<T: std::str::FromStr>(&mut self, command: &str) -> Outcome<T> {
        let answer = self.ask(command)?;
        let value = answer.strip_prefix("ok ").and_then(|value| value.parse().ok());
        value.ok_or_else(|| format!("`{command}` was answered by `{answer}`").into())
    }

    /// A stream socket that listens.
    pub(crate) fn listen(&mut self, name: &str, at: SocketAddr) -> Outcome {
        let family = family(at);
        self.must(&[
            &format!("socket {name} {family} stream"),
            &format!("bind {name} {at}"),
            &format!("listen {name}"),
        ])
    }

    /// A stream socket that is connected.
    pub(crate) fn connect(&mut self, name: &str, to: SocketAddr) -> Outcome {
        let family = family(to);
        self.must(&[
            &format!("socket {name} {family} stream"),
            &format!("connect {name} {to}"),
        ])
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, in the middle of whatever it does.
    pub(crate) fn kill(mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // Both fail where it has ended, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As the actor spells it.
pub(crate) fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "v4" } else { "v6" }
}

fn expect(command: &str, answer: &str, wanted: &str) -> Outcome {
    if answer == wanted {
        return Ok(());
    }
    Err(format!("`{command}` was answered by `{answer}`, not `{wanted}`").into())
}
