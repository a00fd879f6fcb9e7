//! What a kind allows is what the policy set allows, and where it is not, that is said.

use std::collections::BTreeMap;
use std::net::IpAddr;

use flowtape::policy::cidr::Cidr;
use flowtape::policy::landmark::Landmarks;
use flowtape::policy::model::{Direction, Policy, PolicySet};
use flowtape::policy::ports::Protocol;
use flowtape::render::kind::{Effect, Kind, Rendered, render};
use flowtape::semantics::eval::{Basis, Connection, side};
use flowtape::semantics::world::{Endpoint, NamedPort, Pod as WorldPod, World};
use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;
use serde_json::Value;

use super::pods::{Asked, End, Pod};
use super::{calico, cilium, cluster};
use crate::arbitrary::{address, label_key, label_value, labels, policy_set, quiet, selector, small_selector};

/// Pods `x/0`, `y/1`, `x/2` ..., each with two ports that have names.
pub(super) fn world() -> impl Strategy<Value = World> {
    let pods = vec((labels(), address()), 2..5);
    (labels(), labels(), pods).prop_map(|(x, y, pods)| {
        let namespaces = BTreeMap::from([("x".to_owned(), x), ("y".to_owned(), y)]);
        let port = |name: &str, protocol, port| NamedPort {
            name: name.to_owned(),
            protocol,
            port,
        };
        let pods = pods.into_iter().enumerate().map(|(at, (labels, address))| WorldPod {
            namespace: if at % 2 == 0 { "x" } else { "y" }.to_owned(),
            name: at.to_string(),
            labels,
            addresses: vec![address],
            host_network: false,
            node: None,
            ports: vec![port("http", Protocol::Tcp, 8), port("y", Protocol::Udp, 9)],
        });
        World::new(namespaces, pods, BTreeMap::new()).unwrap()
    })
}

pub(super) fn landmarks(world: &World) -> Landmarks {
    let addresses = world.pods().flat_map(|pod| &pod.addresses);
    Landmarks {
        pods: addresses.map(|address| Cidr::host(*address)).collect(),
        ..Landmarks::default()
    }
}

fn pod(world: &World, pod: &WorldPod) -> Pod {
    let port = |port: &NamedPort| (port.name.clone(), port.protocol.name().to_owned(), port.port);
    Pod {
        namespace: pod.namespace.clone(),
        labels: pod.labels.clone(),
        namespace_labels: world.namespace_labels(&pod.namespace).unwrap().clone(),
        ports: pod.ports.iter().map(port).collect(),
    }
}

/// Every connection between two pods, and between a pod and an address outside, once for each end that is a pod.
pub(super) fn connections<'a>(world: &'a World, outside: &[IpAddr]) -> Vec<(Connection<'a>, Direction)> {
    let held = |address: &&IpAddr| !world.pods().any(|pod| pod.addresses.contains(*address));
    let outside = outside.iter().filter(held).map(|address| Endpoint::Address(*address));
    let ends: Vec<Endpoint<'_>> = world.pods().map(|pod| world.endpoint(pod)).chain(outside).collect();
    let mut all = Vec::new();
    for (from, to) in ends.iter().flat_map(|from| ends.iter().map(move |to| (*from, *to))) {
        for (protocol, port) in [
            (Protocol::Tcp, 8),
            (Protocol::Udp, 9),
            (Protocol::Udp, 8),
            (Protocol::Sctp, 65_535),
        ] {
            let connection = Connection {
                from,
                to,
                protocol,
                port,
            };
            all.extend([Direction::Ingress, Direction::Egress].map(|direction| (connection, direction)));
        }
    }
    all
}

pub(super) fn asked(world: &World, connection: &Connection<'_>, direction: Direction) -> Option<Asked> {
    let (end, peer) = match direction {
        Direction::Ingress => (connection.to, connection.from),
        Direction::Egress => (connection.from, connection.to),
    };
    Some(Asked {
        ingress: direction == Direction::Ingress,
        subject: pod(world, end.selectable_pod()?),
        peer: End {
            pod: peer.selectable_pod().map(|found| pod(world, found)),
            address: peer.address()?,
        },
        server: connection.to.selectable_pod().map(|found| pod(world, found)),
        protocol: connection.protocol.name().to_owned(),
        port: connection.port,
    })
}

/// What was written, read as YAML by somebody who knows no kind.
pub(super) fn written(rendered: &Rendered) -> Vec<Value> {
    let read = |text: String| flowtape_reader(&text);
    rendered
        .manifests
        .iter()
        .map(|manifest| read(manifest.text()))
        .collect()
}

/// The reader of marked YAML, which takes text for what it is.
fn flowtape_reader(text: &str) -> Value {
    use flowtape::parse::marked::{Node, Value as Marked, documents};
    use flowtape::parse::scalar::Scalar;
    fn plain(node: &Node) -> Value {
        match &node.value {
            Marked::Scalar(Scalar::Text(text)) => Value::from(text.as_str()),
            Marked::Scalar(Scalar::Int(_, number)) => Value::from(*number),
            Marked::Scalar(_) => Value::Null,
            Marked::List(items) => items.iter().map(|item| plain(item)).collect(),
            Marked::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), plain(&entry.value)))
                .collect(),
        }
    }
    let (documents, faults) = documents(text);
    assert!(faults.is_empty() && documents.len() == 1, "{faults:?}\n{text}");
    plain(&documents[0])
}

/// What a kind says to a connection, and whether it is isolated at all.
fn verdict(kind: Kind, objects: &[Value], asked: &Asked) -> Option<bool> {
    let single = |read: fn(&Value, &Asked) -> Option<bool>| {
        let verdicts: Vec<bool> = objects.iter().filter_map(|object| read(object, asked)).collect();
        (!verdicts.is_empty()).then(|| verdicts.contains(&true))
    };
    match kind {
        Kind::Cilium => single(cilium::verdict),
        Kind::Calico => single(calico::verdict),
        Kind::Cluster => cluster::verdict(objects, asked),
        Kind::NetworkPolicy | Kind::Staged => panic!("{} has the reader of the product", kind.name()),
    }
}

fn compare(kind: Kind, set: &PolicySet, world: &World, outside: &[IpAddr]) -> Result<(), String> {
    let landmarks = landmarks(world);
    let rendered: Vec<Rendered> = set
        .iter()
        .map(|policy| render(kind, policy, &landmarks).unwrap())
        .collect();
    let objects: Vec<Value> = rendered.iter().flat_map(written).collect();
    let said = |effect| {
        let all = rendered.iter().flat_map(|rendered| &rendered.shortfalls);
        all.into_iter().any(|shortfall| shortfall.effect == effect)
    };
    for (connection, direction) in connections(world, outside) {
        let Some(asked) = asked(world, &connection, direction) else {
            continue;
        };
        let meant = side(set, world, &connection, direction);
        if meant.basis == Basis::SamePod {
            continue;
        }
        let found = verdict(kind, &objects, &asked).unwrap_or(true);
        let excused = match (meant.allowed, found) {
            (true, false) => said(Effect::Narrower),
            (false, true) => said(Effect::Wider),
            (true, true) | (false, false) => true,
        };
        if !excused {
            return Err(format!(
                "{direction} {asked:?}: meant {meant:?}, found {found}\n{objects:#?}"
            ));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(quiet())]

    #[test]
    fn what_a_kind_allows_is_what_the_policies_allow_unless_it_is_said(
        set in policy_set(small_selector().boxed()),
        world in world(),
        outside in vec(address(), 1..3),
        kind in select(vec![Kind::Cilium, Kind::Calico, Kind::Cluster]),
    ) {
        if let Err(difference) = compare(kind, &set, &world, &outside) {
            prop_assert!(false, "{}", difference);
        }
    }

    /// Calico can say all of it, so nothing may differ: this is what keeps the test above from excusing everything.
    #[test]
    fn calico_says_all_of_it(set in policy_set(small_selector().boxed()), world in world()) {
        for policy in &set {
            prop_assert_eq!(render(Kind::Calico, policy, &landmarks(&world)).unwrap().shortfalls, vec![]);
        }
    }

    /// The reader and evaluator of the product say of what is written for the cluster what the naive reader of it says.
    #[test]
    fn policies_of_the_cluster_are_read_as_they_are_meant(
        set in policy_set(small_selector().boxed()),
        world in world(),
        outside in vec(address(), 1..3),
    ) {
        let rendered: Vec<Rendered> = set.iter().map(|policy| render(Kind::Cluster, policy, &landmarks(&world)).unwrap()).collect();
        let objects: Vec<Value> = rendered.iter().flat_map(written).collect();
        let manifests = rendered.iter().flat_map(|rendered| &rendered.manifests);
        let text: Vec<String> = manifests.map(flowtape::render::kind::Manifest::text).collect();
        let read = flowtape::parse::kubernetes::parse([("cluster.yaml", text.join("---\n").as_str())]).unwrap().set;
        for (connection, direction) in connections(&world, &outside) {
            let found = side(&read, &world, &connection, direction);
            let asked = asked(&world, &connection, direction).filter(|_| found.basis != Basis::SamePod);
            if let Some(asked) = asked {
                let meant = cluster::verdict(&objects, &asked).unwrap_or(true);
                prop_assert_eq!(found.allowed, meant, "{} {:?}: {:?}", direction, asked, found);
            }
        }
    }

    #[test]
    fn every_kind_reads_back_as_what_was_written(
        set in policy_set(selector(label_key().boxed(), label_value().boxed()).boxed()),
        kind in select(Kind::ALL.to_vec()),
    ) {
        for policy in &set {
            for manifest in render(kind, policy, &Landmarks::default()).unwrap().manifests {
                prop_assert!(manifest.reads_back(), "{}", manifest.text());
            }
        }
    }
}

/// A staged policy is the NetworkPolicy under another name, so the reader of the product reads it.
#[test]
fn a_staged_policy_has_the_rules_of_a_network_policy() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let sets = policy_set(small_selector().boxed());
    for _ in 0..64 {
        let set = proptest::strategy::ValueTree::current(&sets.new_tree(&mut runner).unwrap());
        for policy in &set {
            let text = render(Kind::Staged, policy, &Landmarks::default()).unwrap().manifests[0].text();
            assert!(text.contains("\n  stagedAction: Set\n"));
            let enforced = text
                .replace("projectcalico.org/v3", "networking.k8s.io/v1")
                .replace("StagedKubernetesNetworkPolicy", "NetworkPolicy")
                .replace("  stagedAction: Set\n", "");
            let parsed = flowtape::parse::kubernetes::parse([("staged.yaml", enforced.as_str())]).unwrap();
            let bare = |policy: &Policy| PolicySet::new([policy.clone()]).unwrap().bare();
            assert_eq!(parsed.set.bare(), bare(policy));
        }
    }
}
