//! Prefixes in the place of single addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::policy::cidr::Cidr;

/// Ranges that are set aside for private networks: RFC 1918, RFC 6598 (carriers, and clouds inside), RFC 4193.
const WELL_KNOWN: [&str; 5] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "fc00::/7",
];

/// Addresses of one link (RFC 3927, RFC 4291 section 2.5.6), which clouds answer from with secrets. No prefix takes them in.
const LINK_LOCAL: [&str; 2] = ["169.254.0.0/16", "fe80::/10"];

/// Bits of the longest address.
const LONGEST: u8 = 128;

pub(super) fn well_known() -> Vec<Cidr> {
    WELL_KNOWN.iter().filter_map(|range| range.parse().ok()).collect()
}

pub(super) fn link_local() -> Vec<Cidr> {
    LINK_LOCAL.iter().filter_map(|range| range.parse().ok()).collect()
}

/// Number of addresses. A prefix of no bits has more than fit for IPv6; no widening writes one.
pub(super) fn size(cidr: Cidr) -> u128 {
    let free = Cidr::host(cidr.network()).length() - cidr.length();
    1u128.checked_shl(free.into()).unwrap_or(u128::MAX)
}

/// Those that no other one covers.
pub(super) fn outermost(cidrs: &BTreeSet<Cidr>) -> BTreeSet<Cidr> {
    let covered = |one: &Cidr| cidrs.iter().any(|other| other != one && other.covers(*one));
    cidrs.iter().copied().filter(|one| !covered(one)).collect()
}

/// The smallest prefix of each family around all addresses of it; none where it would be everybody.
pub(super) fn around(hosts: &BTreeSet<Cidr>) -> Vec<Cidr> {
    let family = |four: bool| {
        let mut members = hosts.iter().filter(|host| host.network().is_ipv4() == four);
        let first = *members.next()?;
        members.try_fold(first, |wide, host| common(wide, *host))
    };
    [true, false].into_iter().filter_map(family).collect()
}

/// The longest prefix around both; `None` if they share no bit.
fn common(one: Cidr, other: Cidr) -> Option<Cidr> {
    let lengths = (1..=one.length().min(other.length())).rev();
    let mut wider = lengths.filter_map(|length| Cidr::new(one.network(), length));
    wider.find(|wide| wide.covers(other))
}

/// Prefixes in the place of single addresses, until there are at most `prefixes` of them, and as long as at most `added`
/// addresses come with them that are not among these. What adds least is joined first. Only prefixes that stand for several
/// addresses are returned.
pub(super) fn prefixes(hosts: &BTreeSet<Cidr>, prefixes: usize, added: u128) -> Vec<Cidr> {
    let mut blocks: BTreeSet<Cidr> = hosts.clone();
    let mut left = added;
    for free in 1..LONGEST {
        let mut joined: BTreeMap<Cidr, Vec<Cidr>> = BTreeMap::new();
        for block in &blocks {
            if let Some(wide) = wider(*block, free) {
                joined.entry(wide).or_default().push(*block);
            }
        }
        // By what they add; the sort keeps those that add as much in the order of addresses.
        let several = joined.into_iter().filter(|(_, members)| members.len() > 1);
        let mut candidates: Vec<(u128, Cidr, Vec<Cidr>)> = several
            .map(|(wide, members)| (cost(wide, &members), wide, members))
            .collect();
        candidates.sort_by_key(|(cost, _, _)| *cost);
        for (cost, wide, members) in candidates {
            if blocks.len() <= prefixes || cost > left {
                break;
            }
            left -= cost;
            for member in &members {
                blocks.remove(member);
            }
            blocks.insert(wide);
        }
        if blocks.len() <= prefixes {
            break;
        }
    }
    blocks.into_iter().filter(|block| !hosts.contains(block)).collect()
}

/// The prefix around a block with so many free bits; `None` where that is everybody.
fn wider(block: Cidr, free: u8) -> Option<Cidr> {
    let network: IpAddr = block.network();
    let length = Cidr::host(network)
        .length()
        .checked_sub(free)
        .filter(|length| *length > 0)?;
    Cidr::new(network, length.min(block.length()))
}

/// How many addresses come with a prefix that do not come with its members already.
fn cost(wide: Cidr, members: &[Cidr]) -> u128 {
    members.iter().fold(size(wide), |rest, member| rest - size(*member))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};

    use super::{common, cost, prefixes, size};
    use crate::policy::cidr::Cidr;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn prefixes_cover_what_was_recorded_within_the_budget_and_are_as_few_as_it_lets(
            last in prop::collection::btree_set(any::<u8>(), 1..12),
            far in prop::collection::btree_set(0..16u8, 0..6),
            most in 1..6usize,
            added in 0..300u128,
        ) {
            let near = last.into_iter().map(|last| IpAddr::from([198, 51, 100, last]));
            let far = far.into_iter().map(|last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)]));
            let hosts: BTreeSet<Cidr> = near.chain(far).map(Cidr::host).collect();
            let joined = prefixes(&hosts, most, added);
            let alone = hosts.iter().copied().filter(|host| !joined.iter().any(|block| block.covers(*host)));
            let blocks: Vec<Cidr> = joined.iter().copied().chain(alone).collect();
            for (at, block) in blocks.iter().enumerate() {
                prop_assert!(blocks[at + 1..].iter().all(|other| !block.covers(*other) && !other.covers(*block)));
                prop_assert!(hosts.iter().any(|host| block.covers(*host)));
            }
            let all: u128 = blocks.iter().map(|block| size(*block)).sum();
            let spent = all - hosts.len() as u128;
            prop_assert!(spent <= added, "{spent} of {added}");
            if blocks.len() > most {
                for (at, one) in blocks.iter().enumerate() {
                    for other in &blocks[at + 1..] {
                        let Some(wide) = common(*one, *other) else { continue };
                        let inside: Vec<Cidr> = blocks.iter().copied().filter(|block| wide.covers(*block)).collect();
                        prop_assert!(cost(wide, &inside) > added - spent, "{one} and {other} could be one");
                    }
                }
            }
        }
    }
}
