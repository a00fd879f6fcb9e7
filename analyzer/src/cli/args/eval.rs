//! What can be typed after `flowtape eval`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

use crate::policy::ports::Protocol;
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

/// A port and its protocol, as in `53/UDP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// From 1.
    pub number: u16,
    /// TCP where nothing else is said.
    pub protocol: Protocol,
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
        let number = number.parse().ok().filter(|number| *number > 0);
        let protocol = Protocol::from_name(&protocol.to_uppercase());
        number
            .zip(protocol)
            .map(|(number, protocol)| Self { number, protocol })
            .ok_or_else(|| "expected a port such as `443` or `53/UDP`; protocols are TCP, UDP and SCTP".to_owned())
    }
}
