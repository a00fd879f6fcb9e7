//! How policies are derived, as the command line says it.

use std::collections::BTreeSet;

/// How policies are derived; the words are those of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is isolated besides the directions that have rules.
    pub default_deny: DefaultDeny,
    /// What becomes of clients outside the cluster on ports that the cluster publishes.
    pub published: Published,
    /// What becomes of name resolution.
    pub dns: Dns,
    /// Only policies of these namespaces; of all if there are none.
    pub namespaces: BTreeSet<String>,
    /// Whether addresses outside the cluster may be pseudonyms, which no rule may name.
    pub redacted: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_deny: DefaultDeny::Workload,
            published: Published::Declared,
            dns: Dns::Auto,
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
