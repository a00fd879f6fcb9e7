//! Table `stats`: what each hook saw, kept and lost, per interval. Loss is data.

use crate::node::Hook;
use crate::table::table;
use crate::time::Time;
use crate::value::words;

words! {
    /// What a row of `stats` counts.
    pub enum Counter {
        /// Times the kernel program ran.
        Invocations = "invocations",
        /// Runs that had nothing to record.
        Filtered = "filtered",
        /// Operations counted into `flows`.
        Counted = "counted",
        /// Operations written to `events`.
        Samples = "samples",
        /// Operations that did not fit into the ring buffer: lost to `events`, not to `flows`.
        RingFull = "ring_full",
        /// Operations of a new edge that did not fit into the edge map and went through the ring buffer instead.
        MapFull = "map_full",
        /// Operations of an edge that fitted into neither: lost altogether.
        EdgesLost = "edges_lost",
        /// Operations whose cgroup or network namespace could not be read from kernel memory: recorded without it.
        ReadFailed = "read_failed",
        /// Runs of a program that the kernel skipped, because it was already running on that CPU or for a reason of the kernel's own:
        /// lost altogether, or an edge of unknown outcome where the handshake was seen to begin.
        RecursionMissed = "recursion_missed",
        /// Operations folded beyond a quota: counted, without their peer. Listeners beyond theirs: in `listens` they are
        /// one of port 0.
        Folded = "folded",
        /// Events the recorder itself dropped after the kernel.
        WriterDropped = "writer_dropped",
        /// Events left out on purpose, under `--events first:K`.
        SteppedDown = "stepped_down",
        /// Nanoseconds during which the hook was not attached; of `iter/task_file`, since the look before one that failed.
        BlindNanos = "blind_nanos",
        /// Control groups that came or went while there was no room to tell of it: looked for in the hierarchy.
        Untold = "untold",
        /// Control groups that were gone before anybody looked for them: nothing is known of them but their number.
        Unnamed = "unnamed",
    }
}

/// What a counter above zero means for completeness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing is missing.
    Nothing,
    /// Samples are missing from `events`; every edge and count in `flows` is there.
    Events,
    /// Edges or counts may be missing: the window is incomplete.
    Edges,
    /// Whose sockets some were may not be known: the window is incomplete.
    Names,
}

impl Counter {
    /// What this counter above zero means for completeness.
    #[must_use]
    pub const fn loss(self) -> Loss {
        match self {
            Self::Invocations
            | Self::Filtered
            | Self::Counted
            | Self::Samples
            | Self::MapFull
            | Self::ReadFailed
            | Self::Folded
            | Self::Untold => Loss::Nothing,
            Self::RingFull | Self::WriterDropped | Self::SteppedDown => Loss::Events,
            Self::EdgesLost | Self::RecursionMissed | Self::BlindNanos => Loss::Edges,
            Self::Unnamed => Loss::Names,
        }
    }
}

table! {
    /// What each hook saw, kept and lost, per interval. A counter that is absent was zero.
    pub struct StatsRow in Node "stats" {
        /// Start of the interval.
        pub interval_start: Time,
        /// End of the interval.
        pub interval_end: Time,
        /// Which hook.
        pub hook: Hook,
        /// What is counted.
        pub counter: Counter,
        /// How many in this interval; nanoseconds for `blind_nanos`.
        pub value: u64,
    }
}
