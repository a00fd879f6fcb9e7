//! From the files of a tape to a policy set: opening, resolving and joining, deriving.
//!
//! `cargo bench -p flowtape-benches` prints the figures of the machine it runs on. There is no rival in it yet, so nobody
//! should quote them as a comparison.

use std::path::PathBuf;

use criterion::Criterion;
use flowtape::findings::Findings;
use flowtape::flow::{self, Flows};
use flowtape::identity::cluster::Cluster;
use flowtape::synthesis::settings::{DefaultDeny, Dns, Published, Settings};
use flowtape::synthesis::{Generated, synthesize};
use flowtape::tape::{self, Tape};
use flowtape_benches::{Size, scenario};
use flowtape_scenario::{Scenario, tape as compiled};

const SIZE: Size = Size {
    workloads: 200,
    lines: 1_000,
    connections: 20,
};

fn replay(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let scenario = Scenario::parse(&scenario(SIZE, 1)).expect("a scenario");
    let files = compiled::compile(&scenario).expect("a tape");
    compiled::write(directory.path(), &files).expect("a directory that can be written");
    let paths = [directory.path().to_path_buf()];
    let tape = open(&paths);
    let cluster = Cluster::new(&tape.cluster, &mut Findings::default());
    let flows = flow::edges(&tape, &cluster, &mut Findings::default());
    criterion.bench_function("open", |bencher| bencher.iter(|| open(&paths)));
    criterion.bench_function("edges", |bencher| bencher.iter(|| edges(&tape)));
    criterion.bench_function("synthesize", |bencher| bencher.iter(|| derived(&flows, &cluster)));
}

fn open(paths: &[PathBuf]) -> Tape {
    tape::open(paths, &mut Findings::default()).expect("a tape")
}

fn edges(tape: &Tape) -> Flows {
    let cluster = Cluster::new(&tape.cluster, &mut Findings::default());
    flow::edges(tape, &cluster, &mut Findings::default())
}

fn derived(flows: &Flows, cluster: &Cluster) -> Generated {
    let settings = Settings {
        default_deny: DefaultDeny::Workload,
        published: Published::Declared,
        dns: Dns::Auto,
        ..Settings::default()
    };
    synthesize(&flows.edges, cluster, &settings, &mut Findings::default()).expect("a policy set")
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    replay(&mut criterion);
    criterion.final_summary();
}
