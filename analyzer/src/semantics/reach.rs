//! The fast engine: everything that a policy set allows, for whole rows of classes at once.
//!
//! It says what the naive evaluator says of every connection, except of those that no policy decides: of a pod with itself,
//! from a pod's own node, and between two ends that policies do not select.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use crate::policy::model::{Direction, Policy, PolicySet, PortMatch, PortRule, Ports};
use crate::policy::ports::{PortRange, PortSet, Protocol};

use super::bits::Bits;
use super::class::Classes;
use super::row::Row;
use super::traffic::Traffic;

/// How many sources are answered for at once.
pub const BLOCK: usize = 64;

/// What a policy set allows between classes.
pub struct Reach<'c, 'a> {
    classes: &'c Classes<'a>,
    /// By class; nothing where no policy isolates it.
    egress: Vec<Option<Arc<Row>>>,
    ingress: Vec<Option<Arc<Row>>>,
    /// The different traffics of all ingress rows, and of each class the places of its own and the sources.
    traffics: Vec<Traffic>,
    incoming: Vec<Incoming>,
}

/// The ingress of a class: sources by the place of their traffic; nothing where no policy isolates it.
type Incoming = Option<Vec<(usize, Bits)>>;

/// What the rules of a policy say in one direction.
#[derive(Default)]
struct Section<'s> {
    row: Row,
    /// Ports that each selected pod reads as its own: the protocol, the name and the peers.
    named: Vec<(Protocol, &'s str, Bits)>,
}

impl<'c, 'a> Reach<'c, 'a> {
    /// Of a set that the classes were made for.
    #[must_use]
    pub fn new(classes: &'c Classes<'a>, set: &PolicySet) -> Self {
        let mut selecting: Vec<Vec<usize>> = vec![Vec::new(); classes.len()];
        let selected: Vec<Bits> = set
            .policies()
            .par_iter()
            .map(|policy| classes.selected(&policy.namespace, &policy.subject))
            .collect();
        for (policy, selected) in selected.iter().enumerate() {
            for class in selected.iter() {
                selecting[class].push(policy);
            }
        }
        let ingress = side(classes, set, &selecting, Direction::Ingress);
        let egress = side(classes, set, &selecting, Direction::Egress);
        let (traffics, incoming) = numbered(&ingress);
        Self {
            classes,
            egress,
            ingress,
            traffics,
            incoming,
        }
    }

    /// The classes.
    #[must_use]
    pub const fn classes(&self) -> &'c Classes<'a> {
        self.classes
    }

    /// What the policies that isolate a class in a direction allow it; `None` where none does, and everything is allowed.
    /// Peers are all those that the rules name, also those that nothing can connect with.
    #[must_use]
    pub fn side(&self, direction: Direction, class: usize) -> Option<&Row> {
        let sides = match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        };
        sides[class].as_deref()
    }

    /// Of some sources, in their order, what each may send to whom of `among`: both ends allow it, and policies decide
    /// about it (see [`Classes::governed`]). Dozens of sources at once cost little more than one.
    #[must_use]
    pub fn rows(&self, sources: &[usize], among: &Bits) -> Vec<Row> {
        let size = self.classes.len();
        // By source and traffic, the destinations whose rules allow it.
        let mut allowed: Vec<BTreeMap<usize, Bits>> = vec![BTreeMap::new(); sources.len()];
        let mut open = Bits::none(size);
        for class in among.iter() {
            let Some(parts) = &self.incoming[class] else {
                open.insert(class);
                continue;
            };
            for (traffic, from) in parts {
                for (source, allowed) in sources.iter().zip(&mut allowed) {
                    if from.contains(*source) {
                        let to = allowed.entry(*traffic).or_insert_with(|| Bits::none(size));
                        to.insert(class);
                    }
                }
            }
        }
        let rows = sources.iter().zip(&allowed);
        rows.map(|(source, allowed)| self.row(*source, allowed, &open))
            .collect()
    }

    /// What a source may send: to destinations whose rules allow some traffic, by its place, and to those that are open.
    fn row(&self, source: usize, allowed: &BTreeMap<usize, Bits>, open: &Bits) -> Row {
        let governed = self.classes.governed(source);
        let everything = Traffic::all();
        let allowed = allowed.iter().map(|(traffic, to)| (&self.traffics[*traffic], to));
        let mut row = Row::default();
        for (accepted, to) in allowed.chain([(&everything, open)]) {
            let to = to.common(&governed);
            match &self.egress[source] {
                None => row.put(accepted.clone(), to),
                Some(sent) => {
                    for (sent, peers) in sent.parts() {
                        if peers.meets(&to) {
                            row.put(sent.intersection(accepted), to.common(peers));
                        }
                    }
                }
            }
        }
        row
    }

    /// The same of 64 sources, beginning at 64 times `block`.
    #[must_use]
    pub fn connections(&self, block: usize, among: &Bits) -> Vec<Row> {
        let first = block * BLOCK;
        let sources: Vec<usize> = (first..(first + BLOCK).min(self.classes.len())).collect();
        self.rows(&sources, among)
    }

    /// How many blocks of sources there are.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.classes.len().div_ceil(BLOCK)
    }
}

/// The rows of one direction by class. Classes that the same policies select share one, unless ports are to be read by name.
fn side(
    classes: &Classes<'_>,
    set: &PolicySet,
    selecting: &[Vec<usize>],
    direction: Direction,
) -> Vec<Option<Arc<Row>>> {
    let sections: Vec<Option<Section<'_>>> = set
        .policies()
        .par_iter()
        .map(|policy| section(classes, policy, direction))
        .collect();
    let mut by_policies: BTreeMap<(Vec<usize>, Option<usize>), Vec<usize>> = BTreeMap::new();
    for (class, selecting) in selecting.iter().enumerate() {
        let isolating: Vec<usize> = selecting
            .iter()
            .copied()
            .filter(|&policy| sections[policy].is_some())
            .collect();
        if isolating.is_empty() {
            continue;
        }
        let of_its_own = isolating
            .iter()
            .any(|&policy| sections[policy].as_ref().is_some_and(|one| !one.named.is_empty()));
        by_policies
            .entry((isolating, of_its_own.then_some(class)))
            .or_default()
            .push(class);
    }
    let by_policies: Vec<_> = by_policies.into_iter().collect();
    let rows: Vec<Arc<Row>> = by_policies
        .par_iter()
        .map(|((isolating, class), _)| {
            let mut row = Row::default();
            for section in isolating.iter().filter_map(|&policy| sections[policy].as_ref()) {
                row.unite(&section.row);
                for (protocol, name, peers) in &section.named {
                    let ports = class
                        .iter()
                        .flat_map(|&class| classes.list()[class].ports_named(*protocol, name));
                    let ports: PortSet = ports.filter_map(PortRange::single).collect();
                    row.allow(&Traffic::of(*protocol, ports), peers);
                }
            }
            Arc::new(row)
        })
        .collect();
    let mut sides = vec![None; classes.len()];
    for ((_, of), row) in by_policies.iter().zip(rows) {
        for &class in of {
            sides[class] = Some(Arc::clone(&row));
        }
    }
    sides
}

fn section<'s>(classes: &Classes<'_>, policy: &'s Policy, direction: Direction) -> Option<Section<'s>> {
    let rules = policy.rules(direction)?;
    let mut section = Section::default();
    for rule in rules {
        let peers = classes.peers(&rule.peers, &policy.namespace);
        let listed = match &rule.ports {
            Ports::Any => {
                section.row.allow(&Traffic::all(), &peers);
                continue;
            }
            Ports::Of(listed) => listed,
        };
        let numbers = listed.iter().filter_map(Traffic::of_rule);
        let numbers = numbers.fold(Traffic::none(), |all, one| all.union(&one));
        section.row.allow(&numbers, &peers);
        for PortRule { protocol, port } in listed {
            let PortMatch::Named(name) = port else { continue };
            match direction {
                Direction::Ingress => section.named.push((*protocol, name, peers.clone())),
                Direction::Egress => {
                    for (number, with) in classes.with_port(*protocol, name) {
                        let ports = PortRange::single(number).into_iter().collect();
                        section.row.allow(&Traffic::of(*protocol, ports), &with.common(&peers));
                    }
                }
            }
        }
    }
    Some(section)
}

/// The different traffics of rows, and the rows with the places of theirs.
fn numbered(rows: &[Option<Arc<Row>>]) -> (Vec<Traffic>, Vec<Incoming>) {
    let mut places: BTreeMap<&Traffic, usize> = BTreeMap::new();
    for (traffic, _) in rows.iter().flatten().flat_map(|row| row.parts()) {
        let next = places.len();
        places.entry(traffic).or_insert(next);
    }
    let number = |row: &Option<Arc<Row>>| {
        let parts = row.as_deref()?.parts();
        Some(parts.map(|(traffic, peers)| (places[traffic], peers.clone())).collect())
    };
    let numbered = rows.iter().map(number).collect();
    let mut traffics: Vec<(usize, &Traffic)> = places.into_iter().map(|(traffic, place)| (place, traffic)).collect();
    traffics.sort_unstable_by_key(|(place, _)| *place);
    (
        traffics.into_iter().map(|(_, traffic)| traffic.clone()).collect(),
        numbered,
    )
}
