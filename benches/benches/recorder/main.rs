//! What recording costs the recorded, and what the recorder keeps up with. Needs root and eBPF.
//!
//! ```text
//! cargo bench -p flowtape-benches --bench recorder -- [tcp] [udp] [programs] [sustained] [--short]
//! ```
//!
//! Without a name everything runs. `--short` shows that all of it works; its figures are worth nothing. The kernel object that
//! `FLOWTAPE_BPF_OBJECT` names takes turns with the built-in one, which shows what a change of the programs is worth.
//!
//! Traffic stays on the loopback of network namespaces of its own, and everything is detached again. Figures and what they do
//! not show: `benches/RESULTS.md`.

#![cfg(target_os = "linux")]

mod cost;
#[path = "../../../recorder/tests/live_kernel/preflight.rs"]
mod preflight;
mod process;
mod programs;
mod rival;
mod subject;
mod sustained;
mod table;
mod tape;
mod traffic;
mod worker;

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use flowtape_recorder::kernel::config::KernelConfig;
use flowtape_recorder_ebpf::abi::control::{SAMPLE_ALL, SampleLimits};
use flowtape_recorder_ebpf::abi::id::HookId;

use cost::{Effort, Entry, Measure};
use subject::Subject;
use traffic::Kind;
use worker::Worker;

/// What came of it.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What can be asked for by name.
const PARTS: [&str; 4] = ["tcp", "udp", "programs", "sustained"];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|first| first == process::AS_RECORDER).is_some() {
        return process::be_recorder(arguments);
    }
    let arguments: Vec<String> = arguments
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    if let Err(reason) = preflight::check() {
        say(format_args!(
            "recorder benches: 0 run, {} skipped ({reason})",
            PARTS.len()
        ));
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome {
    let named = |part: &str| arguments.iter().any(|argument| argument == part);
    let wanted = |part: &str| named(part) || !PARTS.iter().any(|part| named(part));
    let short = named("--short");
    let processors = std::thread::available_parallelism()?.get();
    // Before this thread is kept off a processor, which is what the threads it starts inherit.
    if wanted("sustained") {
        let length = Duration::from_secs(if short { 1 } else { 8 });
        for kind in [Kind::TcpPair, Kind::UdpDatagram] {
            say(sustained::run(kind, length)?);
        }
    }
    if !(wanted("tcp") || wanted("udp") || wanted("programs")) {
        return Ok(());
    }
    let others: Vec<usize> = (0..processors.saturating_sub(1)).collect();
    if others.is_empty() {
        say("note: one processor only, so the cost of reading records is in every figure");
    } else {
        traffic::stay_on(&others)?;
    }
    let worker = Worker::start(processors - 1)?;
    let effort = Effort {
        turns: if short { 4 } else { 24 },
        rounds: if short { 20 } else { 40 },
    };
    if wanted("tcp") {
        say(cost::run(&worker, &TCP, effort, subjects(Kind::TcpPair))?);
        rivals(&worker, &TCP, effort)?;
    }
    if wanted("udp") {
        for measure in [&UDP, &UDP_CONNECTED] {
            say(cost::run(&worker, measure, effort, subjects(measure.kind))?);
            rivals(&worker, measure, effort)?;
        }
    }
    if wanted("programs") {
        say(programs::run(&worker, &KernelConfig::default())?);
        if let Some(object) = another_object() {
            say("The same with another object");
            say(programs::run(&worker, &object)?);
        }
    }
    Ok(())
}

const TCP: Measure = Measure {
    title: "A TCP pair: socket, connect, accept4, close with a reset, close",
    kind: Kind::TcpPair,
    operations: 60,
    sides: 1,
};
const UDP: Measure = Measure {
    title: "A UDP datagram of 64 bytes: sendto and recvfrom; added cost per side",
    kind: Kind::UdpDatagram,
    operations: 500,
    sides: 2,
};
const UDP_CONNECTED: Measure = Measure {
    title: "The same between two connected sockets: send and recv; added cost per side",
    kind: Kind::UdpConnected,
    operations: 500,
    sides: 2,
};

/// Every choice of hooks that may meet this traffic.
fn subjects(kind: Kind) -> Vec<Entry> {
    let is_tcp = kind == Kind::TcpPair;
    let recorder = |name: &str, hears, config| {
        let config = Box::new(config);
        Entry::new(name, Subject::Recorder { config, hears })
    };
    let with_all_events = SampleLimits {
        connections: SAMPLE_ALL,
        datagrams: SAMPLE_ALL,
    };
    let mut entries = vec![
        Entry::new("nothing", Subject::Baseline),
        recorder("default hooks", true, KernelConfig::default()),
    ];
    for (name, hears, config) in [
        (
            "default hooks, an event for every datagram",
            true,
            KernelConfig {
                limits: with_all_events,
                ..KernelConfig::default()
            },
        ),
        (
            "`--passive-only`",
            is_tcp || kind == Kind::UdpConnected,
            KernelConfig {
                passive_only: true,
                ..KernelConfig::default()
            },
        ),
    ] {
        if !(is_tcp && config.limits == with_all_events) {
            entries.push(recorder(name, hears, config));
        }
    }
    for (name, only) in alone(kind) {
        let config = KernelConfig {
            only: Some(*only),
            ..KernelConfig::default()
        };
        entries.push(recorder(&format!("`{name}` alone"), false, config));
    }
    if let Some(config) = another_object() {
        entries.push(recorder("default hooks, another object", true, config));
    }
    entries
}

/// The default hooks of the kernel object that the environment names.
fn another_object() -> Option<KernelConfig> {
    Some(KernelConfig {
        object: Some(std::env::var_os("FLOWTAPE_BPF_OBJECT")?.into()),
        ..KernelConfig::default()
    })
}

/// The hooks that run for some traffic.
fn alone(kind: Kind) -> &'static [(&'static str, HookId)] {
    match kind {
        Kind::TcpPair => &[
            ("tp_btf/inet_sock_set_state", HookId::InetSockSetState),
            ("cgroup/connect4", HookId::Connect4),
            ("cgroup/sock_create", HookId::SockCreate),
            ("cgroup/sock_release", HookId::SockRelease),
        ],
        Kind::UdpDatagram => &[
            ("cgroup/sendmsg4", HookId::Sendmsg4),
            ("cgroup/recvmsg4", HookId::Recvmsg4),
            ("tp_btf/sock_send_length", HookId::SockSendLength),
        ],
        Kind::UdpConnected => &[("tp_btf/sock_send_length", HookId::SockSendLength)],
        Kind::UdpServer => &[
            ("cgroup/sock_create", HookId::SockCreate),
            ("cgroup/bind4", HookId::Bind4),
            ("cgroup/post_bind4", HookId::PostBind4),
            ("cgroup/sock_release", HookId::SockRelease),
        ],
    }
}

/// The scripts of a plain bpftrace, which take seconds to start and hence get fewer turns.
fn rivals(worker: &Worker, measure: &Measure, effort: Effort) -> Outcome {
    if let Some(reason) = rival::missing() {
        say(format_args!("bpftrace: skipped ({reason})"));
        return Ok(());
    }
    let effort = Effort {
        turns: effort.turns.div_ceil(6),
        ..effort
    };
    let mut entries = vec![
        Entry::new("nothing", Subject::Baseline),
        Entry::new("bpftrace `all.bt`", Subject::Rival("all.bt")),
    ];
    if measure.kind == Kind::TcpPair {
        entries.push(Entry::new("bpftrace `tcp.bt`", Subject::Rival("tcp.bt")));
    }
    say(cost::run(worker, measure, effort, entries)?);
    Ok(())
}

/// Prints a line or a table.
fn say(what: impl Display) {
    // Nothing can be done about a closed stdout.
    let _ = writeln!(std::io::stdout(), "{what}");
}
