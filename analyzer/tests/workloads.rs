//! Which pods are of one workload, and that the proof of a selector says exactly whom it misses and whom else it takes.
#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps nothing has failed, and says where"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use flowtape::findings::{Code, Findings};
use flowtape::flow;
use flowtape::identity::cluster::Cluster;
use flowtape::policy::select::Selector;
use flowtape::synthesis::settings::{DefaultDeny, Dns, Published, Settings};
use flowtape::synthesis::synthesize;
use flowtape::tape::Tape;
use flowtape_scenario::{Scenario, tape};
use flowtape_schemas::time::Time;
use proptest::prelude::{ProptestConfig, Strategy, prop, prop_assert, prop_assert_eq, proptest};

fn compiled(text: &str) -> Tape {
    let directory = tempfile::tempdir().unwrap();
    let scenario = Scenario::parse(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    tape::write(directory.path(), &tape::compile(&scenario).unwrap()).unwrap();
    flowtape::tape::open(&[directory.path().to_owned()], &mut Findings::default()).unwrap()
}

/// The selector that the policy of a workload has, by the policy's name, and everything that was found.
fn selectors(tape: &Tape) -> (Cluster, Vec<(String, Selector)>, Findings) {
    let mut findings = Findings::default();
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let flows = flow::edges(tape, &cluster, &mut findings);
    let settings = Settings {
        default_deny: DefaultDeny::None,
        published: Published::Off,
        dns: Dns::Off,
        ..Settings::default()
    };
    let generated = synthesize(&flows.edges, &cluster, &settings, &mut findings).unwrap();
    let policies = generated.set.policies().iter();
    let selectors = policies
        .map(|policy| (policy.name.clone(), policy.subject.clone()))
        .collect();
    (cluster, selectors, findings)
}

fn messages(findings: &Findings, code: Code) -> Vec<String> {
    let found = findings.list().into_iter().filter(|finding| finding.code == code);
    found.map(|finding| finding.message).collect()
}

/// What declares a workload: by its own selector, by what it makes anew, or by labels only.
const KINDS: [&str; 8] = [
    "deployment",
    "statefulset",
    "cronjob",
    "job",
    "pod",
    "deployment kind=Rollout.argoproj.io",
    "deployment kind=Rollout.argoproj.io unlisted",
    "statefulset kind=CloneSet.apps.kruise.io unlisted",
];

/// A workload: its kind, the values of three labels, and which of them it selects by.
type Declared = (usize, [u8; 3], [bool; 3]);

fn declared() -> impl Strategy<Value = Vec<Declared>> {
    let one = (
        0..KINDS.len(),
        [0..2u8, 0..2u8, 0..2u8],
        prop::array::uniform3(prop::bool::ANY),
    );
    prop::collection::vec(one, 1..6)
}

fn text(workloads: &[Declared]) -> String {
    let mut text = String::from("cluster\n node n1 172.31.0.11 pods 10.244.1.0/24\n external 203.0.113.7\n");
    for (number, (kind, values, selects)) in workloads.iter().enumerate() {
        let mut words = KINDS[*kind].split(' ');
        let word = words.next().unwrap();
        let label = |place: usize| format!("{}={}", ["a", "b", "c"][place], values[place]);
        let labels: Vec<String> = (0..3).map(label).collect();
        let chosen: Vec<String> = (0..3).filter(|place| selects[*place]).map(label).collect();
        let _ = write!(text, " {word} x/w{number} labels {}", labels.join(","));
        if !chosen.is_empty() {
            let _ = write!(text, " selects {}", chosen.join(","));
        }
        for clause in words {
            let _ = write!(text, " {}", clause.replace('=', " "));
        }
        let more = if word == "cronjob" { " runs 0s..9s,10s..19s" } else { "" };
        text.push_str(more);
        text.push('\n');
    }
    text.push_str("traffic\n");
    for number in 0..workloads.len() {
        let _ = writeln!(text, " x/w{number} -> external 203.0.113.7:443");
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_selector_is_called_exact_if_and_only_if_it_is(workloads in declared()) {
        let tape = compiled(&text(&workloads));
        let (cluster, selectors, findings) = selectors(&tape);
        prop_assert_eq!(selectors.len(), workloads.len());
        let told = messages(&findings, Code::SelectorOverlap);
        for (name, selector) in selectors {
            let mut misses = false;
            let mut others: BTreeSet<String> = BTreeSet::new();
            for pod in cluster.pods.values() {
                let (own, selected) = (pod.workload.name == name, selector.matches(&pod.labels));
                misses |= own && !selected;
                if !own && selected {
                    others.insert(pod.workload.to_string());
                }
            }
            let about: BTreeSet<&str> = told
                .iter()
                .filter(|message| message.split('/').nth(2).is_some_and(|rest| rest.split(' ').next() == Some(name.as_str())))
                .filter_map(|message| message.split(" also selects pods of ").nth(1))
                .collect();
            prop_assert_eq!(about, others.iter().map(String::as_str).collect());
            prop_assert!(!misses, "{} misses a pod of its own template", name);
        }
        // Nothing else of the namespace is told of.
        prop_assert_eq!(told.iter().filter(|message| message.contains(" misse")).count(), 0);
    }
}

#[test]
fn a_workload_that_was_made_again_has_its_last_selector() {
    let mut tape = compiled(
        "cluster\n node n1 172.31.0.11 pods 10.244.1.0/24\n external 203.0.113.7\n \
         deployment x/web labels app=web,tier=front selects app=web\n\
         traffic\n x/web -> external 203.0.113.7:443",
    );
    let mut again = tape
        .cluster
        .workloads
        .iter()
        .find(|row| row.kind == "Deployment")
        .unwrap()
        .clone();
    for (uid, from, key) in [("000", 2, "tier"), ("zzz", 1, "none")] {
        again.uid = uid.to_owned();
        again.valid_from = tape.window.map(|window| Time(window.start.0 + from));
        again.match_labels = Some([(key.to_owned(), "front".to_owned())].into());
        tape.cluster.workloads.push(again.clone());
    }
    let (_, selectors, _) = selectors(&tape);
    assert_eq!(selectors[0].1, Selector::from_labels([("tier", "front")]));
}

#[test]
fn labels_that_changed_in_the_window_are_in_no_selector_of_labels_and_in_the_proof_of_any() {
    let changed = |declared: &str| {
        let mut tape = compiled(&format!(
            "cluster\n node n1 172.31.0.11 pods 10.244.1.0/24\n external 203.0.113.7\n {declared} x/db labels app=db,mode=leader\n \
             traffic\n x/db -> external 203.0.113.7:443",
        ));
        let half = tape.window.map(|window| Time(window.start.0.midpoint(window.end.0)));
        let mut later = tape.cluster.pods[0].clone();
        tape.cluster.pods[0].valid_to = half;
        later.valid_from = half;
        later.labels.insert("mode".to_owned(), "replica".to_owned());
        tape.cluster.pods.push(later);
        selectors(&tape)
    };
    let (_, selectors, findings) = changed("pod");
    assert_eq!(selectors[0].1, Selector::from_labels([("app", "db")]));
    assert_eq!(messages(&findings, Code::SelectorOverlap), [""; 0]);

    let (_, _, findings) = changed("statefulset");
    let part = "the selector of x/StatefulSet/db missed its pod x/db-0 for a part of the window: its labels changed";
    assert_eq!(messages(&findings, Code::SelectorOverlap), [part]);
}
