//! What counts leave open, and which rows may be the two sides of the same connections.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::address::Address;

use super::Views;
use super::candidate::{Candidate, translator_key};
use super::hosts::Place;
use super::timed::Timed;
use crate::flow::edge::Transport;
use crate::flow::host::host_of;
use crate::flow::sighting::{Sighting, endpoint};
use crate::identity::Reason;
use crate::identity::cluster::Cluster;
use crate::identity::resolve::{Party, Resolver};
use crate::identity::timeline::Span;
use crate::tape::RowAt;

/// Rows whose single operations may tell more than their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    /// Rows that cover a change, so that each operation is asked for at its own time.
    pub(super) changing: BTreeSet<RowAt>,
    /// Rows of clients, each with the rows of servers that may have counted the same.
    pub(super) related: BTreeMap<RowAt, BTreeMap<RowAt, Way>>,
}

/// How a server's row may be the other side of a client's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// It has the client's own address.
    Direct,
    /// It has that of a node, which put it in the client's place.
    Translated(String),
}

impl Questions {
    /// Every row that is asked for.
    #[must_use]
    pub fn rows(&self) -> BTreeSet<RowAt> {
        let servers = self.related.values().flat_map(BTreeMap::keys);
        let related = self.related.keys().chain(servers);
        self.changing.iter().chain(related).copied().collect()
    }
}

/// What the views of a tape leave open.
pub(in crate::flow) fn questions<'a>(
    sightings: &'a [Sighting<'a>],
    resolver: &'a Resolver<'a>,
    cluster: &'a Cluster,
) -> Questions {
    let is_changing = |sighting: &&Sighting<'_>| {
        let parties = [sighting.local, sighting.remote];
        parties.into_iter().any(is_ambiguous) || sighting.spans_a_change(cluster)
    };
    let changing = sightings.iter().filter(is_changing).filter_map(|sighting| sighting.at);
    let mut questions = Questions {
        changing: changing.collect(),
        related: BTreeMap::new(),
    };
    let views = Views::new(sightings, resolver, cluster);
    let sides = Sides::new(sightings);
    let mut wanted: BTreeSet<RowAt> = BTreeSet::new();
    let (served, asked): (Vec<&Sighting<'a>>, Vec<&Sighting<'a>>) =
        sightings.iter().partition(|sighting| sighting.is_server());
    wanted.extend(
        served
            .iter()
            .filter(|one| views.is_open_to_server(one))
            .filter_map(|one| one.at),
    );
    for client in asked.iter().filter(|client| views.is_open_to_client(client)) {
        wanted.extend(sides.related(client, &views).into_keys());
    }
    if wanted.is_empty() {
        return questions;
    }
    // Clients without a question of their own count as well: what they explain, nobody else does.
    for client in asked {
        let mut related = sides.related(client, &views);
        related.retain(|server, _| wanted.contains(server));
        if let (Some(at), false) = (client.at, related.is_empty()) {
            questions.related.insert(at, related);
        }
    }
    questions
}

/// Whether a party is one of several.
pub(in crate::flow) fn is_ambiguous(party: Party<'_>) -> bool {
    matches!(party, Party::Unknown(_, Reason::Ambiguous))
}

impl<'a> Views<'a> {
    /// Whether a server's view may be of either of several clients.
    pub(super) fn is_open_to_server(&self, sighting: &Sighting<'_>) -> bool {
        let Party::Node(node) = sighting.remote else {
            return is_ambiguous(sighting.remote);
        };
        // Of whoever is on the network of a node nobody asks which process it was of another.
        let place = Place::of_server(sighting);
        if matches!(place, Place::Host(_)) || sighting.row.count == 0 {
            return false;
        }
        let key = (node, place, sighting.protocol(), sighting.port);
        self.host_clients.several(&key) && self.host_clients.all_seen(&key, sighting).is_none()
    }

    /// Whether a client's view may be of either of several servers, or of Services.
    fn is_open_to_client(&self, sighting: &Sighting<'a>) -> bool {
        if sighting.services.is_empty() || sighting.met_server {
            return is_ambiguous(sighting.remote);
        }
        let client = endpoint(sighting.local, &sighting.row, true);
        self.is_open(sighting, client, &self.backends_of(sighting, client))
    }

    /// Where a client's view may have led: to which port of which server, and by which node's address where one translates.
    fn ways(&self, sighting: &Sighting<'a>) -> Vec<(Place<'a>, u16, Option<&'a str>)> {
        if sighting.services.is_empty() || sighting.met_server {
            return vec![(Place::of_server(sighting), sighting.port, None)];
        }
        let client = endpoint(sighting.local, &sighting.row, true);
        let all = self.backends_of(sighting, client);
        let reached = self.reached(sighting, client, &all);
        let is_seen = |one: &Candidate<'a>| reached.seen.iter().any(|seen| std::ptr::eq(*seen, one));
        let way = |one: &Candidate<'a>| {
            let translated = one.translated().filter(|_| is_seen(one));
            let translator = translated.and_then(|_| translator_key(sighting, one));
            (one.place(), one.backend.port, translator.map(|(node, ..)| node))
        };
        all.iter().map(way).collect()
    }
}

/// Views of servers, by what a client knows of them.
struct Sides<'s, 'a> {
    /// Servers whose own address may be one of several, by it and the client's.
    by_address: BTreeMap<(Socket<Address>, Address), Timed<&'s Sighting<'a>>>,
    /// By the client's address.
    direct: BTreeMap<(Socket<Place<'a>>, Address), Timed<&'s Sighting<'a>>>,
    /// By the node whose address was the client's.
    translated: BTreeMap<(Socket<Place<'a>>, &'a str), Timed<&'s Sighting<'a>>>,
}

/// Where a server is, the protocol and its port.
type Socket<P> = (P, Transport, u16);

impl<'s, 'a> Sides<'s, 'a> {
    fn new(sightings: &'s [Sighting<'a>]) -> Self {
        let (mut by_address, mut direct, mut translated) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let counted = |one: &&Sighting<'_>| one.is_server() && one.row.count > 0;
        for server in sightings.iter().filter(counted) {
            let (protocol, port, span) = (server.protocol(), server.port, server.presence());
            let place = (Place::of_server(server), protocol, port);
            if let Some(node) = host_of(server.remote) {
                let rows: &mut Vec<_> = translated.entry((place, node)).or_default();
                rows.push((span, server));
            }
            let Some(client) = server.row.remote_ip else { continue };
            if let Some(address) = server.row.local_ip {
                let rows: &mut Vec<_> = by_address.entry(((address, protocol, port), client)).or_default();
                rows.push((span, server));
            }
            let rows: &mut Vec<_> = direct.entry((place, client)).or_default();
            rows.push((span, server));
        }
        Self {
            by_address: timed(by_address),
            direct: timed(direct),
            translated: timed(translated),
        }
    }

    /// The servers' rows that may have counted the same as a client's.
    fn related(&self, client: &Sighting<'a>, views: &Views<'a>) -> BTreeMap<RowAt, Way> {
        let mut related = BTreeMap::new();
        if !client.may_be_accepted() || client.row.count == 0 {
            return related;
        }
        let at = client.presence().tolerant();
        let mut relate = |servers: Option<&Timed<&Sighting<'a>>>, way: &Way| {
            for server in servers.into_iter().flat_map(|servers| servers.during(at)) {
                if let Some(place) = server.at {
                    related.entry(place).or_insert_with(|| way.clone());
                }
            }
        };
        if is_ambiguous(client.remote)
            && let Some(address) = client.row.remote_ip
        {
            let socket = (address, client.protocol(), client.port);
            for own in client.addresses() {
                relate(self.by_address.get(&(socket, own)), &Way::Direct);
            }
        }
        for (place, port, translator) in views.ways(client) {
            let socket = (place, client.protocol(), port);
            for own in client.addresses() {
                relate(self.direct.get(&(socket, own)), &Way::Direct);
            }
            if let Some(node) = translator {
                relate(self.translated.get(&(socket, node)), &Way::Translated(node.to_owned()));
            }
        }
        related
    }
}

/// The rows of each key by time.
fn timed<K: Ord, V>(rows: BTreeMap<K, Vec<(Span, V)>>) -> BTreeMap<K, Timed<V>> {
    let of_key = |(key, rows)| (key, Timed::new(rows));
    rows.into_iter().map(of_key).collect()
}
