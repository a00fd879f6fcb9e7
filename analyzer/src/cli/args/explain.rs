//! What can be typed after `flowtape explain`.

use std::path::PathBuf;
use std::str::FromStr;

use crate::explain::RulePattern;
use crate::policy::ports::Protocol;

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
    pub from: Option<String>,
    /// Who would accept it
    #[arg(long, value_name = "PEER", requires = "from", requires = "port")]
    pub to: Option<String>,
    /// The port of who accepts it, such as 443 or 53/UDP
    #[arg(long, value_name = "PORT", requires = "to")]
    pub port: Option<OnePort>,
    /// Ask these policies, a file or a directory, instead of those that `generate` makes of the recording
    #[arg(long, value_name = "PATH")]
    pub policies: Option<PathBuf>,
}

/// A port of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnePort(pub u16, pub Protocol);

impl FromStr for OnePort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write a port from 1 to 65535, and a protocol if it is not TCP: 443, 53/UDP";
        let (number, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
        let protocol = Protocol::from_name(&protocol.to_ascii_uppercase()).ok_or(FORM)?;
        match number.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Self(port, protocol)),
            Ok(_) | Err(_) => Err(FORM),
        }
    }
}
