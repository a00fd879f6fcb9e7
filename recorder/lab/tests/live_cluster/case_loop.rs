//! The loop closed: a recording becomes policies, packets obey them, and `verify` knew before what would become of each.
//!
//! The policies are enforced by [`enforce`], which shares nothing with the analyzer. Clients of the recording must all
//! get through, and of every workload at least one connection that was not recorded must not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flowtape_lab::{Lab, Report};
use flowtape_scenario::Scenario;
use flowtape_scenario::connection::{Connection, Socket, connections};
use flowtape_scenario::layout::Layout;
use flowtape_scenario::model::Outcome as Wanted;
use serde_json::Value;

use crate::enforce::enforce;
use crate::program::analyzer;
use crate::recorded::{LAB, Recorded};
use crate::scenario;
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("the_loop_is_closed_for_dvwa", |shared| closed(shared.dvwa()?, DVWA)),
    ("the_loop_is_closed_for_emojivoto", |_| {
        closed(&Recorded::of(scenario::named("emojivoto")?, &[])?, EMOJIVOTO)
    }),
    ("the_loop_is_closed_for_online_boutique", |_| {
        closed(&Recorded::of(scenario::named("online-boutique")?, &[])?, BOUTIQUE)
    }),
    ("the_loop_is_closed_for_datagrams_and_pods_by_address", |_| {
        closed(&Recorded::of(scenario::named("sensors")?, &[])?, SENSORS)
    }),
    ("two_recordings_of_one_run_give_the_same_policies", |_| same_policies()),
];

/// A scenario, and connections that it has not: of each of its workloads at least one.
#[derive(Clone, Copy)]
struct Strangers {
    scenario: &'static str,
    lines: &'static [&'static str],
}

const DVWA: Strangers = Strangers {
    scenario: "dvwa",
    lines: &[
        "dvwa/dvwa-mysql -> dvwa/dvwa-web:80",
        "dvwa/dvwa-mysql -> service kube-system/kube-dns:53/UDP",
        "dvwa/dvwa-web -> kube-system/coredns/1:9153",
        "kube-system/coredns/0 -> dvwa/dvwa-mysql:3306",
        "external 203.0.113.7 -> dvwa/dvwa-mysql:3306",
    ],
};

const EMOJIVOTO: Strangers = Strangers {
    scenario: "emojivoto",
    lines: &[
        "emojivoto/vote-bot -> service emojivoto/emoji-svc:8080",
        "emojivoto/web -> service emojivoto/emoji-svc:8801",
        "emojivoto/emoji -> emojivoto/voting:8080",
        "emojivoto/voting -> emojivoto/web:8080",
        "kube-system/coredns/0 -> emojivoto/voting:8801",
    ],
};

const BOUTIQUE: Strangers = Strangers {
    scenario: "online-boutique",
    lines: &[
        "default/adservice -> service default/emailservice:5000",
        "default/currencyservice -> service default/cartservice:7070",
        "default/loadgenerator -> service default/checkoutservice:5050",
        "default/paymentservice -> service default/productcatalogservice:3550",
        "default/recommendationservice -> service default/shippingservice:50051",
        "external 203.0.113.7 -> default/redis-cart:6379",
        // The port is everybody's outside the cluster, and of nobody in it but one.
        "kube-system/coredns/0 -> default/frontend:8080",
    ],
};

const SENSORS: Strangers = Strangers {
    scenario: "sensors",
    lines: &[
        "plant/sensor -> plant/collector:8080",
        "plant/broker/2 -> plant/blue:8080",
        "plant/collector -> plant/broker/0:7000",
        "plant/blue -> plant/green:9090",
        "plant/panel -> plant/collector:8125/UDP",
    ],
};

/// A connection by its ends: a workload as `NAMESPACE/NAME`, or an address outside the cluster.
type Edge = (String, String, String, u16);

fn closed(first: &Recorded, strangers: Strangers) -> Outcome<String> {
    first.check_complete()?;
    let policies = first.generate()?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("policies.yaml");
    std::fs::write(&file, &policies)?;

    let (code, document) = verify(&first.tape(), &file)?;
    if code != Some(0) || !denied(&document)?.is_empty() {
        return Err(format!(
            "exit code {code:?}, denied of what they were made of: {}",
            document["denied"]
        )
        .into());
    }

    let scenario = scenario::with(strangers.scenario, strangers.lines)?;
    let own = first.scenario.traffic.len();
    let (truth, others) = edges(&scenario, own)?;
    every_workload(&scenario, &others)?;
    let second = Recorded::of(scenario.clone(), &[])?;
    second.check_complete()?;
    let (code, document) = verify(&second.tape(), &file)?;
    let predicted = denied(&document)?;
    if code != Some(1) || predicted.keys().ne(&others) {
        return Err(format!("exit code {code:?}, verify denies {predicted:#?}, expected {others:#?}").into());
    }
    if let Some((edge, _)) = predicted
        .iter()
        .find(|(edge, processes)| is_pod(&edge.0) && processes.is_empty())
    {
        return Err(format!("no sample tells the process of {edge:?}").into());
    }

    let mut lab = Lab::build_with(&scenario, Path::new(LAB))?;
    lab.start_servers()?;
    let nodes: Vec<String> = scenario.nodes.iter().map(|node| node.name.clone()).collect();
    let enforced = enforce(&lab, &policies, &nodes)?;
    obeyed(&lab.run_traffic()?, own)?;
    Ok(format!(
        "{enforced} policies, {} edges pass, {} are dropped and were predicted",
        truth.len(),
        others.len()
    ))
}

/// All that was recorded works, and nothing else does.
fn obeyed(report: &Report, own: usize) -> Outcome {
    for (place, line) in report.lines.iter().enumerate() {
        let worked = line.outcomes.contains_key("established");
        let wanted = place < own && line.expected == Wanted::Established;
        if worked != wanted || (wanted && !line.ok()) {
            return Err(format!(
                "under the policies, `{}` became {:?}\n{report}",
                line.what, line.outcomes
            )
            .into());
        }
    }
    Ok(())
}

fn is_pod(end: &str) -> bool {
    end.contains('/')
}

/// Every workload of the scenario is an end of one of the connections that must not work.
fn every_workload(scenario: &Scenario, others: &BTreeSet<Edge>) -> Outcome {
    for workload in &scenario.workloads {
        let name = format!("{}/{}", workload.name.namespace, workload.name.name);
        if !others.iter().any(|(from, to, _, _)| *from == name || *to == name) {
            return Err(format!("no connection that was not recorded has {name}").into());
        }
    }
    Ok(())
}

/// What works by the scenario: of its first lines, and of those after them.
fn edges(scenario: &Scenario, own: usize) -> Outcome<(BTreeSet<Edge>, BTreeSet<Edge>)> {
    let layout = Layout::of(scenario)?;
    let end = |socket: Option<Socket>, address: std::net::IpAddr| match socket.and_then(|socket| socket.pod) {
        Some(pod) => {
            let name = &scenario.workloads[layout.pods[pod].workload].name;
            format!("{}/{}", name.namespace, name.name)
        }
        None => address.to_string(),
    };
    let edge = |connection: &Connection| {
        (
            end(connection.client_socket, connection.client.0),
            end(connection.server_socket, connection.backend.0),
            connection.protocol.to_string(),
            connection.backend.1,
        )
    };
    let all = connections(scenario, &layout)?;
    let works = all
        .iter()
        .filter(|connection| connection.outcome == Wanted::Established);
    let (truth, others): (Vec<_>, Vec<_>) = works.partition(|connection| connection.traffic < own);
    let (truth, others): (BTreeSet<Edge>, BTreeSet<Edge>) = (
        truth.into_iter().map(edge).collect(),
        others.into_iter().map(edge).collect(),
    );
    if let Some(both) = truth.intersection(&others).next() {
        return Err(format!("recorded after all: {both:?}").into());
    }
    Ok((truth, others))
}

/// Runs `verify` on a recording.
fn verify(tape: &Path, policies: &Path) -> Outcome<(Option<i32>, Value)> {
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or("no text");
    let (tape, policies) = (text(tape)?, text(policies)?);
    let output = analyzer(&["verify", &tape, "--policies", &policies, "--format", "json"])?;
    let document = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((output.status.code(), document))
}

/// What a document of `verify` denies, with the clients' processes.
fn denied(document: &Value) -> Outcome<BTreeMap<Edge, BTreeSet<String>>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let end = |peer: &Value| match peer["type"].as_str() {
        Some("external") => text(&peer["cidr"]).split('/').next().unwrap_or_default().to_owned(),
        _ => format!("{}/{}", text(&peer["namespace"]), text(&peer["name"])),
    };
    let mut denied: BTreeMap<Edge, BTreeSet<String>> = BTreeMap::new();
    for one in document["denied"].as_array().ok_or("no denials")? {
        let edge = &one["edge"];
        let port = u16::try_from(edge["port"].as_u64().ok_or("no port")?)?;
        let key = (end(&edge["from"]), end(&edge["to"]), text(&edge["protocol"]), port);
        let processes = one["client_processes"].as_array().ok_or("no processes")?;
        let names = processes.iter().map(|process| text(&process["name"]));
        denied.entry(key).or_default().extend(names);
    }
    Ok(denied)
}

/// Two recorders of one run, and a third of another run of the same scenario: one text of policies.
fn same_policies() -> Outcome<String> {
    let mut bytes = 0;
    for name in ["dvwa", "emojivoto"] {
        let (one, other) = Recorded::twice(scenario::named(name)?)?;
        let again = Recorded::of(scenario::named(name)?, &[])?;
        let first = one.generate()?;
        for later in [other.generate()?, again.generate()?] {
            if later != first {
                return Err(format!("{name}:\n{first}\nand then:\n{later}").into());
            }
        }
        bytes += first.len();
    }
    Ok(format!("{bytes} bytes three times"))
}
