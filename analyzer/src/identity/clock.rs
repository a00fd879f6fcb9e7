//! By how much the clocks of nodes are apart, from what two of them saw of the same connections.
//!
//! Where both ends of a client's connections to a server were counted, and as often, the first and the last are the same
//! connections in both views. Their times differ by what the clocks differ by, and by the way between the nodes, which is
//! short. Counts are enough for that, so that samples change nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flowtape_schemas::address::Address;
use flowtape_schemas::node::{Direction, FlowRow, Outcome};
use rayon::iter::{IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSliceMut as _;

use super::resolve::span_of;
use super::service::Services;
use super::timeline::Span;
use crate::findings::{Code, Findings};
use crate::tape::Tape;

/// How far clocks may be apart without mattering: less than the tolerance for late metadata, and more than those of nodes
/// that keep time are.
const APART_NANOS: i64 = 1_000_000_000;

/// How far the time between the first and the last connection may differ between both views.
const ALIKE_NANOS: i64 = 100_000_000;

/// IANA protocol number of TCP.
const TCP: u8 = 6;

/// The clocks of the nodes of a tape, by the names of their recordings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks<'a> {
    known: BTreeMap<&'a str, Clock<'a>>,
}

/// What is known of one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock<'a> {
    /// By how many nanoseconds it is ahead of the clock that those of its group are aligned with.
    ahead: i64,
    /// By how many it may be ahead of the clock of the metadata, at least and at most.
    of_metadata: (i64, i64),
    /// The node whose clock it is compared with, if most clocks do not agree on one.
    beside: Option<&'a str>,
}

impl<'a> Clocks<'a> {
    /// Compares the clocks of all nodes that saw connections of each other.
    #[must_use]
    pub fn new(tape: &'a Tape, services: &Services) -> Self {
        let differences = differences(tape, services);
        let mut clocks = Self::default();
        let names: BTreeSet<&'a str> = differences.keys().flat_map(|(a, b)| [*a, *b]).collect();
        for name in names {
            if !clocks.known.contains_key(name) {
                clocks.add_group(&group(name, &differences));
            }
        }
        clocks
    }

    /// Judges nodes that are compared with each other, each with how far its clock is ahead of that of the first.
    fn add_group(&mut self, ahead: &BTreeMap<&'a str, i64>) {
        let (Some(least), Some(most)) = (ahead.values().min(), ahead.values().max()) else {
            return;
        };
        let agreed = agreed(ahead);
        let first = ahead.iter().find(|(_, ahead)| **ahead == 0).map(|(name, _)| *name);
        for (name, own) in ahead {
            let clock = match agreed {
                _ if most.saturating_sub(*least) <= APART_NANOS => Clock {
                    ahead: 0,
                    of_metadata: (0, 0),
                    beside: None,
                },
                Some(right) => {
                    let ahead = own.saturating_sub(right);
                    Clock {
                        ahead,
                        of_metadata: (ahead, ahead),
                        beside: None,
                    }
                }
                // Each of them may be the clock of the metadata.
                None => Clock {
                    ahead: *own,
                    of_metadata: (own.saturating_sub(*most), own.saturating_sub(*least)),
                    beside: first,
                },
            };
            self.known.insert(name, clock);
        }
    }

    /// A span of a node's clock in the clock that all comparable nodes are aligned with.
    #[must_use]
    pub fn aligned(&self, node: &str, span: Span) -> Span {
        let ahead = self.known.get(node).map_or(0, |clock| clock.ahead);
        span.shifted(ahead.saturating_neg(), ahead.saturating_neg())
    }

    /// A span of a node's clock in the clock of the metadata; longer where that is not known exactly.
    #[must_use]
    pub fn in_metadata(&self, node: &str, span: Span) -> Span {
        let (least, most) = self.known.get(node).map_or((0, 0), |clock| clock.of_metadata);
        span.shifted(most.saturating_neg(), least.saturating_neg())
    }

    /// Says which clocks are apart.
    pub fn report(&self, findings: &mut Findings) {
        for (name, clock) in &self.known {
            if clock.ahead.saturating_abs() <= APART_NANOS {
                continue;
            }
            let tenths = clock.ahead.saturating_abs() / 100_000_000;
            let way = if clock.ahead > 0 { "ahead of" } else { "behind" };
            let other = match clock.beside {
                Some(other) => format!("that of node `{other}`, and nothing tells which is right"),
                None => "those of most nodes".to_owned(),
            };
            let message = format!(
                "the clock of node `{name}` is {}.{} s {way} {other}",
                tenths / 10,
                tenths % 10
            );
            findings.report(Code::ClocksApart, message);
        }
    }
}

/// The clock that more than half of at least three agree on: the one in the middle of the largest number of clocks that are
/// not apart.
fn agreed(ahead: &BTreeMap<&str, i64>) -> Option<i64> {
    let mut sorted: Vec<i64> = ahead.values().copied().collect();
    sorted.sort_unstable();
    let together = |from: usize| {
        let alike = sorted
            .iter()
            .skip(from)
            .take_while(|other| **other - sorted[from] <= APART_NANOS);
        alike.count()
    };
    // The first of equally many, so that the answer is one.
    let from = (0..sorted.len()).max_by_key(|from| (together(*from), std::cmp::Reverse(*from)))?;
    let count = together(from);
    (sorted.len() > 2 && 2 * count > sorted.len()).then(|| sorted[from + count / 2])
}

/// Every node that is comparable with `first`, directly or through others, and how far its clock is ahead.
fn group<'a>(first: &'a str, differences: &BTreeMap<(&'a str, &'a str), i64>) -> BTreeMap<&'a str, i64> {
    let mut ahead = BTreeMap::from([(first, 0)]);
    let mut waiting = VecDeque::from([(first, 0_i64)]);
    while let Some((node, own)) = waiting.pop_front() {
        let next = differences.iter().filter(|((from, _), _)| *from == node);
        for ((_, other), difference) in next {
            if !ahead.contains_key(other) {
                let position = own.saturating_add(*difference);
                ahead.insert(other, position);
                waiting.push_back((other, position));
            }
        }
    }
    ahead
}

/// By how much the second node's clock is ahead of the first's, for each pair of nodes in both orders.
fn differences<'a>(tape: &'a Tape, services: &Services) -> BTreeMap<(&'a str, &'a str), i64> {
    let name = |node: usize| tape.nodes.get(node).map_or("", |node| node.name.as_str());
    let views = Views::new(tape);
    let sample = |(way, tally): &(Way, Tally)| {
        let (other, seen) = views.counterpart(services, way)?;
        let difference = tally.difference(&seen).filter(|_| other != way.node)?;
        Some(((way.node, other), difference))
    };
    let all: Vec<((usize, usize), i64)> = views.clients.par_iter().filter_map(sample).collect();
    let mut samples: BTreeMap<(&'a str, &'a str), Vec<i64>> = BTreeMap::new();
    for ((from, to), difference) in all {
        samples.entry((name(from), name(to))).or_default().push(difference);
    }
    let middle = |differences: &mut Vec<i64>| {
        differences.sort_unstable();
        differences[differences.len() / 2]
    };
    let medians: BTreeMap<_, i64> = samples.iter_mut().map(|(pair, all)| (*pair, middle(all))).collect();
    let mut both = BTreeMap::new();
    for ((from, to), there) in &medians {
        // The way takes its time in both directions, and cancels out.
        let difference = match medians.get(&(*to, *from)) {
            Some(back) => there.saturating_sub(*back) / 2,
            None => *there,
        };
        both.insert((*from, *to), difference);
        both.insert((*to, *from), difference.saturating_neg());
    }
    both
}

/// Connections from one address to another, as one node counted them.
#[derive(Clone, Copy, Debug)]
struct Tally {
    count: u64,
    span: Span,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.span = self.span.hull(other.span);
    }

    /// By how much the other's clock is ahead, if both are of the same connections: as many of them, from the first to the
    /// last as long.
    fn difference(&self, other: &Self) -> Option<i64> {
        let first = other.span.first.0.saturating_sub(self.span.first.0);
        let last = other.span.last.0.saturating_sub(self.span.last.0);
        let alike = first.saturating_sub(last).saturating_abs() <= ALIKE_NANOS;
        // Any two single connections look alike.
        let tells = self.count == other.count && self.span.last.0.saturating_sub(self.span.first.0) > ALIKE_NANOS;
        (alike && tells).then_some(first)
    }
}

/// From where to where connections went, and which node counted them, by its place among those of the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    client: Address,
    server: Address,
    port: u16,
    node: usize,
}

impl Way {
    const fn ends(&self) -> (Address, Address, u16) {
        (self.client, self.server, self.port)
    }
}

/// What was established over TCP, each way once and in order.
struct Views {
    /// What clients counted.
    clients: Vec<(Way, Tally)>,
    /// What servers counted.
    servers: Vec<(Way, Tally)>,
}

impl Views {
    fn new(tape: &Tape) -> Self {
        Self {
            clients: tallies(tape, Direction::Out),
            servers: tallies(tape, Direction::In),
        }
    }

    /// What the servers of a client's connections counted of them, all on one node: those at the address itself, or else
    /// the backends of the Service at that address.
    fn counterpart(&self, services: &Services, way: &Way) -> Option<(usize, Tally)> {
        let direct = self.seen((way.client, way.server, way.port));
        let mut seen = direct.iter().collect::<Vec<_>>();
        if seen.is_empty() {
            let always = Span::of_validity(None, None);
            let hits = services.at_address(way.server, way.port, "TCP", always);
            let backends: BTreeSet<(Address, u16)> = hits
                .iter()
                .flat_map(|hit| services.backends(*hit, "TCP", always))
                .map(|backend| (backend.address, backend.port))
                .collect();
            let of_backend = |(address, port)| self.seen((way.client, address, port));
            seen = backends.into_iter().flat_map(of_backend).collect();
        }
        let ((first, mut all), others) = seen.split_first().map(|(first, others)| (**first, others))?;
        for (other, tally) in others {
            if other.node != first.node {
                return None;
            }
            all.add(*tally);
        }
        Some((first.node, all))
    }

    /// What servers counted of a client at an address and port, by node.
    fn seen(&self, ends: (Address, Address, u16)) -> &[(Way, Tally)] {
        let first = self.servers.partition_point(|(way, _)| way.ends() < ends);
        let length = self.servers[first..].partition_point(|(way, _)| way.ends() == ends);
        &self.servers[first..first + length]
    }
}

/// What the nodes of a tape counted on one side.
fn tallies(tape: &Tape, side: Direction) -> Vec<(Way, Tally)> {
    let nodes = tape.nodes.par_iter().enumerate();
    // Each recording of a node fixes its clock anew.
    let comparable = nodes.filter(|(_, node)| node.recordings.len() <= 1);
    let rows = comparable.flat_map(|(place, node)| node.flows.par_iter().map(move |row| (place, row)));
    let tally = |(node, row): (usize, &FlowRow)| {
        let (local, remote, port) = ends(row).filter(|_| row.direction == side)?;
        let (client, server) = if side == Direction::Out {
            (local, remote)
        } else {
            (remote, local)
        };
        let tally = Tally {
            count: row.count,
            span: span_of(row),
        };
        let way = Way {
            client,
            server,
            port,
            node,
        };
        Some((way, tally))
    };
    let mut all: Vec<(Way, Tally)> = rows.filter_map(tally).collect();
    all.par_sort_unstable_by_key(|(way, _)| *way);
    all.dedup_by(|(way, tally), (known, sum)| {
        let same = way == known;
        if same {
            sum.add(*tally);
        }
        same
    });
    all
}

/// The addresses of a row's socket and its peer, and the server's port, if it tells of connections of this window.
fn ends(row: &FlowRow) -> Option<(Address, Address, u16)> {
    let tells = row.protocol == TCP
        && row.outcome == Outcome::Established
        && matches!(row.direction, Direction::In | Direction::Out)
        && row.count > 0
        && !row.predates_window
        && !row.remote_folded;
    Some((row.local_ip.filter(|_| tells)?, row.remote_ip?, row.service_port?))
}
