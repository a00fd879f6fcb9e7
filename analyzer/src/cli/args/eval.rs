//! What can be typed after `flowtape eval`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::port::Port;
use super::reading::Reading;
use crate::replay::named::Named;

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  kubectl get pods,namespaces,nodes,deployments,replicasets -A -o json > cluster.json\n  \
        flowtape eval -p policies/ --cluster cluster.json --from shop/Deployment/web --to shop/db-0 --port 5432\n  flowtape \
        eval -p policies/ --cluster my-tape --from 203.0.113.7 --to shop/Deployment/web --port 443 --expect denied"
)]
pub struct EvalArgs {
    /// File or directory of policies
    #[arg(short, long, value_name = "PATH")]
    pub policies: PathBuf,
    /// The cluster: what `kubectl get ... -A -o json` or `-o yaml` printed, a directory of manifests, or a tape
    ///
    /// Workloads without pods are judged by their templates.
    #[arg(long, value_name = "PATH")]
    pub cluster: PathBuf,
    /// Who connects
    #[arg(long, value_name = "PEER")]
    pub from: Named,
    /// To whom
    #[arg(long, value_name = "PEER")]
    pub to: Named,
    /// Port of the server itself, not of a Service before it, such as 443 or 53/UDP; TCP where no protocol is named
    #[arg(long, value_name = "PORT")]
    pub port: Port,
    /// How the policies are read.
    #[command(flatten)]
    pub reading: Reading,
    /// Exit with 1 unless this is the answer
    #[arg(long, value_enum, value_name = "ANSWER")]
    pub expect: Option<Expected>,
}

/// What a caller counts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Expected {
    /// The connection works
    Allowed,
    /// It does not
    Denied,
}
