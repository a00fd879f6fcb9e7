//! The fields of AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy: what an object may have, and the
//! values that it is read into.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Deserialize;

use crate::parse::network_policy::fields::{METADATA, SELECTOR};
use crate::parse::shape::Shape;
use crate::policy::cluster::ClusterKind;

const POD: Shape = Shape::Object(&[("namespaceSelector", SELECTOR), ("podSelector", SELECTOR)]);

const SUBJECT: Shape = Shape::Object(&[("namespaces", SELECTOR), ("pods", POD)]);

const TEXTS: Shape = Shape::List(&Shape::Text);

const FROM: Shape = Shape::List(&Shape::Object(&[("namespaces", SELECTOR), ("pods", POD)]));

/// A BaselineAdminNetworkPolicy names nobody by DNS.
const TO_BASELINE: Shape = Shape::List(&Shape::Object(&[
    ("namespaces", SELECTOR),
    ("pods", POD),
    ("nodes", SELECTOR),
    ("networks", TEXTS),
]));

const TO: Shape = Shape::List(&Shape::Object(&[
    ("namespaces", SELECTOR),
    ("pods", POD),
    ("nodes", SELECTOR),
    ("networks", TEXTS),
    ("domainNames", TEXTS),
]));

const PORTS: Shape = Shape::List(&Shape::Object(&[
    (
        "portNumber",
        Shape::Object(&[("protocol", Shape::Text), ("port", Shape::Int)]),
    ),
    ("namedPort", Shape::Text),
    (
        "portRange",
        Shape::Object(&[("protocol", Shape::Text), ("start", Shape::Int), ("end", Shape::Int)]),
    ),
]));

const TRANSPORT: Shape = Shape::Object(&[(
    "destinationPort",
    Shape::Object(&[
        ("number", Shape::Int),
        ("range", Shape::Object(&[("start", Shape::Int), ("end", Shape::Int)])),
    ]),
)]);

const PROTOCOLS: Shape = Shape::List(&Shape::Object(&[
    ("tcp", TRANSPORT),
    ("udp", TRANSPORT),
    ("sctp", TRANSPORT),
    ("destinationNamedPort", Shape::Text),
]));

const ADMIN: Shape = Shape::Object(&[
    ("priority", Shape::Int),
    ("subject", SUBJECT),
    (
        "ingress",
        Shape::List(&Shape::Object(&[
            ("name", Shape::Text),
            ("action", Shape::Text),
            ("from", FROM),
            ("ports", PORTS),
        ])),
    ),
    (
        "egress",
        Shape::List(&Shape::Object(&[
            ("name", Shape::Text),
            ("action", Shape::Text),
            ("to", TO),
            ("ports", PORTS),
        ])),
    ),
]);

const BASELINE: Shape = Shape::Object(&[
    ("subject", SUBJECT),
    (
        "ingress",
        Shape::List(&Shape::Object(&[
            ("name", Shape::Text),
            ("action", Shape::Text),
            ("from", FROM),
            ("ports", PORTS),
        ])),
    ),
    (
        "egress",
        Shape::List(&Shape::Object(&[
            ("name", Shape::Text),
            ("action", Shape::Text),
            ("to", TO_BASELINE),
            ("ports", PORTS),
        ])),
    ),
]);

const CLUSTER: Shape = Shape::Object(&[
    ("tier", Shape::Text),
    ("priority", Shape::Int),
    ("subject", SUBJECT),
    (
        "ingress",
        Shape::List(&Shape::Object(&[
            ("name", Shape::Text),
            ("action", Shape::Text),
            ("from", FROM),
            ("protocols", PROTOCOLS),
        ])),
    ),
    (
        "egress",
        Shape::List(&Shape::Object(&[
            ("name", Shape::Text),
            ("action", Shape::Text),
            ("to", TO),
            ("protocols", PROTOCOLS),
        ])),
    ),
]);

const ADMIN_OBJECT: Shape = Shape::Object(&[
    ("apiVersion", Shape::Ignored),
    ("kind", Shape::Ignored),
    ("metadata", METADATA),
    ("spec", ADMIN),
    ("status", Shape::Ignored),
]);

const BASELINE_OBJECT: Shape = Shape::Object(&[
    ("apiVersion", Shape::Ignored),
    ("kind", Shape::Ignored),
    ("metadata", METADATA),
    ("spec", BASELINE),
    ("status", Shape::Ignored),
]);

const CLUSTER_OBJECT: Shape = Shape::Object(&[
    ("apiVersion", Shape::Ignored),
    ("kind", Shape::Ignored),
    ("metadata", METADATA),
    ("spec", CLUSTER),
    ("status", Shape::Ignored),
]);

/// What an object of this kind may have.
pub(super) const fn object(kind: ClusterKind) -> &'static Shape {
    match kind {
        ClusterKind::Admin => &ADMIN_OBJECT,
        ClusterKind::BaselineAdmin => &BASELINE_OBJECT,
        ClusterKind::Cluster => &CLUSTER_OBJECT,
    }
}

/// An object of any of the kinds. What a kind does not have is absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Object {
    pub(super) metadata: ObjectMeta,
    pub(super) spec: Option<Spec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    pub(super) tier: Option<String>,
    pub(super) priority: Option<i32>,
    pub(super) subject: Option<Pods>,
    pub(super) ingress: Vec<Rule>,
    pub(super) egress: Vec<Rule>,
}

/// Pods, as a subject or as a peer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pods {
    pub(super) namespaces: Option<LabelSelector>,
    pub(super) pods: Option<Pod>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Pod {
    pub(super) namespace_selector: Option<LabelSelector>,
    pub(super) pod_selector: Option<LabelSelector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) action: String,
    pub(super) from: Option<Vec<Peer>>,
    pub(super) to: Option<Vec<Peer>>,
    pub(super) ports: Option<Vec<Port>>,
    pub(super) protocols: Option<Vec<Protocol>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Peer {
    pub(super) namespaces: Option<LabelSelector>,
    pub(super) pods: Option<Pod>,
    pub(super) nodes: Option<LabelSelector>,
    pub(super) networks: Option<Vec<String>>,
    pub(super) domain_names: Option<Vec<String>>,
}

/// AdminNetworkPolicyPort.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Port {
    pub(super) port_number: Option<Number>,
    pub(super) named_port: Option<String>,
    pub(super) port_range: Option<Range>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Number {
    pub(super) protocol: Option<String>,
    pub(super) port: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Range {
    pub(super) protocol: Option<String>,
    pub(super) start: Option<i32>,
    pub(super) end: Option<i32>,
}

/// ClusterNetworkPolicyProtocol.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Protocol {
    pub(super) tcp: Option<Transport>,
    pub(super) udp: Option<Transport>,
    pub(super) sctp: Option<Transport>,
    pub(super) destination_named_port: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Transport {
    pub(super) destination_port: Option<TransportPort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TransportPort {
    pub(super) number: Option<i32>,
    pub(super) range: Option<Range>,
}
