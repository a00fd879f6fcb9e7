//! What can be typed after `flowtape generate`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer};

use super::Tapes;
use crate::flow::filter::PeerPattern;
use crate::policy::profile::Profile;
use crate::synthesis::settings::Widening;

/// Arguments of `generate`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  flowtape generate my-tape -n shop                     print the policies of \
        namespace `shop`\n  flowtape generate my-tape -n shop -o policies         write one file for each policy\n  \
        flowtape generate my-tape --default-deny namespace    deny what nobody recorded, too\n  \
        flowtape generate my-tape --exclude monitoring        no rule for what namespace `monitoring` does\n  \
        flowtape generate my-tape --widen cidr=8,1024         at most 8 prefixes for what each workload uses outside\n  \
        flowtape generate my-tape --into policies             add to the policies of a repository what they lack"
)]
pub struct GenerateArgs {
    /// What to read.
    #[command(flatten)]
    pub input: Tapes,
    /// Write the policies into this directory, with a kustomization, instead of printing them
    ///
    /// The directory is made if it is not there, and refused if anything is in it. Nothing is written unless all of it
    /// can be. `evidence.json` has the counts and times behind each rule, `proof.json` the proof, and `flowtape.lock` which
    /// tapes and settings the policies were made with.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Merge into the policies of a directory, and print what changed
    ///
    /// Policies that carry the label `app.kubernetes.io/managed-by: flowtape` get the rules that they lack; their rules that the
    /// recording does not need are marked with a comment that says since when. Everything else keeps every byte: other
    /// policies, comments, order. Nothing is written unless the files then mean what they should. What the options leave out of
    /// the recording was exercised all the same, and is not marked. Only policies of kind NetworkPolicy can be merged.
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    pub into: Option<PathBuf>,
    /// Remove rules that no recording has needed for so long, such as `30d`; with `--into`
    #[arg(long, value_name = "TIME", requires = "into", value_parser = Age::parse)]
    pub prune_after: Option<Age>,
    /// Leave out what policies of the directory that are not ours allow already; with `--into`
    #[arg(long, requires = "into")]
    pub only_uncovered: bool,
    /// Write into a directory that is not empty, replacing files of the same name
    ///
    /// Files that `flowtape.lock` lists and that nothing is written to any more are removed, unless they were edited.
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Read settings from this file [default: `flowtape.toml`, where there is one]
    ///
    /// Table `[generate]` takes the options of this verb that say what to generate, by their long names: `default-deny =
    /// "namespace"`, `exclude = ["monitoring"]`, `split-directions = true`. What the command line says goes before it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to generate.
    #[command(flatten)]
    pub options: Options,
}

/// What to generate: options of the command line, and keys of table `[generate]` of `flowtape.toml`.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// Only policies of this namespace; may be given several times
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    #[serde(rename = "namespace")]
    pub namespaces: Vec<String>,
    /// What to write the policies as [default: NetworkPolicy]
    ///
    /// Each kind says as much of the policies as it can; what it cannot say is a finding. The proof is about the policies
    /// themselves, and so about NetworkPolicy.
    #[arg(long, value_enum, ignore_case = true, value_name = "KIND")]
    pub kind: Option<Kind>,
    /// The network plugin that enforces the policies [default: generic]
    ///
    /// `generic` is the API's text on addresses of pods and their own ports. What a plugin needs besides is a named addition.
    /// Whatever is chosen, each run says which rules another plugin would read differently.
    #[arg(long, value_enum, value_name = "NAME")]
    pub cni: Option<Cni>,
    /// What to deny besides what the rules leave out [default: workload]
    #[arg(long, value_enum)]
    pub default_deny: Option<DefaultDeny>,
    /// Who may use ports that the cluster itself publishes outside (LoadBalancer, NodePort, hostPort, externalIPs)
    /// [default: declared]
    #[arg(long, value_enum)]
    pub published: Option<Published>,
    /// How to allow name resolution [default: auto]
    #[arg(long, value_enum)]
    pub dns: Option<Dns>,
    /// Allow what was tried and refused, timed out or had no way to go, too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub include_failed: Option<bool>,
    /// Leave out edges with fewer connections or datagrams; those older than the window, and not counted, stay [default: 1]
    #[arg(long, value_name = "N")]
    pub min_count: Option<u64>,
    /// Leave out edges from and to this peer, and its policy; may be given several times. As in `flowtape flows --help`
    #[arg(long, value_name = "PEER")]
    #[serde(deserialize_with = "each")]
    pub exclude: Vec<PeerPattern>,
    /// Allow more than was recorded, on purpose; may be given several times
    ///
    /// cidr=PREFIXES,ADDRESSES  addresses outside as at most so many prefixes for each rule, with at most so many addresses
    ///                          that were not recorded
    /// range=CIDR               addresses outside that are in this range as the whole range
    /// well-known               addresses of private networks as the whole of RFC 1918, 4193 or 6598's range, less pods and
    ///                          nodes
    /// ports=N                  ports of one peer as ranges, with at most N ports that were not recorded
    /// namespace                a whole namespace, where each of its workloads is a peer on the same ports
    /// nodes, nodes=CIDR        nodes as the smallest prefix of all of them, or as the prefix given
    ///
    /// How much each allows beyond the recording is a finding.
    #[arg(long, value_name = "NAME[=BUDGET]", verbatim_doc_comment)]
    #[serde(deserialize_with = "each")]
    pub widen: Vec<Widening>,
    /// One policy for each direction of a workload, instead of one for both
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub split_directions: Option<bool>,
    /// How policies say what each rule is for [default: comments]
    #[arg(long, value_enum)]
    pub evidence: Option<Evidence>,
    /// How policies are spread over the files of a directory [default: policy]
    #[arg(long, value_enum)]
    pub layout: Option<Layout>,
}

/// A list of texts, each read as it is on the command line.
fn each<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: std::fmt::Display>,
{
    let texts = Vec::<String>::deserialize(deserializer)?;
    let read = |text: String| {
        text.parse()
            .map_err(|error| serde::de::Error::custom(format!("`{text}`: {error}")))
    };
    texts.into_iter().map(read).collect()
}

/// A length of time in nanoseconds, written as a number and a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age(pub i64);

impl Age {
    fn parse(text: &str) -> Result<Self, String> {
        let split = text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        let (number, unit) = text.split_at(split);
        let seconds: i64 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err("write a number and `s`, `m`, `h`, `d` or `w`, such as `30d`".to_owned()),
        };
        let nanos = number
            .parse::<i64>()
            .ok()
            .and_then(|number| number.checked_mul(seconds * 1_000_000_000));
        nanos
            .map(Self)
            .ok_or_else(|| "that is too long, or no number".to_owned())
    }
}

/// What policies are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
pub enum Kind {
    /// `networking.k8s.io/v1 NetworkPolicy`, which every network plugin reads
    #[value(name = "NetworkPolicy")]
    NetworkPolicy,
    /// `cilium.io/v2 CiliumNetworkPolicy`, with nodes, the API server and everybody outside by name
    #[value(name = "Cilium", alias = "CiliumNetworkPolicy")]
    #[serde(alias = "CiliumNetworkPolicy")]
    Cilium,
    /// `projectcalico.org/v3 NetworkPolicy`
    #[value(name = "Calico", alias = "CalicoNetworkPolicy")]
    #[serde(alias = "CalicoNetworkPolicy")]
    Calico,
    /// `projectcalico.org/v3 StagedKubernetesNetworkPolicy`: Calico reports what it would deny, and denies nothing
    #[value(name = "Staged", alias = "StagedKubernetesNetworkPolicy")]
    #[serde(alias = "StagedKubernetesNetworkPolicy")]
    Staged,
    /// `policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy`, in the tier behind NetworkPolicy
    #[value(name = "ClusterNetworkPolicy", alias = "Cluster")]
    #[serde(rename = "ClusterNetworkPolicy", alias = "Cluster")]
    Cluster,
}

/// What to deny besides what the rules leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultDeny {
    /// Isolate only directions that have rules
    None,
    /// Isolate both directions of every workload that was recorded
    Workload,
    /// The same, and deny everything else in each namespace
    Namespace,
}

/// Who may use published ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Published {
    /// Everybody outside the cluster, on exactly the ports that are published
    Declared,
    /// Only addresses that were recorded
    Seen,
    /// Nobody
    Off,
}

/// How to allow name resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dns {
    /// UDP and TCP to the DNS servers that a workload was recorded to use
    Auto,
    /// Only the protocols that were recorded
    Seen,
    /// No rule for DNS
    Off,
}

/// How policies say what each rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Not at all
    None,
    /// In comments, which the API server drops
    Comments,
    /// In annotations, which it keeps
    Annotations,
}

/// How policies are spread over files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// All in `policies.yaml`
    File,
    /// One file for each namespace: `NAMESPACE/policies.yaml`
    Namespace,
    /// One file for each policy, which is one for each workload: `NAMESPACE/NAME.yaml`
    Policy,
}

/// Network plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cni {
    /// None in particular
    Generic,
    /// Calico
    Calico,
    /// Cilium
    Cilium,
    /// Amazon VPC CNI with its network policy agent
    AwsVpcCni,
    /// Weave Net
    Weave,
    /// Antrea
    Antrea,
    /// OVN-Kubernetes
    OvnKubernetes,
    /// kube-router
    KubeRouter,
}

impl Cni {
    /// What is known of the plugin.
    #[must_use]
    pub const fn profile(self) -> Profile {
        match self {
            Self::Generic => Profile::Generic,
            Self::Calico => Profile::Calico,
            Self::Cilium => Profile::Cilium,
            Self::AwsVpcCni => Profile::AwsVpcCni,
            Self::Weave => Profile::Weave,
            Self::Antrea => Profile::Antrea,
            Self::OvnKubernetes => Profile::OvnKubernetes,
            Self::KubeRouter => Profile::KubeRouter,
        }
    }
}
