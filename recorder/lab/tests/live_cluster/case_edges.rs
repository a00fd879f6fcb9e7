//! Every edge, with the right pods, the right direction and the right count.

use std::collections::BTreeSet;

use flowtape::flow::edge::Transport;
use flowtape_schemas::cluster::Bound;

use crate::compare::same_edges;
use crate::recorded::{Opened, Recorded, Shared};
use crate::scenario;
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("edges_of_dvwa_are_those_of_the_scenario", dvwa),
    ("edges_of_all_kinds_are_those_of_the_scenario", all_kinds),
    ("a_pod_that_lives_between_two_looks_is_attributed", brief_pod),
];

fn dvwa(shared: &Shared) -> Outcome<String> {
    let recorded = shared.dvwa()?;
    recorded.check_complete()?;
    as_compiled(recorded)
}

fn all_kinds(_: &Shared) -> Outcome<String> {
    let recorded = Recorded::of(scenario::named("live")?, &[])?;
    recorded.check_complete()?;
    as_compiled(&recorded)
}

/// The same edges as the same text compiles to.
fn as_compiled(recorded: &Recorded) -> Outcome<String> {
    let mut compiled = Opened::directory(recorded.compiled()?)?;
    let mut note = "";
    if !recorded.follows_datagrams() {
        compiled.flows.edges.retain(|edge| edge.key.protocol != Transport::UDP);
        note = ", WITHOUT UDP, which this recorder does not follow";
    }
    let (edges, operations) = same_edges(&recorded.opened, &compiled, 1)?;
    Ok(format!("{edges} edges of {operations} connections and datagrams{note}"))
}

/// The recorder looks at the control groups at the beginning and at the end, and at neither time is the pod there: who its
/// sockets belonged to is known only because the kernel told of its control group when that was made.
fn brief_pod(_: &Shared) -> Outcome<String> {
    let text = "window 30s
cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  node n2 172.31.0.12 pods 10.244.2.0/24 cgroups systemd
  deployment shop/db on n2 labels app=db ports 5432
  deployment shop/client on n1 labels app=client
  pod shop/brief on n1 labels app=brief ports 7000 from 5s to 6s
  job shop/migrate on n2 from 5s to 7s
  service shop/db 10.96.0.20 selects app=db ports 5432
traffic
  shop/brief -> service shop/db:5432 x3 at 5500ms
  shop/client -> shop/brief:7000 x2 at 5500ms
  shop/migrate -> service shop/db:5432 x4 at 5500ms
  shop/client -> service shop/db:5432 at 10s";
    let recorded = Recorded::of(scenario::live(text)?, &["--interval", "1h"])?;
    let figures = as_compiled(&recorded)?;
    let cgroups: Vec<_> = recorded
        .opened
        .tape
        .nodes
        .iter()
        .flat_map(|node| &node.cgroups)
        .collect();
    let observed = |row: &&&_| {
        let row: &flowtape_schemas::node::CgroupRow = row;
        row.from_bound == Bound::Observed && row.to_bound == Bound::Observed
    };
    let brief: BTreeSet<&str> = cgroups
        .iter()
        .filter(observed)
        .filter_map(|row| row.pod_uid.as_deref())
        .collect();
    if brief.len() == 2 {
        return Ok(figures);
    }
    Err(format!(
        "{} pods were seen to come and go, expected 2: {cgroups:#?}",
        brief.len()
    )
    .into())
}
