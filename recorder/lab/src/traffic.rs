//! Making the traffic, and what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use flowtape_scenario::connection::{Connection, alternatives};
use flowtape_scenario::model::{ClientSocket, Offset, Outcome, Protocol};

use crate::lab::{Host, Lab, LabError, system};

/// What became of all traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One entry for each line of the scenario's traffic.
    pub lines: Vec<LineReport>,
}

/// What became of one line of traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineReport {
    /// Line of the text.
    pub line: usize,
    /// `CLIENT -> SERVER`.
    pub what: String,
    /// What the scenario says.
    pub expected: Outcome,
    /// How many connections it says.
    pub wanted: usize,
    /// How many ended how.
    pub outcomes: BTreeMap<String, usize>,
    /// Servers that answered, with the client's address as they saw it.
    pub servers: BTreeSet<(SocketAddr, IpAddr)>,
    /// Servers and views of the client that the scenario allows.
    pub allowed: BTreeSet<(SocketAddr, IpAddr)>,
    /// Whether the line was left out because it is `synthetic`.
    pub skipped: bool,
}

impl Report {
    /// Whether everything became of the traffic that the scenario says.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.lines.iter().all(LineReport::ok)
    }
}

impl LineReport {
    /// Whether the line became what the scenario says.
    #[must_use]
    pub fn ok(&self) -> bool {
        let expected: BTreeMap<String, usize> =
            std::iter::once((self.expected.word().to_owned(), self.wanted)).collect();
        self.skipped || (self.outcomes == expected && self.servers.is_subset(&self.allowed))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for LineReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.skipped {
            "skipped"
        } else if self.ok() {
            "ok"
        } else {
            "WRONG"
        };
        write!(
            f,
            "{verdict:7} line {}: {} {} x{}",
            self.line,
            self.what,
            self.expected.word(),
            self.wanted
        )?;
        if self.skipped {
            return f.write_str(" (synthetic)");
        }
        if !self.ok() {
            write!(
                f,
                ": got {:?} by {:?}, allowed {:?}",
                self.outcomes, self.servers, self.allowed
            )?;
        }
        Ok(())
    }
}

impl Lab {
    /// Makes all traffic in the order of its times, without waiting in between; pods come and go as their times come.
    pub fn run_traffic(&mut self) -> Result<Report, LabError> {
        let mut report = self.empty_report();
        let instants = self.instants();
        for (nth, start) in instants.iter().enumerate() {
            if nth > 0 {
                let before: BTreeSet<Host> = self.agents.keys().copied().collect();
                self.enter(*start)?;
                let new: Vec<Host> = self
                    .agents
                    .keys()
                    .copied()
                    .filter(|host| !before.contains(host))
                    .collect();
                for host in new {
                    self.listen(host)?;
                }
            }
            let end = instants.get(nth + 1).copied().unwrap_or(Offset(i64::MAX));
            self.make(*start, end, &mut report)?;
        }
        // What stays open is opened last and with patience, so that it is still open at the end.
        self.pend(&mut report)?;
        Ok(report)
    }

    fn empty_report(&self) -> Report {
        let line = |traffic: &flowtape_scenario::model::Traffic| LineReport {
            line: traffic.line,
            what: format!("{} -> {}", traffic.client, traffic.server),
            expected: traffic.outcome,
            wanted: 0,
            outcomes: BTreeMap::new(),
            servers: BTreeSet::new(),
            allowed: BTreeSet::new(),
            skipped: traffic.synthetic,
        };
        let mut report = Report {
            lines: self.scenario.traffic.iter().map(line).collect(),
        };
        for connection in &self.connections {
            if let Some(line) = report.lines.get_mut(connection.traffic) {
                line.wanted += 1;
                let possible = alternatives(&self.scenario, &self.layout, connection);
                line.allowed
                    .extend(possible.into_iter().map(|(server, source)| (server.into(), source)));
            }
        }
        report
    }

    /// Connections of one part of the window, those of equal clients and targets together.
    fn make(&mut self, start: Offset, end: Offset, report: &mut Report) -> Result<(), LabError> {
        let mut groups: Vec<(Connection, usize)> = Vec::new();
        for connection in &self.connections {
            let within = start <= connection.at && connection.at < end;
            if !within || connection.predates || connection.outcome == Outcome::Unknown || self.is_synthetic(connection)
            {
                continue;
            }
            let same = |(other, _): &&mut (Connection, usize)| {
                other.traffic == connection.traffic
                    && client_of(other) == client_of(connection)
                    && other.dialed == connection.dialed
            };
            match groups.iter_mut().find(same) {
                Some((_, count)) => *count += 1,
                None => groups.push((connection.clone(), 1)),
            }
        }
        groups.sort_by_key(|(connection, _)| connection.at);
        for (connection, count) in groups {
            let command = format!("connect {} {count}", self.target(&connection));
            self.tell(&connection, &command, count, report)?;
        }
        Ok(())
    }

    /// Opens the connections that are older than the window.
    pub(crate) fn hold_predating(&mut self) -> Result<(), LabError> {
        let live = |connection: &&Connection| connection.predates && !self.is_synthetic(connection);
        let older: Vec<Connection> = self.connections.iter().filter(live).cloned().collect();
        for connection in &older {
            let mut report = self.empty_report();
            self.tell(connection, &format!("hold {}", self.target(connection)), 1, &mut report)?;
            let failed = report
                .lines
                .iter()
                .find(|line| line.outcomes.keys().any(|word| word != "established"));
            if let Some(line) = failed {
                return Err(LabError::System {
                    action: format!("open the connection of line {} before the window", line.line),
                    error: std::io::Error::other(format!("{:?}", line.outcomes)),
                });
            }
        }
        Ok(())
    }

    /// Sends what nobody answers.
    fn pend(&mut self, report: &mut Report) -> Result<(), LabError> {
        let open = |connection: &&Connection| connection.outcome == Outcome::Unknown && !self.is_synthetic(connection);
        let pending: Vec<Connection> = self.connections.iter().filter(open).cloned().collect();
        for connection in &pending {
            let target = self.target(connection);
            let Some(remote) = self.agents.get_mut(&client_of(connection)) else {
                continue;
            };
            let action = || system(format!("send what line {} says", connection.traffic + 1));
            remote.ask("sysctl net/ipv4/tcp_syn_retries 6").map_err(action())?;
            remote.ask(&format!("pend {target}")).map_err(action())?;
            if let Some(line) = report.lines.get_mut(connection.traffic) {
                *line.outcomes.entry("unknown".to_owned()).or_default() += 1;
            }
        }
        for line in &mut report.lines {
            let held = self.connections.iter().filter(|connection| connection.predates);
            let held = held
                .filter(|connection| self.scenario.traffic[connection.traffic].line == line.line)
                .count();
            if held > 0 {
                line.outcomes.insert("established".to_owned(), held);
            }
        }
        Ok(())
    }

    /// What an agent is told to talk to. A connected socket would learn whether a datagram arrived, so that one of which
    /// nothing is to be known leaves an unconnected one.
    fn target(&self, connection: &Connection) -> String {
        let traffic = self.scenario.traffic.get(connection.traffic);
        let unconnected = connection.outcome == Outcome::Unknown
            || traffic.is_some_and(|traffic| traffic.socket == ClientSocket::Unconnected);
        let means = match connection.protocol {
            Protocol::Udp if unconnected => "datagram".to_owned(),
            Protocol::Tcp | Protocol::Udp | Protocol::Sctp => connection.protocol.to_string().to_lowercase(),
        };
        format!("{means} {} {}", connection.dialed.0, connection.dialed.1)
    }

    fn is_synthetic(&self, connection: &Connection) -> bool {
        self.scenario
            .traffic
            .get(connection.traffic)
            .is_some_and(|traffic| traffic.synthetic)
    }

    /// Has a client do something and notes what became of it.
    fn tell(
        &mut self,
        connection: &Connection,
        command: &str,
        count: usize,
        report: &mut Report,
    ) -> Result<(), LabError> {
        let host = client_of(connection);
        let action = format!("`{command}` from {host:?}");
        let Some(remote) = self.agents.get_mut(&host) else {
            return Err(LabError::System {
                action,
                error: std::io::Error::other("it does not run at this time"),
            });
        };
        remote.send(command).map_err(system(action.clone()))?;
        for _ in 0..count {
            let answer = remote.line().map_err(system(action.clone()))?;
            let Some(line) = report.lines.get_mut(connection.traffic) else {
                continue;
            };
            let words: Vec<&str> = answer.split_whitespace().collect();
            if let ["established", server, client] = words.as_slice()
                && let (Ok(server), Ok(client)) = (server.parse(), client.parse::<SocketAddr>())
            {
                line.servers.insert((server, client.ip()));
                *line.outcomes.entry("established".to_owned()).or_default() += 1;
            } else {
                *line.outcomes.entry(answer).or_default() += 1;
            }
        }
        Ok(())
    }
}

fn client_of(connection: &Connection) -> Host {
    match connection.client_socket {
        Some(socket) => socket.pod.map_or(Host::Node(socket.node), Host::Pod),
        None => Host::Outside(connection.client.0),
    }
}
