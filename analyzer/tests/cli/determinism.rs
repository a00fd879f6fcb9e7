//! The same tape gives the same bytes, however many threads read it and however its rows are spread over files.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use flowtape::findings::Findings;
use flowtape_schemas::cluster::{
    ContainerRow, EndpointSliceRow, NamespaceRow, NetworkPolicyRow, NodeRow, PodRow, ServiceRow, WorkloadRow,
};
use flowtape_schemas::manifest::{FileEntry, MANIFEST_FILE};
use flowtape_schemas::node::{CgroupRow, ClockRow, EventRow, FlowRow, ListenRow, NetnsRow, SocketRow, StatsRow};
use flowtape_schemas::parquet::TableWriter;
use flowtape_schemas::table::Row;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;

use crate::support::{Scratch, Shown, committed, manifest, rows, scenario_files};

type Files = BTreeMap<String, Vec<u8>>;

/// More of everything: two address families, UDP, a Service with two backends, outside and unknown addresses, losses.
const MIXED: &str = "window 60s
cluster
  node n1 172.31.0.11 fd00:172:31::11 pods 10.244.1.0/24 fd00:10:244:1::/64
  node n2 172.31.0.12 fd00:172:31::12 pods 10.244.2.0/24 fd00:10:244:2::/64
  node n3 172.31.0.13 pods 10.244.3.0/24 unrecorded
  deployment shop/web replicas 3 on n1,n2 labels app=web ports http:8080
  deployment shop/db replicas 2 on n1,n2 labels app=db ports sql:5432
  daemonset ops/agent labels app=agent
  pod shop/was on n3 labels app=was ports 7000 address 10.244.3.50 from 0s to 5s
  pod shop/is on n3 labels app=is ports 7000 address 10.244.3.50 from 7s
  service shop/db 10.96.0.20,fd00:10:96::14 selects app=db ports sql:5432
  service shop/web 10.96.0.30 selects app=web ports http:80:30080->http
  external 203.0.113.7
  external 198.51.100.9
traffic
  shop/web -> service shop/db:5432 x20 at 1s..50s
  shop/web -> service shop/db:5432 x6 at 1s..50s ipv6
  ops/agent -> pod shop/web:8080 x9 at 2s..40s
  ops/agent -> external 198.51.100.9:514/UDP x30 at 1s..50s
  shop/web -> external 203.0.113.7:443 x4 timeout at 5s..6s
  external 203.0.113.7 -> node n1:30080 x7 at 3s..33s
  address 10.244.9.9 -> shop/db:5432 x2 at 4s
  shop/web -> pod shop/was:7000 x3 at 2s..4s
  shop/web -> pod shop/is:7000 x3 at 8s..9s
  lost n2 inet_sock_set_state ring-full 9
";

/// Policies that deny some of it.
const DENIALS: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {}}]
    ports: [{port: 5432}, {port: 80}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: dvwa}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
";

/// What every verb says about a tape that lies in `tape`, with another one in `other`.
fn said(scratch: &Scratch, threads: usize) -> Vec<Shown> {
    let verbs = [
        "inspect tape",
        "inspect tape --format json",
        "flows tape",
        "flows tape --format json",
        "generate tape",
        "generate tape --format json",
        "diff other tape",
        "verify tape --policies policies",
        "verify tape --policies policies --format json",
        "diff tape other --format json",
    ];
    verbs
        .iter()
        .map(|verb| scratch.run(&format!("{verb} --threads {threads}")))
        .collect()
}

/// Numbers in an order that only a seed decides (SplitMix64, Steele, Lea and Flood 2014).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

/// The same rows in another order, in other files and other row groups.
fn respread(files: &Files, numbers: &mut Numbers) -> Files {
    let mut manifest = manifest(files);
    let mut spread = Files::new();
    let mut entries = Vec::new();
    for entry in &manifest.files {
        let content = &files[&entry.path];
        for (number, (rows, content)) in parts(&entry.table, content, numbers).into_iter().enumerate() {
            let (folder, _) = entry.path.split_once('/').unwrap();
            // The names count down, so that their order is not that of the rows either.
            let path = format!("{folder}/{}-{:06}.parquet", entry.table, 900 - number);
            entries.push(FileEntry::describe(path.clone(), &entry.table, rows, &content));
            spread.insert(path, content);
        }
    }
    numbers.shuffle(&mut entries);
    manifest.files = entries;
    manifest.nodes.reverse();
    // Not `render`, which would put the files in order again.
    spread.insert(MANIFEST_FILE.to_owned(), serde_json::to_vec(&manifest).unwrap());
    spread
}

fn parts(table: &str, content: &[u8], numbers: &mut Numbers) -> Vec<(u64, Vec<u8>)> {
    match table {
        FlowRow::TABLE => parts_of::<FlowRow>(content, numbers),
        EventRow::TABLE => parts_of::<EventRow>(content, numbers),
        ListenRow::TABLE => parts_of::<ListenRow>(content, numbers),
        SocketRow::TABLE => parts_of::<SocketRow>(content, numbers),
        CgroupRow::TABLE => parts_of::<CgroupRow>(content, numbers),
        NetnsRow::TABLE => parts_of::<NetnsRow>(content, numbers),
        StatsRow::TABLE => parts_of::<StatsRow>(content, numbers),
        ClockRow::TABLE => parts_of::<ClockRow>(content, numbers),
        PodRow::TABLE => parts_of::<PodRow>(content, numbers),
        ContainerRow::TABLE => parts_of::<ContainerRow>(content, numbers),
        ServiceRow::TABLE => parts_of::<ServiceRow>(content, numbers),
        EndpointSliceRow::TABLE => parts_of::<EndpointSliceRow>(content, numbers),
        NamespaceRow::TABLE => parts_of::<NamespaceRow>(content, numbers),
        NodeRow::TABLE => parts_of::<NodeRow>(content, numbers),
        WorkloadRow::TABLE => parts_of::<WorkloadRow>(content, numbers),
        NetworkPolicyRow::TABLE => parts_of::<NetworkPolicyRow>(content, numbers),
        unknown => panic!("table `{unknown}` is not spread"),
    }
}

/// One to three files with the rows of one, each in row groups of one to four rows.
fn parts_of<R: Row + Clone>(content: &[u8], numbers: &mut Numbers) -> Vec<(u64, Vec<u8>)> {
    let mut all: Vec<R> = rows(content);
    numbers.shuffle(&mut all);
    let mut parts = Vec::new();
    for _ in 0..numbers.below(3) {
        parts.push(all.split_off(numbers.below(all.len() + 1)));
    }
    parts.push(all);
    let file = |part: Vec<R>| {
        let mut writer = TableWriter::<_, R>::new(Vec::new()).unwrap();
        let mut rest = part.as_slice();
        while !rest.is_empty() {
            let (group, after) = rest.split_at(rest.len().min(1 + numbers.below(4)));
            writer.write(group).unwrap();
            writer.flush().unwrap();
            rest = after;
        }
        (part.len() as u64, writer.finish().unwrap())
    };
    parts.into_iter().map(file).collect()
}

fn scratch(tape: &Files, other: &Files) -> Scratch {
    let scratch = Scratch::new();
    scratch
        .files("tape", tape)
        .files("other", other)
        .file("policies/deny.yaml", DENIALS);
    scratch
}

fn assert_results(shown: &[Shown]) {
    for shown in shown {
        assert!(shown.code <= 1 && !shown.stdout.is_empty(), "{shown:?}");
    }
}

#[test]
fn threads_leave_no_trace() {
    for tape in [committed("dvwa"), scenario_files(MIXED)] {
        let scratch = scratch(&tape, &committed("dvwa-2"));
        let expected = said(&scratch, 1);
        assert_results(&expected);
        for threads in [2, 8] {
            assert_eq!(said(&scratch, threads), expected, "{threads} threads");
        }
    }
}

#[test]
fn spreading_changes_files_and_no_row() {
    let tape = committed("dvwa");
    let spread = respread(&tape, &mut Numbers(7));
    assert_ne!(spread.len(), tape.len());
    let flows = |files: &Files| {
        let of_node = files.iter().filter(|(path, _)| path.starts_with("node=n1/flows-"));
        let mut all: Vec<FlowRow> = of_node.flat_map(|(_, content)| rows::<FlowRow>(content)).collect();
        let order = all.clone();
        all.sort();
        (order, all)
    };
    let ((order, sorted), (spread_order, spread_sorted)) = (flows(&tape), flows(&spread));
    assert_eq!(sorted, spread_sorted);
    assert_ne!(order, spread_order);
}

proptest! {
    // Each case runs ten commands three times.
    #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]

    #[test]
    fn files_rows_and_row_groups_leave_no_trace(seed in any::<u64>(), committed_tape in any::<bool>()) {
        let tape = if committed_tape { committed("dvwa") } else { scenario_files(MIXED) };
        let other = committed("dvwa-2");
        let expected = said(&scratch(&tape, &other), 2);
        assert_results(&expected);
        let mut numbers = Numbers(seed);
        let spread = scratch(&respread(&tape, &mut numbers), &respread(&other, &mut numbers));
        for threads in [1, 8] {
            prop_assert_eq!(&said(&spread, threads), &expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_opened_tape_is_the_same_value(seed in any::<u64>(), committed_tape in any::<bool>()) {
        let tape = if committed_tape { committed("dvwa") } else { scenario_files(MIXED) };
        let scratch = scratch(&tape, &respread(&tape, &mut Numbers(seed)));
        let opened = |name: &str| {
            let mut findings = Findings::default();
            let mut tape = flowtape::tape::open(&[scratch.path(name)], &mut findings).unwrap();
            // Where samples lie is what was changed.
            tape.nodes.iter_mut().for_each(|node| node.samples.clear());
            format!("{tape:?} {findings:?}")
        };
        prop_assert_eq!(opened("tape"), opened("other"));
    }
}

#[test]
fn the_place_of_a_tape_leaves_no_trace() {
    let here = Scratch::new();
    here.files("tape", &committed("dvwa"))
        .files("far/away/copy", &committed("dvwa"));
    for verb in ["inspect", "flows", "generate"] {
        for format in ["text", "json"] {
            let expected = here.run(&format!("{verb} tape --format {format}"));
            assert_eq!(here.run(&format!("{verb} far/away/copy --format {format}")), expected);
        }
    }
}

/// A cluster of a few workloads and Services on two nodes, and traffic among them and with addresses outside.
fn any_scenario() -> impl Strategy<Value = String> {
    let workload = (1..4usize, any::<bool>(), any::<bool>());
    let line = (any::<Index>(), any::<Index>(), 0..6usize, 1..9u8);
    (vec(workload, 2..6), vec(line, 1..12)).prop_map(|(workloads, lines)| {
        let mut text = String::from(
            "window 60s\ncluster\n node n1 172.31.0.11 pods 10.244.1.0/24\n node n2 172.31.0.12 pods 10.244.2.0/24\n \
             external 203.0.113.7\n",
        );
        let name = |number: usize| format!("{}/w{number}", ["shop", "ops"][number % 2]);
        for (number, (replicas, shared, outside)) in workloads.iter().enumerate() {
            let part = if *shared { ",part=shared" } else { "" };
            let outside = outside
                .then(|| format!(" load-balancer 198.51.100.{}", number + 1))
                .unwrap_or_default();
            let name = name(number);
            let _ = write!(
                text,
                " deployment {name} replicas {replicas} on n1,n2 labels app=w{number}{part} ports http:80{number}0\n \
                 service {name} 10.96.1.{} selects app=w{number} ports 80->http{outside}\n",
                number + 1
            );
        }
        text.push_str("traffic\n");
        for (client, server, way, count) in lines {
            let [client, server] = [client, server].map(|end| end.index(workloads.len()));
            let (from, to, port) = (name(client), name(server), format!("80{server}0"));
            let _ = match way {
                0 | 1 if client != server => writeln!(text, " {from} -> service {to}:80 x{count} at 1s..50s"),
                2 if client != server => writeln!(text, " {from} -> {to}:{port} x{count} at 1s..50s"),
                3 => writeln!(text, " external 203.0.113.7 -> {to}:{port} x{count}"),
                4 if client != server => writeln!(text, " {from} -> {to}:5{port}/UDP unknown x{count}"),
                _ => writeln!(text, " {from} -> external 203.0.113.7:443 x{count} at 2s..9s"),
            };
        }
        text
    })
}

proptest! {
    // Each case runs two commands five times.
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    /// Promise I1 over clusters and traffic that nobody thought of: the order of rows, files, row groups, threads and the place
    /// leave no trace in what is generated.
    #[test]
    fn any_recording_has_the_same_policies_however_it_is_stored(scenario in any_scenario(), seed in any::<u64>()) {
        let tape = scenario_files(&scenario);
        let scratch = Scratch::new();
        scratch.files("tape", &tape).files("far/away", &respread(&tape, &mut Numbers(seed)));
        for format in ["text", "json"] {
            let said = |place: &str, threads: usize| {
                scratch.run(&format!("generate {place} --format {format} --threads {threads}"))
            };
            let expected = said("tape", 1);
            prop_assert!(expected.code == 0 && expected.stdout.contains("NetworkPolicy"), "{scenario}{expected:?}");
            for (place, threads) in [("tape", 4), ("far/away", 1), ("far/away", 4)] {
                prop_assert_eq!(&said(place, threads), &expected);
            }
        }
    }
}
