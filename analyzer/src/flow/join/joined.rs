//! What views come to: they are worked on side by side, and put together in their order.

use std::collections::{BTreeMap, BTreeSet};

use rayon::iter::ParallelIterator as _;
use rayon::slice::{ParallelSlice as _, ParallelSliceMut as _};

use super::hosts::HostKey;
use super::served::PairKey;
use crate::findings::Findings;
use crate::flow::collect::Collector;
use crate::flow::edge::Translation;
use crate::flow::end::{Key, PeerRef};
use crate::flow::host::host_of;
use crate::flow::sighting::Sighting;

/// Sightings that one thread takes at a time.
const CHUNK: usize = 4_096;

/// What views come to.
#[derive(Default)]
pub(super) struct Joined<'a> {
    pub(super) collector: Collector<'a>,
    pub(super) findings: Findings,
    /// Whom clients say they reached.
    pub(super) asked: Vec<PairKey<'a>>,
    /// What servers saw of a node that was not the node's own.
    pub(super) translated: BTreeMap<HostKey<'a>, BTreeSet<Translation>>,
}

/// What the views of all clients say, by which a server's view is looked up.
pub(super) struct Told<'a> {
    /// Whom clients say they reached, in order.
    pub(super) asked: Vec<PairKey<'a>>,
    /// What servers saw of a node that was not the node's own.
    pub(super) translated: BTreeMap<HostKey<'a>, BTreeSet<Translation>>,
    /// The edges of clients on the network of a node, which servers do not see by themselves.
    pub(super) of_hosts: BTreeSet<Key<PeerRef<'a>>>,
}

/// What the views of one side come to, in their order.
pub(super) fn side_by_side<'a>(
    sightings: &'a [Sighting<'a>],
    servers: bool,
    view: impl Fn(&'a Sighting<'a>, &mut Joined<'a>) + Sync,
) -> Joined<'a> {
    let chunks = sightings.par_chunks(CHUNK).map(|chunk| {
        let mut joined = Joined::default();
        for sighting in chunk.iter().filter(|sighting| sighting.is_server() == servers) {
            view(sighting, &mut joined);
        }
        joined
    });
    let chunks: Vec<Joined<'a>> = chunks.collect();
    chunks.into_iter().fold(Joined::default(), |mut all, chunk| {
        all.absorb(chunk);
        all
    })
}

impl Joined<'_> {
    /// Adds what other views come to.
    pub(super) fn absorb(&mut self, other: Self) {
        let Self {
            collector,
            findings,
            asked,
            translated,
        } = other;
        self.collector.absorb(collector);
        self.findings.absorb(findings);
        self.asked.extend(asked);
        for (key, translations) in translated {
            self.translated.entry(key).or_default().extend(translations);
        }
    }
}

impl<'a> Told<'a> {
    /// By the views of all clients.
    pub(super) fn by(clients: &mut Joined<'a>) -> Self {
        let mut asked = std::mem::take(&mut clients.asked);
        asked.par_sort_unstable();
        asked.dedup();
        let of_hosts = clients.collector.contributions();
        let of_hosts = of_hosts.filter(|one| host_of(one.sighting.local).is_some());
        Self {
            asked,
            translated: std::mem::take(&mut clients.translated),
            of_hosts: of_hosts.map(|one| one.key).collect(),
        }
    }
}
