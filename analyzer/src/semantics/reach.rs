//! The fast engine: everything that a policy set allows, for whole rows of classes at once.
//!
//! It says what the naive evaluator says of every connection, except of those that no policy decides: of a pod with itself,
//! from a pod's own node, and between two ends that policies do not select.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use crate::policy::cluster::{ClusterPolicy, Subject};
use crate::policy::model::{Direction, Policy, PolicySet};

use super::bits::Bits;
use super::class::Classes;
use super::ordered::{Ordered, Wall};
use super::row::Row;
use super::section::Section;
use super::traffic::Traffic;

/// How many sources are answered for at once.
pub const BLOCK: usize = 64;

/// What a policy set allows between classes.
pub struct Reach<'c, 'a> {
    classes: &'c Classes<'a>,
    /// By class; nothing where no policy isolates it.
    egress: Sides,
    ingress: Sides,
    /// The different traffics of all ingress rows, and of each class the places of its own and the sources.
    traffics: Vec<Traffic>,
    incoming: Vec<Incoming>,
}

/// One direction, by class.
struct Sides {
    rows: Vec<Option<Arc<Row>>>,
    walls: Vec<Option<Wall>>,
}

/// The ingress of a class: sources by the place of their traffic; nothing where no policy isolates it.
type Incoming = Option<Vec<(usize, Bits)>>;

impl<'c, 'a> Reach<'c, 'a> {
    /// Of a set that the classes were made for.
    #[must_use]
    pub fn new(classes: &'c Classes<'a>, set: &PolicySet) -> Self {
        let selecting = Selecting::new(classes, set);
        let ingress = side(classes, set, &selecting, Direction::Ingress);
        let egress = side(classes, set, &selecting, Direction::Egress);
        let (traffics, incoming) = numbered(&ingress.rows);
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

    /// What policies allow a class in a direction; `None` where none isolates it or denies it anything, and everything is allowed.
    /// Peers are all those that the rules name, also those that nothing can connect with.
    #[must_use]
    pub fn side(&self, direction: Direction, class: usize) -> Option<&Row> {
        let sides = match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        };
        sides.rows[class].as_deref()
    }

    /// Whom a class is denied in a direction unless a rule says otherwise: everybody where a NetworkPolicy isolates it.
    #[must_use]
    pub fn wall(&self, direction: Direction, class: usize) -> Option<Wall> {
        match direction {
            Direction::Ingress => self.ingress.walls[class],
            Direction::Egress => self.egress.walls[class],
        }
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
            match &self.egress.rows[source] {
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

/// By class, the places of the policies that select it: of namespaces, and of the cluster.
struct Selecting {
    by_namespace: Vec<Vec<usize>>,
    of_cluster: Vec<Vec<usize>>,
}

impl Selecting {
    fn new(classes: &Classes<'_>, set: &PolicySet) -> Self {
        let of_policy = |policy: &Policy| classes.selected(&policy.namespace, &policy.subject);
        let of_cluster = |policy: &ClusterPolicy| {
            let Subject { namespaces, pods } = &policy.subject;
            classes.pods(namespaces, pods)
        };
        let turned = |selected: Vec<Bits>| {
            let mut selecting: Vec<Vec<usize>> = vec![Vec::new(); classes.len()];
            for (policy, selected) in selected.iter().enumerate() {
                for class in selected.iter() {
                    selecting[class].push(policy);
                }
            }
            selecting
        };
        Self {
            by_namespace: turned(set.policies().par_iter().map(of_policy).collect()),
            of_cluster: turned(set.of_cluster().par_iter().map(of_cluster).collect()),
        }
    }
}

/// What decides the row of a class: policies that isolate it, policies of the cluster, and the class itself where it reads
/// names of ports.
type Deciding = (Vec<usize>, Vec<usize>, Option<usize>);

/// The rows of one direction by class. Classes that the same policies select share one, unless ports are to be read by name.
fn side(classes: &Classes<'_>, set: &PolicySet, selecting: &Selecting, direction: Direction) -> Sides {
    let sections: Vec<Option<Section<'_>>> = set
        .policies()
        .par_iter()
        .map(|policy| section(classes, policy, direction))
        .collect();
    let ordered = Ordered::new(classes, set, direction);
    let mut by_policies: BTreeMap<Deciding, Vec<usize>> = BTreeMap::new();
    let both = selecting.by_namespace.iter().zip(&selecting.of_cluster);
    for (class, (selecting, of_cluster)) in both.enumerate() {
        let isolating: Vec<usize> = selecting
            .iter()
            .copied()
            .filter(|&policy| sections[policy].is_some())
            .collect();
        let speaking = ordered.speaking(of_cluster);
        if isolating.is_empty() && speaking.is_empty() {
            continue;
        }
        let of_its_own = isolating
            .iter()
            .any(|&policy| sections[policy].as_ref().is_some_and(Section::has_names))
            || ordered.has_names(&speaking);
        by_policies
            .entry((isolating, speaking, of_its_own.then_some(class)))
            .or_default()
            .push(class);
    }
    let by_policies: Vec<_> = by_policies.into_iter().collect();
    let rows: Vec<(Option<Arc<Row>>, Option<Wall>)> = by_policies
        .par_iter()
        .map(|((isolating, speaking, own), _)| {
            let isolating: Vec<&Section<'_>> = isolating
                .iter()
                .filter_map(|&policy| sections[policy].as_ref())
                .collect();
            let mut row = (!isolating.is_empty()).then(Row::default);
            let isolated = row.as_ref().map(|_| Wall::Everybody);
            let wall = isolated.or_else(|| ordered.wall(classes, speaking));
            for section in isolating {
                if let Some(row) = &mut row {
                    row.unite(&section.row(classes, *own));
                }
            }
            if !speaking.is_empty() {
                let around = ordered.row(classes, *own, speaking, row.clone());
                // Nothing isolates it, and nothing is denied: it is open as if no policy were about it.
                row = (row.is_some() || !around.is_everything(classes.len())).then_some(around);
            }
            (row.map(Arc::new), wall)
        })
        .collect();
    let mut sides = Sides {
        rows: vec![None; classes.len()],
        walls: vec![None; classes.len()],
    };
    for ((_, of), (row, wall)) in by_policies.iter().zip(rows) {
        for &class in of {
            sides.rows[class].clone_from(&row);
            sides.walls[class] = wall;
        }
    }
    sides
}

fn section<'s>(classes: &Classes<'_>, policy: &'s Policy, direction: Direction) -> Option<Section<'s>> {
    let rules = policy.rules(direction)?;
    let mut section = Section::default();
    for rule in rules {
        let peers = classes.peers(&rule.peers, &policy.namespace);
        section.add(classes, &peers, &rule.ports, direction);
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
