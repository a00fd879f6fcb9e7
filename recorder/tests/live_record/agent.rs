//! What a container of a node runs: an agent in a control group and a network namespace of its own, told to end and collected
//! over a stream that breaks.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use flowtape_recorder::transfer::{self, Received};
use flowtape_schemas::node::{CgroupRow, Direction, FlowRow};

use crate::recording::until;
use crate::tape::Tape;
use crate::worker::{Worker, mount};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[("an_agent_in_a_pod_records_its_node_and_is_collected", pod)];

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowtape-recorder");

/// UID of the agent's pod, and id of its container.
const POD: &str = "0a9f6c2e-1d57-4c7b-8a34-5b1f0e9d2c61";
const CONTAINER: &str = "00112233445566778899aabbccddeeff9b2c1f0e4d7a6b5c8e9f001122334455";

/// An agent, and the control group that it is in.
struct Agent {
    child: Child,
    root: PathBuf,
}

impl Agent {
    /// Starts one as the container of a pod: with its control group, its network namespace and three capabilities.
    fn start(tape: &Path) -> Outcome<Self> {
        let root = mount()?.join(format!("flowtape-agent-{}", std::process::id()));
        let container = root.join(format!("kubepods/besteffort/pod{POD}/{CONTAINER}"));
        fs::create_dir_all(&container)?;
        let enter = "echo $$ > \"$1/cgroup.procs\" && shift && exec \"$@\"";
        let few = "-all,+bpf,+perfmon,+net_admin";
        let child = Command::new("sh")
            .args(["-c", enter, "sh"])
            .arg(&container)
            .args(["unshare", "--net", "setpriv", "--bounding-set", few, "--inh-caps", few])
            .args([PROGRAM, "agent", "--linger", "1m", "-o"])
            .arg(tape)
            .args([
                "--",
                "record",
                "--node",
                "n1",
                "--rotation",
                "200ms",
                "--interval",
                "100ms",
            ])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, root })
    }

    fn signal(&self, signal: libc::c_int) -> Outcome {
        let process = libc::pid_t::try_from(self.child.id())?;
        // SAFETY: no pointers are involved, and the child was not waited for, so the number is still its own.
        if unsafe { libc::kill(process, signal) } != 0 {
            return Err(io::Error::last_os_error().into());
        }
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It takes its recorder along when it is asked to end; it may have ended.
        let _ = self.signal(libc::SIGTERM);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let pod = self.root.join(format!("kubepods/besteffort/pod{POD}"));
        for group in [
            pod.join(CONTAINER),
            pod,
            self.root.join("kubepods/besteffort"),
            self.root.join("kubepods"),
        ] {
            let _ = fs::remove_dir(group);
        }
        let _ = fs::remove_dir(&self.root);
    }
}

/// What `exec` runs beside the agent.
fn exec(verb: &str, tape: &Path) -> Outcome<Output> {
    Ok(Command::new(PROGRAM).arg(verb).arg(tape).output()?)
}

/// A stream that breaks after so many bytes.
struct Cut<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for Cut<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.left);
        if length == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let read = self.inner.read(&mut buffer[..length])?;
        self.left -= read;
        Ok(read)
    }
}

/// One stream of `send`, at most so many bytes long.
fn stream(tape: &Path, to: &Path, bytes: usize) -> Outcome<Result<Received, transfer::ReceiveError>> {
    let mut sender = Command::new(PROGRAM)
        .arg("send")
        .arg(tape)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (stdout, stdin): (Option<ChildStdout>, Option<ChildStdin>) = (sender.stdout.take(), sender.stdin.take());
    let mut from = Cut {
        inner: stdout.ok_or("no stdout")?,
        left: bytes,
    };
    let received = transfer::receive(to, &mut from, &mut stdin.ok_or("no stdin")?, &mut |_, _| {});
    drop(from);
    sender.wait()?;
    Ok(received)
}

fn pod() -> Outcome {
    let home = tempfile::tempdir()?;
    let (tape, here) = (home.path().join("tape"), home.path().join("collected"));
    fs::create_dir(&here)?;
    let mut agent = Agent::start(&tape)?;
    until("the agent records", || Ok(exec("status", &tape)?.status.success()))?;
    let worker = Worker::connects(2, 100)?;
    let stopped = exec("stop", &tape)?;
    let last = String::from_utf8(stopped.stdout)?;
    assert!(
        stopped.status.success() && last.contains(" on n1, "),
        "{last} {}",
        String::from_utf8_lossy(&stopped.stderr)
    );

    // The first stream breaks in the middle of a file; the next goes on there.
    let sent: u64 = files_of(&tape)?;
    let first = stream(&tape, &here, usize::try_from(sent / 2)?)?;
    assert!(first.is_err(), "it was meant to break: {first:?}");
    let rest = stream(&tape, &here, usize::MAX)??;
    assert_eq!(rest.bytes, sent, "{rest:?}");
    assert!(rest.fresh < sent && rest.fresh > 0, "{rest:?}");

    let collected = Tape::at(here.join("recording-000001"));
    collected.must_be_whole()?;
    for direction in [Direction::Out, Direction::In] {
        assert_eq!(collected.operations(worker.cgroup_id, direction)?, 201, "{direction}");
    }
    // It knows the worker's pod, and its own.
    let groups: Vec<CgroupRow> = collected.rows()?;
    for (pod, container) in [(crate::worker::POD, crate::worker::CONTAINER), (POD, CONTAINER)] {
        let is_it =
            |row: &CgroupRow| (row.pod_uid.as_deref(), row.container_id.as_deref()) == (Some(pod), Some(container));
        assert!(groups.iter().any(is_it), "{pod}");
    }
    let own = agent
        .root
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let own = groups
        .iter()
        .filter(|row| row.path.contains(&own))
        .map(|row| row.cgroup_id);
    let own: Vec<u64> = own.collect();
    let flows: Vec<FlowRow> = collected.rows()?;
    let reached = flows
        .iter()
        .filter(|row| row.cgroup_id.is_some_and(|id| own.contains(&id)));
    assert_eq!(reached.count(), 0, "an agent reaches nobody");

    agent.signal(libc::SIGTERM)?;
    assert!(agent.child.wait()?.success(), "what is collected may go");
    Ok(())
}

/// Bytes of the files of a tape that are sent.
fn files_of(tape: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for path in crate::recording::files(&tape.join("recording-000001"), "")? {
        bytes += fs::metadata(path)?.len();
    }
    Ok(bytes)
}
