//! Single connections that both sides have samples of: one client's port, used at one time.
//!
//! A pair says what counts leave open: which Service led to which backend, which process of a node it was, whose
//! connections a node put its own address on. It only ever chooses among the answers that counts leave. Whatever has two
//! possible other halves is not paired: a port that a client used again at once, or that two clients of one translating node
//! had in common.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::time::Time;

use super::question::{Questions, Way};
use crate::identity::timeline::Span;
use crate::tape::{Operation, Operations, RowAt};

/// Ports that Linux gives to clients where nobody says otherwise (`net.ipv4.ip_local_port_range`). Translators choose among
/// more, so that this bounds from above how often a port that was chosen at random is the client's by chance.
const CLIENT_PORTS: u128 = 28_232;

/// How much more often than by chance a translator's ports must be those of its clients to say anything.
const BEYOND_CHANCE: u128 = 100;

/// Operations of one row with one port of the client, close to each other: a connection, or the datagrams of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conversation {
    /// The row.
    pub(super) at: RowAt,
    /// When each operation was, by the clock of its node; never empty.
    pub(super) times: Vec<Time>,
    port: u16,
    /// From the first to the last of them, by the clock that those of all nodes are aligned with.
    span: Span,
}

/// Both sides of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) client: Conversation,
    pub(super) server: Conversation,
}

/// The conversations that have exactly one other half each. A client's own address and port leave no doubt, so that what
/// may be paired by them is not looked for behind a translator.
pub(super) fn pairs(
    questions: &Questions,
    operations: &Operations,
    aligned: impl Fn(RowAt, Span) -> Span,
) -> Vec<Pair> {
    let of_row = |(at, operations): (&RowAt, &Vec<Operation>)| (*at, conversations(*at, operations, &aligned));
    let talks: Talks = operations.iter().map(of_row).collect();
    let (direct, _) = matches(questions, &talks, |way| *way == Way::Direct);
    let halves = direct.iter().flat_map(|(_, near, far)| [near.key(), far.key()]);
    let halves: BTreeSet<Key> = halves.collect();
    let of_row = |(at, all): (&RowAt, &Vec<Conversation>)| {
        let left = all.iter().filter(|one| !halves.contains(&one.key()));
        (*at, left.cloned().collect())
    };
    let left: Talks = talks.iter().map(of_row).collect();
    let (mut translated, chances) = matches(questions, &left, |way| *way != Way::Direct);
    translated.retain(|(way, ..)| chances.get(way).is_some_and(Chance::is_exceeded));
    let mut pairs = unique(&direct);
    pairs.extend(unique(&translated));
    pairs
}

/// The conversations of rows, in the order of ports and times.
type Talks = BTreeMap<RowAt, Vec<Conversation>>;

/// Tells conversations apart: those of one row and port do not begin at the same time.
type Key = (RowAt, u16, Time);

/// What may be the two halves of one conversation, client first.
type Match<'c> = (&'c Way, &'c Conversation, &'c Conversation);

/// What may belong together in one of these ways, and how often it might by times alone.
fn matches<'c>(
    questions: &'c Questions,
    talks: &'c Talks,
    is_wanted: impl Fn(&Way) -> bool,
) -> (Vec<Match<'c>>, BTreeMap<&'c Way, Chance>) {
    let of = |at: &RowAt| talks.get(at).map_or(&[][..], Vec::as_slice);
    let (mut all, mut chances) = (Vec::new(), BTreeMap::<&Way, Chance>::new());
    for (client, servers) in &questions.related {
        for (server, way) in servers.iter().filter(|(_, way)| is_wanted(way)) {
            let (near, far) = (of(client), of(server));
            let equal = matching(near, far);
            // A client's own address leaves nothing to chance.
            if *way != Way::Direct {
                chances.entry(way).or_default().add(near, far, equal.len());
            }
            all.extend(equal.into_iter().map(|(near, far)| (way, near, far)));
        }
    }
    (all, chances)
}

/// Those whose halves are in no other match.
fn unique(matches: &[Match<'_>]) -> Vec<Pair> {
    let mut halves: BTreeMap<Key, usize> = BTreeMap::new();
    for (_, near, far) in matches {
        for one in [near, far] {
            *halves.entry(one.key()).or_default() += 1;
        }
    }
    let is_only = |one: &Conversation| halves.get(&one.key()) == Some(&1);
    let only = matches.iter().filter(|(_, near, far)| is_only(near) && is_only(far));
    let pair = |(_, near, far): &Match<'_>| Pair {
        client: (*near).clone(),
        server: (*far).clone(),
    };
    only.map(pair).collect()
}

impl Conversation {
    fn key(&self) -> Key {
        (self.at, self.port, self.span.first)
    }

    fn may_be(&self, other: &Self) -> bool {
        self.port == other.port && self.span.tolerant().overlaps(other.span)
    }
}

/// Groups the operations of a row by port and time.
fn conversations(at: RowAt, operations: &[Operation], aligned: &impl Fn(RowAt, Span) -> Span) -> Vec<Conversation> {
    let mut ports: BTreeMap<u16, Vec<Time>> = BTreeMap::new();
    for operation in operations {
        if let Some(port) = operation.client_port {
            ports.entry(port).or_default().push(operation.time);
        }
    }
    let mut all = Vec::new();
    for (port, mut times) in ports {
        times.sort_unstable();
        let close = |a: &Time, b: &Time| instant(*a).tolerant().overlaps(instant(*b));
        for times in times.chunk_by(close) {
            let [first, .., last] = times else {
                all.extend(times.first().map(|only| Conversation {
                    at,
                    times: times.to_vec(),
                    port,
                    span: aligned(at, instant(*only)),
                }));
                continue;
            };
            let (first, last) = (*first, *last);
            all.push(Conversation {
                at,
                times: times.to_vec(),
                port,
                span: aligned(at, Span { first, last }),
            });
        }
    }
    all
}

fn instant(time: Time) -> Span {
    Span {
        first: time,
        last: time,
    }
}

/// The conversations of two rows that may be one. Both are in the order of ports and times.
fn matching<'c>(near: &'c [Conversation], far: &'c [Conversation]) -> Vec<(&'c Conversation, &'c Conversation)> {
    let of_port = |port: u16| {
        let first = far.partition_point(|other| other.port < port);
        far[first..].iter().take_while(move |other| other.port == port)
    };
    let halves = |one: &'c Conversation| {
        let others = of_port(one.port).filter(|other| one.may_be(other));
        others.map(move |other| (one, other))
    };
    near.iter().flat_map(halves).collect()
}

/// How often the ports of both sides are the same, of how often they might be by their times.
#[derive(Clone, Copy, Debug, Default)]
struct Chance {
    equal: u128,
    possible: u128,
}

impl Chance {
    fn add(&mut self, near: &[Conversation], far: &[Conversation], equal: usize) {
        let mut firsts: Vec<Time> = far.iter().map(|other| other.span.first).collect();
        let mut lasts: Vec<Time> = far.iter().map(|other| other.span.last).collect();
        firsts.sort_unstable();
        lasts.sort_unstable();
        for one in near {
            let span = one.span.tolerant();
            let begun = firsts.partition_point(|first| *first <= span.last);
            let ended = lasts.partition_point(|last| *last < span.first);
            self.possible += begun.saturating_sub(ended) as u128;
        }
        self.equal += equal as u128;
    }

    /// Whether the translator keeps its clients' ports: where it chooses them at random, as kube-proxy has netfilter do
    /// (`--random-fully`), a port that both sides name is a coincidence.
    fn is_exceeded(&self) -> bool {
        self.equal * CLIENT_PORTS > self.possible * BEYOND_CHANCE
    }
}

#[cfg(test)]
mod tests;
