//! The two clocks of a node: the kernel stamps with `CLOCK_BOOTTIME`, a tape stores wall-clock time.
//!
//! One offset, fixed when the recording begins, turns the first into the second, so that a step of the wall clock never
//! reorders rows. How the wall clock moved afterwards stands in table `clock`.

use std::io;

use flowtape_schemas::node::ClockRow;
use flowtape_schemas::time::Time;

/// Nanoseconds of `CLOCK_BOOTTIME`, which also counts while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootNanos(pub u64);

/// Turns the kernel's times into a tape's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset(i64);

impl Offset {
    /// The offset that a sample of both clocks shows.
    #[must_use]
    pub fn of(sample: &ClockRow) -> Self {
        Self(sample.wall_time.0.saturating_sub(signed(sample.boot_nanos)))
    }

    /// When that was. Times beyond what a tape can hold stop at its ends.
    #[must_use]
    pub fn time(self, at: BootNanos) -> Time {
        Time(signed(at.0)).saturating_add(self.0)
    }
}

fn signed(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

/// The present `CLOCK_BOOTTIME`.
pub fn now() -> io::Result<BootNanos> {
    read(libc::CLOCK_BOOTTIME).map(BootNanos)
}

/// Both clocks at one moment: of a few tries the one that took the least time between two looks at the first clock.
pub fn sample() -> io::Result<ClockRow> {
    const TRIES: usize = 5;
    let mut best: Option<(u64, ClockRow)> = None;
    for _ in 0..TRIES {
        let before = read(libc::CLOCK_BOOTTIME)?;
        let wall = read(libc::CLOCK_REALTIME)?;
        let took = read(libc::CLOCK_BOOTTIME)?.saturating_sub(before);
        if best.as_ref().is_none_or(|(shortest, _)| took < *shortest) {
            let row = ClockRow {
                boot_nanos: before + took / 2,
                wall_time: Time(signed(wall)),
            };
            best = Some((took, row));
        }
    }
    best.map(|(_, row)| row)
        .ok_or_else(|| io::Error::other("no clock was read"))
}

fn read(clock: libc::clockid_t) -> io::Result<u64> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec that lives until the call returns.
    if unsafe { libc::clock_gettime(clock, &raw mut now) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let negative = |_| io::Error::other("the clock is before its epoch");
    let seconds = u64::try_from(now.tv_sec).map_err(negative)?;
    let nanos = u64::try_from(now.tv_nsec).map_err(negative)?;
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::{BootNanos, Offset, now, sample};
    use flowtape_schemas::node::ClockRow;
    use flowtape_schemas::time::Time;

    #[test]
    fn an_offset_moves_every_time_alike() {
        let sample = ClockRow {
            boot_nanos: 1_000,
            wall_time: Time(1_700_000_000_000_000_000),
        };
        let offset = Offset::of(&sample);
        assert_eq!(offset.time(BootNanos(1_000)), sample.wall_time);
        assert_eq!(offset.time(BootNanos(1_250)), sample.wall_time.saturating_add(250));
        assert_eq!(offset.time(BootNanos(u64::MAX)), Time::MAX);
    }

    #[test]
    fn a_wall_clock_before_1970_is_no_crash() {
        let sample = ClockRow {
            boot_nanos: u64::MAX,
            wall_time: Time::MIN,
        };
        assert_eq!(Offset::of(&sample).time(BootNanos(0)), Time::MIN);
    }

    #[test]
    fn samples_follow_the_clock() {
        let before = now().unwrap();
        let row = sample().unwrap();
        let after = now().unwrap();
        assert!(before.0 <= row.boot_nanos && row.boot_nanos <= after.0);
    }
}
