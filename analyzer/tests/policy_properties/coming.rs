//! Two policy sets for pods that are not there yet: what they mean differently to some pod is a difference.

use std::collections::BTreeMap;
use std::net::IpAddr;

use flowtape::diff::change::Diff;
use flowtape::diff::{policy_sets, policy_sets_in};
use flowtape::parse::kubernetes;
use flowtape::policy::model::{Policy, PolicySet};
use flowtape::policy::ports::Protocol;
use flowtape::policy::select::{Labels, Selector};
use flowtape::semantics::world::{NamedPort, Pod, World};
use proptest::prelude::{Strategy, prop_assert, proptest};

use super::arbitrary::{labels, policy_set, quiet};
use super::cases::pod;
use super::diff::Ends;
use super::reach::worlds;

/// A policy of namespace `shop`: its name, whom it selects and what it says.
fn policy(name: &str, subject: &str, says: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  podSelector: {subject}\n  {says}\n---\n"
    )
}

fn set(text: &str) -> PolicySet {
    kubernetes::parse([("file", text)]).unwrap().set
}

/// A world of namespace `shop` with one pod.
fn world(one: Pod) -> World {
    World::new(
        BTreeMap::from([("shop".to_owned(), Labels::new())]),
        [one],
        BTreeMap::new(),
    )
    .unwrap()
}

fn labelled(labels: &[(&str, &str)]) -> Labels {
    labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn is_seen(diff: &Diff) -> bool {
    !diff.changes.is_empty() || !diff.unresolved.is_empty() || diff.uncombined > 0
}

#[test]
fn what_a_selector_leaves_out_is_no_longer_left_out() {
    let from = |peer: &str| format!("ingress: [{{from: [{{podSelector: {peer}}}]}}]");
    let db = "{matchLabels: {app: db}}";
    let but = |test: &str| format!("{{matchLabels: {{app: b}}, matchExpressions: [{test}]}}");
    let all = "{matchLabels: {app: b}}";
    for test in [
        "{key: tier, operator: NotIn, values: [x]}",
        "{key: tier, operator: DoesNotExist}",
    ] {
        let [some, every] = [but(test), all.to_owned()].map(|peer| set(&policy("db", db, &from(&peer))));
        assert!(is_seen(&policy_sets(&some, &every, None)), "peers: {test}");
        let [some, every] = [but(test), all.to_owned()].map(|subject| set(&policy("db", &subject, "ingress: []")));
        assert!(is_seen(&policy_sets(&some, &every, None)), "subjects: {test}");
        let within = |namespaces: &str| {
            set(&policy(
                "db",
                db,
                &format!("ingress: [{{from: [{{namespaceSelector: {namespaces}}}]}}]"),
            ))
        };
        assert!(
            is_seen(&policy_sets(&within(&but(test)), &within(all), None)),
            "namespaces: {test}"
        );
    }
}

#[test]
fn a_policy_that_opens_what_another_one_closes_is_a_difference() {
    let closed = policy("db", "{matchLabels: {app: db}}", "policyTypes: [Ingress]");
    let before = set(&closed);
    let after = set(&format!(
        "{closed}{}",
        policy("open", "{matchLabels: {expose: yes-please}}", "ingress: [{}]")
    ));
    assert!(is_seen(&policy_sets(&before, &after, None)));
    assert!(is_seen(&policy_sets(&after, &before, None)));
}

/// Selectors that meet in another value than the first of each.
#[test]
fn policies_that_meet_in_any_value_are_compared_together() {
    let of = |values: &str, other: &str| {
        format!("{{matchLabels: {{{other}: v}}, matchExpressions: [{{key: app, operator: In, values: [{values}]}}]}}")
    };
    let closed = policy("one", &of("a, b", "p"), "policyTypes: [Ingress]");
    let before = set(&closed);
    let after = set(&format!("{closed}{}", policy("two", &of("b, c", "q"), "ingress: [{}]")));
    let diff = policy_sets(&before, &after, None);
    assert!(
        diff.changes
            .iter()
            .any(|change| change.to_string().contains("[app=b,p=v,q=v]")),
        "{:?}",
        diff.changes
    );
}

#[test]
fn a_pod_on_its_nodes_network_stands_for_no_pod_that_policies_select() {
    let to_exporter = |peer: &str| {
        set(&policy(
            "exporter",
            "{matchLabels: {app: exporter}}",
            &format!("ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {peer}}}}}}}]}}]"),
        ))
    };
    let exporter = Pod {
        host_network: true,
        ..pod(
            "shop",
            "exporter",
            labelled(&[("app", "exporter")]),
            IpAddr::from([10, 0, 0, 1]),
        )
    };
    let diff = policy_sets_in(&to_exporter("b"), &to_exporter("c"), &world(exporter), &BTreeMap::new());
    assert!(!diff.changes.is_empty());
}

#[test]
fn a_name_of_a_port_that_another_pod_has_is_no_number_of_pods_that_are_not_there() {
    let by_name = |peer: &str| {
        set(&policy(
            "db",
            "{matchLabels: {app: db}}",
            &format!(
                "ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {peer}}}}}}}], ports: [{{port: http}}]}}]"
            ),
        ))
    };
    let other = Pod {
        ports: vec![NamedPort {
            name: "http".to_owned(),
            protocol: Protocol::Tcp,
            port: 80,
        }],
        ..pod(
            "shop",
            "other",
            labelled(&[("app", "other")]),
            IpAddr::from([10, 0, 0, 1]),
        )
    };
    let world = world(other);
    let diff = policy_sets_in(&by_name("b"), &by_name("c"), &world, &BTreeMap::new());
    assert_eq!(diff.unresolved.len(), 1, "{diff:?}");
    let same = policy_sets_in(&by_name("b"), &by_name("b"), &world, &BTreeMap::new());
    assert!(!is_seen(&same), "{same:?}");
}

#[test]
fn a_namespace_that_rules_name_has_the_labels_that_they_ask_of_it() {
    let on = |port: u16| {
        set(&policy(
            "db",
            "{matchLabels: {app: db}}",
            &format!(
                "ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: shop, team: a}}}}}}], \
                 ports: [{{port: {port}}}]}}]"
            ),
        ))
    };
    assert!(!policy_sets(&on(80), &on(443), None).changes.is_empty());
}

#[test]
fn more_pairs_of_policies_than_are_looked_at_are_said() {
    let many = (0..100).map(|number| {
        policy(
            &format!("p{number}"),
            &format!("{{matchLabels: {{k{number}: v}}}}"),
            "ingress: []",
        )
    });
    let many = set(&many.collect::<String>());
    let none = PolicySet::new(Vec::new()).unwrap();
    let diff = policy_sets(&none, &many, None);
    assert_eq!(diff.uncombined, 100 * 99 / 2 - 4_096);
    assert_eq!(policy_sets(&many, &many, None).uncombined, 0);
}

/// Sets whose selectors ask for labels and leave none out, and that say nothing of egress.
fn asking() -> impl Strategy<Value = PolicySet> {
    let sets = policy_set(labels().prop_map(Selector::from_labels).boxed());
    sets.prop_map(|set| {
        let ingress = set.into_policies().into_iter().map(|policy| Policy {
            egress: None,
            ingress: Some(policy.ingress.unwrap_or_default()),
            ..policy
        });
        PolicySet::new(ingress).unwrap()
    })
}

proptest! {
    #![proptest_config(quiet())]

    /// Whatever a pod means, the policies were compared without it.
    #[test]
    fn no_pod_that_comes_finds_a_difference_that_was_not_seen(before in asking(), after in asking(), world in worlds()) {
        let diff = policy_sets(&before, &after, None);
        if !is_seen(&diff) {
            let sets = [&before, &after];
            let mut missed = Vec::new();
            Ends::new(&world, &sets).judged(sets, |connection, allowed| {
                if allowed[0] != allowed[1] {
                    missed.push(format!("{connection:?}"));
                }
            });
            prop_assert!(missed.is_empty(), "{missed:?}");
        }
    }
}
