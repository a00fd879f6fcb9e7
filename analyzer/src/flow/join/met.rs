//! What the other side of the same connections is known to be, where single ones were paired.

use std::collections::BTreeMap;

use super::hosts::Place;
use super::part::Partners;
use super::question::is_ambiguous;
use crate::flow::sighting::Sighting;
use crate::identity::resolve::Party;
use crate::tape::RowAt;

/// The other side of a view.
#[derive(Clone, Copy, Debug)]
pub(in crate::flow) struct Met<'a> {
    /// Whose socket it was.
    pub(super) party: Party<'a>,
    /// Where the server is.
    pub(super) place: Place<'a>,
    /// The server's own port.
    pub(super) port: u16,
    /// Whether the server saw another address than the client's own.
    pub(super) translated: bool,
}

/// Tells each of two views that are of the same connections of the other.
pub(in crate::flow) fn introduce(sightings: &mut [Sighting<'_>], partners: &Partners) {
    let places = sightings.iter().enumerate();
    let places: BTreeMap<RowAt, usize> = places.filter_map(|(place, one)| Some((one.at?, place))).collect();
    for (client, server) in &partners.servers {
        let (Some(client), Some(server)) = (places.get(client), places.get(server)) else {
            continue;
        };
        let (near, far) = (&sightings[*client], &sightings[*server]);
        let to_client = Met {
            party: far.local,
            place: Place::of_server(far),
            port: far.port,
            translated: !near.is_at(far.row.remote_ip),
        };
        let to_server = Met {
            party: near.local,
            ..to_client
        };
        meet(&mut sightings[*client], to_client);
        meet(&mut sightings[*server], to_server);
    }
}

fn meet<'a>(sighting: &mut Sighting<'a>, met: Met<'a>) {
    // Whoever held the address, it was the one whose socket it was.
    let is_server_itself = sighting.services.is_empty() || sighting.met_server;
    if is_server_itself && !met.translated && is_ambiguous(sighting.remote) {
        sighting.remote = met.party;
    }
    sighting.met = Some(met);
}
