//! What may be asked of `kubectl flowtape`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::manifest::{Image, Run};
use super::{window, yaml};
use crate::cli::{parse_duration, parse_tape_size};
use crate::exit::Exit;
use crate::output;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    done, and the recording is incomplete (`record --strict`)
  2    bad usage, missing permissions, no node could record; nothing is left in the cluster
  101  a bug of kubectl-flowtape; please report it
  130  interrupted before there was anything to collect, or a second time; the last lines say what is left

Everything is said on stderr; only `--print-manifests` prints to stdout.";

const RECORD_EXAMPLES: &str = "\
Examples:
  kubectl flowtape record --duration 30m -o my-tape --image REGISTRY/flowtape-recorder@sha256:...
  kubectl flowtape record -o my-tape --image ...    # until Ctrl-C, which ends the window and collects it
  kubectl flowtape record --print-manifests --image ... | kubectl diff -f -

What it creates stands in a namespace of its own, has the label flowtape.run=ID, and is removed at the end, also after \
Ctrl-C or an error. A second Ctrl-C leaves at once and says what is left. The last line says whether the recording is \
complete, and why not.";

const COLLECT_EXAMPLES: &str = "\
Examples:
  kubectl flowtape collect -o my-tape

What was applied stays; whoever applied it removes it.";

const REMOVE_EXAMPLES: &str = "\
Examples:
  kubectl flowtape remove              # whatever any run left behind
  kubectl flowtape remove --run 3f9a2c";

/// Records a window on every node of a cluster.
#[derive(Debug, Parser)]
#[command(name = "kubectl-flowtape", bin_name = "kubectl flowtape", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What the plugin can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Record the sockets of every node for a while, and what the cluster consists of
    #[command(after_help = RECORD_EXAMPLES)]
    Record(RecordArgs),
    /// End and collect a recording that was applied from manifests
    #[command(after_help = COLLECT_EXAMPLES)]
    Collect(CollectArgs),
    /// Remove what a run left behind that could not remove it itself
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove(RemoveArgs),
}

/// Which cluster, and where in it.
#[derive(Clone, Debug, Args)]
pub struct ClusterArgs {
    /// File that says where the cluster is [default: $KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace for what is created; absent, or made by an earlier run
    #[arg(long, value_name = "NAME", default_value = "flowtape")]
    pub namespace: String,
}

/// Arguments of `record`.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct RecordArgs {
    /// How long to record once every node does, such as 30s, 10m or 1h30m; without it until Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Directory of the tape; made if it does not exist
    #[arg(short, long, value_name = "DIR", required_unless_present = "print_manifests")]
    pub output: Option<PathBuf>,
    /// Image with `flowtape-recorder` of this build, by digest: NAME@sha256:...
    #[arg(long, value_name = "IMAGE")]
    pub image: Image,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How long to wait for every node to begin; those that have not by then are named
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = parse_duration)]
    pub startup_timeout: Duration,
    /// Which single events to keep: `all`, or `first:K` of each edge and interval
    #[arg(long, value_name = "all|first:K")]
    pub events: Option<crate::cli::Events>,
    /// How large the tape of one node may grow. Near that samples stop, then its window ends
    #[arg(long, value_name = "N", default_value = "1024MiB", value_parser = parse_tape_size)]
    pub max_size: u64,
    /// Limit the metadata, and nothing else: follow the objects of these namespaces only, and nodes. The sockets of every pod
    /// are recorded all the same, and peers in other namespaces are unknown, so that no rule can be made for them. To get the
    /// policies of one namespace, record without this and give the analyzer `-n`
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// Print what would be created as YAML, and do nothing
    #[arg(long)]
    pub print_manifests: bool,
    /// Leave everything in the cluster; `kubectl flowtape remove` removes it
    #[arg(long)]
    pub keep: bool,
    /// Replace the tape in DIR. A directory that holds anything else is refused all the same
    #[arg(long)]
    pub force: bool,
    /// Exit with 1 if the recording is incomplete
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `collect`.
#[derive(Clone, Debug, Args)]
pub struct CollectArgs {
    /// Directory of the tape; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Which run: the value of the label flowtape.run
    #[arg(long, value_name = "ID", default_value = PRINTED)]
    pub run: String,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Replace the tape in DIR. A directory that holds anything else is refused all the same
    #[arg(long)]
    pub force: bool,
    /// Exit with 1 if the recording is incomplete
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `remove`.
#[derive(Clone, Debug, Args)]
pub struct RemoveArgs {
    /// Only what this run left; its id was its first line
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Id of the run in manifests that are printed, which somebody else applies.
pub const PRINTED: &str = "gitops";

/// Time on top of window and start-up after which a recorder ends by itself: whoever drives it may be gone.
const SLACK: Duration = Duration::from_mins(10);

impl RecordArgs {
    /// The run that these arguments describe.
    #[must_use]
    pub fn run(&self, id: String) -> Run {
        let mut arguments = Vec::new();
        if let Some(events) = self.events {
            arguments.extend(["--events".to_owned(), events.to_string()]);
        }
        Run {
            id,
            namespace: self.cluster.namespace.clone(),
            image: self.image.to_string(),
            limit: self.duration.map(|duration| duration + self.startup_timeout + SLACK),
            max_size: self.max_size,
            namespaces: self.namespaces.clone(),
            arguments,
        }
    }
}

/// Runs what was asked.
pub fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.verb {
        Verb::Record(arguments) if arguments.print_manifests => {
            let run = arguments.run(PRINTED.to_owned());
            output::data(&yaml::documents(&super::manifest::objects(&run)))?;
            Ok(Exit::Done)
        }
        Verb::Record(arguments) => window::record(&arguments),
        Verb::Collect(arguments) => window::collect(&arguments),
        Verb::Remove(arguments) => window::remove(&arguments),
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
        let image = format!("i@sha256:{}", "a".repeat(64));
        for (arguments, expected) in [
            (vec!["record", "-o", "d"], "--image"),
            (vec!["record", "-o", "d", "--image", "i:latest"], "NAME@sha256:DIGEST"),
            (vec!["record", "--image", &image], "--output"),
            (
                vec!["record", "-o", "d", "--image", &image, "--duration", "soon"],
                "30s",
            ),
        ] {
            let error = Cli::try_parse_from(["kubectl-flowtape"].into_iter().chain(arguments)).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
