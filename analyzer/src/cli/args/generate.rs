//! What can be typed after `flowtape generate`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::Tapes;

/// Arguments of `generate`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  flowtape generate my-tape -n shop                     print the policies of \
        namespace `shop`\n  flowtape generate my-tape -n shop -o policies         write one file for each policy\n  \
        flowtape generate my-tape --default-deny namespace    deny what nobody recorded, too"
)]
pub struct GenerateArgs {
    /// What to read.
    #[command(flatten)]
    pub input: Tapes,
    /// Only policies of this namespace; may be given several times
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
    /// Write one file for each policy into this directory, instead of printing them
    ///
    /// The directory is made if it is not there, and refused if anything is in it. Nothing is written unless all of it
    /// can be.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Write into a directory that is not empty, replacing files of the same name
    #[arg(long, requires = "output")]
    pub force: bool,
    /// What to deny besides what the rules leave out
    #[arg(long, value_enum, default_value_t = DefaultDeny::Workload)]
    pub default_deny: DefaultDeny,
    /// Who may use ports that the cluster itself publishes outside (LoadBalancer, NodePort, hostPort, externalIPs)
    #[arg(long, value_enum, default_value_t = Published::Declared)]
    pub published: Published,
    /// How to allow name resolution
    #[arg(long, value_enum, default_value_t = Dns::Auto)]
    pub dns: Dns,
}

/// What to deny besides what the rules leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DefaultDeny {
    /// Isolate only directions that have rules
    None,
    /// Isolate both directions of every workload that was recorded
    Workload,
    /// The same, and deny everything else in each namespace
    Namespace,
}

/// Who may use published ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Published {
    /// Everybody outside the cluster, on exactly the ports that are published
    Declared,
    /// Only addresses that were recorded
    Seen,
    /// Nobody
    Off,
}

/// How to allow name resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dns {
    /// UDP and TCP to the DNS servers that a workload was recorded to use
    Auto,
    /// Only the protocols that were recorded
    Seen,
    /// No rule for DNS
    Off,
}
