//! The fields of a CiliumNetworkPolicy that are read, and the values that they are read into.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Deserialize;

use crate::parse::network_policy::fields::{METADATA, SELECTOR};
use crate::parse::shape::Shape;

const CIDR_SETS: Shape = Shape::List(&Shape::Object(&[
    ("cidr", Shape::Text),
    ("except", Shape::List(&Shape::Text)),
]));

const TEXTS: Shape = Shape::List(&Shape::Text);

const TO_PORTS: Shape = Shape::List(&Shape::Object(&[
    (
        "ports",
        Shape::List(&Shape::Object(&[
            ("port", Shape::Text),
            ("endPort", Shape::Int),
            ("protocol", Shape::Text),
        ])),
    ),
    (
        "rules",
        Shape::Object(&[("dns", Shape::List(&Shape::Object(&[("matchPattern", Shape::Text)])))]),
    ),
]));

pub(super) const OBJECT: Shape = Shape::Object(&[
    ("apiVersion", Shape::Ignored),
    ("kind", Shape::Ignored),
    ("metadata", METADATA),
    (
        "spec",
        Shape::Object(&[
            ("description", Shape::Ignored),
            ("endpointSelector", SELECTOR),
            (
                "ingress",
                Shape::List(&Shape::Object(&[
                    ("fromEndpoints", Shape::List(&SELECTOR)),
                    ("fromCIDR", TEXTS),
                    ("fromCIDRSet", CIDR_SETS),
                    ("fromEntities", TEXTS),
                    ("toPorts", TO_PORTS),
                ])),
            ),
            (
                "egress",
                Shape::List(&Shape::Object(&[
                    ("toEndpoints", Shape::List(&SELECTOR)),
                    ("toCIDR", TEXTS),
                    ("toCIDRSet", CIDR_SETS),
                    ("toEntities", TEXTS),
                    ("toFQDNs", Shape::List(&Shape::Object(&[("matchName", Shape::Text)]))),
                    ("toPorts", TO_PORTS),
                ])),
            ),
        ]),
    ),
    ("status", Shape::Ignored),
]);

#[derive(Deserialize)]
pub(super) struct Object {
    pub(super) metadata: Option<ObjectMeta>,
    pub(super) spec: Option<Spec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) endpoint_selector: Option<LabelSelector>,
    pub(super) ingress: Option<Vec<Rule>>,
    pub(super) egress: Option<Vec<Rule>>,
}

/// IngressRule or EgressRule: at most one of the fields before `toPorts`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    #[serde(alias = "fromEndpoints", alias = "toEndpoints")]
    pub(super) endpoints: Option<Vec<LabelSelector>>,
    #[serde(alias = "fromCIDR", alias = "toCIDR")]
    pub(super) cidrs: Option<Vec<String>>,
    #[serde(alias = "fromCIDRSet", alias = "toCIDRSet")]
    pub(super) cidr_sets: Option<Vec<CidrSet>>,
    #[serde(alias = "fromEntities", alias = "toEntities")]
    pub(super) entities: Option<Vec<String>>,
    #[serde(alias = "toFQDNs")]
    pub(super) names: Option<Vec<Name>>,
    pub(super) to_ports: Option<Vec<ToPorts>>,
}

#[derive(Deserialize)]
pub(super) struct CidrSet {
    pub(super) cidr: Option<String>,
    #[serde(default)]
    pub(super) except: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Name {
    pub(super) match_name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ToPorts {
    #[serde(default)]
    pub(super) ports: Vec<Port>,
    pub(super) rules: Option<Layer7>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Port {
    pub(super) port: Option<String>,
    pub(super) end_port: Option<i32>,
    pub(super) protocol: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Layer7 {
    #[serde(default)]
    pub(super) dns: Vec<Dns>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dns {
    pub(super) match_pattern: Option<String>,
}
