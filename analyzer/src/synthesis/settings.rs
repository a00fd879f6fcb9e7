//! How policies are derived, as the command line says it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::flow::filter::PeerPattern;
use crate::policy::cidr::Cidr;
use crate::policy::profile::Profile;

/// How policies are derived; the words are those of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is isolated besides the directions that have rules.
    pub default_deny: DefaultDeny,
    /// What becomes of clients outside the cluster on ports that the cluster publishes.
    pub published: Published,
    /// What becomes of name resolution.
    pub dns: Dns,
    /// Whether attempts that failed are allowed, by name.
    pub include_failed: bool,
    /// Edges with fewer connections or datagrams are left out, unless they are older than the window.
    pub min_count: u64,
    /// Peers whose edges and policies are left out.
    pub exclude: Vec<PeerPattern>,
    /// What is allowed beyond the recording, on purpose.
    pub widenings: Vec<Widening>,
    /// Whether each direction of a workload has a policy of its own.
    pub split_directions: bool,
    /// What becomes of peers that may use the same ports.
    pub grouping: Grouping,
    /// The network plugin that the policies are for.
    pub cni: Profile,
    /// Only policies of these namespaces; of all if there are none.
    pub namespaces: BTreeSet<String>,
    /// Whether addresses outside the cluster may be pseudonyms, which no rule may name.
    pub redacted: bool,
}

impl Settings {
    /// The same, with nothing left out by choice and nothing wider than it was recorded: what the recording itself needs.
    #[must_use]
    pub fn of_whole_recording(&self) -> Self {
        Self {
            published: Published::Seen,
            dns: Dns::Auto,
            min_count: 1,
            exclude: Vec::new(),
            widenings: Vec::new(),
            ..self.clone()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_deny: DefaultDeny::Workload,
            published: Published::Declared,
            dns: Dns::Auto,
            include_failed: false,
            min_count: 1,
            exclude: Vec::new(),
            widenings: Vec::new(),
            split_directions: false,
            grouping: Grouping::Together,
            cni: Profile::Generic,
            namespaces: BTreeSet::new(),
            redacted: false,
        }
    }
}

/// What is isolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultDeny {
    /// Only directions with rules.
    None,
    /// Both directions of every workload with recorded traffic.
    Workload,
    /// Also everything else in every namespace that has a policy.
    Namespace,
}

/// What becomes of peers that may use the same ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// They are one rule.
    Together,
    /// Each peer and port is a rule of its own, whose notes are about it alone.
    Apart,
}

/// What becomes of clients outside the cluster on published ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Everybody outside the cluster may use exactly the published ports.
    Declared,
    /// Only the addresses that were recorded.
    Seen,
    /// Nobody.
    Off,
}

/// What becomes of name resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dns {
    /// UDP and TCP to the servers that were used.
    Auto,
    /// Only the protocol that was recorded.
    Seen,
    /// No rule.
    Off,
}

/// Something that rules allow beyond the recording because it was asked for, so that they are fewer or last longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widening {
    /// Addresses outside as prefixes.
    Cidr {
        /// At most so many for each rule, if the other limit lets it.
        prefixes: usize,
        /// At most so many addresses that were not recorded, for each rule.
        addresses: u128,
    },
    /// Addresses outside that are in this range as the range.
    Range(Cidr),
    /// Addresses of private networks as the range that is set aside for them.
    WellKnown,
    /// Ports of one peer as ranges, with at most so many that were not recorded.
    Ports(u16),
    /// A namespace, where all its workloads are peers.
    Namespace,
    /// Nodes as this prefix, or as the smallest one of all of them.
    Nodes(Option<Cidr>),
}

impl fmt::Display for Widening {
    /// As it is asked for.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr { prefixes, addresses } => write!(formatter, "cidr={prefixes},{addresses}"),
            Self::Range(range) => write!(formatter, "range={range}"),
            Self::WellKnown => formatter.write_str("well-known"),
            Self::Ports(budget) => write!(formatter, "ports={budget}"),
            Self::Namespace => formatter.write_str("namespace"),
            Self::Nodes(None) => formatter.write_str("nodes"),
            Self::Nodes(Some(range)) => write!(formatter, "nodes={range}"),
        }
    }
}

/// A text that names no widening.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WideningError {
    /// None of the names, or not what follows it.
    #[error("write cidr=PREFIXES,ADDRESSES, range=CIDR, well-known, ports=N, namespace, nodes or nodes=CIDR")]
    Form,
    /// What follows is no prefix.
    #[error("{0}")]
    Cidr(#[from] crate::policy::cidr::CidrError),
    /// The prefix is everybody.
    #[error("`{0}` is every address there is, which no widening allows")]
    Everybody(Cidr),
}

impl FromStr for Widening {
    type Err = WideningError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || WideningError::Form;
        match text.split_once('=') {
            None => match text {
                "well-known" => Ok(Self::WellKnown),
                "namespace" => Ok(Self::Namespace),
                "nodes" => Ok(Self::Nodes(None)),
                _ => Err(form()),
            },
            Some(("cidr", budget)) => {
                let (prefixes, addresses) = budget.split_once(',').ok_or_else(form)?;
                let prefixes = number(prefixes).filter(|prefixes| *prefixes > 0).ok_or_else(form)?;
                let addresses = number(addresses).ok_or_else(form)?;
                Ok(Self::Cidr { prefixes, addresses })
            }
            Some(("range", range)) => Ok(Self::Range(some_addresses(range)?)),
            Some(("nodes", range)) => Ok(Self::Nodes(Some(some_addresses(range)?))),
            Some(("ports", budget)) => number(budget).map(Self::Ports).ok_or_else(form),
            Some(_) => Err(form()),
        }
    }
}

/// Decimal digits without a sign.
fn number<N: FromStr>(digits: &str) -> Option<N> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

fn some_addresses(text: &str) -> Result<Cidr, WideningError> {
    let cidr: Cidr = text.parse()?;
    if cidr.length() == 0 {
        return Err(WideningError::Everybody(cidr));
    }
    Ok(cidr)
}

#[cfg(test)]
mod tests {
    use super::{Widening, WideningError};

    #[test]
    fn a_widening_is_said_as_it_is_asked_for() {
        for text in [
            "cidr=8,1024",
            "range=198.51.100.0/24",
            "well-known",
            "ports=16",
            "namespace",
            "nodes",
            "nodes=fd00::/8",
        ] {
            assert_eq!(
                text.parse::<Widening>().map(|widening| widening.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in [
            "",
            "cidr",
            "cidr=8",
            "cidr=0,1",
            "cidr=+1,1",
            "ports=-1",
            "ports=65536",
            "everything",
            "nodes=",
        ] {
            assert!(text.parse::<Widening>().is_err(), "{text}");
        }
        let everybody = "::/0".parse().expect("a prefix");
        assert_eq!(
            "range=::/0".parse::<Widening>(),
            Err(WideningError::Everybody(everybody))
        );
    }
}
