//! Recordings of labs.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use flowtape::findings::Findings;
use flowtape::flow::{self, Flows};
use flowtape::identity::cluster::Cluster;
use flowtape::tape::{self, Tape};
use flowtape_lab::Lab;
use flowtape_scenario::Scenario;
use flowtape_schemas::manifest::HookState;
use flowtape_schemas::node::{Counter, Hook};
use flowtape_schemas::value::Words as _;
use tempfile::TempDir;

use crate::program::{Recorder, analyzer, metadata};
use crate::slice::LabGroups;
use crate::{Outcome, scenario, slice};

/// The program of the lab's agents.
pub(crate) const LAB: &str = env!("CARGO_BIN_EXE_flowtape-lab");

/// What several cases look at, each recorded when it is first needed.
pub(crate) struct Shared {
    /// Labs and other remains that were here before.
    pub(crate) before: crate::case_remains::Remains,
    dvwa: OnceCell<Recorded>,
}

impl Shared {
    pub(crate) fn new() -> Outcome<Self> {
        Ok(Self {
            before: crate::case_remains::Remains::now()?,
            dvwa: OnceCell::new(),
        })
    }

    /// The recording of `dvwa.scenario`.
    pub(crate) fn dvwa(&self) -> Outcome<&Recorded> {
        if let Some(recorded) = self.dvwa.get() {
            return Ok(recorded);
        }
        let recorded = Recorded::of(scenario::named("dvwa")?, &[])?;
        Ok(self.dvwa.get_or_init(|| recorded))
    }
}

/// A scenario's traffic as it was recorded.
pub(crate) struct Recorded {
    pub(crate) scenario: Scenario,
    /// The recorder's last line.
    pub(crate) verdict: String,
    /// What the recorder wrote, of the whole machine, with the cluster's metadata.
    pub(crate) machine: Tape,
    /// What of it is the lab's, node by node, with the findings of reading it.
    pub(crate) opened: Opened,
    /// Control groups of the lab.
    pub(crate) groups: LabGroups,
    directory: TempDir,
}

impl Recorded {
    /// Builds the lab, records its traffic once, and reads the recording.
    pub(crate) fn of(scenario: Scenario, options: &[&str]) -> Outcome<Self> {
        Self::during(scenario, options, |lab, _recorder| traffic(lab))
    }

    /// Builds the lab, records what happens in `meanwhile`, and reads the recording.
    pub(crate) fn during(
        scenario: Scenario,
        options: &[&str],
        meanwhile: impl FnOnce(&mut Lab, &Recorder) -> Outcome,
    ) -> Outcome<Self> {
        let directory = tempfile::tempdir()?;
        let at = |name: &str| directory.path().join(name);
        let mut lab = Lab::build_with(&scenario, Path::new(LAB))?;
        lab.start_servers()?;
        let recorder = Recorder::start(&at("recording"), options)?;
        meanwhile(&mut lab, &recorder)?;
        let verdict = recorder.stop()?;
        Self::read(scenario, &lab, directory, verdict)
    }

    /// Two recordings of one run, by recorders that work at the same time.
    pub(crate) fn twice(scenario: Scenario) -> Outcome<(Self, Self)> {
        let (one, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let mut lab = Lab::build_with(&scenario, Path::new(LAB))?;
        lab.start_servers()?;
        let start = |directory: &TempDir| Recorder::start(&directory.path().join("recording"), &[]);
        let recorders = (start(&one)?, start(&other)?);
        traffic(&mut lab)?;
        let verdicts = (recorders.0.stop()?, recorders.1.stop()?);
        Ok((
            Self::read(scenario.clone(), &lab, one, verdicts.0)?,
            Self::read(scenario, &lab, other, verdicts.1)?,
        ))
    }

    /// Reads what a recorder wrote below a directory, and makes a tape of what is the lab's.
    fn read(scenario: Scenario, lab: &Lab, directory: TempDir, verdict: String) -> Outcome<Self> {
        let at = |name: &str| directory.path().join(name);
        metadata(&snapshots(lab, directory.path())?, &at("metadata"))?;

        let mut findings = Findings::default();
        let machine = tape::open(&[at("recording"), at("metadata")], &mut findings)?;
        let groups = LabGroups::below(lab.cgroup())?;
        all_in_groups(lab, &machine, &groups)?;
        let mut tape = machine.clone();
        groups.part(&mut tape);
        slice::write(&tape, &at("tape"))?;
        Ok(Self {
            scenario,
            verdict,
            machine,
            opened: Opened::of(tape, findings)?,
            groups,
            directory,
        })
    }

    /// The recording as it was written.
    pub(crate) fn recording(&self) -> PathBuf {
        self.directory.path().join("recording")
    }

    /// The lab's part of it and the metadata, as one directory.
    pub(crate) fn tape(&self) -> PathBuf {
        self.directory.path().join("tape")
    }

    /// The policies that the analyzer makes of it.
    pub(crate) fn generate(&self) -> Outcome<String> {
        let tape = self.tape();
        let output = analyzer(&["generate", tape.to_str().ok_or("no text")?])?;
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout)?);
        }
        Err(format!("generate failed: {}", String::from_utf8_lossy(&output.stderr)).into())
    }

    /// How often the kernel refused to run a program because it had interrupted the same program on its processor. Any of
    /// these may have been an edge, which the recording says.
    pub(crate) fn missed(&self) -> u64 {
        let stats = self.machine.nodes.iter().flat_map(|node| &node.stats);
        let misses = stats.filter(|row| row.counter == Counter::RecursionMissed);
        misses.map(|row| row.value).sum()
    }

    /// Nothing is missing from the recording, and recorder and analyzer agree on that. What interrupted a program makes a
    /// recording incomplete, rarely and on every machine; it must be the only reason and the recorder must say so.
    pub(crate) fn check_complete(&self) -> Outcome {
        let reasons = &self.machine.health.reasons;
        let expected = |reason: &&String| !self.follows_datagrams() && reason.contains("name resolution");
        let reasons: Vec<&String> = reasons.iter().filter(|reason| !expected(reason)).collect();
        let others = reasons.iter().filter(|reason| !reason.contains("`recursion_missed`"));
        let wanted = if self.missed() == 0 {
            "complete: "
        } else {
            "incomplete: "
        };
        let agreed = reasons.is_empty() == (self.missed() == 0) && self.verdict.starts_with(wanted);
        if others.count() == 0 && agreed {
            return Ok(());
        }
        Err(format!("incomplete: {reasons:?}; the recorder said `{}`", self.verdict).into())
    }

    /// Whether the recorder had the hooks that see datagrams; where it had not, the analyzer calls the recording incomplete.
    pub(crate) fn follows_datagrams(&self) -> bool {
        let recordings = self.machine.nodes.iter().flat_map(|node| &node.recordings);
        let mut hooks = recordings.flat_map(|recording| &recording.hooks);
        hooks.any(|report| report.hook == Hook::Sendmsg4.word() && report.state == HookState::Attached)
    }

    /// The same scenario, compiled: a directory below this recording's.
    pub(crate) fn compiled(&self) -> Outcome<PathBuf> {
        let directory = self.directory.path().join("compiled");
        flowtape_scenario::tape::write(&directory, &flowtape_scenario::tape::compile(&self.scenario)?)?;
        Ok(directory)
    }
}

/// A tape with its edges.
pub(crate) struct Opened {
    pub(crate) tape: Tape,
    pub(crate) flows: Flows,
    pub(crate) findings: Findings,
}

impl Opened {
    /// As the verbs read it: samples where counts leave more than one answer.
    pub(crate) fn of(tape: Tape, mut findings: Findings) -> Outcome<Self> {
        let cluster = Cluster::new(&tape.cluster, &mut findings);
        let questions = flow::questions(&tape, &cluster);
        let operations = tape::operations(&tape, &questions.rows())?;
        let divided = flow::divide(&tape, &cluster, &questions, &operations);
        let flows = flow::edges_of_divided(&divided, &cluster, &mut findings);
        Ok(Self { tape, flows, findings })
    }

    /// What counts say without samples: all that a recording without events has.
    pub(crate) fn by_counts(&self) -> Flows {
        let mut findings = Findings::default();
        let cluster = Cluster::new(&self.tape.cluster, &mut findings);
        flow::edges(&self.tape, &cluster, &mut findings)
    }

    pub(crate) fn directory(path: PathBuf) -> Outcome<Self> {
        Self::directories(&[path])
    }

    pub(crate) fn directories(paths: &[PathBuf]) -> Outcome<Self> {
        let mut findings = Findings::default();
        let tape = tape::open(paths, &mut findings)?;
        Self::of(tape, findings)
    }
}

/// Makes the scenario's traffic, which must become what the scenario says.
pub(crate) fn traffic(lab: &mut Lab) -> Outcome {
    let report = lab.run_traffic()?;
    if report.ok() {
        return Ok(());
    }
    Err(format!("the lab's traffic is not what the scenario says:\n{report}").into())
}

/// The cluster's objects as files, each with its time as the verb takes it.
pub(crate) fn snapshots(lab: &Lab, directory: &Path) -> Outcome<Vec<String>> {
    let mut sources = Vec::new();
    for (number, snapshot) in lab.snapshots().iter().enumerate() {
        let file = directory.join(format!("cluster-{number}.json"));
        std::fs::write(&file, &snapshot.json)?;
        sources.push(format!("{}@{}", file.display(), snapshot.time));
    }
    Ok(sources)
}

/// Nothing that happened in a pod's network escapes the choice by control group. Its number may have been that of a pod of
/// another lab before.
fn all_in_groups(lab: &Lab, machine: &Tape, groups: &LabGroups) -> Outcome {
    let mut ids = groups.ids(machine);
    ids.extend(groups.of_others(machine));
    let pods = lab.pods()?;
    for row in machine.nodes.iter().flat_map(|node| &node.flows) {
        let is_pod = |pod: &&flowtape_lab::LivePod| row.netns.is_some_and(|netns| u64::from(netns) == pod.netns);
        if let Some(pod) = pods.iter().find(is_pod)
            && !row.cgroup_id.is_some_and(|id| ids.contains(&id))
        {
            return Err(format!(
                "a socket in the network of {} is in no control group of a lab: {row:?}",
                pod.name
            )
            .into());
        }
    }
    Ok(())
}
