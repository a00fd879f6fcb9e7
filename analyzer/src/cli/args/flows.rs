//! What can be typed after `flowtape flows`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;
use flowtape_schemas::value::Words as _;

use super::{Destined, Tapes};
use crate::flow::filter::{PeerPattern, PortPattern};

/// Arguments of `flows`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  flowtape flows my-tape\n  flowtape flows my-tape -n shop                        edges \
        that begin or end in namespace `shop`\n  flowtape flows my-tape --from shop/web --port 443     what `web` asks \
        others for on port 443\n  flowtape flows my-tape --to type:external             what leaves the cluster\n  \
        flowtape flows my-tape --outcome refused,timeout      attempts that came to nothing\n  flowtape flows my-tape \
        --format csv > edges.csv\n  flowtape flows my-tape --format parquet -o edges.parquet"
)]
pub struct FlowsArgs {
    /// What to read.
    #[command(flatten)]
    pub input: Tapes,
    /// Only edges that begin or end in this namespace; may be given several times
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
    /// Only edges of this client; may be given several times
    #[arg(long, value_name = "PEER")]
    pub from: Vec<PeerPattern>,
    /// Only edges to this server; may be given several times
    #[arg(long, value_name = "PEER")]
    pub to: Vec<PeerPattern>,
    /// Only edges to this port of the server, such as 443, 8000-8010 or 53/UDP; several are separated by commas
    #[arg(long = "port", value_name = "PORT", value_delimiter = ',')]
    pub ports: Vec<PortPattern>,
    /// Only attempts that ended this way; several are separated by commas
    #[arg(long = "outcome", value_name = "OUTCOME", value_delimiter = ',', value_parser = outcomes())]
    pub outcomes: Vec<Outcome>,
    /// Only edges seen at this time or later, such as 2026-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<Time>,
    /// Only edges seen before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<Time>,
    /// Where the result goes.
    #[command(flatten)]
    pub destined: Destined,
}

/// The words of outcomes, and what they mean.
fn outcomes() -> impl TypedValueParser<Value = Outcome> {
    let words = Outcome::ALL.iter().map(|outcome| outcome.word());
    PossibleValuesParser::new(words).try_map(|word| Outcome::from_word(&word).ok_or("no outcome"))
}
