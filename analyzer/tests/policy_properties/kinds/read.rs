//! What is read of other kinds means what was written.

use flowtape::parse::kubernetes::{Parsed, parse};
use flowtape::policy::kind::PolicyKind;
use flowtape::policy::landmark::Landmarks;
use flowtape::policy::model::{Policy, PolicySet};
use flowtape::render::kind::{Kind, render};
use flowtape::semantics::eval::{Basis, side};
use proptest::collection::vec;
use proptest::prelude::{Strategy as _, prop_assert_eq, proptest};

use super::cilium;
use super::differences::{asked, connections, landmarks, world, written};
use crate::arbitrary::{address, mixed_set, policy_set, quiet, small_selector};
use crate::evaluation;
use crate::reach::worlds;

/// What the reader of the product makes of all policies of a set as objects of a kind.
fn read(kind: Kind, set: &PolicySet, landmarks: &Landmarks) -> Parsed {
    let texts: Vec<(String, String)> = set
        .iter()
        .flat_map(|policy| render(kind, policy, landmarks).unwrap().manifests)
        .enumerate()
        .map(|(at, manifest)| (format!("{at}.yaml"), manifest.text()))
        .collect();
    let parsed = parse(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let parsed = parsed.unwrap_or_else(|problems| panic!("{problems}\n{texts:?}"));
    assert_eq!((&parsed.refused, &parsed.skipped), (&vec![], &vec![]), "{texts:?}");
    parsed
}

proptest! {
    #![proptest_config(quiet())]

    /// Calico can say all of a NetworkPolicy, so what is read of its policies says all of it.
    #[test]
    fn policies_of_calico_say_what_they_were_made_of(
        set in policy_set(small_selector().boxed()),
        world in worlds(),
    ) {
        let read = read(Kind::Calico, &set, &Landmarks::default()).set;
        prop_assert_eq!(read.policies().len(), set.policies().len());
        for connection in evaluation::connections(&world) {
            for direction in flowtape::policy::model::Direction::BOTH {
                let [meant, found] = [&set, &read].map(|set| side(set, &world, &connection, direction));
                prop_assert_eq!(found.basis, meant.basis, "{:?}", connection);
                let kinds: Vec<&str> = found.by.iter().map(|by| by.kind).collect();
                prop_assert_eq!(kinds, vec![PolicyKind::CalicoNetworkPolicy.name(); found.by.len()]);
            }
        }
    }

    /// Cilium says otherwise than a NetworkPolicy at times, so its policies are read by somebody else as well.
    #[test]
    fn policies_of_cilium_say_what_a_naive_reader_reads(
        set in policy_set(small_selector().boxed()),
        world in world(),
        outside in vec(address(), 1..3),
    ) {
        let landmarks = landmarks(&world);
        let rendered: Vec<_> = set.iter().map(|policy| render(Kind::Cilium, policy, &landmarks).unwrap()).collect();
        let objects: Vec<_> = rendered.iter().flat_map(written).collect();
        let read = read(Kind::Cilium, &set, &landmarks).set;
        for (connection, direction) in connections(&world, &outside) {
            let found = side(&read, &world, &connection, direction);
            let Some(asked) = asked(&world, &connection, direction) else { continue };
            if found.basis == Basis::SamePod {
                continue;
            }
            let naive: Vec<bool> = objects.iter().filter_map(|object| cilium::verdict(object, &asked)).collect();
            let expected = match (naive.is_empty(), naive.contains(&true)) {
                (true, _) => Basis::NotIsolated,
                (false, true) => Basis::Rule,
                (false, false) => Basis::NoRule,
            };
            prop_assert_eq!(found.basis, expected, "{:?} {:?}", connection, &objects);
        }
    }

    /// What Cilium has words of its own for is the same after it was written and read.
    #[test]
    fn words_of_cilium_are_read_as_they_were_meant(set in mixed_set(), world in worlds()) {
        let of_cilium = |policy: &&Policy| policy.kind == PolicyKind::CiliumNetworkPolicy;
        let set = PolicySet::new(set.iter().filter(of_cilium).cloned()).unwrap();
        let read = read(Kind::Cilium, &set, &Landmarks::default()).set;
        for connection in evaluation::connections(&world) {
            for direction in flowtape::policy::model::Direction::BOTH {
                let [meant, found] = [&set, &read].map(|set| side(set, &world, &connection, direction));
                prop_assert_eq!(found.basis, meant.basis, "{:?}", connection);
            }
        }
    }

    #[test]
    fn staged_policies_are_read_and_not_in_force(set in policy_set(small_selector().boxed())) {
        let read = read(Kind::Staged, &set, &Landmarks::default());
        prop_assert_eq!(read.set, PolicySet::default());
        let as_network_policies = read.staged.into_iter().map(|policy| {
            assert_eq!(policy.kind, PolicyKind::StagedKubernetesNetworkPolicy);
            Policy { kind: PolicyKind::NetworkPolicy, ..policy }
        });
        prop_assert_eq!(PolicySet::new(as_network_policies).unwrap().bare(), set.bare());
    }
}
