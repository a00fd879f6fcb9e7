//! A prefix with holes as prefixes without.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::policy::cidr::Cidr;

/// The fewest prefixes that hold every address of `block` that is in none of `holes`, in ascending order.
pub(super) fn without(block: Cidr, holes: &[Cidr]) -> Vec<Cidr> {
    let mut kept = Vec::new();
    cut(block, holes, &mut kept);
    kept
}

/// Halves a prefix until each part is whole or gone. Each hole adds at most as many parts as it is longer than `block`.
fn cut(block: Cidr, holes: &[Cidr], kept: &mut Vec<Cidr>) {
    if holes.iter().any(|hole| hole.covers(block)) {
        return;
    }
    let inside: Vec<Cidr> = holes.iter().copied().filter(|hole| block.covers(*hole)).collect();
    if inside.is_empty() {
        kept.push(block);
        return;
    }
    for half in halves(block).into_iter().flatten() {
        cut(half, &inside, kept);
    }
}

/// Both halves of a prefix; none of a single address.
fn halves(block: Cidr) -> [Option<Cidr>; 2] {
    let length = block.length() + 1;
    let upper = match block.network() {
        IpAddr::V4(low) => {
            let bit = 1_u32.checked_shl(32_u32.saturating_sub(length.into())).unwrap_or(0);
            IpAddr::from(Ipv4Addr::from_bits(low.to_bits() | bit))
        }
        IpAddr::V6(low) => {
            let bit = 1_u128.checked_shl(128_u32.saturating_sub(length.into())).unwrap_or(0);
            IpAddr::from(Ipv6Addr::from_bits(low.to_bits() | bit))
        }
    };
    [Cidr::new(block.network(), length), Cidr::new(upper, length)]
}

#[cfg(test)]
mod tests {
    use super::without;
    use crate::policy::cidr::Cidr;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect(text)
    }

    #[test]
    fn what_is_left_is_everything_but_the_holes() {
        let left = without(cidr("10.0.0.0/30"), &[cidr("10.0.0.1/32")]);
        assert_eq!(left, [cidr("10.0.0.0/32"), cidr("10.0.0.2/31")]);
        assert_eq!(without(cidr("10.0.0.0/8"), &[]), [cidr("10.0.0.0/8")]);
        assert_eq!(without(cidr("10.0.0.0/8"), &[cidr("10.0.0.0/8")]), []);
        let outside = without(cidr("0.0.0.0/0"), &[cidr("10.244.0.0/16"), cidr("172.31.0.11/32")]);
        for (address, inside) in [
            ("10.244.3.4", false),
            ("10.245.0.0", true),
            ("172.31.0.11", false),
            ("172.31.0.10", true),
        ] {
            let address = address.parse().expect(address);
            assert_eq!(
                outside.iter().filter(|part| part.contains(address)).count(),
                usize::from(inside),
                "{address}"
            );
        }
        let six = without(cidr("2001:db8::/126"), &[cidr("2001:db8::3/128")]);
        assert_eq!(six, [cidr("2001:db8::/127"), cidr("2001:db8::2/128")]);
    }
}
