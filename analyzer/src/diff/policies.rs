//! Two policy sets: what one allows and the other does not.
//!
//! Both are arranged over the same classes of ends that no policy of either tells apart. Only ends whose own rules differ are
//! looked at, so that what is the same on both sides costs nothing; and an end that one side leaves open to everybody is one
//! change, not one for every peer.

use std::collections::BTreeMap;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use crate::flow::edge::Transport;
use crate::identity::Workload;
use crate::policy::model::{Direction, PolicySet};
use crate::policy::ports::{PortSet, Protocol};
use crate::semantics::bits::Bits;
use crate::semantics::class::Classes;
use crate::semantics::eval::By;
use crate::semantics::index::Index;
use crate::semantics::ordered::Wall;
use crate::semantics::reach::{BLOCK, Reach};
use crate::semantics::representative::is_made_up;
use crate::semantics::row::Row;
use crate::semantics::traffic::Traffic;
use crate::semantics::world::{Pod, World};

use super::behind::{allowing, denying, isolating};
use super::change::{Change, Class, Diff, Kind, Pair, Reason, Side};
use super::peer::Peer;

/// Of how many ranges of ports it is said which rules are behind them.
const RANGES: usize = 16;

/// Who a pod of the universe belongs to, by its namespace and name.
pub(super) type Owners = BTreeMap<(String, String), Workload>;

/// What two sets differ in, over a universe that holds representatives of both.
pub(super) fn compare(before: &PolicySet, after: &PolicySet, world: &World, owners: &Owners) -> Diff {
    let classes = Classes::new(world, &[before, after]);
    let [old, new] = [before, after].map(|set| Reach::new(&classes, set));
    let sides = Sides::new([&old, &new]);
    let peers: Vec<Vec<Peer>> = (0..classes.len()).map(|class| peers(&classes, class, owners)).collect();
    let blocks: Vec<BTreeMap<Key, Difference>> = (0..old.blocks())
        .into_par_iter()
        .map(|block| {
            let mut notes = Notes::new(&sides, &peers);
            sides.block(block, &mut |one| notes.note(&one));
            notes.found
        })
        .collect();
    let mut found: BTreeMap<Key, Difference> = BTreeMap::new();
    for (key, difference) in blocks.into_iter().flatten() {
        found.entry(key).or_default().unite(&difference);
    }
    let sets = [before, after];
    let indices = sets.map(|set| Index::new(set, world));
    let mut changes = Vec::new();
    for (key, difference) in &found {
        for side in [Side::Before, Side::After] {
            changes.extend(change(key, difference, side, &sides, &sets, &indices, world));
        }
    }
    let diff = Diff {
        changes,
        ..Diff::default()
    };
    diff.sorted()
}

/// Which ends have other rules on the two sides.
struct Sides<'r, 'c, 'a> {
    /// By side: what it allows.
    reach: [&'r Reach<'c, 'a>; 2],
    /// Classes whose rules differ, ingress first.
    changed: [Bits; 2],
    /// By side: of these the classes that only it leaves open to everybody, and the other side denies to everybody but some,
    /// ingress first.
    open: [[Bits; 2]; 2],
    /// The same for those that the other side denies to every pod but some.
    open_to_pods: [[Bits; 2]; 2],
}

/// Two classes whose connections differ.
struct Differing<'r> {
    from: usize,
    to: &'r Bits,
    before: &'r Traffic,
    after: &'r Traffic,
}

/// The place of a direction in pairs that have ingress first.
const fn place(direction: Direction) -> usize {
    match direction {
        Direction::Ingress => 0,
        Direction::Egress => 1,
    }
}

impl<'r, 'c, 'a> Sides<'r, 'c, 'a> {
    fn new(reach: [&'r Reach<'c, 'a>; 2]) -> Self {
        let size = reach[0].classes().len();
        let of = |wanted: &dyn Fn(Direction, usize) -> bool| {
            let members = |direction| Bits::of(size, (0..size).filter(|&class| wanted(direction, class)));
            [Direction::Ingress, Direction::Egress].map(members)
        };
        let open = reach.map(|reach| {
            of(&|direction, class| reach.side(direction, class).is_none_or(|row| row.is_everything(size)))
        });
        let only = |wall: Wall| {
            let only = |own: usize, other: usize| {
                of(&|direction, class| {
                    let open = open.each_ref().map(|open| open[place(direction)].contains(class));
                    open[own] && !open[other] && reach[other].wall(direction, class) == Some(wall)
                })
            };
            [only(0, 1), only(1, 0)]
        };
        let (everybody, pods) = (only(Wall::Everybody), only(Wall::EveryPod));
        Self {
            changed: of(&|direction, class| {
                let at = place(direction);
                let differ = reach[0].side(direction, class) != reach[1].side(direction, class);
                differ && !(open[0][at].contains(class) && open[1][at].contains(class))
            }),
            open: everybody,
            open_to_pods: pods,
            reach,
        }
    }

    /// To whom only this side leaves a class open, with others beside a peer; `None` where they are told of one by one.
    fn open_to(&self, side: usize, direction: Direction, class: usize, peer: usize) -> Option<Peer> {
        let at = place(direction);
        if self.open[side][at].contains(class) {
            return Some(Peer::Everybody);
        }
        let is_pod = self.reach[0].classes().list()[peer].subject;
        (is_pod && self.open_to_pods[side][at].contains(class)).then_some(Peer::EveryPod)
    }

    /// Whether the rules of a class, which no side leaves open to such peers, are why a connection with one differs.
    fn is_own(&self, direction: Direction, class: usize, peer: usize) -> bool {
        let at = place(direction);
        let flipped = (0..2).any(|side| self.open_to(side, direction, class, peer).is_some());
        if flipped || !self.changed[at].contains(class) {
            return false;
        }
        let everything = Traffic::all();
        let with = |side: usize| match self.reach[side].side(direction, class) {
            Some(row) => row.with(peer).cloned(),
            None => Some(everything.clone()),
        };
        with(0) != with(1)
    }

    /// Tells of every pair of classes that differs, of 64 sources.
    fn block(&self, block: usize, tell: &mut dyn FnMut(Differing<'_>)) {
        let [old, new] = self.reach;
        let size = old.classes().len();
        let [ingress, egress] = &self.changed;
        let sources = block * BLOCK..((block + 1) * BLOCK).min(size);
        let all = sources.clone().any(|source| egress.contains(source));
        let among = if all { Bits::all(size) } else { ingress.clone() };
        if among.is_empty() {
            return;
        }
        let rows = old
            .connections(block, &among)
            .into_iter()
            .zip(new.connections(block, &among));
        for (from, (before, after)) in sources.zip(rows) {
            differences(from, &before, &after, size, tell);
        }
    }
}

/// What differs between two rows of a source: the peers by what they had before and have after.
fn differences(from: usize, before: &Row, after: &Row, size: usize, tell: &mut dyn FnMut(Differing<'_>)) {
    let none = Traffic::none();
    let rest = |row: &Row| {
        let mut rest = Bits::all(size);
        row.parts().for_each(|(_, peers)| rest.remove(peers));
        rest
    };
    let (nothing_before, nothing_after) = (rest(before), rest(after));
    let old: Vec<(&Traffic, &Bits)> = before.parts().chain([(&none, &nothing_before)]).collect();
    for (after, to_after) in after.parts().chain([(&none, &nothing_after)]) {
        for (before, to_before) in &old {
            if *before != after && to_before.meets(to_after) {
                let to = &to_before.common(to_after);
                tell(Differing {
                    from,
                    to,
                    before,
                    after,
                });
            }
        }
    }
}

/// Who connects to whom, and which end is why, where it is one that a side leaves open.
type Key = (Peer, Peer, Option<Direction>);

/// What two peers have on one side only.
#[derive(Clone, Debug, Default)]
struct Difference {
    /// By side: traffic that only it has, and for each protocol, in the order of all, the first classes of such a connection.
    only: [Traffic; 2],
    example: [[Option<(usize, usize)>; Protocol::ALL.len()]; 2],
    /// By side: whether these peers have any traffic there.
    any: [bool; 2],
}

impl Difference {
    fn unite(&mut self, other: &Self) {
        for side in 0..2 {
            self.only[side] = self.only[side].union(&other.only[side]);
            for (first, ends) in self.example[side].iter_mut().zip(other.example[side]) {
                *first = [*first, ends].into_iter().flatten().min();
            }
            self.any[side] |= other.any[side];
        }
    }
}

/// What differs, under the names of the peers.
struct Notes<'n> {
    sides: &'n Sides<'n, 'n, 'n>,
    peers: &'n [Vec<Peer>],
    found: BTreeMap<Key, Difference>,
    /// By side and class: what was noted last of everybody to it, which is mostly the same for every client.
    told: [Vec<Option<Traffic>>; 2],
}

impl<'n> Notes<'n> {
    fn new(sides: &'n Sides<'n, 'n, 'n>, peers: &'n [Vec<Peer>]) -> Self {
        Self {
            sides,
            peers,
            found: BTreeMap::new(),
            told: [vec![None; peers.len()], vec![None; peers.len()]],
        }
    }

    fn note(&mut self, one: &Differing<'_>) {
        let Differing {
            from,
            to,
            before,
            after,
        } = one;
        let only = [before.difference(after), after.difference(before)];
        let any = [!before.is_empty(), !after.is_empty()];
        let classes = self.sides.reach[0].classes();
        let alone = only_pod(classes, *from, &self.peers[*from]);
        let is_itself = |to: usize| alone.is_some() && alone == only_pod(classes, to, &self.peers[to]);
        for (side, only) in only.iter().enumerate().filter(|(_, only)| !only.is_empty()) {
            let difference = |destination| {
                let mut difference = Difference {
                    any,
                    ..Difference::default()
                };
                difference.only[side] = only.clone();
                difference.example[side] =
                    Protocol::ALL.map(|protocol| (!only.ports(protocol).is_empty()).then_some((*from, destination)));
                difference
            };
            let mut told_of_client = false;
            for destination in to.iter().filter(|to| !is_itself(*to)) {
                let sent = self.sides.open_to(side, Direction::Egress, *from, destination);
                if let (Some(everybody), false) = (&sent, told_of_client) {
                    told_of_client = true;
                    for client in &self.peers[*from] {
                        let key = (client.clone(), everybody.clone(), Some(Direction::Egress));
                        self.found.entry(key).or_default().unite(&difference(destination));
                    }
                }
                let received = self.sides.open_to(side, Direction::Ingress, destination, *from);
                if let Some(everybody) = &received
                    && self.told[side][destination].as_ref() != Some(only)
                {
                    self.told[side][destination] = Some(only.clone());
                    for server in &self.peers[destination] {
                        let key = (everybody.clone(), server.clone(), Some(Direction::Ingress));
                        self.found.entry(key).or_default().unite(&difference(destination));
                    }
                }
                let own = self.sides.is_own(Direction::Egress, *from, destination)
                    || self.sides.is_own(Direction::Ingress, destination, *from);
                if own || sent.is_none() && received.is_none() {
                    self.pair(*from, destination, &difference(destination));
                }
            }
        }
    }

    fn pair(&mut self, from: usize, to: usize, difference: &Difference) {
        for client in &self.peers[from] {
            for server in self.peers[to]
                .iter()
                .filter(|server| *server != client || !is_single(client))
            {
                let key = (client.clone(), server.clone(), None);
                self.found.entry(key).or_default().unite(difference);
            }
        }
    }
}

/// The pod that a class consists of, under one address or several, if there is no second of its kind: it always reaches
/// itself.
fn only_pod<'a>(classes: &Classes<'a>, class: usize, peers: &[Peer]) -> Option<(&'a str, &'a str)> {
    let mut pods = classes.list()[class].pods.iter();
    let name = |(pod, _): &(&'a Pod, _)| (pod.namespace.as_str(), pod.name.as_str());
    let first = pods.next().map(name)?;
    (pods.all(|other| name(other) == first) && peers.iter().all(is_single)).then_some(first)
}

/// Whether a peer is one pod, and stands for no others.
fn is_single(peer: &Peer) -> bool {
    matches!(peer, Peer::Workload(workload) if workload.kind == "Pod" && !is_made_up(&workload.name))
}

/// What is at the ends of a class: the workloads of its pods, or addresses.
fn peers(classes: &Classes<'_>, class: usize, owners: &Owners) -> Vec<Peer> {
    let class = &classes.list()[class];
    if let Some(cell) = &class.addresses {
        return vec![Peer::Addresses {
            cidr: cell.cidr,
            except: cell.except.clone(),
        }];
    }
    let mut peers: Vec<Peer> = class
        .pods
        .iter()
        .map(|(pod, _)| Peer::Workload(owner(pod, owners)))
        .collect();
    peers.sort_unstable();
    peers.dedup();
    peers
}

fn owner(pod: &Pod, owners: &Owners) -> Workload {
    let known = owners.get(&(pod.namespace.clone(), pod.name.clone())).cloned();
    known.unwrap_or_else(|| Workload {
        namespace: pod.namespace.clone(),
        kind: "Pod".to_owned(),
        name: pod.name.clone(),
        host_network: pod.host_network,
    })
}

/// The changes of two peers that one side has, by protocol.
fn change(
    (from, to, open): &Key,
    difference: &Difference,
    side: Side,
    sides: &Sides<'_, '_, '_>,
    sets: &[&PolicySet; 2],
    indices: &[Index<'_>; 2],
    world: &World,
) -> Vec<Change> {
    let classes = sides.reach[0].classes();
    let (own, other) = match side {
        Side::Before => (0, 1),
        Side::After => (1, 0),
    };
    let Some(&(client, server)) = difference.example[own].iter().flatten().min() else {
        return Vec::new();
    };
    // What is left of an end that one side leaves open is whatever its rules allow on the other.
    let end = |direction, class| {
        sides.reach[other]
            .side(direction, class)
            .is_none_or(|row| row.parts().len() > 0)
    };
    let any = match open {
        Some(Direction::Egress) => end(Direction::Egress, client),
        Some(Direction::Ingress) => end(Direction::Ingress, server),
        None => difference.any[other],
    };
    let class = match (side, any) {
        (Side::After, false) => Class::Added,
        (Side::After, true) => Class::Widened,
        (Side::Before, false) => Class::Removed,
        (Side::Before, true) => Class::Narrowed,
    };
    let with = |(protocol, example): (Protocol, Option<(usize, usize)>)| {
        let ports: &PortSet = difference.only[own].ports(protocol);
        let ends = example?;
        let shown = |direction, class| isolating(sets[other], world, classes, class, direction);
        let (reason, by): (Reason, Vec<By>) = match open {
            // One side leaves it open, and the other side's policies are what there is to show.
            Some(Direction::Egress) => (Reason::Isolated, shown(Direction::Egress, client)),
            Some(Direction::Ingress) => (Reason::Isolated, shown(Direction::Ingress, server)),
            None => {
                let denied = rules(ports, |port| denying(&indices[other], classes, ends, (protocol, port)));
                if denied.is_empty() {
                    let own = |port| allowing(sets[own], &indices[own], classes, ends, (protocol, port));
                    (Reason::NotAllowed, rules(ports, own))
                } else {
                    (Reason::Denied, denied)
                }
            }
        };
        Some(Change {
            class,
            pair: Pair {
                from: from.clone(),
                to: to.clone(),
                protocol: transport(protocol),
            },
            ports: ports.clone(),
            side,
            kind: Kind::Policies,
            reason,
            cause: None,
            by,
        })
    };
    let examples = Protocol::ALL.into_iter().zip(difference.example[own]);
    examples.filter_map(with).collect()
}

/// The rules behind ports, of each range those of its first.
fn rules(ports: &PortSet, behind: impl Fn(u16) -> Vec<By>) -> Vec<By> {
    let first = ports.ranges().iter().take(RANGES).map(|range| range.first());
    let mut by: Vec<By> = first.flat_map(behind).collect();
    by.sort_unstable();
    by.dedup();
    by
}

const fn transport(protocol: Protocol) -> Transport {
    match protocol {
        Protocol::Tcp => Transport::TCP,
        Protocol::Udp => Transport::UDP,
        Protocol::Sctp => Transport::SCTP,
    }
}
