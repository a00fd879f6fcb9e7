//! The same traffic, recorded from sockets and captured from the network by `tcpdump` at the same time: the same edges.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use flowtape::flow::edge::{Edge, EdgeKey, ServiceUse};
use flowtape::sorted::Sorted;
use flowtape_lab::Lab;
use flowtape_schemas::node::Outcome as Ending;

use crate::program::analyzer;
use crate::recorded::{Opened, Recorded, snapshots, traffic};
use crate::{Case, Outcome, scenario};

pub(crate) const CASES: &[Case] = &[
    ("a_capture_of_dvwa_has_the_same_edges", |_| same("dvwa")),
    ("a_capture_of_headless_services_has_the_same_edges", |_| {
        same("headless")
    }),
    ("a_capture_of_services_has_the_same_edges", |_| same("cluster-ip")),
];

/// How long a file must not have grown until everything is in it.
const STILL: Duration = Duration::from_millis(300);

fn same(name: &str) -> Outcome<String> {
    let scenario = scenario::named(name)?;
    let nodes: Vec<String> = scenario.nodes.iter().map(|node| node.name.clone()).collect();
    let directory = tempfile::tempdir()?;
    let mut metadata = Vec::new();
    let recorded = Recorded::during(scenario, &[], |lab, _recorder| {
        let captures: Vec<Capture> = nodes
            .iter()
            .map(|node| Capture::start(lab, node, directory.path().join(format!("{node}.pcap"))))
            .collect::<Outcome<_>>()?;
        traffic(lab)?;
        metadata = snapshots(lab, directory.path())?;
        captures.into_iter().try_for_each(Capture::stop)
    })?;
    recorded.check_complete()?;
    let tapes: Vec<PathBuf> = nodes
        .iter()
        .map(|node| import(directory.path(), node, &metadata))
        .collect::<Outcome<_>>()?;
    let captured = Opened::directories(&tapes)?;
    let (edges, connections) = same_edges(&recorded.opened, &captured)?;
    Ok(format!("{edges} edges of {connections} connections and datagrams"))
}

/// `tcpdump` in the network of a node; dropping it ends it.
struct Capture {
    child: Child,
    says: BufReader<ChildStderr>,
    file: PathBuf,
}

impl Capture {
    /// Starts one, on all interfaces, and waits until it captures.
    fn start(lab: &Lab, node: &str, file: PathBuf) -> Outcome<Self> {
        let place = lab.node_place(node).ok_or("the lab has no such node")?;
        let mut child = Command::new("nsenter")
            .arg(format!("--net={}", place.netns.display()))
            .args([
                "tcpdump",
                "-i",
                "any",
                "-n",
                "--immediate-mode",
                "-s",
                "2048",
                "-U",
                "-B",
                "32768",
                "-Z",
                "root",
                "-w",
            ])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut says = BufReader::new(child.stderr.take().ok_or("no stderr")?);
        let mut said = String::new();
        while !said.contains("listening on") {
            if says.read_line(&mut said)? == 0 {
                return Err(format!("tcpdump ended at once: {said}").into());
            }
        }
        Ok(Self { child, says, file })
    }

    /// Ends it when everything is written. Nothing may have been dropped.
    fn stop(mut self) -> Outcome {
        let size = || std::fs::metadata(&self.file).map(|file| file.len());
        let mut before = size()?;
        loop {
            std::thread::sleep(STILL);
            let now = size()?;
            if now == before {
                break;
            }
            before = now;
        }
        let process = libc::pid_t::try_from(self.child.id())?;
        // SAFETY: kill takes two numbers; the child has not been waited for, so the number is still its own.
        if unsafe { libc::kill(process, libc::SIGINT) } != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        let mut said = String::new();
        self.says.read_to_string(&mut said)?;
        self.child.wait()?;
        if said.contains("\n0 packets dropped by kernel") {
            return Ok(());
        }
        Err(format!("the capture is not whole:\n{said}").into())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Both fail where it has ended, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a tape of a node's capture.
fn import(directory: &Path, node: &str, metadata: &[String]) -> Outcome<PathBuf> {
    let (capture, tape) = (directory.join(format!("{node}.pcap")), directory.join(node));
    let mut arguments = vec!["import", "pcap", capture.to_str().ok_or("no text")?, "--node", node];
    arguments.extend(["-o", tape.to_str().ok_or("no text")?]);
    for snapshot in metadata {
        arguments.extend(["--metadata", snapshot]);
    }
    let output = analyzer(&arguments)?;
    if output.status.success() {
        return Ok(tape);
    }
    Err(format!("import failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// How often, and through which Services.
type Facts<'a> = (u64, &'a Sorted<ServiceUse>);

/// Every edge that was established, and every one that was refused, as often. A capture has no samples of single
/// connections, which would tell a pod that reached itself through a node from another one.
fn same_edges(recorded: &Opened, captured: &Opened) -> Outcome<(usize, u64)> {
    let recorded = recorded.by_counts();
    let (wanted, got) = (facts(&recorded.edges), facts(&captured.flows.edges));
    let mut complaints = String::new();
    for key in wanted.keys().chain(got.keys()).collect::<BTreeSet<_>>() {
        let (wanted, got) = (wanted.get(key), got.get(key));
        if wanted != got {
            let EdgeKey {
                from,
                to,
                protocol,
                port,
                outcome,
            } = key;
            writeln!(
                complaints,
                "{from} -> {to} {port}/{protocol} {outcome:?}\n  recorded {wanted:?}\n  captured {got:?}"
            )?;
        }
    }
    if !complaints.is_empty() || wanted.is_empty() {
        return Err(format!("not the same edges:\n{complaints}").into());
    }
    Ok((wanted.len(), wanted.values().map(|(count, _)| count).sum()))
}

fn facts(edges: &[Edge]) -> BTreeMap<&EdgeKey, Facts<'_>> {
    let ended = |edge: &&Edge| matches!(edge.key.outcome, Ending::Established | Ending::Refused);
    let ended = edges.iter().filter(ended);
    ended
        .map(|edge| (&edge.key, (edge.evidence.count, &edge.evidence.services)))
        .collect()
}
