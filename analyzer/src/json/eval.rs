//! The body of `flowtape.eval/v1`.

use serde::Serialize;

use super::diff::By;
use crate::policy::ports::Protocol;
use crate::semantics::eval::{Side as DomainSide, Verdict};

/// Body of `flowtape.eval/v1`.
#[derive(Clone, Debug, Serialize)]
pub struct Eval {
    /// What was asked.
    pub connection: Connection,
    /// Whether it works: both ends allow it.
    pub allowed: bool,
    /// The client's end.
    pub egress: Side,
    /// The server's end.
    pub ingress: Side,
}

/// A connection as it was named.
#[derive(Clone, Debug, Serialize)]
pub struct Connection {
    /// The client.
    pub from: String,
    /// The server.
    pub to: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'static str,
    /// The server's own port.
    pub port: u16,
}

/// What policies say at one end.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Whether this end allows the connection.
    pub allowed: bool,
    /// A stable word that says why.
    pub reason: &'static str,
    /// Allowed by rules: every rule that matches. Denied: every policy that isolates. Otherwise empty.
    pub by: Vec<By>,
}

impl Eval {
    /// What policies say to a connection.
    #[must_use]
    pub fn new(from: String, to: String, (protocol, port): (Protocol, u16), verdict: &Verdict) -> Self {
        Self {
            connection: Connection {
                from,
                to,
                protocol: protocol.name(),
                port,
            },
            allowed: verdict.allowed(),
            egress: (&verdict.egress).into(),
            ingress: (&verdict.ingress).into(),
        }
    }
}

impl From<&DomainSide> for Side {
    fn from(side: &DomainSide) -> Self {
        let DomainSide { allowed, basis, by } = side;
        Self {
            allowed: *allowed,
            reason: basis.word(),
            by: by.iter().map(By::from).collect(),
        }
    }
}
