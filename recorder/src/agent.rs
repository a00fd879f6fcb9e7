//! `flowtape-recorder agent`: what the container of a node runs. It starts the verb that records, starts it again if it
//! dies, and stays when the recording has ended, because the files of a container go with it.
//!
//! Whoever drives the window runs `status`, `stop` and `send` in the same container. They meet in the directory: a file
//! of each name below says that something has happened.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cli::{AgentArgs, DirectoryArgs, StopArgs};
use crate::exit::Exit;
use crate::output;
use crate::shutdown::{self, Deadline};
use crate::tape::recording_directory;
use crate::transfer;

/// The recording has begun.
const BEGUN: &str = "begun";
/// Somebody wants it to end.
const STOP: &str = "stop";
/// It has ended; the content is its last line.
const ENDED: &str = "ended";
/// Its files are stored elsewhere.
const COLLECTED: &str = "collected";

/// How the line begins that says that the hooks are attached, or that everything was listed.
const BEGINNINGS: [&str; 2] = ["recording", "watching"];

/// How often files and the process are looked at.
const PACE: Duration = Duration::from_millis(100);

/// Pause before a recorder that died is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// Recorders that may die before it is no use any more.
const LIVES: u32 = 100;

/// How a recorder ended.
enum End {
    /// As it should, or with what it had to refuse; the exit code.
    Code(i32),
    /// It died of a signal or a bug.
    Died(std::process::ExitStatus),
}

/// Runs the verb `agent`.
pub fn run(arguments: &AgentArgs) -> anyhow::Result<Exit> {
    let directory = &arguments.output;
    fs::create_dir_all(directory).with_context(|| format!("cannot create `{}`", directory.display()))?;
    shutdown::listen().context("cannot listen for signals")?;
    // A container that was started again finds what it did before.
    if !directory.join(ENDED).exists() {
        let last = record(directory, &arguments.verb)?;
        let Some(last) = last else {
            return Ok(Exit::Failed);
        };
        mark(directory, ENDED, &last)?;
    }
    linger(directory, arguments.linger);
    Ok(Exit::Done)
}

/// Runs the verb `status`: 0 once a recording has begun.
#[must_use]
pub fn status(arguments: &DirectoryArgs) -> Exit {
    let has = |name| arguments.directory.join(name).exists();
    if has(BEGUN) || has(ENDED) {
        Exit::Done
    } else {
        Exit::Found
    }
}

/// Runs the verb `stop`.
pub fn stop(arguments: &StopArgs) -> anyhow::Result<Exit> {
    let directory = &arguments.directory;
    mark(directory, STOP, "")?;
    let deadline = Instant::now() + arguments.timeout;
    loop {
        match fs::read_to_string(directory.join(ENDED)) {
            Ok(last) => {
                output::data(&format!("{last}\n"))?;
                return Ok(Exit::Done);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && Instant::now() < deadline => thread::sleep(PACE),
            Err(error) => {
                let waited = arguments.timeout;
                return Err(error).context(format!("the recording did not end within {waited:?}"));
            }
        }
    }
}

/// Runs the verb `send`.
pub fn send(arguments: &DirectoryArgs) -> anyhow::Result<Exit> {
    let directory = &arguments.directory;
    let (mut from, mut to) = (io::stdin().lock(), io::BufWriter::new(io::stdout().lock()));
    let sent = transfer::send(directory, &mut from, &mut to)?;
    if directory.join(ENDED).exists() {
        mark(directory, COLLECTED, "")?;
    }
    output::say(format_args!("sent {} bytes of {} files", sent.bytes, sent.files));
    Ok(Exit::Done)
}

/// Records until the recording ends; gives its last line, or nothing where it could not begin.
fn record(directory: &Path, verb: &[String]) -> anyhow::Result<Option<String>> {
    let mut last = String::new();
    for _ in 0..LIVES {
        let (end, line) = one_recording(directory, verb)?;
        last = line;
        match end {
            End::Code(2) if !directory.join(BEGUN).exists() => return Ok(None),
            End::Code(_) => return Ok(Some(last)),
            End::Died(status) => {
                output::warn(format_args!("the recorder died ({status}); another one begins"));
                thread::sleep(PAUSE);
            }
        }
        if is_asked(directory) {
            break;
        }
    }
    Ok(Some(format!("incomplete: the recorder died; its last words: {last}")))
}

/// Starts a recorder and waits for its end, which somebody may ask for.
fn one_recording(directory: &Path, verb: &[String]) -> anyhow::Result<(End, String)> {
    let tape = next_recording(directory)?;
    let mut child = Command::new(std::env::current_exe().context("cannot find this program")?)
        .args(verb)
        .arg("--output")
        .arg(&tape)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the recorder")?;
    let last = Arc::new(Mutex::new(String::new()));
    let words = child.stderr.take().context("the recorder has no stderr")?;
    let listener = thread::spawn({
        let (directory, last) = (directory.to_owned(), Arc::clone(&last));
        move || listen(words, &directory, &last)
    });
    let mut asked = false;
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for the recorder")? {
            break status;
        }
        if !asked && is_asked(directory) {
            asked = true;
            terminate(&child)?;
        }
        thread::sleep(PACE);
    };
    listener.join().ok().context("the listener panicked")??;
    let last = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // 101 is the exit code of a panic.
    let end = status
        .code()
        .filter(|code| *code != 101)
        .map_or(End::Died(status), End::Code);
    Ok((end, last))
}

/// Passes on what the recorder says, and notes that it has begun.
fn listen(words: ChildStderr, directory: &Path, last: &Mutex<String>) -> anyhow::Result<()> {
    for line in BufReader::new(words).lines() {
        let line = line.context("cannot read what the recorder says")?;
        output::say(&line);
        if BEGINNINGS.iter().any(|word| line.starts_with(word)) {
            mark(directory, BEGUN, "")?;
        }
        *last.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
    Ok(())
}

fn terminate(child: &Child) -> anyhow::Result<()> {
    let pid = libc::pid_t::try_from(child.id()).context("a process id beyond reason")?;
    // SAFETY: no pointers are involved, and the child is not yet waited for, so the id is still its own.
    if unsafe { libc::kill(pid, libc::SIGTERM) } != 0 {
        return Err(io::Error::last_os_error()).context("cannot stop the recorder");
    }
    Ok(())
}

fn is_asked(directory: &Path) -> bool {
    directory.join(STOP).exists() || Deadline::after(None).reached().is_some()
}

/// The first name that no earlier recording took, also not that of a container before this one.
fn next_recording(directory: &Path) -> anyhow::Result<PathBuf> {
    let free = (1..=LIVES * LIVES)
        .map(|number| directory.join(recording_directory(number)))
        .find(|path| !path.exists());
    free.with_context(|| format!("`{}` is full of recordings that died", directory.display()))
}

/// Stays until told to go, and then until the files are stored elsewhere, but not for ever.
fn linger(directory: &Path, patience: Duration) {
    while Deadline::after(None).reached().is_none() {
        thread::sleep(PACE);
    }
    let deadline = Instant::now() + patience;
    while !directory.join(COLLECTED).exists() && Instant::now() < deadline {
        thread::sleep(PACE);
    }
}

/// Says that something has happened: the file appears with its content.
fn mark(directory: &Path, name: &str, content: &str) -> anyhow::Result<()> {
    let (path, temporary) = (directory.join(name), directory.join(format!("{name}.tmp")));
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .and_then(|()| fs::rename(&temporary, &path));
    written.with_context(|| format!("cannot write `{}`", path.display()))
}
