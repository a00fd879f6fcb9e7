//! The fields of a `networking.k8s.io/v1 NetworkPolicy` (Kubernetes v1.36).

use crate::parse::shape::Shape;

const SELECTOR: Shape = Shape::Object(&[
    ("matchLabels", Shape::Labels),
    (
        "matchExpressions",
        Shape::List(&Shape::Object(&[
            ("key", Shape::Text),
            ("operator", Shape::Text),
            ("values", Shape::List(&Shape::Text)),
        ])),
    ),
]);

const PEERS: Shape = Shape::List(&Shape::Object(&[
    ("podSelector", SELECTOR),
    ("namespaceSelector", SELECTOR),
    (
        "ipBlock",
        Shape::Object(&[("cidr", Shape::Text), ("except", Shape::List(&Shape::Text))]),
    ),
]));

const PORTS: Shape = Shape::List(&Shape::Object(&[
    ("protocol", Shape::Text),
    ("port", Shape::IntOrText),
    ("endPort", Shape::Int),
]));

const METADATA: Shape = Shape::Object(&[
    ("name", Shape::Text),
    ("namespace", Shape::Text),
    ("labels", Shape::Labels),
    ("annotations", Shape::Labels),
    ("creationTimestamp", Shape::Ignored),
    ("deletionGracePeriodSeconds", Shape::Ignored),
    ("deletionTimestamp", Shape::Ignored),
    ("finalizers", Shape::Ignored),
    ("generateName", Shape::Ignored),
    ("generation", Shape::Ignored),
    ("managedFields", Shape::Ignored),
    ("ownerReferences", Shape::Ignored),
    ("resourceVersion", Shape::Ignored),
    ("selfLink", Shape::Ignored),
    ("uid", Shape::Ignored),
]);

/// `status` existed from Kubernetes 1.24 to 1.27 and stands in what those clusters print.
pub(super) const OBJECT: Shape = Shape::Object(&[
    ("apiVersion", Shape::Ignored),
    ("kind", Shape::Ignored),
    ("metadata", METADATA),
    (
        "spec",
        Shape::Object(&[
            ("podSelector", SELECTOR),
            ("policyTypes", Shape::List(&Shape::Text)),
            (
                "ingress",
                Shape::List(&Shape::Object(&[("from", PEERS), ("ports", PORTS)])),
            ),
            (
                "egress",
                Shape::List(&Shape::Object(&[("to", PEERS), ("ports", PORTS)])),
            ),
        ]),
    ),
    ("status", Shape::Ignored),
]);
