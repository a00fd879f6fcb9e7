//! The lab: a scenario as a live cluster on one Linux machine.
//!
//! Every node, every pod and every host outside the cluster is a network namespace of its own; a further one, the
//! fabric, routes between nodes. Pods hang on their node by a veth pair and a host route, so that a node sees all
//! traffic of its pods as a router does, Services are nftables rules in the node of the client, and nothing ever
//! touches the tables of the machine itself. Pods have cgroup v2 directories spelled as the kubelet spells them, below
//! one directory per node. In each of them a small process, the [`agent`], opens the sockets.
//!
//! ```text
//!   pod ──veth── node ──veth── fabric ──veth── node ──veth── pod
//!                  nft DNAT      └──veth── outside
//! ```
//!
//! [`Lab`] removes everything when it is dropped. What a killed lab left behind is removed by [`leftovers::clean`]:
//! all names carry the process that made them.

pub mod agent;
mod lab;
pub mod leftovers;
mod network;
mod nftables;
pub mod preflight;
mod remote;
mod traffic;

pub use lab::{Lab, LabError, LivePod, Snapshot};
pub use traffic::{LineReport, Report};
