//! What can be typed after `flowtape diff`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::Gated;
use super::reading::Reading;

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  flowtape diff old-tape new-tape\n  flowtape diff my-tape policies/                  \
        would the policies deny what was recorded?\n  flowtape diff old-tape new-tape --fail-on added  exit with 1 only \
        if something is new\n  flowtape diff old-policies/ policies/ --cluster my-tape  what would the new policies allow and deny?\n  flowtape diff old,old-metadata new,new-metadata  recordings with their metadata beside them\n\nA \
        baseline is TOML, one table for each kind of change that is accepted:\n  [[accept]]\n  from = \"ops/job\"\n  to = \
        \"shop/db\"\n  port = \"5432/TCP\"                # every port where it is left out\n  change = \"added\"                 \
        # a class, every one where it is left out\n  reason = \"the new importer\"\n  until = \
        \"2026-03-01T00:00:00Z\"     # optional: not for recordings that end then or later\nEntries with a `direction` are for \
        `verify`, and left out. `type:any` is everybody, inside and outside the cluster."
)]
pub struct DiffArgs {
    /// What to compare: a tape, or a file or directory of policies
    ///
    /// A recording and its metadata in two directories are one tape: write both with a comma between them.
    #[arg(value_name = "A")]
    pub before: String,
    /// What to compare it with
    #[arg(value_name = "B")]
    pub after: String,
    /// Only connections that begin or end in this namespace; may be given several times
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
    /// Which differences end with exit code 1; several are separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "any", value_name = "CLASS")]
    pub fail_on: Vec<FailOn>,
    /// Take an incomplete recording for a complete one
    ///
    /// Without it, a side that is incomplete or has unknown peers never gives exit code 0.
    #[arg(long)]
    pub allow_incomplete: bool,
    /// The cluster that two policy sets are for: a tape, or what `kubectl get ... -A -o json` prints
    ///
    /// Without it they are compared for pods that stand for every selector of either set.
    #[arg(long, value_name = "PATH")]
    pub cluster: Option<PathBuf>,
    /// How the policies are read.
    #[command(flatten)]
    pub reading: Reading,
    /// What is accepted, and where reports go.
    #[command(flatten)]
    pub gated: Gated,
}

/// Which differences end with exit code 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Peers that did not talk before
    Added,
    /// Peers that no longer talk
    Removed,
    /// More ports between peers that talked before
    Widened,
    /// Fewer ports between peers that still talk
    Narrowed,
    /// Any difference, and what cannot be decided
    Any,
    /// Nothing
    None,
}
