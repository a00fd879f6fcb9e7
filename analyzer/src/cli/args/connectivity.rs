//! What can be typed after `flowtape connectivity`.

use std::path::PathBuf;

use super::reading::Reading;

/// Arguments of `connectivity`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  flowtape connectivity -p policies/ --cluster cluster.json\n  flowtape connectivity -p \
        policies/ --tape my-tape -n shop       what begins or ends in namespace `shop`\n  flowtape connectivity -p \
        policies/ --tape my-tape --group       who behaves alike is one line\n  flowtape connectivity -p policies/ \
        --format csv > allowed.csv   what they allow pods that do not exist yet"
)]
pub struct ConnectivityArgs {
    /// File or directory of policies
    #[arg(short, long, value_name = "PATH")]
    pub policies: PathBuf,
    /// The cluster: what `kubectl get ... -A -o json` or `-o yaml` printed, a directory of manifests, or a tape
    ///
    /// Without it and without --tape, only pods that the policies themselves speak of are asked about.
    #[arg(long, value_name = "PATH", conflicts_with = "tapes")]
    pub cluster: Option<PathBuf>,
    /// The recording of the cluster; several are united
    #[arg(long = "tape", value_name = "TAPE")]
    pub tapes: Vec<PathBuf>,
    /// How the policies are read.
    #[command(flatten)]
    pub reading: Reading,
    /// Print peers that behave alike as one
    #[arg(long)]
    pub group: bool,
    /// Only connections that begin or end in this namespace; may be given several times
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
}
