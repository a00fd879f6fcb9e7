//! What may be asked of `flowtape-recorder`: types and help, and which module answers.

mod agent;
mod value;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;
use crate::metadata::{self, SnapshotSource};
use crate::readiness;
pub use agent::{AgentArgs, DirectoryArgs, StopArgs};
pub use value::{Events, ValueError, parse_bytes, parse_duration, parse_duration_or_zero, parse_tape_size};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    done, and what you gated on was found (`--strict`: incomplete; `check`: recording would not work)
  2    bad usage, unreadable input, missing privileges; nothing was overwritten
  101  a bug of flowtape-recorder; please report it
  130  interrupted a second time, before the tape was complete

Data goes to stdout, everything else to stderr.";

const RECORD_EXAMPLES: &str = "\
Examples:
  flowtape-recorder record --duration 30m -o my-tape
  flowtape-recorder record --duration 1h -o my-tape --node worker-1 --events first:8
  flowtape-recorder record -o my-tape     # until Ctrl-C or SIGTERM, which end the window cleanly

A line that begins with `recording` on stderr says that the hooks are attached; the last line says whether the \
recording is complete, and why not. Files are finished every 60 seconds or 64 MiB; whatever was finished opens, even \
after a `kill -9`, and a directory without `manifest.json` is an incomplete tape.

When events come faster than they can be kept, it steps down to `first:8` until 30 seconds were calm. When the disk is \
full, samples stop; counts wait in memory, up to 16 MiB, and 4 MiB are set aside on the disk for the end. All of that \
is in table `stats`, in the manifest and in the last line.";

const CHECK_EXAMPLES: &str = "\
Examples:
  flowtape-recorder check
  flowtape-recorder check --format json | jq .";

const METADATA_EXAMPLES: &str = "\
Examples:
  kubectl get pods,svc,endpointslices,ns,nodes,netpol,deploy,rs,sts,ds,jobs,cj -A -o json > cluster.json
  flowtape-recorder metadata --from cluster.json -o my-cluster
  kubectl get ... -A -o json | flowtape-recorder metadata --from - -o my-cluster
  flowtape-recorder metadata -o my-cluster --from before.json@2026-01-01T09:00:00Z \\
      --from after.json@2026-01-01T09:30:00Z
  flowtape-recorder metadata --watch --duration 30m -o my-cluster --kubeconfig cluster.kubeconfig

--watch lists and watches namespaces, nodes, pods, services, endpointslices, daemonsets, deployments, replicasets, \
statefulsets, cronjobs, jobs and networkpolicies, and needs exactly these two verbs on them. A line that begins with \
`watching` says that everything was listed; the last line says whether the metadata is complete, and why not. What the \
API server told late or not at all, because it was away or had forgotten, is marked in the tape.

Only named fields are kept: never environment values, arguments, or annotations outside a short list. Give the \
directory to the analyzer together with a recording: `flowtape flows my-tape my-cluster`.";

/// Records what the sockets of a node do, and what a cluster consists of, into a tape.
#[derive(Debug, Parser)]
#[command(name = "flowtape-recorder", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What the recorder can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Record the sockets of this machine for a while
    #[command(after_help = RECORD_EXAMPLES)]
    Record(RecordArgs),
    /// Say what this kernel and these privileges allow
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Write what a cluster consists of: from what `kubectl get` printed, or by watching its API server
    #[command(after_help = METADATA_EXAMPLES)]
    Metadata(MetadataArgs),
    /// Record in a container: start again what dies, and stay until the files are collected
    #[command(after_help = agent::AGENT_EXAMPLES)]
    Agent(AgentArgs),
    /// Say by the exit code whether the recording of an agent has begun
    Status(DirectoryArgs),
    /// End the recording of an agent, wait for it, and print its last line
    Stop(StopArgs),
    /// Send tapes to `kubectl flowtape record` over stdin and stdout
    Send(DirectoryArgs),
}

/// Arguments of `record`.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct RecordArgs {
    /// How long to record, such as 30s, 10m or 1h30m; without it until Ctrl-C or SIGTERM
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Directory of the tape; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Name of this node in the cluster [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Size of the ring buffer that carries single events, a power of two, such as 8MiB
    #[arg(long, value_name = "N", default_value = "8MiB", value_parser = parse_bytes)]
    pub ring_bytes: u32,
    /// How many edges the kernel can hold between two drains
    #[arg(long, value_name = "N", default_value = "65536")]
    pub flow_entries: NonZeroU32,
    /// How many edges one control group may have in each direction between two drains; what is beyond is counted by port, without
    /// its peer
    #[arg(long, value_name = "N", default_value = "4096")]
    pub quota: NonZeroU32,
    /// Time between two drains of the kernel's counts
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub interval: Duration,
    /// Time after which files are finished and others begun: what a crash can cost at most
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub rotation: Duration,
    /// Time between two looks at the sockets that are open, which show connections older than the window; one is taken at the
    /// start and one at the end, and with 0 no other
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration_or_zero)]
    pub snapshot_interval: Duration,
    /// Which single events to keep: `all`, or `first:K` of each edge and interval. Counts are complete either way
    #[arg(long, value_name = "all|first:K", default_value = "all")]
    pub events: Events,
    /// How large the tape may grow, such as 500MiB. Near that samples stop, then the window ends cleanly [default: no limit]
    #[arg(long, value_name = "N", value_parser = parse_tape_size)]
    pub max_size: Option<u64>,
    /// Leave out process names, and write pseudonyms for addresses outside the cluster: those that are not private, shared,
    /// loopback, link-local or multicast. No rule can be made of them
    #[arg(long)]
    pub redact: bool,
    /// Attach no program to control groups, only tracepoints, which cannot change anything. UDP is not recorded then, nor
    /// what failed before a packet left, nor which sockets were made and bound
    #[arg(long)]
    pub passive_only: bool,
    /// Replace the tape in DIR. A directory that holds anything else is refused all the same
    #[arg(long)]
    pub force: bool,
    /// Exit with 1 if the recording is incomplete
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; not an interface
    Text,
    /// For programs
    Json,
}

/// Arguments of `metadata`.
#[derive(Clone, Debug, Args)]
pub struct MetadataArgs {
    /// A snapshot: what `kubectl get ... -A -o json` or `-o yaml` printed, and when; `-` is stdin. Several need a time each
    #[arg(
        long,
        value_name = "FILE[@TIME]",
        required_unless_present = "watch",
        allow_hyphen_values = true
    )]
    pub from: Vec<SnapshotSource>,
    /// Follow the objects of a cluster through its API server, read-only, until the end of the window
    #[arg(long, conflicts_with = "from")]
    pub watch: bool,
    /// How to watch
    #[command(flatten)]
    pub watching: WatchArgs,
    /// Directory of the tape; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Replace the tape in DIR. A directory that holds anything else is refused all the same
    #[arg(long)]
    pub force: bool,
}

/// How `metadata --watch` watches.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Kubeconfig that names the cluster [default: $KUBECONFIG, ~/.kube/config, or the service account of this pod]
    #[arg(long, value_name = "FILE", requires = "watch")]
    pub kubeconfig: Option<PathBuf>,
    /// Context within the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", requires = "watch")]
    pub context: Option<String>,
    /// How long to watch, such as 30s, 10m or 1h30m; without it until Ctrl-C or SIGTERM
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "watch")]
    pub duration: Option<Duration>,
    /// Only objects of these namespaces, and nodes; peers elsewhere are unknown then, and no rule can be made for them
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "watch")]
    pub namespaces: Vec<String>,
    /// Time after which files are finished and others begun: what a crash can cost at most
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub rotation: Duration,
    /// How long one watch may last before it is asked for anew; one that is silent for longer counts as lost
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    pub watch_time: Duration,
    /// Exit with 1 if the metadata is incomplete
    #[arg(long, requires = "watch")]
    pub strict: bool,
}

/// Runs what was asked.
pub fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.verb {
        Verb::Metadata(arguments) => metadata::run(&arguments),
        Verb::Check(arguments) => readiness::run(arguments.format),
        #[cfg(target_os = "linux")]
        Verb::Record(arguments) => crate::record::run(&arguments),
        #[cfg(target_os = "linux")]
        Verb::Agent(arguments) => crate::agent::run(&arguments),
        #[cfg(target_os = "linux")]
        Verb::Status(arguments) => Ok(crate::agent::status(&arguments)),
        #[cfg(target_os = "linux")]
        Verb::Stop(arguments) => crate::agent::stop(&arguments),
        #[cfg(target_os = "linux")]
        Verb::Send(arguments) => crate::agent::send(&arguments),
        #[cfg(not(target_os = "linux"))]
        Verb::Record(_) | Verb::Agent(_) | Verb::Status(_) | Verb::Stop(_) | Verb::Send(_) => {
            anyhow::bail!("sockets are recorded on Linux only; run this verb on the node, and `metadata` anywhere")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bad_values_are_refused_with_what_is_expected() {
        for (arguments, expected) in [
            (vec!["record", "-o", "d", "--duration", "soon"], "30s"),
            (vec!["record", "-o", "d", "--duration", "0s"], "above zero"),
            (vec!["record", "-o", "d", "--events", "some"], "first:K"),
            (vec!["record", "-o", "d", "--ring-bytes", "5000"], "power of two"),
            (vec!["record", "-o", "d", "--max-size", "9"], "1 MiB"),
            (vec!["record"], "--output"),
            (vec!["metadata", "-o", "d"], "--from"),
        ] {
            let line = ["flowtape-recorder"].into_iter().chain(arguments);
            let error = Cli::try_parse_from(line).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
