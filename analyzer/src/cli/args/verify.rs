//! What can be typed after `flowtape verify`.

use std::path::PathBuf;

use super::reading::Reading;
use super::{Gated, Tapes};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  flowtape verify my-tape --policies policies/                 would they deny what was \
        recorded?\n  flowtape verify my-tape --policies policies/ -n shop         only what begins or ends in namespace \
        `shop`\n  flowtape verify my-tape --policies p/ --baseline accepted.toml  but for what somebody accepted\n\nA \
        baseline is TOML, one table for each kind of denial that is accepted:\n  [[accept]]\n  from = \"ops/job\"\n  to \
        = \"shop/db\"\n  port = \"5432/TCP\"                # every port where it is left out\n  direction = \
        \"ingress\"            # `ingress` or `egress`, both where it is left out\n  reason = \"goes away in March\"\n  \
        until = \"2026-03-01T00:00:00Z\"     # optional: not for recordings that end then or later\nEntries with a `change` are \
        for `diff`, and left out."
)]
pub struct VerifyArgs {
    /// What to read.
    #[command(flatten)]
    pub input: Tapes,
    /// File or directory of policies
    #[arg(short, long, value_name = "PATH")]
    pub policies: PathBuf,
    /// How the policies are read.
    #[command(flatten)]
    pub reading: Reading,
    /// Only connections that begin or end in this namespace, and rules of its policies; may be given several times
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
    /// What is accepted, and where reports go.
    #[command(flatten)]
    pub gated: Gated,
}
