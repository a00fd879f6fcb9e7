//! Port sets, prefixes and selectors against definitions by enumeration.

use std::net::IpAddr;

use flowtape::policy::cidr::{Cidr, CidrError};
use flowtape::policy::ports::{PortRange, PortSet};
use flowtape::policy::select::{Labels, Requirement, Selector, Test};
use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

use super::arbitrary::{address, cidr, labels, port_range, quiet, small_selector};

/// Which ports are in a set, one flag for each.
fn flags(ranges: &[PortRange]) -> Vec<bool> {
    let mut flags = vec![false; 65_536];
    for range in ranges {
        flags[usize::from(range.first())..=usize::from(range.last())].fill(true);
    }
    flags
}

fn combined(left: &[bool], right: &[bool], both: impl Fn(bool, bool) -> bool) -> Vec<bool> {
    // Port 0 is in no set, not even in a complement.
    left.iter()
        .zip(right)
        .enumerate()
        .map(|(port, (&left, &right))| port > 0 && both(left, right))
        .collect()
}

/// The canonical text of a set, from its flags alone.
fn listed(flags: &[bool]) -> String {
    let mut parts = Vec::new();
    let mut port = 1;
    while port < flags.len() {
        if !flags[port] {
            port += 1;
            continue;
        }
        let end = (port..flags.len()).find(|&next| !flags[next]).unwrap_or(flags.len());
        parts.push(if end - port == 1 {
            port.to_string()
        } else {
            format!("{port}-{}", end - 1)
        });
        port = end;
    }
    parts.join(",")
}

fn ranges() -> impl Strategy<Value = Vec<PortRange>> {
    vec(port_range(), 0..5)
}

proptest! {
    #![proptest_config(quiet())]

    #[test]
    fn port_sets_are_what_their_flags_say(left in ranges(), right in ranges()) {
        let (a, b): (PortSet, PortSet) = (left.iter().copied().collect(), right.iter().copied().collect());
        let (x, y) = (flags(&left), flags(&right));
        prop_assert_eq!(a.to_string(), listed(&x));
        prop_assert_eq!(a.union(&b).to_string(), listed(&combined(&x, &y, |x, y| x || y)));
        prop_assert_eq!(a.intersection(&b).to_string(), listed(&combined(&x, &y, |x, y| x && y)));
        prop_assert_eq!(a.difference(&b).to_string(), listed(&combined(&x, &y, |x, y| x && !y)));
        prop_assert_eq!(a.complement().to_string(), listed(&combined(&x, &y, |x, _| !x)));
        prop_assert_eq!(a == b, x == y);
        prop_assert_eq!(a.is_empty(), !x.contains(&true));
        for port in [0, 1, 2, 11, 12, 13, 65_530, 65_535] {
            prop_assert_eq!(a.contains(port), x[usize::from(port)]);
        }
    }

    #[test]
    fn prefixes_contain_what_shares_their_bits(prefix in cidr(), address in address()) {
        prop_assert_eq!(prefix.contains(address), shares_bits(prefix, address));
        prop_assert!(prefix.contains(prefix.network()));
        prop_assert_eq!(prefix.to_string().parse::<Cidr>(), Ok(prefix));
        prop_assert_eq!(Cidr::host(address).to_string().parse::<Cidr>(), Ok(Cidr::host(address)));
    }

    #[test]
    fn prefixes_cover_prefixes_whose_ends_they_contain(outer in cidr(), inner in cidr()) {
        let ends = outer.contains(inner.network()) && outer.contains(last_address(inner));
        prop_assert_eq!(outer.covers(inner), ends);
    }

    #[test]
    fn no_text_is_a_prefix_unless_it_reads_back(text in "[0-9a-f:./ +%]{0,20}") {
        if let Ok(prefix) = text.parse::<Cidr>() {
            let (address, length) = text.split_once('/').unwrap();
            prop_assert_eq!(length, prefix.length().to_string());
            prop_assert!(prefix.contains(address.parse::<IpAddr>().unwrap()));
        }
    }

    #[test]
    fn selectors_match_as_the_api_defines(selector in small_selector(), labels in labels()) {
        let expected = selector.requirements().iter().all(|requirement| defined(requirement, &labels));
        prop_assert_eq!(selector.matches(&labels), expected);
    }

    #[test]
    fn selectors_from_labels_match_supersets(own in labels(), more in labels()) {
        let selector = Selector::from_labels(own.clone());
        let expected = own.iter().all(|(key, value)| more.get(key) == Some(value));
        prop_assert_eq!(selector.matches(&more), expected);
        prop_assert!(selector.matches(&own));
    }
}

fn bit_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("{:032b}", v4.to_bits()),
        IpAddr::V6(v6) => format!("{:0128b}", v6.to_bits()),
    }
}

fn shares_bits(prefix: Cidr, address: IpAddr) -> bool {
    let length = usize::from(prefix.length());
    prefix.network().is_ipv4() == address.is_ipv4()
        && bit_text(prefix.network())[..length] == bit_text(address)[..length]
}

fn last_address(prefix: Cidr) -> IpAddr {
    let text = bit_text(prefix.network());
    let fixed = &text[..usize::from(prefix.length())];
    let filled = format!("{fixed:1<width$}", width = text.len());
    match prefix.network() {
        IpAddr::V4(_) => IpAddr::V4(u32::from_str_radix(&filled, 2).unwrap().into()),
        IpAddr::V6(_) => IpAddr::V6(u128::from_str_radix(&filled, 2).unwrap().into()),
    }
}

/// `meta/v1 LabelSelectorRequirement`, one case after the other.
fn defined(requirement: &Requirement, labels: &Labels) -> bool {
    let held: Vec<&String> = labels
        .iter()
        .filter(|(key, _)| **key == requirement.key)
        .map(|(_, value)| value)
        .collect();
    match &requirement.test {
        Test::In(values) => held.iter().any(|held| values.iter().any(|value| value == *held)),
        Test::NotIn(values) => !held.iter().any(|held| values.iter().any(|value| value == *held)),
        Test::Exists => !held.is_empty(),
        Test::DoesNotExist => held.is_empty(),
    }
}

#[test]
fn faulty_prefixes_say_what_is_wrong() {
    let address = |text: &str| CidrError::Address {
        address: text.to_owned(),
    };
    let length = |text: &str, longest| CidrError::Length {
        length: text.to_owned(),
        longest,
    };
    let cases = [
        (
            "10.0.0.0",
            CidrError::NoLength {
                text: "10.0.0.0".to_owned(),
            },
        ),
        ("010.0.0.0/8", address("010.0.0.0")),
        ("10.0.0/8", address("10.0.0")),
        ("fe80::1%eth0/64", address("fe80::1%eth0")),
        ("8000:k00::/120", address("8000:k00::")),
        ("/8", address("")),
        ("20.0.0.0/33", length("33", 32)),
        ("8000:f00::/129", length("129", 128)),
        ("10.0.0.0/08", length("08", 32)),
        ("10.0.0.0/+8", length("+8", 32)),
        ("10.0.0.0/", length("", 32)),
        ("10.0.0.0/8/8", length("8/8", 32)),
        (
            "::ffff:10.0.0.0/104",
            CidrError::Mapped {
                address: "::ffff:10.0.0.0".to_owned(),
            },
        ),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<Cidr>(), Err(error), "{text}");
    }
    assert_eq!("10.1.2.3/8".parse::<Cidr>().unwrap().to_string(), "10.0.0.0/8");
    assert_eq!(
        "2001:DB8:0:0::/32".parse::<Cidr>().unwrap().to_string(),
        "2001:db8::/32"
    );
}
