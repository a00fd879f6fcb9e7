//! `flowtape inspect`: whether a recording is complete, and what is in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::args::inspect::InspectArgs;
use crate::cli::args::{Format, Global};
use crate::cli::edges::edges;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::findings::Findings;
use crate::flow::Flows;
use crate::flow::activity::activities;
use crate::identity::cluster::Cluster;
use crate::identity::{Identity, Workload};
use crate::json::inspect::Inspect;
use crate::json::peer::PeerIdentity;
use crate::render::text::{inspect, workload};
use crate::tape;

pub(in crate::cli) fn run(args: &InspectArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let InspectArgs { input, workloads } = args;
    let mut findings = Findings::default();
    let tape = tape::open(&input.tapes, &mut findings)?;
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let flows = edges(&tape, &cluster, &mut findings)?;
    // The overview for people has nothing of it, and samples can be many.
    let is_overview = workloads.is_empty() && global.format == Format::Text;
    let besides = if is_overview {
        BTreeMap::new()
    } else {
        activities(&tape, &cluster)?
    };
    let mut body = Inspect::of(&tape, &cluster, &flows, &besides);
    let asked = |workload: &Workload| workloads.iter().any(|pattern| pattern.names(workload));
    let named: BTreeSet<Workload> = all(&cluster, &flows).into_iter().filter(asked).collect();
    if !workloads.is_empty() {
        if named.is_empty() {
            return Err(Failure::plain("no such workload is in the recording")
                .hint("`flowtape inspect TAPE` lists them; write NAMESPACE, NAMESPACE/NAME or NAMESPACE/KIND/NAME"));
        }
        let identities: BTreeSet<PeerIdentity> = named.iter().map(PeerIdentity::from).collect();
        body.workloads.retain(|one| identities.contains(&one.workload.identity));
    }
    let report = Report::of_tape("flowtape.inspect/v1", &tape, &flows, findings);
    report.print(global, &body, |body| {
        if workloads.is_empty() {
            return inspect::text(&tape, body, &flows.unseen);
        }
        let mut text = inspect::health(&tape);
        for workload in &named {
            let besides = besides.get(workload).cloned().unwrap_or_default();
            text.push('\n');
            text.push_str(&workload::text(workload, &besides, &flows.edges));
        }
        text
    })
}

/// Every workload that has pods or traffic.
fn all(cluster: &Cluster, flows: &Flows) -> BTreeSet<Workload> {
    let peers = flows.edges.iter().flat_map(|edge| [&edge.key.from, &edge.key.to]);
    let talking = peers.filter_map(|peer| match &peer.identity {
        Identity::Workload(workload) => Some(workload),
        Identity::Service { .. } | Identity::Node { .. } | Identity::External { .. } | Identity::Unknown { .. } => None,
    });
    let idle = cluster.pods.values().map(|pod| &pod.workload);
    idle.chain(talking).cloned().collect()
}
