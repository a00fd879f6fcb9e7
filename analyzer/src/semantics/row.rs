//! What one end may send, or be sent, by peer.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::traffic::Traffic;

/// Peers by what is allowed with them. No peer stands twice, nothing allowed is not in the row, and equal rows are equal
/// values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    parts: BTreeMap<Traffic, Bits>,
}

impl Row {
    /// The different traffics and the peers of each, by traffic.
    #[must_use]
    pub fn parts(&self) -> impl ExactSizeIterator<Item = (&Traffic, &Bits)> {
        self.parts.iter()
    }

    /// What is allowed with a peer.
    #[must_use]
    pub fn with(&self, peer: usize) -> Option<&Traffic> {
        let mut parts = self.parts.iter();
        parts
            .find(|(_, peers)| peers.contains(peer))
            .map(|(traffic, _)| traffic)
    }

    /// Allows these peers this traffic as well.
    pub(super) fn allow(&mut self, traffic: &Traffic, peers: &Bits) {
        if traffic.is_empty() {
            return;
        }
        let mut rest = peers.clone();
        let mut more = Vec::new();
        for (before, of) in &mut self.parts {
            if !of.meets(&rest) {
                continue;
            }
            let both = before.union(traffic);
            if both == *before {
                rest.remove(of);
                continue;
            }
            let common = of.common(&rest);
            of.remove(&common);
            rest.remove(&common);
            more.push((both, common));
        }
        self.parts.retain(|_, of| !of.is_empty());
        more.push((traffic.clone(), rest));
        for (traffic, peers) in more {
            self.put(traffic, peers);
        }
    }

    /// Allows what the other row allows as well.
    pub(super) fn unite(&mut self, other: &Self) {
        for (traffic, peers) in &other.parts {
            self.allow(traffic, peers);
        }
    }

    /// Everything with everybody of so many.
    pub(super) fn everything(size: usize) -> Self {
        Self {
            parts: BTreeMap::from([(Traffic::all(), Bits::all(size))]),
        }
    }

    /// Whether it is that.
    #[must_use]
    pub fn is_everything(&self, size: usize) -> bool {
        let mut parts = self.parts();
        parts.len() == 1 && parts.next() == Some((&Traffic::all(), &Bits::all(size)))
    }

    /// Takes away what is in the other row.
    pub(super) fn remove(&mut self, other: &Self) {
        for (traffic, peers) in &other.parts {
            for (before, of) in std::mem::take(&mut self.parts) {
                let common = of.common(peers);
                let mut rest = of;
                rest.remove(peers);
                self.put(before.difference(traffic), common);
                self.put(before, rest);
            }
        }
    }

    /// Adds peers that are not in the row.
    pub(super) fn put(&mut self, traffic: Traffic, peers: Bits) {
        if peers.is_empty() || traffic.is_empty() {
            return;
        }
        match self.parts.get_mut(&traffic) {
            Some(of) => of.unite(&peers),
            None => {
                self.parts.insert(traffic, peers);
            }
        }
    }
}
