//! Changes: the differences between two sides, and how they are told.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::counted::counted;
use crate::findings::{Code, Findings};
use crate::flow::edge::Transport;
use crate::identity::Workload;
use crate::policy::model::Direction;
use crate::policy::ports::{PortSet, Protocol};
use crate::semantics::eval::By;

use super::peer::Peer;
use super::rewrite::Rewrite;

/// What kind of difference a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// No connection between these peers and protocol before.
    Added,
    /// No connection between these peers and protocol any more.
    Removed,
    /// More ports of a pair that had some.
    Widened,
    /// Fewer ports of a pair that still has some.
    Narrowed,
    /// The same policy under another name.
    Renamed,
    /// It cannot be decided.
    Undecided,
}

impl Class {
    /// Every class, in the order of lists and summaries.
    pub const ALL: [Self; 6] = [
        Self::Added,
        Self::Removed,
        Self::Widened,
        Self::Narrowed,
        Self::Renamed,
        Self::Undecided,
    ];

    /// The stable word of reports and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Widened => "widened",
            Self::Narrowed => "narrowed",
            Self::Renamed => "renamed",
            Self::Undecided => "undecided",
        }
    }

    /// The class of the same difference with the sides exchanged.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::Added => Self::Removed,
            Self::Removed => Self::Added,
            Self::Widened => Self::Narrowed,
            Self::Narrowed => Self::Widened,
            Self::Renamed => Self::Renamed,
            Self::Undecided => Self::Undecided,
        }
    }
}

/// One of the two sides of a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The first.
    Before,
    /// The second.
    After,
}

impl Side {
    /// The stable word of reports and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Before => Self::After,
            Self::After => Self::Before,
        }
    }
}

/// What a side of a diff is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A recording, which shows connections.
    Tape,
    /// Policies, which allow connections.
    Policies,
}

/// Who connects to whom over which protocol: what ports are compared for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// The client.
    pub from: Peer,
    /// The server.
    pub to: Peer,
    /// The protocol.
    pub protocol: Transport,
}

/// Why one side has a connection that the other has not, or why that cannot be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The other side, a complete recording, does not show it.
    NotSeen,
    /// The policies of the other side deny it at the client.
    EgressDenied,
    /// The policies of the other side deny it at the server.
    IngressDenied,
    /// The policies of the other side deny it at both ends.
    BothDenied,
    /// The policies of the other side do not allow it.
    NotAllowed,
    /// A rule of a policy of the cluster denies it on the other side.
    Denied,
    /// One end is isolated by the policies of the other side, and by none of this one, so that everybody is allowed.
    Isolated,
    /// Undecided: the other side, a recording, does not show it and is incomplete.
    Incomplete,
    /// Undecided: the side that shows it supposes the server, one of several behind a Service.
    BackendsAssumed,
    /// Undecided: the other side shows a connection that may be this one, of a peer that it cannot identify.
    MaybeUnidentified,
    /// Undecided: a peer is not known.
    UnknownPeer,
    /// Undecided: a peer had more than one possible identity.
    AmbiguousPeer,
    /// Undecided: the server is a Service, and no backend of it is known.
    ServiceUnresolved,
    /// Undecided: the port is not known, or policies cannot name the protocol, or a pod is not in the metadata.
    NotJudged,
}

impl Reason {
    /// The stable word of JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotSeen => "not-seen",
            Self::EgressDenied => "egress-denied",
            Self::IngressDenied => "ingress-denied",
            Self::BothDenied => "egress-and-ingress-denied",
            Self::NotAllowed => "not-allowed",
            Self::Denied => "denied",
            Self::Isolated => "isolated",
            Self::Incomplete => "incomplete",
            Self::BackendsAssumed => "backends-assumed",
            Self::MaybeUnidentified => "maybe-unidentified",
            Self::UnknownPeer => "unknown-peer",
            Self::AmbiguousPeer => "ambiguous-peer",
            Self::ServiceUnresolved => "service-unresolved",
            Self::NotJudged => "not-judged",
        }
    }

    /// Whether a change for this reason is undecided.
    #[must_use]
    pub const fn undecided(self) -> bool {
        match self {
            Self::NotSeen
            | Self::EgressDenied
            | Self::IngressDenied
            | Self::BothDenied
            | Self::NotAllowed
            | Self::Denied
            | Self::Isolated => false,
            Self::Incomplete
            | Self::BackendsAssumed
            | Self::MaybeUnidentified
            | Self::UnknownPeer
            | Self::AmbiguousPeer
            | Self::ServiceUnresolved
            | Self::NotJudged => true,
        }
    }
}

/// Why a recording does not show a connection that the other one shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Its client is not there.
    ClientAbsent,
    /// Its server is not there.
    ServerAbsent,
    /// Neither is there.
    BothAbsent,
    /// Both are there, and it was shorter.
    ShorterWindow,
    /// Both are there, and it was as long: they did not talk.
    NotExercised,
}

impl Cause {
    /// The stable word of JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClientAbsent => "client-absent",
            Self::ServerAbsent => "server-absent",
            Self::BothAbsent => "both-absent",
            Self::ShorterWindow => "shorter-window",
            Self::NotExercised => "not-exercised",
        }
    }
}

/// One difference in what is seen or allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What kind of difference.
    pub class: Class,
    /// Who connects to whom.
    pub pair: Pair,
    /// The server's ports that differ; empty where they are not known.
    pub ports: PortSet,
    /// The side that has it.
    pub side: Side,
    /// What that side is.
    pub kind: Kind,
    /// Why the other side has it not, or why that cannot be decided.
    pub reason: Reason,
    /// Of two recordings, why the other one does not show it; `None` where that is not known.
    pub cause: Option<Cause>,
    /// The policies and rules that deny it, or that allow it; sorted.
    pub by: Vec<By>,
}

impl Change {
    /// The side whose policies [`Self::by`] are: those that allow it stand on its own side, those that deny it on the other.
    #[must_use]
    pub const fn by_side(&self) -> Side {
        match (self.kind, self.reason) {
            (Kind::Tape, _) | (Kind::Policies, Reason::Isolated | Reason::Denied) => self.side.other(),
            (Kind::Policies, _) => self.side,
        }
    }

    /// The difference without its peers and ports: `allowed, never seen: dvwa/dvwa-mysql ingress/0 (p.yaml:7)`.
    #[must_use]
    pub fn explanation(&self) -> String {
        let side = self.side.word();
        let has = match self.kind {
            Kind::Tape => format!("seen only {side}"),
            Kind::Policies => "allowed, never seen".to_owned(),
        };
        let why = match self.reason {
            Reason::NotSeen => format!("{has}{}", self.caused()),
            Reason::EgressDenied => "denied at the client".to_owned(),
            Reason::IngressDenied => "denied at the server".to_owned(),
            Reason::BothDenied => "denied at both ends".to_owned(),
            Reason::NotAllowed => format!("allowed only {side}"),
            Reason::Denied => format!("denied only {}", self.side.other().word()),
            Reason::Isolated => format!("isolated only {}", self.side.other().word()),
            Reason::Incomplete => format!("{has}, and the other recording is incomplete"),
            Reason::BackendsAssumed => format!("{has}, and the server is one of several that may have been meant"),
            Reason::MaybeUnidentified => {
                format!("{has}, and the other recording has it perhaps, from or to a peer it cannot identify")
            }
            Reason::UnknownPeer => format!("{has}, and a peer is not known"),
            Reason::AmbiguousPeer => format!("{has}, and a peer has several possible identities"),
            Reason::ServiceUnresolved => format!("{has}, and no backend of the Service is known"),
            Reason::NotJudged => format!("{has}, and cannot be judged"),
        };
        let rules: Vec<String> = self.by.iter().map(ToString::to_string).collect();
        if rules.is_empty() {
            return why;
        }
        format!("{why}: {}", rules.join(", "))
    }
}

impl Change {
    /// Why the other recording does not show it, behind that it does not.
    fn caused(&self) -> String {
        let Pair { from, to, protocol: _ } = &self.pair;
        let absent = match self.side {
            Side::Before => "gone",
            Side::After => "new",
        };
        let other = self.side.other().word();
        match (self.cause, self.side) {
            (None, _) | (Some(Cause::NotExercised), Side::After) => String::new(),
            (Some(Cause::ClientAbsent), _) => format!("; {from} is {absent}"),
            (Some(Cause::ServerAbsent), _) => format!("; {to} is {absent}"),
            (Some(Cause::BothAbsent), _) if from == to => format!("; {from} is {absent}"),
            (Some(Cause::BothAbsent), _) => format!("; {from} and {to} are {absent}"),
            (Some(Cause::ShorterWindow), _) => format!("; the recording {other} was shorter"),
            (Some(Cause::NotExercised), Side::Before) => "; its workloads are still there".to_owned(),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pair { from, to, protocol } = &self.pair;
        let ports = &self.ports;
        let blank = if ports.is_empty() { "" } else { " " };
        write!(
            formatter,
            "{from} -> {to} {protocol}{blank}{ports}: {}",
            self.explanation()
        )
    }
}

/// What two sides differ in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Every difference, by class, then by peers, protocol, side and ports.
    pub changes: Vec<Change>,
    /// Workloads with connections that the policies do not isolate, so that everything is allowed there; sorted. Each
    /// is a difference without end, and stands here in place of one change for every peer and port.
    pub unbounded: Vec<Unbounded>,
    /// Recordings that are incomplete, so that what they do not show proves nothing.
    pub incomplete: BTreeSet<Side>,
    /// Connections with a peer that a recording cannot identify, whether the other side has them or not; sorted.
    pub unidentified: Vec<Unidentified>,
    /// Of two policy sets, what happened to the policies themselves; sorted. Whether that makes a difference, the changes say.
    pub rewrites: Vec<Rewrite>,
    /// Of two policy sets, names of ports that differ and whose number no pod tells, so that what they allow cannot be compared.
    pub unresolved: BTreeSet<(Protocol, String)>,
    /// Of two policy sets, pairs of policies that may isolate one pod together, of which none was looked at.
    pub uncombined: usize,
}

/// A connection with a peer that a recording cannot identify.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unidentified {
    /// The recording.
    pub side: Side,
    /// Who connects to whom.
    pub pair: Pair,
}

/// A direction of a workload in which everything is allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unbounded {
    /// The workload.
    pub workload: Workload,
    /// The direction.
    pub direction: Direction,
    /// The side that allows everything.
    pub side: Side,
}

impl Diff {
    /// The same difference with the sides exchanged.
    #[must_use]
    pub fn mirrored(self) -> Self {
        let Self {
            mut changes,
            mut unbounded,
            incomplete,
            mut unidentified,
            rewrites,
            unresolved,
            uncombined,
        } = self;
        for change in &mut changes {
            change.class = change.class.mirrored();
            change.side = change.side.other();
        }
        for one in &mut unbounded {
            one.side = one.side.other();
        }
        for one in &mut unidentified {
            one.side = one.side.other();
        }
        Self {
            changes,
            unbounded,
            incomplete: incomplete.into_iter().map(Side::other).collect(),
            unidentified,
            rewrites: rewrites.into_iter().map(Rewrite::mirrored).collect(),
            unresolved,
            uncombined,
        }
        .sorted()
    }

    /// How many changes there are of each class; every class is there.
    #[must_use]
    pub fn summary(&self) -> BTreeMap<Class, u64> {
        let mut summary: BTreeMap<Class, u64> = Class::ALL.into_iter().map(|class| (class, 0)).collect();
        for change in &self.changes {
            *summary.entry(change.class).or_default() += 1;
        }
        let is_renamed = |rewrite: &&Rewrite| matches!(rewrite, Rewrite::Renamed(..));
        let renamed = self.rewrites.iter().filter(is_renamed).count();
        summary.insert(Class::Renamed, renamed as u64);
        summary
    }

    /// Reports every direction in which everything is allowed, and what could not be compared.
    pub fn report(&self, findings: &mut Findings) {
        for (protocol, name) in &self.unresolved {
            findings.report(
                Code::PortNameUnknown,
                format!(
                    "no pod says which number port `{name}` of {protocol} is where rules use that name, so what they allow is \
                     not compared"
                ),
            );
        }
        if self.uncombined > 0 {
            findings.report(
                Code::PoliciesNotCombined,
                format!(
                    "pods that two policies isolate at once are not compared for {}",
                    counted(self.uncombined, "pair of policies", "pairs of policies")
                ),
            );
        }
        for Unbounded {
            workload,
            direction,
            side: _,
        } in &self.unbounded
        {
            findings.report(
                Code::NotIsolated,
                format!("{workload}: no policy isolates its {direction}, so everything is allowed there"),
            );
        }
    }

    /// Only what begins or ends in one of these namespaces; of none, everything.
    #[must_use]
    pub fn within(mut self, namespaces: &[String]) -> Self {
        let named = |namespace: &str| namespaces.is_empty() || namespaces.iter().any(|one| one == namespace);
        if !namespaces.is_empty() {
            let ends = |pair: &Pair| {
                [&pair.from, &pair.to]
                    .into_iter()
                    .any(|peer| peer.namespace().is_some_and(named))
            };
            self.changes.retain(|change| ends(&change.pair));
            self.unidentified.retain(|one| ends(&one.pair));
            self.unbounded.retain(|one| named(&one.workload.namespace));
            self.rewrites.retain(|one| {
                one.sides()
                    .into_iter()
                    .flatten()
                    .any(|by| by.namespace.is_empty() || named(&by.namespace))
            });
        }
        self
    }

    pub(super) fn sorted(mut self) -> Self {
        self.changes.sort_by(order);
        self.unbounded.sort();
        self.unidentified.sort();
        self.rewrites.sort();
        self
    }
}

fn order(left: &Change, right: &Change) -> Ordering {
    let key = |change: &Change| (change.side, change.kind, change.reason);
    left.class
        .cmp(&right.class)
        .then_with(|| left.pair.cmp(&right.pair))
        .then_with(|| key(left).cmp(&key(right)))
        .then_with(|| left.ports.cmp(&right.ports))
        .then_with(|| left.by.cmp(&right.by))
}
