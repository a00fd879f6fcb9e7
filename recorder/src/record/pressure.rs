//! Stepping down: when events come faster than they can be kept, few of each edge are better than any from a few moments.
//! Pure; counts are not touched by any of this.

use std::time::Duration;

use flowtape_recorder_ebpf::abi::control::{SAMPLE_ALL, SampleLimits};
use flowtape_recorder_ebpf::abi::id::HookId;
use flowtape_schemas::time::Time;

use super::room::Keep;
use crate::kernel::config::HookCounters;

/// Events of an edge and interval that are kept under pressure.
const FEW: u32 = 8;

/// How long a step down lasts at least: long enough that a load which comes and goes is one step, and not many.
const HOLD: Duration = Duration::from_secs(30);

/// What was seen since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// Bytes that waited in the ring buffer.
    pub(super) waiting: u64,
    /// Size of the ring buffer in bytes.
    pub(super) ring: u64,
    /// Events that found no room, in the ring buffer or on the way to the writer.
    pub(super) lost: u64,
}

impl Signs {
    fn are_bad(self) -> bool {
        self.lost > 0 || self.waiting >= self.ring / 4 * 3
    }
}

/// Records that the kernel had no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Full {
    /// Of operations.
    pub(super) events: u64,
    /// Of control groups that were made.
    pub(super) made: u64,
    /// Of control groups that were removed.
    pub(super) removed: u64,
}

impl Full {
    /// What the counters say.
    pub(super) fn of(counters: &[HookCounters]) -> Self {
        let mut full = Self::default();
        for hook in counters {
            let which = if hook.id == HookId::CgroupMkdir {
                &mut full.made
            } else if hook.id == HookId::CgroupRmdir {
                &mut full.removed
            } else {
                &mut full.events
            };
            *which += hook.counters.ring_full;
        }
        full
    }

    /// Those of control groups, which somebody has to look for.
    pub(super) fn groups(self) -> u64 {
        self.made + self.removed
    }
}

/// How many events of an edge are kept, as time goes by.
#[derive(Debug)]
pub(super) struct Sampling {
    asked: SampleLimits,
    /// When the step down ends, if nothing else happens.
    down_until: Option<Time>,
    last_look: Time,
    /// How often it stepped down, first when, and for how long altogether.
    steps: u32,
    first: Option<Time>,
    down: Duration,
}

impl Sampling {
    /// Begins with what was asked for.
    pub(super) fn new(asked: SampleLimits, at: Time) -> Self {
        Self {
            asked,
            down_until: None,
            last_look: at,
            steps: 0,
            first: None,
            down: Duration::ZERO,
        }
    }

    /// Looks at the signs.
    pub(super) fn look(&mut self, at: Time, signs: Signs) {
        let since = Duration::from_nanos(at.0.saturating_sub(self.last_look.0).max(0).unsigned_abs());
        self.last_look = at;
        if self.down_until.is_some() {
            self.down += since;
        }
        if signs.are_bad() && self.asked.connections > FEW {
            if self.down_until.is_none() {
                self.steps += 1;
                self.first = self.first.or(Some(at));
            }
            self.down_until = Some(at.saturating_add(i64::try_from(HOLD.as_nanos()).unwrap_or(i64::MAX)));
        } else if self.down_until.is_some_and(|until| at >= until) {
            self.down_until = None;
        }
    }

    /// How many events an edge may send in an interval now.
    pub(super) fn limits(&self, keep: Keep) -> SampleLimits {
        let at_most = |limit: u32| SampleLimits {
            connections: self.asked.connections.min(limit),
            datagrams: self.asked.datagrams.min(limit),
        };
        match keep {
            Keep::Counts | Keep::Nothing => at_most(0),
            Keep::Everything if self.down_until.is_some() => at_most(FEW),
            Keep::Everything => self.asked,
        }
    }

    /// What the reader of the manifest should know.
    pub(super) fn note(&self) -> Option<String> {
        let first = self.first?;
        let asked = match self.asked.connections {
            SAMPLE_ALL => "all".to_owned(),
            count => format!("first:{count}"),
        };
        Some(format!(
            "events came too fast: stepped down from `{asked}` to `first:{FEW}` {} times since {first}, for {:.1} s altogether",
            self.steps,
            self.down.as_secs_f64()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW, Sampling, Signs};
    use crate::record::room::Keep;
    use flowtape_recorder_ebpf::abi::control::{SAMPLE_ALL, SampleLimits};
    use flowtape_schemas::time::Time;

    const CALM: Signs = Signs {
        waiting: 100,
        ring: 4096,
        lost: 0,
    };
    const LOSS: Signs = Signs { lost: 1, ..CALM };
    const FULL: Signs = Signs { waiting: 3072, ..CALM };

    fn seconds(count: i64) -> Time {
        Time(count * 1_000_000_000)
    }

    fn asking(connections: u32) -> Sampling {
        let asked = SampleLimits {
            connections,
            datagrams: 4,
        };
        Sampling::new(asked, seconds(0))
    }

    fn limits(asked: u32, looks: &[(i64, Signs)]) -> (Vec<u32>, Option<String>) {
        let mut sampling = asking(asked);
        let limit = |(at, signs): &(i64, Signs)| {
            sampling.look(seconds(*at), *signs);
            sampling.limits(Keep::Everything).connections
        };
        (looks.iter().map(limit).collect(), sampling.note())
    }

    #[test]
    fn down_at_a_sign_and_up_when_it_was_calm_for_long_enough() {
        let looks = [(1, CALM), (2, FULL), (20, CALM), (31, CALM), (32, CALM), (33, CALM)];
        let (limits, note) = limits(SAMPLE_ALL, &looks);
        assert_eq!(limits, [SAMPLE_ALL, FEW, FEW, FEW, SAMPLE_ALL, SAMPLE_ALL]);
        let note = note.unwrap();
        assert!(
            note.contains("1 times") && note.ends_with("for 30.0 s altogether"),
            "{note}"
        );
    }

    #[test]
    fn every_sign_makes_it_last() {
        let (limits, note) = limits(SAMPLE_ALL, &[(1, LOSS), (30, LOSS), (59, CALM), (60, CALM), (61, LOSS)]);
        assert_eq!(limits, [FEW, FEW, FEW, SAMPLE_ALL, FEW]);
        assert!(note.unwrap().contains("2 times"));
    }

    #[test]
    fn what_asks_for_little_has_nowhere_to_step() {
        assert_eq!(limits(3, &[(1, LOSS)]), (vec![3], None));
        assert_eq!(limits(100, &[(1, LOSS)]).0, [FEW]);
    }

    #[test]
    fn no_room_means_no_samples() {
        let limits = asking(100).limits(Keep::Counts);
        assert_eq!((limits.connections, limits.datagrams), (0, 0));
    }
}
