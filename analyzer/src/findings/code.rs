//! Findings by name.

use std::fmt;

use super::catalog::{CATALOG, Entry};

/// A finding by name; its stable code is in the [`CATALOG`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// FT1001: The recording has no manifest, so it did not end cleanly.
    TapeWithoutManifest,
    /// FT1002: Nothing was recorded in the window.
    EmptyWindow,
    /// FT1003: The recorder lost operations of edges: the window is incomplete.
    EdgesLost,
    /// FT1004: Samples of single operations are missing; edges and counts are not.
    EventsLost,
    /// FT1005: The recorder of a node did not stop cleanly.
    UncleanStop,
    /// FT1006: The tape has no cluster metadata, so no address has an identity.
    NoMetadata,
    /// FT1007: The metadata has no time and is taken to hold for the whole window.
    MetadataAssumed,
    /// FT1008: A hook of the recorder was not available on a node.
    HookUnavailable,
    /// FT1009: Rows of the tape were written by hand, not observed.
    SyntheticRows,
    /// FT1010: A table file stands in the tape that its manifest does not list; it was not read.
    UnlistedFile,
    /// FT1011: The cluster has nodes that no recording of the tape covers.
    NodesNotRecorded,
    /// FT1012: No datagrams were recorded on a node, and so no name resolution.
    UdpNotRecorded,
    /// FT1013: The recorder of a node notes something about its recording.
    RecorderNote,
    /// FT1014: The wall clock of a node was set while it was recorded.
    ClockStepped,
    /// FT1015: Metadata of the cluster was not watched for a time, or could not be read.
    MetadataGap,
    /// FT1016: Control groups came and went unseen, so pods may have sockets that no control group names.
    NamesLost,
    /// FT1020: The clocks of nodes are apart; they are compared by connections that both sides saw.
    ClocksApart,
    /// FT2001: A peer has no identity that the tape can prove.
    UnknownPeer,
    /// FT2002: A peer had more than one possible identity at that time.
    AmbiguousPeer,
    /// FT2003: The selector of a workload also selects pods of another one.
    SelectorOverlap,
    /// FT2004: The pods of a workload have no labels that could select them.
    Unselectable,
    /// FT2005: The owner of a pod is not in the metadata, which knows only its kind and name.
    OwnerMissing,
    /// FT2006: Pods have addresses outside every pod range that the metadata knows.
    PodRangesUnknown,
    /// FT2007: A peer outside the cluster has a pseudonym, and no rule can name it.
    RedactedPeer,
    /// FT3001: Only the client's side of a Service was seen; all its backends of that time are assumed.
    BackendsAssumed,
    /// FT3002: Traffic went to a Service that had no backends at that time.
    ServiceWithoutBackends,
    /// FT3003: Datagrams were sent, and nothing shows that the server received them.
    UdpUnconfirmed,
    /// FT3004: Traffic that no policy governs was counted and left out.
    TrafficIgnored,
    /// FT3005: Peers beyond the recorder's quota were folded, and their addresses are not known.
    RemotesFolded,
    /// FT3006: A workload had raw, packet or other sockets whose traffic is not in the recording.
    SocketsUnseen,
    /// FT3020: One side of a connection was counted, and the other, which was recorded as well, was not.
    ViewsDisagree,
    /// FT3030: Connections of an application ended at the proxy in its own pod, which reached no such server.
    ProxyEnded,
    /// FT3031: Clients reached the proxy in a pod, and the port behind it is not known.
    ProxyPortUnknown,
    /// FT3032: What a proxy in a pod took or handed on cannot be told apart, and is supposed.
    ProxySupposed,
    /// FT3033: Proxies of a mesh speak to each other on a port of their own.
    MeshTunnel,
    /// FT4001: A recorded connection would be denied by the generated policies.
    Unsound,
    /// FT4002: A policy denies a whole direction, because nothing was seen in it.
    EmptyDirection,
    /// FT4003: A namespace is denied by default, and nothing was seen of one of its workloads.
    WorkloadNotRecorded,
    /// FT4004: A rule allows more than was recorded, on purpose and by name.
    Addition,
    /// FT4005: A workload talks to the cloud's instance metadata service.
    MetadataService,
    /// FT4006: A rule names a node by its address, which not every network plugin matches.
    NodeByAddress,
    /// FT4007: Pods on the host network are not governed by network policies.
    HostNetworkSubject,
    /// FT4008: A namespace lacks the label `kubernetes.io/metadata.name` that rules select it by.
    NamespaceUnlabelled,
    /// FT4009: Recorded traffic is left out of the policies, by choice or because no rule can say it.
    LeftOut,
    /// FT4010: Traffic to a Service cannot be turned into a rule, because no backend is known.
    ServiceUnresolved,
    /// FT4020: A selector is made of labels of the pods in the tape, because their owner's is not known.
    SelectorOfPods,
    /// FT4030: A rule allows more than was recorded, because a widening was asked for.
    Widening,
    /// FT4040: A part of a rule rests on nothing recorded, and no addition names it.
    NotTight,
    /// FT4041: A connection beside the recording is allowed, and nothing says why.
    NotClosed,
    /// FT4042: Recorded connections could not be judged, because an end of them is not in the metadata.
    NotJudged,
    /// FT4043: Another network plugin than the one chosen would read rules differently.
    ReadDifferently,
    /// FT4044: The network plugin that was chosen reads rules differently from the API's text.
    NotEnforced,
    /// FT4050: The kind of policy that was asked for denies something that the policies allow.
    KindNarrower,
    /// FT4051: The kind of policy that was asked for allows something that the policies deny.
    KindWider,
    /// FT4052: Recorded traffic is left to policies that are there already.
    Covered,
    /// FT4053: Rules that the recording does not need are not marked, because it is not complete.
    NotMarked,
    /// FT5001: The policies compared with do not isolate a workload: everything is allowed there.
    NotIsolated,
    /// FT5010: A baseline accepts what the policies do not deny.
    BaselineUnneeded,
    /// FT5011: What a baseline accepted counts again, because its time has run out.
    BaselineExpired,
    /// FT5020: Pods are in a namespace that is not among the objects given, so its labels are not known.
    NamespaceNotGiven,
    /// FT5021: A policy of a kind that is not read decides about traffic as well.
    PolicyNotRead,
    /// FT6001: The recording was imported, and its source cannot know something.
    ImportLimit,
    /// FT6002: The recording was imported, and edges may be missing that its source did not see.
    ImportIncomplete,
    /// FT6003: Records of an imported file could not be used.
    Quarantined,
    /// FT6004: An imported file has other text between its records.
    ImportText,
    /// FT6005: Pods are what an imported source calls them, because no metadata knows them.
    NamedBySource,
}

impl Code {
    /// Its entry in the catalogue.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        // The catalogue lists the codes in order, which a test checks.
        &CATALOG[self as usize]
    }

    /// The code of a number such as `FT1003`.
    #[must_use]
    pub fn from_number(number: &str) -> Option<Self> {
        CATALOG
            .iter()
            .find(|entry| entry.number.eq_ignore_ascii_case(number))
            .map(|entry| entry.code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.entry().number)
    }
}
