//! One address that stands for a prefix.

use std::net::IpAddr;

use crate::policy::cidr::Cidr;

/// The lowest address of `cidr` that is in none of `holes`; `None` if they cover it.
pub(super) fn first_outside(cidr: Cidr, holes: impl IntoIterator<Item = Cidr>) -> Option<IpAddr> {
    let mut holes: Vec<Cidr> = holes
        .into_iter()
        .filter(|hole| cidr.covers(*hole) || hole.covers(cidr))
        .collect();
    // Prefixes lie apart or inside each other, so that one pass in the order of their first addresses is enough.
    holes.sort_unstable();
    let mut candidate = cidr.network();
    for hole in holes {
        if hole.contains(candidate) {
            candidate = hole.after()?;
        }
    }
    cidr.contains(candidate).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::first_outside;
    use crate::policy::cidr::Cidr;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn covered_prefixes_have_no_address_outside() {
        let halves = [cidr("0.0.0.0/1"), cidr("128.0.0.0/1")];
        assert_eq!(first_outside(cidr("0.0.0.0/0"), halves), None);
        assert_eq!(
            first_outside(cidr("::/0"), [cidr("::/1"), cidr("10.0.0.0/8")]),
            Some("8000::".parse().unwrap())
        );
        assert_eq!(first_outside(cidr("10.0.0.1/32"), [cidr("10.0.0.1/32")]), None);
        assert_eq!(
            first_outside(cidr("255.255.255.255/32"), []),
            Some(Ipv4Addr::BROADCAST.into())
        );
    }

    proptest! {
        #[test]
        fn the_first_address_is_that_of_a_naive_search(
            length in 24..=32u8, low in 0..=255u8, holes in prop::collection::vec((0..=255u8, 24..=32u8), 0..12),
        ) {
            let at = |low| IpAddr::from(Ipv4Addr::new(10, 1, 2, low));
            let cidr = Cidr::new(at(low), length).unwrap();
            let holes: Vec<Cidr> = holes.into_iter().map(|(low, length)| Cidr::new(at(low), length).unwrap()).collect();
            let outside = |address: &IpAddr| cidr.contains(*address) && !holes.iter().any(|hole| hole.contains(*address));
            let expected = (0..=255).map(at).find(outside);
            prop_assert_eq!(first_outside(cidr, holes.clone()), expected);
        }
    }
}
