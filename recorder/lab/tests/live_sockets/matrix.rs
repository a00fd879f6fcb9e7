//! What the tape must hold, and whether it does.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use flowtape_schemas::address::Address;
use flowtape_schemas::node::{Direction, FlowRow, Outcome as Ended};

use crate::Outcome;

// IANA protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A row of `flows` that must be there, its intervals added up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Whose socket it is.
    pub(crate) who: String,
    pub(crate) direction: Direction,
    pub(crate) protocol: u8,
    pub(crate) remote: Option<Address>,
    pub(crate) port: Option<u16>,
    pub(crate) outcome: Ended,
    pub(crate) predates: bool,
    /// What the program asked for, where that was another address.
    pub(crate) asked: Option<(Address, u16)>,
}

/// The same with its count.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    key: Key,
    count: u64,
}

impl Row {
    /// An established TCP connection, seen by its client.
    pub(crate) fn out(who: &str, to: SocketAddr, count: u64) -> Self {
        Self {
            key: Key {
                who: who.to_owned(),
                direction: Direction::Out,
                protocol: TCP,
                remote: Some(Address::from(to.ip())),
                port: Some(to.port()),
                outcome: Ended::Established,
                predates: false,
                asked: None,
            },
            count,
        }
    }

    /// An established TCP connection, seen by its server.
    pub(crate) fn of_server(who: &str, from: Address, port: u16, count: u64) -> Self {
        Self {
            key: Key {
                who: who.to_owned(),
                direction: Direction::In,
                protocol: TCP,
                remote: Some(from),
                port: Some(port),
                outcome: Ended::Established,
                predates: false,
                asked: None,
            },
            count,
        }
    }

    /// The same of datagrams.
    pub(crate) fn udp(mut self) -> Self {
        self.key.protocol = UDP;
        self
    }

    /// The same of what was open before the recording.
    pub(crate) fn older(mut self) -> Self {
        self.key.predates = true;
        self
    }

    /// The same where the program asked for something else.
    pub(crate) fn asked(mut self, address: SocketAddr) -> Self {
        self.key.asked = Some((Address::from(address.ip()), address.port()));
        self
    }

    /// The same with another outcome.
    pub(crate) fn ended(mut self, outcome: Ended) -> Self {
        self.key.outcome = outcome;
        self
    }
}

/// Counts by key.
pub(crate) type Counts = BTreeMap<Key, u64>;

/// What was expected, added up.
pub(crate) fn expected(rows: &[Row]) -> Counts {
    let mut counts = Counts::new();
    for row in rows {
        *counts.entry(row.key.clone()).or_default() += row.count;
    }
    counts
}

/// What was recorded of the control groups of the cases.
pub(crate) fn recorded(flows: &[FlowRow], who: impl Fn(&FlowRow) -> Option<String>) -> Counts {
    let mut counts = Counts::new();
    for row in flows {
        if let Some(who) = who(row) {
            let key = Key {
                who,
                direction: row.direction,
                protocol: row.protocol,
                remote: row.remote_ip,
                port: row.service_port,
                outcome: row.outcome,
                predates: row.predates_window,
                asked: row.asked_ip.zip(row.asked_port),
            };
            *counts.entry(key).or_default() += row.count;
        }
    }
    counts
}

/// Every expected row is there with its count. Takes from `found` what was expected.
pub(crate) fn must_have(expected: &Counts, found: &mut Counts) -> Outcome {
    let mut complaints = Vec::new();
    for (key, wanted) in expected {
        match found.remove(key) {
            Some(count) if count == *wanted => {}
            Some(count) => complaints.push(format!("{count} instead of {wanted} of {}", shown(key))),
            None => complaints.push(format!("no {}", shown(key))),
        }
    }
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join("\n    ").into())
    }
}

/// One line for a row.
pub(crate) fn shown(key: &Key) -> String {
    let Key {
        who,
        direction,
        protocol,
        remote,
        port,
        outcome,
        predates,
        asked,
    } = key;
    let remote = remote.map_or_else(|| "-".to_owned(), |remote| remote.to_string());
    let port = port.map_or_else(|| "-".to_owned(), |port| port.to_string());
    let predates = if *predates { " (predates)" } else { "" };
    let asked = asked.map_or_else(String::new, |(address, port)| format!(" (asked for {address} {port})"));
    format!("{who} {direction} {remote} {port}/{protocol} {outcome}{predates}{asked}")
}
