//! NetworkPolicies as packet filters of the lab's nodes, to see with real packets what they allow.
//!
//! Reads the YAML and the cluster's objects by itself: no line of the analyzer, which is what is tried. Every field of the
//! API that a policy may have is read or refused. What it follows is the text of `networking.k8s.io/v1 NetworkPolicy`: a
//! pod is isolated in a direction that a policy selecting it names, and then reached by what any rule of these allows. Nodes
//! filter what they forward, after a Service's address was translated; what a node itself sends to its pods is not forwarded,
//! as the API wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use flowtape_lab::Lab;
use serde::Deserialize;
use serde_json::Value;

use crate::Outcome;

/// Loads the policies of a YAML text into every node.
pub(crate) fn enforce(lab: &Lab, policies: &str, nodes: &[String]) -> Outcome<usize> {
    let cluster = Cluster::of(&serde_json::from_str(&lab.kubernetes_json())?)?;
    let mut read = Vec::new();
    for document in serde_yaml::Deserializer::from_str(policies) {
        read.push(Policy::deserialize(document)?);
    }
    let rules = rules(&read, &cluster)?;
    for node in nodes {
        let place = lab.node_place(node).ok_or("no such node")?;
        let namespace = place.netns.file_name().and_then(|name| name.to_str());
        nft(namespace.ok_or("the node has no network")?, &rules)?;
    }
    Ok(read.len())
}

fn nft(namespace: &str, rules: &str) -> Outcome {
    let mut child = Command::new("ip")
        .args(["netns", "exec", namespace, "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no input")?.write_all(rules.as_bytes())?;
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("nft: {}\n{rules}", String::from_utf8_lossy(&output.stderr)).into())
}

type Labels = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Policy {
    #[serde(rename = "apiVersion")]
    version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    namespace: String,
    #[serde(default)]
    #[expect(dead_code, reason = "a policy's own labels and annotations mean nothing to packets")]
    labels: Labels,
    #[serde(default)]
    #[expect(dead_code, reason = "the same")]
    annotations: Labels,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    pod_selector: Selector,
    policy_types: Vec<String>,
    #[serde(default)]
    ingress: Vec<Ingress>,
    #[serde(default)]
    egress: Vec<Egress>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ingress {
    from: Option<Vec<Peer>>,
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Egress {
    to: Option<Vec<Peer>>,
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Peer {
    pod_selector: Option<Selector>,
    namespace_selector: Option<Selector>,
    ip_block: Option<Block>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    cidr: String,
    #[serde(default)]
    except: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Port {
    protocol: Option<String>,
    port: Option<u16>,
    end_port: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    #[serde(default)]
    match_labels: Labels,
    #[serde(default)]
    match_expressions: Vec<Expression>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

impl Selector {
    fn selects(&self, labels: &Labels) -> Outcome<bool> {
        let mut all = self
            .match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value));
        for Expression { key, operator, values } in &self.match_expressions {
            let value = labels.get(key);
            let listed = value.is_some_and(|value| values.contains(value));
            all &= match operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                other => return Err(format!("operator `{other}`").into()),
            };
        }
        Ok(all)
    }
}

/// What of the cluster a policy can name.
struct Cluster {
    namespaces: BTreeMap<String, Labels>,
    pods: Vec<Pod>,
}

/// A pod with a network of its own.
struct Pod {
    namespace: String,
    labels: Labels,
    addresses: Vec<IpAddr>,
}

impl Cluster {
    fn of(list: &Value) -> Outcome<Self> {
        let mut cluster = Self {
            namespaces: BTreeMap::new(),
            pods: Vec::new(),
        };
        let labels = |object: &Value| -> Outcome<Labels> {
            let labels = &object["metadata"]["labels"];
            Ok(if labels.is_null() {
                Labels::new()
            } else {
                serde_json::from_value(labels.clone())?
            })
        };
        for object in list["items"].as_array().ok_or("no list of objects")? {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            match object["kind"].as_str() {
                Some("Namespace") => {
                    let name = text(&object["metadata"]["name"]);
                    let mut labels = labels(object)?;
                    labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
                    cluster.namespaces.insert(name, labels);
                }
                Some("Pod") if object["spec"]["hostNetwork"] != true => {
                    let addresses = object["status"]["podIPs"].as_array().into_iter().flatten();
                    cluster.pods.push(Pod {
                        namespace: text(&object["metadata"]["namespace"]),
                        labels: labels(object)?,
                        addresses: addresses.map(|ip| text(&ip["ip"]).parse()).collect::<Result<_, _>>()?,
                    });
                }
                Some(_) | None => {}
            }
        }
        if cluster.pods.is_empty() {
            return Err("the cluster has no pods".into());
        }
        Ok(cluster)
    }

    /// The addresses that a peer names, as a set of one family; empty where it has none of that family.
    fn addresses(&self, peer: &Peer, home: &str, ipv4: bool) -> Outcome<Match> {
        let Peer {
            pod_selector,
            namespace_selector,
            ip_block,
        } = peer;
        if let Some(Block { cidr, except }) = ip_block {
            let own = |range: &&String| range.contains('.') == ipv4;
            return Ok(Match {
                within: Some(cidr).filter(own).into_iter().cloned().collect(),
                except: except.iter().filter(own).cloned().collect(),
            });
        }
        let mut within = BTreeSet::new();
        for pod in &self.pods {
            let there = match namespace_selector {
                None => pod.namespace == home,
                Some(selector) => match self.namespaces.get(&pod.namespace) {
                    Some(labels) => selector.selects(labels)?,
                    None => false,
                },
            };
            let chosen = match pod_selector {
                None => true,
                Some(selector) => selector.selects(&pod.labels)?,
            };
            if there && chosen {
                let own = pod.addresses.iter().filter(|address| address.is_ipv4() == ipv4);
                within.extend(own.map(ToString::to_string));
            }
        }
        Ok(Match {
            within,
            except: BTreeSet::new(),
        })
    }
}

/// Addresses as `nft` matches them.
struct Match {
    within: BTreeSet<String>,
    except: BTreeSet<String>,
}

/// The direction that a chain filters: what it calls the pod's side of a packet, and the other side.
struct Way {
    chain: &'static str,
    kind: &'static str,
    own: &'static str,
    other: &'static str,
}

const WAYS: [Way; 2] = [
    Way {
        chain: "egress",
        kind: "Egress",
        own: "saddr",
        other: "daddr",
    },
    Way {
        chain: "ingress",
        kind: "Ingress",
        own: "daddr",
        other: "saddr",
    },
];

/// The table of all policies: a packet that begins a connection passes both chains, each of which returns what a rule allows
/// and drops what else concerns an isolated pod.
fn rules(policies: &[Policy], cluster: &Cluster) -> Outcome<String> {
    let mut text = String::from("add table inet policies\ndelete table inet policies\ntable inet policies {\n");
    for way in &WAYS {
        writeln!(text, "\tchain {} {{", way.chain)?;
        let mut isolated: BTreeSet<IpAddr> = BTreeSet::new();
        for policy in policies {
            let Policy {
                version,
                kind,
                metadata: Metadata { name, namespace, .. },
                spec,
            } = policy;
            if (version.as_str(), kind.as_str()) != ("networking.k8s.io/v1", "NetworkPolicy") {
                return Err(format!("`{name}` is a {version} {kind}").into());
            }
            if !spec.policy_types.iter().any(|one| one == way.kind) {
                continue;
            }
            for pod in cluster.pods.iter().filter(|pod| pod.namespace == *namespace) {
                if !spec.pod_selector.selects(&pod.labels)? {
                    continue;
                }
                isolated.extend(&pod.addresses);
                for address in &pod.addresses {
                    allowed(&mut text, way, *address, spec, namespace, cluster)?;
                }
            }
        }
        for address in isolated {
            writeln!(text, "\t\t{} {} {address} drop", family(address), way.own)?;
        }
        text.push_str("\t}\n");
    }
    text.push_str(
        "\tchain forward {\n\t\ttype filter hook forward priority 10;\n\t\tct state established,related accept\n\
         \t\tjump egress\n\t\tjump ingress\n\t}\n}\n",
    );
    Ok(text)
}

/// What the rules of a policy allow one address of a pod that it selects.
fn allowed(text: &mut String, way: &Way, address: IpAddr, spec: &Spec, namespace: &str, cluster: &Cluster) -> Outcome {
    let ingress = spec.ingress.iter().map(|rule| (&rule.from, &rule.ports));
    let egress = spec.egress.iter().map(|rule| (&rule.to, &rule.ports));
    let rules: Vec<_> = if way.kind == "Ingress" {
        ingress.collect()
    } else {
        egress.collect()
    };
    let own = format!("{} {} {address}", family(address), way.own);
    for (peers, listed) in rules {
        let mut sides = Vec::new();
        match peers {
            None => sides.push(String::new()),
            Some(peers) => {
                for peer in peers {
                    sides.extend(side(
                        &cluster.addresses(peer, namespace, address.is_ipv4())?,
                        way,
                        address,
                    ));
                }
            }
        }
        for port in ports(listed.as_deref())? {
            for side in &sides {
                writeln!(text, "\t\t{own} {side} {port} return")?;
            }
        }
    }
    Ok(())
}

/// A match of the other side; `None` where nobody is named.
fn side(named: &Match, way: &Way, address: IpAddr) -> Option<String> {
    if named.within.is_empty() {
        return None;
    }
    let set = |addresses: &BTreeSet<String>| addresses.iter().cloned().collect::<Vec<_>>().join(", ");
    let end = format!("{} {}", family(address), way.other);
    let mut side = format!("{end} {{ {} }}", set(&named.within));
    if !named.except.is_empty() {
        let _ = write!(side, " {end} != {{ {} }}", set(&named.except));
    }
    Some(side)
}

/// A match of each port; of all protocols where none is listed.
fn ports(listed: Option<&[Port]>) -> Outcome<Vec<String>> {
    let Some(listed) = listed else {
        return Ok(vec![String::new()]);
    };
    let mut matches = Vec::new();
    for Port {
        protocol,
        port,
        end_port,
    } in listed
    {
        let protocol = protocol.as_deref().unwrap_or("TCP").to_lowercase();
        matches.push(match (port, end_port) {
            (None, None) => format!("meta l4proto {protocol}"),
            (Some(port), None) => format!("{protocol} dport {port}"),
            (Some(port), Some(end)) => format!("{protocol} dport {port}-{end}"),
            (None, Some(_)) => return Err("an endPort without a port".into()),
        });
    }
    Ok(matches)
}

const fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}
