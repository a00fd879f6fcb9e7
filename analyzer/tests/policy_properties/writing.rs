//! The writer: what it writes is read back as what was meant.

use flowtape::parse::kubernetes::parse;
use flowtape::policy::kind::PolicyKind;
use flowtape::policy::model::{Peer, Peers, Policy, PolicySet, PolicySetError, PortMatch, PortRule, Ports, Rule};
use flowtape::policy::one_or_more::OneOrMore;
use flowtape::policy::ports::{PortRange, Protocol};
use flowtape::policy::select::{Requirement, Selector, Test};
use flowtape::render::kubernetes::{RenderError, manifest, manifests};
use proptest::prelude::{Strategy as _, prop_assert, prop_assert_eq, proptest};

use super::arbitrary::{label_key, label_value, policy_set, quiet, selector};

proptest! {
    #![proptest_config(quiet())]

    #[test]
    fn what_is_written_is_read_back(set in policy_set(selector(label_key().boxed(), label_value().boxed()).boxed())) {
        let text = manifests(&set).unwrap();
        let parsed = parse([("out.yaml", text.as_str())]);
        let parsed = parsed.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        prop_assert_eq!(parsed.set.bare(), set.bare(), "{}", text);
        prop_assert!(parsed.warnings.is_empty() && parsed.skipped.is_empty());
        // Writing what was read gives the same bytes, but for the notes.
        prop_assert_eq!(manifests(&parsed.set).unwrap(), manifests(&set.bare()).unwrap());
    }

    #[test]
    fn notes_are_comments_whatever_they_say(set in policy_set(selector(label_key().boxed(), label_value().boxed()).boxed())) {
        let without: Vec<String> = manifests(&set.bare()).unwrap().lines().map(str::to_owned).collect();
        let with = manifests(&set).unwrap();
        let kept: Vec<&str> = with.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        prop_assert_eq!(kept, without);
        prop_assert!(with.chars().all(|c| c == '\n' || !c.is_control()));
    }
}

fn one<T: Ord>(member: T) -> OneOrMore<T> {
    OneOrMore::one(member)
}

fn policy(ingress: Option<Vec<Rule>>, egress: Option<Vec<Rule>>) -> Policy {
    Policy {
        kind: PolicyKind::NetworkPolicy,
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        subject: Selector::everything(),
        ingress,
        egress,
        notes: Vec::new(),
        source: None,
    }
}

/// Everything the model can say, with words that YAML would misread.
fn specimen() -> Policy {
    let tcp = |first, last| PortRule {
        protocol: Protocol::Tcp,
        port: PortMatch::Range(PortRange::new(first, last).unwrap()),
    };
    let named = PortRule {
        protocol: Protocol::Udp,
        port: PortMatch::Named("dns".to_owned()),
    };
    let pods = |app: &str| Selector::from_labels([("app", app)]);
    let namespace = Selector::from_labels([("kubernetes.io/metadata.name", "on")]);
    let block = Peer::block_except("2001:db8::/32".parse().unwrap(), ["2001:db8:1::/48".parse().unwrap()]).unwrap();
    let front = Rule {
        notes: vec!["from the front\nspec: {}\u{202e}".to_owned()],
        ..Rule::new(
            Peers::Of(OneOrMore::new([Peer::pods(pods("front")), Peer::pods_in(namespace, pods("yes"))]).unwrap()),
            Ports::Of(OneOrMore::new([tcp(443, 443), tcp(8000, 8010), named]).unwrap()),
        )
    };
    let out = Rule::new(
        Peers::Of(OneOrMore::new([Peer::block("10.0.0.0/8".parse().unwrap()), block]).unwrap()),
        Ports::Any,
    );
    let subject = Selector::new([
        Requirement::equals("version", "1.20"),
        Requirement::equals("y", ""),
        Requirement {
            key: "tier".to_owned(),
            test: Test::NotIn(OneOrMore::new(["a".to_owned(), "b".to_owned()]).unwrap()),
        },
    ]);
    Policy {
        subject,
        notes: vec!["Deployment web".to_owned(), String::new()],
        ..policy(Some(vec![front]), Some(vec![out, Rule::new(Peers::Any, Ports::Any)]))
    }
}

const SPECIMEN: &str = r#"# Deployment web
#
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
  namespace: shop
  labels:
    app.kubernetes.io/managed-by: flowtape
spec:
  podSelector:
    matchExpressions:
    - key: tier
      operator: NotIn
      values:
      - a
      - b
    matchLabels:
      version: "1.20"
      "y": ""
  policyTypes:
  - Ingress
  - Egress
  ingress:
  # from the front\u{a}spec: {}\u{202e}
  - from:
    - podSelector:
        matchLabels:
          app: front
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: "on"
      podSelector:
        matchLabels:
          app: "yes"
    ports:
    - protocol: TCP
      port: 443
    - protocol: TCP
      port: 8000
      endPort: 8010
    - protocol: UDP
      port: dns
  egress:
  - to:
    - ipBlock:
        cidr: 10.0.0.0/8
    - ipBlock:
        cidr: "2001:db8::/32"
        except:
        - "2001:db8:1::/48"
  - {}
"#;

#[test]
fn a_policy_looks_as_people_write_it() {
    assert_eq!(manifest(&specimen()).unwrap(), SPECIMEN);
}

#[test]
fn nothing_empty_is_left_out() {
    let rule = Rule::new(Peers::Of(one(Peer::pods(Selector::everything()))), Ports::Any);
    let text = manifest(&policy(Some(vec![rule]), Some(Vec::new()))).unwrap();
    for line in [
        "  podSelector: {}\n",
        "    - podSelector: {}\n",
        "  egress: []\n",
        "  - Ingress\n  - Egress\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let text = manifest(&policy(None, Some(Vec::new()))).unwrap();
    assert!(
        text.contains("  policyTypes:\n  - Egress\n  egress: []\n") && !text.contains("ingress"),
        "{text}"
    );
}

#[test]
fn a_policy_without_direction_is_refused() {
    let error = PolicySet::new([policy(None, None)]).unwrap_err();
    assert!(matches!(error, PolicySetError::NoDirection { .. }), "{error}");
    let error = manifest(&policy(None, None)).unwrap_err();
    assert!(matches!(error, RenderError::NoDirection { .. }), "{error}");
}

#[test]
fn the_empty_set_is_the_empty_text() {
    assert_eq!(manifests(&PolicySet::default()).unwrap(), "");
    assert_eq!(parse([("none.yaml", "")]).unwrap().set, PolicySet::default());
}

/// `matchLabels` has room for one value per key; the second must not push out the first, which would select more.
#[test]
fn a_key_that_is_asked_for_twice_keeps_both_values() {
    let subject = Selector::new([Requirement::equals("app", "a"), Requirement::equals("app", "b")]);
    let policy = Policy {
        subject,
        ..policy(Some(Vec::new()), None)
    };
    let set = PolicySet::new([policy]).unwrap();
    let text = manifests(&set).unwrap();
    assert_eq!(parse([("out.yaml", text.as_str())]).unwrap().set.bare(), set);
}
