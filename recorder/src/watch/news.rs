//! What followers tell, and the clock they share.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use flowtape_schemas::cluster::Bound;
use flowtape_schemas::metadata::Reduced;
use flowtape_schemas::time::Time;

/// Something that a follower has learnt.
#[derive(Debug)]
pub(super) struct News {
    /// Which follower.
    pub(super) follower: usize,
    /// When.
    pub(super) at: Time,
    /// What.
    pub(super) what: What,
}

/// What a follower can learn.
#[derive(Debug)]
pub(super) enum What {
    /// Everything there is now.
    Listed(Vec<Reduced>),
    /// An object is new or has changed.
    Put(Reduced, Bound),
    /// An object is gone.
    Removed(Reduced, Bound),
    /// There is no watch.
    Lost {
        /// Since when.
        since: Time,
        /// Why the last attempt failed.
        reason: String,
    },
    /// There is a watch again.
    Found {
        /// Since when there was none.
        start: Time,
        /// Whether everything that changed in between is told now.
        caught_up: bool,
        /// Why there was none.
        reason: String,
    },
    /// A right is missing, or the resource.
    Denied {
        /// To do what.
        verb: &'static str,
        /// What the API server says.
        reason: String,
    },
    /// An object is not of the shape of its kind.
    Unreadable(String),
}

/// Wall-clock time that never steps: the time at the beginning plus what has passed since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeline {
    begun: Instant,
    wall: Time,
}

impl Timeline {
    /// A timeline that begins now.
    pub(super) fn begin() -> Self {
        // A clock before 1970 is as good as none.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            begun: Instant::now(),
            wall: Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
        }
    }

    /// When it began.
    pub(super) fn start(self) -> Time {
        self.wall
    }

    /// The present.
    pub(super) fn now(self) -> Time {
        let passed = i64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(i64::MAX);
        self.wall.saturating_add(passed)
    }
}
