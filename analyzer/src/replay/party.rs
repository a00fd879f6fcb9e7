//! Who the pods and addresses of a world are to a reader: workloads, pods that do not exist yet, and prefixes.

use std::collections::BTreeMap;
use std::fmt;

use super::world::representative;
use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::policy::select::Labels;
use crate::semantics::bits::Bits;
use crate::semantics::class::Classes;
use crate::semantics::representative::name;
use crate::semantics::space::Cell;
use crate::semantics::world::Pod;

/// An end of what policies allow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The pods of a workload.
    Workload(Workload),
    /// Pods that do not exist yet, with these labels and no other that a policy asks for.
    Pods {
        /// Their namespace; one that does not exist yet is called by its labels, as `[team=a]`.
        namespace: String,
        /// What is known of their labels.
        labels: Labels,
    },
    /// Addresses.
    Addresses(Cell),
}

impl Party {
    /// The namespace, if it is in one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Workload(Workload { namespace, .. }) | Self::Pods { namespace, labels: _ } => Some(namespace),
            Self::Addresses(_) => None,
        }
    }

    /// Whether it is one pod, which has no connections with others of its kind.
    fn is_single(&self) -> bool {
        match self {
            Self::Workload(workload) => workload.kind == "Pod",
            Self::Pods { .. } | Self::Addresses(_) => false,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(workload) => workload.fmt(formatter),
            Self::Pods { namespace, labels } => write!(formatter, "{namespace}/{}", name(labels)),
            Self::Addresses(Cell { cidr, except }) => {
                cidr.fmt(formatter)?;
                for (index, hole) in except.iter().enumerate() {
                    let before = if index == 0 { " except " } else { "," };
                    write!(formatter, "{before}{hole}")?;
                }
                Ok(())
            }
        }
    }
}

/// The parties of a world, and which classes each is in: more than one where policies tell its pods apart.
pub struct Parties {
    list: Vec<Party>,
    classes: Vec<Vec<usize>>,
    of_class: Vec<Vec<usize>>,
}

impl Parties {
    /// Of the classes of a cluster's world.
    #[must_use]
    pub fn new(classes: &Classes<'_>, cluster: &Cluster) -> Self {
        let workloads = workloads(cluster);
        let mut by_party: BTreeMap<Party, Vec<usize>> = BTreeMap::new();
        for (at, class) in classes.list().iter().enumerate() {
            let pods = class.pods.iter().map(|(pod, _)| party(pod, &workloads));
            for party in pods.chain(class.addresses.clone().map(Party::Addresses)) {
                let of = by_party.entry(party).or_default();
                if of.last() != Some(&at) {
                    of.push(at);
                }
            }
        }
        let mut of_class = vec![Vec::new(); classes.len()];
        for (party, classes) in by_party.values().enumerate() {
            for &class in classes {
                of_class[class].push(party);
            }
        }
        let (list, classes) = by_party.into_iter().unzip();
        Self {
            list,
            classes,
            of_class,
        }
    }

    /// The parties, in order; everywhere else they are called by their place in this list.
    #[must_use]
    pub fn list(&self) -> &[Party] {
        &self.list
    }

    /// The classes that a party is in.
    #[must_use]
    pub fn classes(&self, party: usize) -> &[usize] {
        &self.classes[party]
    }

    /// The parties in a class.
    #[must_use]
    pub fn of_class(&self, class: usize) -> &[usize] {
        &self.of_class[class]
    }

    /// Whether connections between pods of one party are any: it is not a single pod.
    #[must_use]
    pub fn has_peers_of_its_own(&self, party: usize) -> bool {
        !self.list[party].is_single()
    }

    /// The classes of these parties.
    #[must_use]
    pub fn classes_of(&self, parties: impl Iterator<Item = usize>) -> Bits {
        Bits::of(
            self.of_class.len(),
            parties.flat_map(|party| self.classes[party].iter().copied()),
        )
    }
}

/// The workloads behind the pods of a cluster, by namespace and the name of the pod or of what stands for it.
fn workloads(cluster: &Cluster) -> BTreeMap<(String, String), Workload> {
    let templates = cluster.owners.templates().map(|(workload, row)| {
        let pod = representative(&workload.kind, &workload.name);
        ((row.namespace.clone(), pod), workload.clone())
    });
    let pods = cluster.pods.values();
    let pods = pods.map(|pod| ((pod.namespace.clone(), pod.name.clone()), pod.workload.clone()));
    templates.chain(pods).collect()
}

fn party(pod: &Pod, workloads: &BTreeMap<(String, String), Workload>) -> Party {
    match workloads.get(&(pod.namespace.clone(), pod.name.clone())) {
        Some(workload) => Party::Workload(workload.clone()),
        None => Party::Pods {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
        },
    }
}
