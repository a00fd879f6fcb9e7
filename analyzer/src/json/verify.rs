//! The body of `flowtape.verify/v1`.

use std::collections::BTreeMap;

use flowtape_schemas::manifest::Window;
use flowtape_schemas::time::Time;
use serde::Serialize;

use super::activity::Process;
use super::diff::By;
use super::edge::Edge;
use crate::baseline::Excused;
use crate::flow::edge::{EdgeKey, Side};
use crate::flow::process::Processes;
use crate::verify::usage::RuleUse;
use crate::verify::{Denied as DomainDenied, Undecided as DomainUndecided, Verified};

/// Body of `flowtape.verify/v1`.
#[derive(Clone, Debug, Serialize)]
pub struct Verify {
    /// What the policies would deny of what was recorded, once for each end that denies it.
    pub denied: Vec<Denied>,
    /// The same as far as the baseline accepts it.
    pub accepted: Vec<Accepted>,
    /// What cannot be judged.
    pub undecided: Vec<Undecided>,
    /// How many edges are allowed.
    pub allowed: u64,
    /// How many edges no policy can deny.
    pub exempt: u64,
    /// How many edges did not work when they were recorded, so that no policy is asked about them.
    pub not_established: u64,
    /// Every rule and how the recording used it.
    pub rules: Vec<Rule>,
}

/// An edge that one of its ends would deny.
#[derive(Clone, Debug, Serialize)]
pub struct Denied {
    /// The edge.
    pub edge: Edge,
    /// `egress`, the client's end, or `ingress`, the server's.
    pub direction: &'static str,
    /// The policies that isolate that end without a rule that matches.
    pub by: Vec<By>,
    /// The pods or addresses that would be denied.
    pub pairs: Vec<Pair>,
    /// Whether other pods of the same edge would be allowed.
    pub partly: bool,
    /// Processes that asked, by name, as far as samples tell them.
    pub client_processes: Vec<Process>,
    /// Processes that were asked, by name, as far as samples tell them.
    pub server_processes: Vec<Process>,
}

/// A denial that the baseline accepts.
#[derive(Clone, Debug, Serialize)]
pub struct Accepted {
    /// The denial.
    #[serde(flatten)]
    pub denied: Denied,
    /// Why it is accepted.
    pub reason: String,
    /// Until when; null for ever.
    pub until: Option<Time>,
}

/// Two ends of a connection: `NAMESPACE/POD` or an address.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// The client.
    pub from: String,
    /// The server.
    pub to: String,
}

/// An edge that cannot be judged.
#[derive(Clone, Debug, Serialize)]
pub struct Undecided {
    /// The edge.
    pub edge: Edge,
    /// A stable word that says why.
    pub reason: &'static str,
}

/// A rule and how the recording used it.
#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    /// The rule.
    pub by: By,
    /// Recorded edges that it allows.
    pub edges: u64,
    /// When the last of them was seen; null for a dead rule.
    pub last_seen: Option<Time>,
    /// Seconds from then to the end of the recording; of a dead rule the length of the recording; null without a recording.
    pub age_seconds: Option<i64>,
    /// Its peers that nothing recorded needs; none of a dead rule, of which nothing is needed.
    pub unused_peers: Vec<String>,
    /// Its ports that nothing recorded needs; none of a dead rule.
    pub unused_ports: Vec<String>,
    /// Its peers on those of its ports that only others of its peers need, such as `pods app=web on 53/TCP`.
    pub unused_pairs: Vec<String>,
}

impl Verify {
    /// What policies do to a recording that covers `window`; `excused` are the denials that a baseline took out.
    #[must_use]
    pub fn of(
        verified: &Verified<'_>,
        excused: &[Excused<DomainDenied<'_>>],
        window: Option<Window>,
        processes: &BTreeMap<EdgeKey, Processes>,
    ) -> Self {
        let Verified {
            denied: counting,
            undecided,
            allowed,
            exempt,
            not_established,
            rules,
            unbounded: _,
        } = verified;
        Self {
            denied: counting.iter().map(|one| denied(one, processes)).collect(),
            accepted: excused.iter().map(|one| accepted(one, processes)).collect(),
            undecided: undecided.iter().map(Undecided::from).collect(),
            allowed: *allowed,
            exempt: *exempt,
            not_established: *not_established,
            rules: rules.iter().map(|used| rule(used, window)).collect(),
        }
    }
}

fn denied(denied: &DomainDenied<'_>, processes: &BTreeMap<EdgeKey, Processes>) -> Denied {
    let DomainDenied {
        edge,
        direction,
        by,
        pairs,
    } = denied;
    let of_side = |side: Side| {
        let known = processes.get(&edge.key).into_iter().flatten();
        let own = known.filter(|((of, _), _)| *of == side);
        own.map(|((_, name), samples)| Process::new(name, *samples)).collect()
    };
    Denied {
        edge: (*edge).into(),
        direction: direction.name(),
        by: by.iter().map(By::from).collect(),
        pairs: pairs
            .iter()
            .map(|(from, to)| Pair {
                from: from.to_string(),
                to: to.to_string(),
            })
            .collect(),
        partly: denied.is_partly(),
        client_processes: of_side(Side::Client),
        server_processes: of_side(Side::Server),
    }
}

fn accepted(excused: &Excused<DomainDenied<'_>>, processes: &BTreeMap<EdgeKey, Processes>) -> Accepted {
    Accepted {
        denied: denied(&excused.what, processes),
        reason: excused.reason.clone(),
        until: excused.until,
    }
}

impl From<&DomainUndecided<'_>> for Undecided {
    fn from(undecided: &DomainUndecided<'_>) -> Self {
        let DomainUndecided { edge, reason } = undecided;
        Self {
            edge: (*edge).into(),
            reason: reason.word(),
        }
    }
}

fn rule(used: &RuleUse, window: Option<Window>) -> Rule {
    let RuleUse {
        by,
        edges,
        last_seen,
        unused_peers,
        unused_ports,
        unused_pairs,
    } = used;
    Rule {
        by: by.into(),
        edges: *edges,
        last_seen: *last_seen,
        age_seconds: window.map(|window| used.age(window.start, window.end) / 1_000_000_000),
        unused_peers: unused_peers.clone(),
        unused_ports: unused_ports.clone(),
        unused_pairs: unused_pairs.clone(),
    }
}
