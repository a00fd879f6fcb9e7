//! A redacted tape: its pseudonyms are peers like any other, and no rule names them.

use crate::support::{Scratch, scenario_files, with_manifest};

const SCENARIO: &str = "window 30s
cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  deployment shop/web on n1 labels app=web
  external 240.1.2.3
  external 203.0.113.7
traffic
  shop/web -> external 240.1.2.3:443/TCP
  shop/web -> external 203.0.113.7:444/TCP
";

#[test]
fn no_rule_names_a_pseudonym() {
    let mut files = scenario_files(SCENARIO);
    let scratch = Scratch::new();
    scratch.files("plain", &files);
    with_manifest(&mut files, |manifest| {
        for node in &mut manifest.nodes {
            node.settings.insert("redact".to_owned(), "true".to_owned());
        }
    });
    scratch.files("redacted", &files);

    let plain = scratch.run("generate plain");
    assert!(plain.stdout.contains("cidr: 240.1.2.3/32"), "{}", plain.stdout);
    assert!(!plain.stderr.contains("FT2007"), "{}", plain.stderr);

    let redacted = scratch.run("generate redacted");
    assert_eq!(redacted.code, 0, "{}", redacted.stderr);
    assert!(!redacted.stdout.contains("240."), "{}", redacted.stdout);
    assert!(
        redacted.stdout.contains("cidr: 203.0.113.7/32"),
        "an address that is none"
    );
    assert!(
        redacted
            .stderr
            .contains("FT2007]: no rule names the pseudonym 240.1.2.3"),
        "{}",
        redacted.stderr
    );
    assert!(scratch.run("flows redacted").stdout.contains("240.1.2.3"));
}
