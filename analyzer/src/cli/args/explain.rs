//! What can be typed after `flowtape explain`.

use std::path::PathBuf;

use super::port::Port;
use crate::explain::RulePattern;
use crate::replay::named::Named;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  flowtape explain FT1003                                        what a finding means\n  \
        flowtape explain                                               lists every code\n  flowtape explain my-tape --rule \
        shop/web/egress/0              what a rule is for\n  flowtape explain my-tape --edge 0facac9585ad53f0               \
        which rules allow an edge of `flows --format json`\n  flowtape explain my-tape --from shop/web --to shop/db --port \
        5432/TCP  may it, and if not, what is missing?"
)]
pub struct ExplainArgs {
    /// Code of a finding, such as `FT1003`, or the recordings that are asked about; without any, all codes are listed
    #[arg(value_name = "CODE|TAPE")]
    pub subjects: Vec<String>,
    /// Show what is behind a rule of a policy: NAMESPACE/POLICY, NAMESPACE/POLICY/ingress or NAMESPACE/POLICY/ingress/0
    #[arg(long, value_name = "RULE", conflicts_with_all = ["edge", "from"])]
    pub rule: Option<RulePattern>,
    /// Show which rules allow an edge, by its id in `flowtape flows --format json`
    #[arg(long, value_name = "ID", conflicts_with = "from")]
    pub edge: Option<String>,
    /// Who would open a connection: NAMESPACE/POD, NAMESPACE/NAME or NAMESPACE/KIND/NAME of a workload, node:NAME, or an address
    #[arg(long, value_name = "PEER", requires = "to")]
    pub from: Option<Named>,
    /// Who would accept it
    #[arg(long, value_name = "PEER", requires = "from", requires = "port")]
    pub to: Option<Named>,
    /// The port of who accepts it, such as 443 or 53/UDP
    #[arg(long, value_name = "PORT", requires = "to")]
    pub port: Option<Port>,
    /// Ask these policies, a file or a directory, instead of those that `generate` makes of the recording
    #[arg(long, value_name = "PATH")]
    pub policies: Option<PathBuf>,
    /// Read settings of `generate` from this file [default: `flowtape.toml`, where there is one]
    #[arg(long, value_name = "FILE", conflicts_with = "policies")]
    pub config: Option<PathBuf>,
}
