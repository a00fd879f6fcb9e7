//! `flowtape.connectivity/v1`: what a policy set allows. The connections are written as they are found, one a line.

use serde::Serialize;

use super::line;
use super::peer::Peer;
use crate::policy::ports::Protocol;
use crate::replay::connectivity::Allowed;

/// The body. Its last field is where the connections go, each as [`from`], [`to`] and one of [`rests`] say it.
#[derive(Clone, Debug, Serialize)]
pub struct Connectivity {
    /// Peers that behave alike; only where it was asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Class>>,
    /// The connections.
    pub connections: [(); 0],
}

/// Several peers.
#[derive(Clone, Debug, Serialize)]
pub struct Class {
    /// What connections call it.
    pub id: String,
    /// Who is in it.
    pub members: Vec<Peer>,
}

/// One end of a connection.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum End {
    /// One peer.
    Peer(Peer),
    /// All of a class.
    Class {
        /// `class`.
        #[serde(rename = "type")]
        types: &'static str,
        /// Its id.
        id: String,
    },
}

impl End {
    /// All of a class.
    #[must_use]
    pub const fn class(id: String) -> Self {
        Self::Class { types: "class", id }
    }
}

/// A connection up to its client. Each but the first stands behind a comma, so all begin with one.
pub fn from(end: &End) -> Result<String, serde_json::Error> {
    Ok(format!(",\n    {{\"from\":{}", line(end)?))
}

/// What stands between that and the ports.
pub fn to(end: &End) -> Result<String, serde_json::Error> {
    Ok(format!(",\"to\":{}", line(end)?))
}

/// The rest of a connection, one for each protocol.
#[must_use]
pub fn rests(allowed: &Allowed) -> Vec<String> {
    let Allowed { traffic, partly } = allowed;
    let partly = if *partly { ",\"partly\":true" } else { "" };
    let protocols = Protocol::ALL
        .into_iter()
        .map(|protocol| (protocol, traffic.ports(protocol)));
    let some = protocols.filter(|(_, ports)| !ports.is_empty());
    some.map(|(protocol, ports)| format!(",\"protocol\":\"{protocol}\",\"ports\":\"{ports}\"{partly}}}"))
        .collect()
}
