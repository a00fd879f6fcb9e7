//! Clusters and policy sets as files: what people have in git and print of their clusters.

use std::fmt::Write as _;

use super::Random;

/// What a set of policies is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A policy for every workload that denies everything else, with 20 peers on its two sides together.
    DefaultDeny,
    /// The same for half of the workloads; no policy selects the others.
    HalfUnselected,
    /// A policy for every workload as people write them: tiers, teams, `NotIn`, prefixes with exceptions, ports by name.
    HandLike,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::DefaultDeny, Self::HalfUnselected, Self::HandLike];

    /// What tables call it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::DefaultDeny => "default-deny",
            Self::HalfUnselected => "half unselected",
            Self::HandLike => "hand-like",
        }
    }
}

/// Workloads of a namespace.
const BESIDE: usize = 10;

/// Peers of a workload on each side in generated sets.
const PEERS: usize = 10;

const TIERS: [&str; 4] = ["web", "api", "data", "batch"];
const TEAMS: usize = 20;

/// What `kubectl get pods,namespaces -A -o json` prints of a cluster with this many workloads of one pod each.
#[must_use]
pub fn cluster(workloads: usize) -> String {
    let mut objects = Vec::new();
    for number in 0..workloads.div_ceil(BESIDE) {
        objects.push(format!(
            r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"ns{number}","labels":{{"team":"t{}"}}}}}}"#,
            number % TEAMS
        ));
    }
    for number in 0..workloads {
        let (namespace, tier) = (number / BESIDE, TIERS[number % TIERS.len()]);
        let address = format!(
            "10.{}.{}.{}",
            64 + number / 62_500,
            number / 250 % 250,
            number % 250 + 1
        );
        objects.push(format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"w{number}","namespace":"ns{namespace}","labels":{{"app":"w{number}","tier":"{tier}"}}}},"spec":{{"containers":[{{"name":"c","ports":[{{"name":"http","containerPort":8080}}]}}]}},"status":{{"podIPs":[{{"ip":"{address}"}}]}}}}"#
        ));
    }
    format!(
        r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#,
        objects.join(",\n")
    )
}

/// A set of policies for that cluster, one file for each namespace: its name and text.
#[must_use]
pub fn policies(kind: Kind, workloads: usize, seed: u64) -> Vec<(String, String)> {
    let mut random = Random(seed);
    let edges = edges(workloads, &mut random);
    let mut files = Vec::new();
    for namespace in 0..workloads.div_ceil(BESIDE) {
        let mut text = String::new();
        for number in (namespace * BESIDE)..((namespace + 1) * BESIDE).min(workloads) {
            match kind {
                Kind::HalfUnselected if number % 2 == 1 => {}
                Kind::DefaultDeny | Kind::HalfUnselected => generated(&mut text, number, &edges),
                Kind::HandLike => by_hand(&mut text, number, workloads, &mut random),
            }
        }
        files.push((format!("ns{namespace}.yaml"), text));
    }
    files
}

/// Of every workload its servers, and of every workload its clients.
fn edges(workloads: usize, random: &mut Random) -> [Vec<Vec<usize>>; 2] {
    let mut servers = vec![Vec::new(); workloads];
    let mut clients = vec![Vec::new(); workloads];
    for (client, servers) in servers.iter_mut().enumerate() {
        for _ in 0..PEERS {
            let server = (client + 1 + random.below(workloads - 1)) % workloads;
            servers.push(server);
            clients[server].push(client);
        }
    }
    [servers, clients]
}

fn head(text: &mut String, number: usize, subject: &str) {
    let namespace = number / BESIDE;
    let _ = write!(
        text,
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: w{number}\n  namespace: ns{namespace}\nspec:\n  \
         podSelector:\n{subject}  policyTypes:\n  - Ingress\n  - Egress\n"
    );
}

fn generated(text: &mut String, number: usize, [servers, clients]: &[Vec<Vec<usize>>; 2]) {
    head(text, number, &format!("    matchLabels:\n      app: w{number}\n"));
    for (section, word, peers) in [
        ("ingress", "from", &clients[number]),
        ("egress", "to", &servers[number]),
    ] {
        let _ = writeln!(text, "  {section}:{}", if peers.is_empty() { " []" } else { "" });
        for peer in peers {
            let _ = write!(
                text,
                "  - {word}:\n    - namespaceSelector:\n        matchLabels:\n          kubernetes.io/metadata.name: ns{}\n      \
                 podSelector:\n        matchLabels:\n          app: w{peer}\n    ports:\n    - protocol: TCP\n      port: {}\n",
                peer / BESIDE,
                if word == "to" {
                    8000 + peer % 90
                } else {
                    8000 + number % 90
                }
            );
        }
    }
}

fn by_hand(text: &mut String, number: usize, workloads: usize, random: &mut Random) {
    let subject = match number % 5 {
        0 => format!("    matchLabels:\n      tier: {}\n", TIERS[number % TIERS.len()]),
        1 => format!(
            "    matchExpressions:\n    - {{key: app, operator: In, values: [w{number}, w{}]}}\n",
            number + 1
        ),
        _ => format!("    matchLabels:\n      app: w{number}\n"),
    };
    head(text, number, &subject);
    let mut pick = |choices: usize| random.below(choices);
    let (team, range) = (pick(TEAMS), 64 + pick(2));
    let _ = write!(
        text,
        "  ingress:\n  - from:\n    - namespaceSelector:\n        matchLabels:\n          team: t{team}\n      podSelector:\n        \
         matchExpressions:\n        - {{key: tier, operator: NotIn, values: [{}, batch]}}\n    - ipBlock:\n        cidr: 10.{range}.0.0/16\n        \
         except: [10.{range}.{}.0/24]\n    ports:\n    - port: http\n    - port: {}\n      endPort: {}\n",
        TIERS[pick(3)],
        pick(8),
        9000 + pick(10),
        9100
    )
    .and_then(|()| {
        writeln!(
            text,
            "  egress:\n  - to:\n    - namespaceSelector: {{}}\n      podSelector:\n        matchExpressions:\n        - {{key: app, operator: \
             NotIn, values: [w{}, w{}]}}\n        - {{key: tier, operator: Exists}}\n    ports:\n    - protocol: TCP\n      port: {}\n  - \
             to:\n    - ipBlock:\n        cidr: 0.0.0.0/0\n        except: [10.0.0.0/8, 169.254.169.254/32, 192.168.{}.0/24]\n  - ports:\n    - \
             {{protocol: UDP, port: 53}}",
            pick(workloads),
            pick(workloads),
            8080 + pick(5),
            pick(40)
        )
    });
}

#[cfg(test)]
mod tests {
    use super::{Kind, cluster, policies};
    use flowtape::parse::kubernetes::parse;

    #[test]
    fn every_kind_is_policies_that_are_read_without_a_warning() {
        for kind in Kind::ALL {
            let files = policies(kind, 57, 1);
            let read = parse(files.iter().map(|(name, text)| (name.as_str(), text.as_str()))).expect("policies");
            let expected = if kind == Kind::HalfUnselected { 29 } else { 57 };
            assert_eq!(read.set.policies().len(), expected, "{kind:?}");
            assert!(
                read.warnings.is_empty() && read.skipped.is_empty(),
                "{:?}",
                read.warnings
            );
            assert_eq!(files, policies(kind, 57, 1));
            assert_ne!(files, policies(kind, 57, 2));
        }
    }

    #[test]
    fn a_cluster_is_a_list_of_objects() {
        let list: serde_json::Value = serde_json::from_str(&cluster(57)).expect("JSON");
        assert_eq!(list["items"].as_array().map(Vec::len), Some(6 + 57));
    }
}
