//! The command at work, and what it says.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Outcome;

/// A recording in progress. One that is dropped is killed.
pub(crate) struct Recording {
    process: Process,
    stderr: BufReader<ChildStderr>,
    /// What it said before it was ready.
    began_with: String,
    home: Rc<TempDir>,
}

/// The process, which ends with this value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is sent to one that was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A recording that ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// What it said after it was ready.
    pub(crate) said: String,
    home: Rc<TempDir>,
}

impl Recording {
    /// Starts the command and waits until it says that it records.
    pub(crate) fn start(options: &[&str]) -> Outcome<Self> {
        Self::start_in(tempfile::tempdir()?, options)
    }

    /// The same into a directory that may hold a tape.
    pub(crate) fn start_in(home: impl Into<Rc<TempDir>>, options: &[&str]) -> Outcome<Self> {
        Self::start_as(&[], home, options)
    }

    /// The same by another program, which is told the command.
    pub(crate) fn start_as(by: &[&str], home: impl Into<Rc<TempDir>>, options: &[&str]) -> Outcome<Self> {
        let home = home.into();
        let mut child = command(by, &home)
            .args(options)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take();
        let process = Process(child);
        let mut stderr = BufReader::new(stderr.ok_or("no stderr")?);
        let mut said = String::new();
        loop {
            let mut line = String::new();
            if stderr.read_line(&mut line)? == 0 {
                return Err(format!("never ready: {said}").into());
            }
            if line.starts_with("recording on n1 ") {
                return Ok(Self {
                    process,
                    stderr,
                    began_with: said,
                    home,
                });
            }
            said.push_str(&line);
        }
    }

    /// Where the tape is being written.
    pub(crate) fn tape(&self) -> PathBuf {
        self.home.path().join("tape")
    }

    /// Waits until it says something with these words in it.
    pub(crate) fn wait_for(&mut self, words: &str) -> Outcome {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            if self.stderr.read_line(&mut line)? == 0 {
                return Err(format!("it ended and never said `{words}`").into());
            }
        }
        Ok(())
    }

    /// What it said before it was ready.
    pub(crate) fn began_with(&self) -> &str {
        &self.began_with
    }

    /// Number of the process.
    pub(crate) fn process(&self) -> u32 {
        self.process.0.id()
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn stop(self, signal: libc::c_int) -> Outcome<Ended> {
        self.signal(signal)?;
        self.wait()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: libc::c_int) -> Outcome {
        let process = libc::pid_t::try_from(self.process.0.id())?;
        // SAFETY: no pointers are involved, and the child was not waited for, so the number is still its own.
        if unsafe { libc::kill(process, signal) } != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        Ok(())
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Outcome<Ended> {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said)?;
        Ok(Ended {
            code: self.process.0.wait()?.code(),
            said,
            home: self.home,
        })
    }
}

impl Ended {
    /// Where the tape is.
    pub(crate) fn tape(&self) -> PathBuf {
        self.home.path().join("tape")
    }

    /// Takes what it wrote, to record over it.
    pub(crate) fn into_home(self) -> Rc<TempDir> {
        self.home
    }

    /// Fails unless it ended well. Others on this machine may have made the kernel skip runs, so that it says that it is
    /// incomplete; what a case counts itself is exact all the same.
    pub(crate) fn must_be_done(&self) -> Outcome {
        if self.code == Some(0) {
            return Ok(());
        }
        Err(format!("exit code {:?}, and it said: {}", self.code, self.said).into())
    }

    /// Fails unless it ended well and says that the recording is complete.
    pub(crate) fn must_be_complete(&self) -> Outcome {
        if self.code == Some(0)
            && self
                .said
                .lines()
                .last()
                .is_some_and(|line| line.starts_with("complete: "))
        {
            return Ok(());
        }
        Err(format!("exit code {:?}, and it said: {}", self.code, self.said).into())
    }
}

/// Starts the command for one that must not come to record; gives its exit code and what it says.
pub(crate) fn refused(by: &[&str]) -> Outcome<(Option<i32>, String)> {
    let home = tempfile::tempdir()?;
    let ended = command(by, &home).args(["--duration", "1s"]).output()?;
    assert!(!home.path().join("tape").exists(), "nothing was touched");
    Ok((ended.status.code(), String::from_utf8(ended.stderr)?))
}

fn command(by: &[&str], home: &TempDir) -> Command {
    let words = [by, &[env!("CARGO_BIN_EXE_flowtape-recorder")]].concat();
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .args(["record", "--node", "n1", "-o"])
        .arg(home.path().join("tape"));
    command
}

/// Files below a directory whose names end with `suffix`.
pub(crate) fn files(below: &Path, suffix: &str) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, suffix)?);
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> Outcome<bool>) -> Outcome {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_so()? {
        if Instant::now() > deadline {
            return Err(format!("waited a minute in vain until {what}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
