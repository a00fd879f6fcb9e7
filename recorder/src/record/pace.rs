//! Things that are done every so often.

use std::time::{Duration, Instant};

/// The next time something is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    every: Duration,
    /// `None` if that is beyond what the clock can hold: never.
    next: Option<Instant>,
}

impl Pace {
    /// Due in `every` from now, and so on.
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            next: Instant::now().checked_add(every),
        }
    }

    /// Whether it is due; if so, it is due next in one period from now.
    pub(super) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.next.is_some_and(|next| now >= next);
        if due {
            self.next = now.checked_add(self.every);
        }
        due
    }

    /// How long to wait at most, so as not to be late.
    pub(super) fn wait_at_most(&self, wanted: Duration) -> Duration {
        let left = self.next.map(|next| next.saturating_duration_since(Instant::now()));
        left.map_or(wanted, |left| wanted.min(left))
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::Duration;

    #[test]
    fn due_now_due_later_due_never() {
        assert!(Pace::new(Duration::ZERO).is_due());
        let mut later = Pace::new(Duration::from_hours(1));
        assert!(!later.is_due());
        assert_eq!(later.wait_at_most(Duration::from_secs(1)), Duration::from_secs(1));
        let mut never = Pace::new(Duration::MAX);
        assert!(!never.is_due());
        assert_eq!(never.wait_at_most(Duration::from_secs(1)), Duration::from_secs(1));
    }
}
