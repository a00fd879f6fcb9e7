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
    /// What to write the policies as
    ///
    /// Each kind says as much of the policies as it can; what it cannot say is a finding. The proof is about the policies
    /// themselves, and so about NetworkPolicy.
    #[arg(long, value_enum, ignore_case = true, value_name = "KIND", default_value_t = Kind::NetworkPolicy)]
    pub kind: Kind,
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

/// What policies are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// `networking.k8s.io/v1 NetworkPolicy`, which every network plugin reads
    #[value(name = "NetworkPolicy")]
    NetworkPolicy,
    /// `cilium.io/v2 CiliumNetworkPolicy`, with nodes, the API server and everybody outside by name
    #[value(name = "Cilium", alias = "CiliumNetworkPolicy")]
    Cilium,
    /// `projectcalico.org/v3 NetworkPolicy`
    #[value(name = "Calico", alias = "CalicoNetworkPolicy")]
    Calico,
    /// `projectcalico.org/v3 StagedKubernetesNetworkPolicy`: Calico reports what it would deny, and denies nothing
    #[value(name = "Staged", alias = "StagedKubernetesNetworkPolicy")]
    Staged,
    /// `policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy`, in the tier behind NetworkPolicy
    #[value(name = "ClusterNetworkPolicy", alias = "Cluster")]
    Cluster,
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
