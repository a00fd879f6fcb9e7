//! What one follower has told of, so that nothing counts twice and nothing comes back from the past.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::cluster::Bound;
use flowtape_schemas::metadata::{History, Reduced, Seen};
use flowtape_schemas::time::Time;

/// Versions are numbers in every API server so far, and official as such since Kubernetes 1.35; one that is none has no
/// order, and whatever comes last counts.
type Version = Option<u64>;

/// The objects of one scope.
#[derive(Debug, Default)]
pub(super) struct Known {
    present: BTreeMap<String, Version>,
    /// Objects that went a moment ago: an event that was overtaken must not bring one back.
    gone: BTreeMap<String, Version>,
}

fn version(object: &Reduced) -> Version {
    object.resource_version()?.parse().ok()
}

/// Whether an event is older than what is known.
fn is_old(told: Version, known: Version) -> bool {
    matches!((told, known), (Some(told), Some(known)) if told <= known)
}

impl Known {
    /// How many objects there are.
    pub(super) fn len(&self) -> usize {
        self.present.len()
    }

    /// Everything there is at a moment; what differs from before changed some time before it.
    pub(super) fn listed(&mut self, objects: Vec<Reduced>, at: Time, history: &mut History) {
        let seen = Seen {
            at: Some(at),
            bound: Bound::Assumed,
        };
        let listed: BTreeSet<String> = objects.iter().map(|object| object.id().to_owned()).collect();
        for id in self.present.keys().filter(|id| !listed.contains(*id)) {
            history.remove(id, seen);
        }
        self.gone.clear();
        self.present = objects
            .iter()
            .map(|object| (object.id().to_owned(), version(object)))
            .collect();
        for object in objects {
            history.put(object, seen);
        }
    }

    /// An object is new or has changed.
    pub(super) fn put(&mut self, object: Reduced, seen: Seen, history: &mut History) {
        let (id, told) = (object.id(), version(&object));
        let known = self.present.get(id).or_else(|| self.gone.get(id));
        if known.is_some_and(|known| is_old(told, *known)) {
            return;
        }
        self.gone.remove(id);
        self.present.insert(id.to_owned(), told);
        history.put(object, seen);
    }

    /// An object is gone; its last state may declare when it ended.
    pub(super) fn removed(&mut self, object: Reduced, seen: Seen, history: &mut History) {
        let (id, told) = (object.id().to_owned(), version(&object));
        let known = self.present.get(&id).or_else(|| self.gone.get(&id));
        if known.is_some_and(|known| is_old(told, *known)) {
            return;
        }
        self.present.remove(&id);
        self.gone.insert(id.clone(), told);
        history.put(object, seen);
        history.remove(&id, seen);
    }

    /// Enough time has passed that nothing can have been overtaken.
    pub(super) fn settle(&mut self) {
        self.gone.clear();
    }
}
