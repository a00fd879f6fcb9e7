//! What goes wrong, as a test orders it.

use serde::{Deserialize, Serialize};

/// A fault of the requests that it matches.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `exec`, or `*`.
    pub verb: String,
    /// Plural name of the resource, or `*`.
    pub resource: String,
    /// How many requests pass before it.
    pub after: u32,
    /// How many requests it meets then; `None` for all that come.
    pub times: Option<u32>,
    /// What happens to them.
    pub effect: Effect,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It is refused with a Status of this code.
    Refuse {
        /// HTTP status.
        code: u16,
        /// Header `Retry-After`, in seconds.
        retry_after: Option<u32>,
    },
    /// It is answered, but later.
    Delay {
        /// How much later.
        millis: u64,
    },
    /// It is never answered; a watch is begun, and nothing ever comes.
    Hang,
    /// A watch breaks in the middle of the line after this many.
    BreakAfter {
        /// Lines that arrive whole.
        events: u32,
    },
    /// An `exec` breaks when the process has printed this much.
    CutAfter {
        /// Bytes that arrive.
        bytes: usize,
    },
    /// A watch begins with an ERROR event of this code and ends.
    ErrorEvent {
        /// Code of the Status in the event.
        code: u16,
    },
    /// A watch sends every event twice.
    Duplicate,
    /// A watch sends events in pairs, the later one first.
    Reorder,
    /// A watch sends this line before anything else.
    Garbage {
        /// The line.
        line: String,
    },
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether a request would be refused now.
    pub(crate) fn refuses(&self, verb: &str, resource: &str) -> bool {
        let is = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        self.0.iter().any(|fault| {
            is(&fault.verb, verb) && is(&fault.resource, resource) && matches!(fault.effect, Effect::Refuse { .. })
        })
    }

    /// The first fault for a request, which counts.
    pub(crate) fn meet(&mut self, verb: &str, resource: &str) -> Option<Effect> {
        let is = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        let at = self
            .0
            .iter()
            .position(|fault| is(&fault.verb, verb) && is(&fault.resource, resource))?;
        let fault = &mut self.0[at];
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        let effect = fault.effect.clone();
        fault.times = fault.times.map(|left| left.saturating_sub(1));
        if fault.times == Some(0) {
            self.0.remove(at);
        }
        Some(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, Fault, Faults};

    #[test]
    fn a_fault_meets_as_many_requests_as_it_says() {
        let mut faults = Faults::default();
        faults.add(Fault {
            verb: "watch".to_owned(),
            resource: "pods".to_owned(),
            after: 1,
            times: Some(2),
            effect: Effect::Hang,
        });
        assert_eq!(faults.meet("list", "pods"), None);
        assert_eq!(faults.meet("watch", "pods"), None);
        assert_eq!(faults.meet("watch", "pods"), Some(Effect::Hang));
        assert_eq!(faults.meet("watch", "pods"), Some(Effect::Hang));
        assert_eq!(faults.meet("watch", "pods"), None);
    }
}
