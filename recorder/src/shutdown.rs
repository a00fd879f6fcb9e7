//! When a recording ends: at the end of its window, or when somebody asks.
//!
//! SIGINT and SIGTERM ask once each; the handler then takes itself away, so that the same signal again kills at once.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// The signal that asked; 0 for none.
static ASKED: AtomicI32 = AtomicI32::new(0);

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The window was over.
    WindowOver,
    /// SIGINT or SIGTERM.
    Asked,
    /// There was no room for more.
    NoRoom,
}

/// The end of a window.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// `duration` from now, or never.
    #[must_use]
    pub fn after(duration: Option<Duration>) -> Self {
        // A duration beyond what the clock can hold never ends.
        Self(duration.and_then(|duration| Instant::now().checked_add(duration)))
    }

    /// Whether it is time to stop, and why.
    #[must_use]
    pub fn reached(self) -> Option<Reason> {
        if ASKED.load(Ordering::Relaxed) != 0 {
            return Some(Reason::Asked);
        }
        self.0
            .is_some_and(|end| Instant::now() >= end)
            .then_some(Reason::WindowOver)
    }

    /// How long to wait at most, so as not to sleep past the end.
    #[must_use]
    pub fn wait_at_most(self, wanted: Duration) -> Duration {
        self.0
            .map_or(wanted, |end| wanted.min(end.saturating_duration_since(Instant::now())))
    }
}

/// From now on the first SIGINT or SIGTERM asks, and the same one again kills.
pub fn listen() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: all-zero is a valid `sigaction`: no flags, an empty mask, the default action.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESETHAND;
        // SAFETY: `action` lives through the call, and `note` only stores into an atomic, which a handler may do.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn note(signal: libc::c_int) {
    ASKED.store(signal, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::{Deadline, Reason};
    use std::time::Duration;

    #[test]
    fn a_window_ends_and_no_window_does_not() {
        assert_eq!(
            Deadline::after(Some(Duration::ZERO)).reached(),
            Some(Reason::WindowOver)
        );
        assert_eq!(Deadline::after(Some(Duration::from_hours(1))).reached(), None);
        assert_eq!(Deadline::after(None).reached(), None);
        assert_eq!(Deadline::after(Some(Duration::MAX)).reached(), None);
        let soon = Deadline::after(Some(Duration::from_millis(5)));
        assert!(soon.wait_at_most(Duration::from_secs(9)) <= Duration::from_millis(5));
    }
}
