//! The fields of a `networking.k8s.io/v1 NetworkPolicy` (Kubernetes v1.36).

use crate::parse::shape::Shape;

pub(in crate::parse) const SELECTOR: Shape = Shape::Object(&[
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

pub(in crate::parse) const METADATA: Shape = Shape::Object(&[
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

const INGRESS: Shape = Shape::List(&Shape::Object(&[("from", PEERS), ("ports", PORTS)]));

const EGRESS: Shape = Shape::List(&Shape::Object(&[("to", PEERS), ("ports", PORTS)]));

const TYPES: Shape = Shape::List(&Shape::Text);

/// `status` existed from Kubernetes 1.24 to 1.27 and stands in what those clusters print.
pub(super) const OBJECT: Shape = Shape::Object(&[
    ("apiVersion", Shape::Ignored),
    ("kind", Shape::Ignored),
    ("metadata", METADATA),
    (
        "spec",
        Shape::Object(&[
            ("podSelector", SELECTOR),
            ("policyTypes", TYPES),
            ("ingress", INGRESS),
            ("egress", EGRESS),
        ]),
    ),
    ("status", Shape::Ignored),
]);

/// The same of a policy that is staged: what shall become of the policy stands beside what it says.
pub(super) const STAGED: Shape = Shape::Object(&[
    ("apiVersion", Shape::Ignored),
    ("kind", Shape::Ignored),
    ("metadata", METADATA),
    (
        "spec",
        Shape::Object(&[
            ("stagedAction", Shape::Ignored),
            ("podSelector", SELECTOR),
            ("policyTypes", TYPES),
            ("ingress", INGRESS),
            ("egress", EGRESS),
        ]),
    ),
]);
