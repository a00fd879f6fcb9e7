//! Who asked whom, where a source tells of packets that it dropped and not which way they went.

use flowtape::import::format::named;
use flowtape::import::{Source, import};
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::node::Outcome;

use crate::samples::untold;

const ACCEPT: &str = "ACCEPT";
const DENY: &str = "DENY";

type Socket = (&'static str, u16);

/// Server, outcome and count of what the agent of the AWS VPC CNI writes, a second apart.
fn agent(protocol: &str, lines: &[(&str, Socket, Socket)]) -> Vec<(String, Outcome, u64)> {
    let line = |(second, (verdict, from, to)): (usize, &(&str, Socket, Socket))| {
        format!(
            "2026-01-01T00:00:{second:02}.000Z Node: n1;SIP: {};SPORT: {};DIP: {};DPORT: {};PROTOCOL: {protocol};PolicyVerdict: {verdict}\n",
            from.0, from.1, to.0, to.1
        )
    };
    let text: String = lines.iter().enumerate().map(line).collect();
    told("aws-vpc-cni", text)
}

fn told(format: &str, text: String) -> Vec<(String, Outcome, u64)> {
    let source = Source {
        name: "file".to_owned(),
        content: Box::new(std::io::Cursor::new(text.into_bytes())),
    };
    let imported = import(named(format), vec![source], ClusterRows::default(), untold("n1")).unwrap();
    assert!(imported.quarantine.is_empty(), "{:?}", imported.quarantine);
    let rows = imported.nodes.iter().flat_map(|node| &node.flows);
    rows.map(|row| {
        let server = format!("{}:{}", row.remote_ip.unwrap(), row.service_port.unwrap());
        (server, row.outcome, row.count)
    })
    .collect()
}

const WEB: Socket = ("10.0.1.2", 40_000);
const DB: Socket = ("10.0.2.2", 5433);

fn of_db(outcome: Outcome) -> Vec<(String, Outcome, u64)> {
    vec![("10.0.2.2:5433".to_owned(), outcome, 1)]
}

#[test]
fn a_denied_answer_decides_no_direction() {
    // An agent that was restarted knows no connection, and denies the answers of those that there are.
    for protocol in ["TCP", "UDP"] {
        let reconnected = agent(protocol, &[(DENY, DB, WEB), (ACCEPT, WEB, DB)]);
        assert_eq!(reconnected.len(), 1, "{protocol}: {reconnected:?}");
        assert_eq!(reconnected[0].0, "10.0.2.2:5433", "{protocol}");
    }
    assert_eq!(
        agent("TCP", &[(DENY, DB, WEB), (ACCEPT, WEB, DB)]),
        of_db(Outcome::Established)
    );
    // Whoever else asks the server tells as well, before or after it.
    let other = ("10.0.1.3", 40_000);
    for protocol in ["TCP", "UDP"] {
        let alone = agent(protocol, &[(ACCEPT, other, DB)]);
        assert_eq!(agent(protocol, &[(DENY, DB, WEB), (ACCEPT, other, DB)]), alone);
        assert_eq!(agent(protocol, &[(ACCEPT, other, DB), (DENY, DB, WEB)]), alone);
        // What was denied makes no server of its receiver.
        let again = [(DENY, DB, WEB), (ACCEPT, other, DB), (DENY, DB, WEB)];
        assert_eq!(agent(protocol, &again), alone);
    }
}

#[test]
fn what_is_denied_and_answers_nothing_is_asked() {
    assert_eq!(agent("TCP", &[(DENY, WEB, DB)]), of_db(Outcome::Timeout));
    assert_eq!(agent("UDP", &[(DENY, WEB, DB)]), of_db(Outcome::Timeout));
    assert_eq!(
        agent("TCP", &[(DENY, WEB, DB), (ACCEPT, WEB, DB)]),
        of_db(Outcome::Established)
    );
    // Of members of a cluster that speak from the port at which they listen, either may ask.
    let (one, two, three) = (("10.0.1.2", 7946), ("10.0.2.2", 7946), ("10.0.3.2", 7946));
    let mut gossip = agent("UDP", &[(ACCEPT, two, one), (DENY, one, three)]);
    gossip.sort();
    let row = |server: &str, outcome: Outcome| (server.to_owned(), outcome, 1);
    let expected = [
        row("10.0.1.2:7946", Outcome::Unknown),
        row("10.0.3.2:7946", Outcome::Timeout),
    ];
    assert_eq!(gossip, expected);
}

#[test]
fn a_handshake_that_was_dropped_is_no_answer() {
    // The port that it comes from is one at which the client also serves.
    let flow = |second: u8, verdict: &str, from: Socket, to: Socket| {
        format!(
            r#"{{"flow":{{"time":"2026-01-01T00:00:0{second}Z","verdict":"{verdict}","node_name":"n1","IP":{{"source":"{}","destination":"{}"}},"l4":{{"TCP":{{"source_port":{},"destination_port":{},"flags":{{"SYN":true}}}}}}}}}}"#,
            from.0, to.0, from.1, to.1
        ) + "\n"
    };
    let text = [
        flow(1, "FORWARDED", ("10.0.3.2", 50_000), WEB),
        flow(2, "DROPPED", WEB, DB),
    ]
    .concat();
    let rows = told("hubble", text);
    assert!(
        rows.contains(&("10.0.2.2:5433".to_owned(), Outcome::Timeout, 1)),
        "{rows:?}"
    );
    assert_eq!(rows.len(), 2, "{rows:?}");
}
