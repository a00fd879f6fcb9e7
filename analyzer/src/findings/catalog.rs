//! Every finding there is. Codes are never reused; a page under `pages/` explains each.

use std::fmt;

use super::severity::Severity;

/// One entry of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The finding.
    pub code: Code,
    /// The stable code that users see.
    pub number: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Short name.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub title: &'static str,
    /// What it means, why it happens and what to do.
    pub page: &'static str,
}

impl Code {
    /// Its entry in the catalogue.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        // One list makes the codes and the catalogue, in the same order.
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

/// Makes the names and the catalogue from one list, so that neither can have what the other lacks.
macro_rules! catalog {
    ($($code:ident $number:literal $severity:ident $name:literal $title:literal)+) => {
        /// A finding by name; its stable code is in the [`CATALOG`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = concat!($number, ": ", $title)] $code,)+
        }

        /// Every finding, in the order of its code.
        pub const CATALOG: &[Entry] = &[$(Entry {
            code: Code::$code,
            number: $number,
            severity: Severity::$severity,
            name: $name,
            title: $title,
            page: include_str!(concat!("pages/", $number, ".md")),
        },)+];
    };
}

catalog! {
    TapeWithoutManifest "FT1001" Error "tape-without-manifest"
        "The recording has no manifest, so it did not end cleanly."
    EmptyWindow "FT1002" Warning "empty-window"
        "Nothing was recorded in the window."
    EdgesLost "FT1003" Error "edges-lost"
        "The recorder lost operations of edges: the window is incomplete."
    EventsLost "FT1004" Warning "events-lost"
        "Samples of single operations are missing; edges and counts are not."
    UncleanStop "FT1005" Error "unclean-stop"
        "The recorder of a node did not stop cleanly."
    NoMetadata "FT1006" Error "no-metadata"
        "The tape has no cluster metadata, so no address has an identity."
    MetadataAssumed "FT1007" Warning "metadata-assumed"
        "The metadata has no time and is taken to hold for the whole window."
    HookUnavailable "FT1008" Warning "hook-unavailable"
        "A hook of the recorder was not available on a node."
    SyntheticRows "FT1009" Info "synthetic-rows"
        "Rows of the tape were written by hand, not observed."
    UnlistedFile "FT1010" Warning "unlisted-file"
        "A table file stands in the tape that its manifest does not list; it was not read."
    NodesNotRecorded "FT1011" Warning "nodes-not-recorded"
        "The cluster has nodes that no recording of the tape covers."
    UdpNotRecorded "FT1012" Error "udp-not-recorded"
        "No datagrams were recorded on a node, and so no name resolution."
    RecorderNote "FT1013" Warning "recorder-note"
        "The recorder of a node notes something about its recording."
    ClockStepped "FT1014" Warning "clock-stepped"
        "The wall clock of a node was set while it was recorded."
    MetadataGap "FT1015" Warning "metadata-gap"
        "Metadata of the cluster was not watched for a time, or could not be read."
    NamesLost "FT1016" Error "names-lost"
        "Control groups came and went unseen, so pods may have sockets that no control group names."
    ClocksApart "FT1020" Warning "clocks-apart"
        "The clocks of nodes are apart; they are compared by connections that both sides saw."
    ListenersFolded "FT1030" Info "listeners-folded"
        "A program listened on ports one after the other, and most are counted without their port."
    UnknownPeer "FT2001" Warning "unknown-peer"
        "A peer has no identity that the tape can prove."
    AmbiguousPeer "FT2002" Warning "ambiguous-peer"
        "A peer had more than one possible identity at that time."
    SelectorOverlap "FT2003" Warning "selector-overlap"
        "The selector of a workload also selects pods of another one."
    Unselectable "FT2004" Warning "unselectable"
        "The pods of a workload have no labels that could select them."
    OwnerMissing "FT2005" Info "owner-missing"
        "The owner of a pod is not in the metadata, which knows only its kind and name."
    PodRangesUnknown "FT2006" Warning "pod-ranges-unknown"
        "Pods have addresses outside every pod range that the metadata knows."
    RedactedPeer "FT2007" Warning "redacted-peer"
        "A peer outside the cluster has a pseudonym, and no rule can name it."
    BackendsAssumed "FT3001" Warning "backends-assumed"
        "Only the client's side of a Service was seen; all its backends of that time are assumed."
    ServiceWithoutBackends "FT3002" Warning "service-without-backends"
        "Traffic went to a Service that had no backends at that time."
    UdpUnconfirmed "FT3003" Warning "udp-unconfirmed"
        "Datagrams were sent, and nothing shows that the server received them."
    TrafficIgnored "FT3004" Info "traffic-ignored"
        "Traffic that no policy governs was counted and left out."
    RemotesFolded "FT3005" Warning "remotes-folded"
        "Peers beyond the recorder's quota were folded, and their addresses are not known."
    SocketsUnseen "FT3006" Warning "sockets-unseen"
        "A workload had raw, packet or other sockets whose traffic is not in the recording."
    ViewsDisagree "FT3020" Warning "views-disagree"
        "One side of a connection was counted, and the other, which was recorded as well, was not."
    ProxyEnded "FT3030" Warning "proxy-ended"
        "Connections of an application ended at the proxy in its own pod, which reached no such server."
    ProxyPortUnknown "FT3031" Warning "proxy-port-unknown"
        "Clients reached the proxy in a pod, and the port behind it is not known."
    ProxySupposed "FT3032" Warning "proxy-supposed"
        "What a proxy in a pod took or handed on cannot be told apart, and is supposed."
    MeshTunnel "FT3033" Info "mesh-tunnel"
        "Proxies of a mesh speak to each other on a port of their own."
    ServiceSupposed "FT3040" Info "service-supposed"
        "Clients reached a backend, and which of several Services led them there is not known."
    Unsound "FT4001" Error "unsound"
        "A recorded connection would be denied by the generated policies."
    EmptyDirection "FT4002" Info "empty-direction"
        "A policy denies a whole direction, because nothing was seen in it."
    WorkloadNotRecorded "FT4003" Warning "workload-not-recorded"
        "A namespace is denied by default, and nothing was seen of one of its workloads."
    Addition "FT4004" Info "addition"
        "A rule allows more than was recorded, on purpose and by name."
    MetadataService "FT4005" Warning "metadata-service"
        "A workload talks to the cloud's instance metadata service."
    NodeByAddress "FT4006" Warning "node-by-address"
        "A rule names a node by its address, which not every network plugin matches."
    HostNetworkSubject "FT4007" Info "host-network-subject"
        "Pods on the host network are not governed by network policies."
    NamespaceUnlabelled "FT4008" Warning "namespace-unlabelled"
        "A namespace lacks the label `kubernetes.io/metadata.name` that rules select it by."
    LeftOut "FT4009" Warning "left-out"
        "Recorded traffic is left out of the policies, by choice or because no rule can say it."
    ServiceUnresolved "FT4010" Warning "service-unresolved"
        "Traffic to a Service cannot be turned into a rule, because no backend is known."
    SelectorOfPods "FT4020" Warning "selector-of-pods"
        "A selector is made of labels of the pods in the tape, because their owner's is not known."
    Widening "FT4030" Info "widening"
        "A rule allows more than was recorded, because a widening was asked for."
    NotTight "FT4040" Error "not-tight"
        "A part of a rule rests on nothing recorded, and no addition names it."
    NotClosed "FT4041" Error "not-closed"
        "A connection beside the recording is allowed, and nothing says why."
    NotJudged "FT4042" Warning "not-judged"
        "Recorded connections could not be judged, because an end of them is not in the metadata."
    ReadDifferently "FT4043" Info "read-differently"
        "Another network plugin than the one chosen would read rules differently."
    NotEnforced "FT4044" Warning "not-enforced"
        "The network plugin that was chosen reads rules differently from the API's text."
    KindNarrower "FT4050" Warning "kind-narrower"
        "The kind of policy that was asked for denies something that the policies allow."
    KindWider "FT4051" Warning "kind-wider"
        "The kind of policy that was asked for allows something that the policies deny."
    Covered "FT4052" Info "covered"
        "Recorded traffic is left to policies that are there already."
    NotMarked "FT4053" Warning "not-marked"
        "Rules that the recording does not need are not marked, because it is not complete."
    NotIsolated "FT5001" Warning "not-isolated"
        "The policies compared with do not isolate a workload: everything is allowed there."
    BaselineUnneeded "FT5010" Info "baseline-unneeded"
        "A baseline accepts what the policies do not deny."
    BaselineExpired "FT5011" Warning "baseline-expired"
        "What a baseline accepted counts again, because its time has run out."
    NamespaceNotGiven "FT5020" Warning "namespace-not-given"
        "Pods are in a namespace that is not among the objects given, so its labels are not known."
    PolicyNotRead "FT5021" Warning "policy-not-read"
        "A policy of a kind that is not read decides about traffic as well."
    PortNameUnknown "FT5050" Warning "port-name-unknown"
        "A name of a port differs between policies, and no pod tells its number, so what it allows is not compared."
    PoliciesNotCombined "FT5051" Warning "policies-not-combined"
        "There are too many pairs of policies that may isolate one pod together, so some are not compared."
    EqualPriority "FT5070" Warning "equal-priority"
        "Policies of the cluster decide otherwise, and the API has no order for them."
    NodeLabelsUnknown "FT5071" Warning "node-labels-unknown"
        "A rule names nodes by label, and which labels nodes have is not known."
    DomainNamesUnknown "FT5072" Warning "domain-names-unknown"
        "A rule allows DNS names, and which addresses those are is not known."
    PolicyNotEvaluated "FT5080" Warning "policy-not-evaluated"
        "A policy of a network plugin says something that is not evaluated, so all of it is left out."
    PolicyStaged "FT5081" Info "policy-staged"
        "A policy is staged: nothing enforces it, so it is left out."
    PeerNotKnown "FT5082" Warning "peer-not-known"
        "Rules name somebody whose addresses are not known here, so they match nobody."
    PrefixReading "FT5083" Info "prefix-reading"
        "Network plugins differ in whether a prefix matches pods and nodes of the cluster; this is how it is read."
    ImportLimit "FT6001" Info "import-limit"
        "The recording was imported, and its source cannot know something."
    ImportIncomplete "FT6002" Warning "import-incomplete"
        "The recording was imported, and edges may be missing that its source did not see."
    Quarantined "FT6003" Warning "quarantined"
        "Records of an imported file could not be used."
    ImportText "FT6004" Info "import-text"
        "An imported file has other text between its records."
    NamedBySource "FT6005" Info "named-by-source"
        "Pods are what an imported source calls them, because no metadata knows them."
}
