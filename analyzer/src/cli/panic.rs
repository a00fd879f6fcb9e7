//! Panics: those of the Parquet decoder over damaged bytes are caught where they happen and are bad input; any other
//! is a bug, which ends the process with 101 and a request to report it.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::sync::{Mutex, PoisonError};

use super::exit::ExitStatus;
use super::output;
use crate::escape::escaped;

/// Where each panic happened, by its message. The hook cannot know whether a panic will be caught, so it prints
/// nothing and leaves the place here.
static PLACES: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Messages remembered: a tape can be damaged in many places, and each is a panic that was caught.
const REMEMBERED: usize = 64;

/// Runs `work`; a panic that reaches this place is reported and ends with [`ExitStatus::Bug`].
pub(super) fn caught(work: impl FnOnce() -> ExitStatus) -> ExitStatus {
    set_hook(Box::new(remember));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        output::say(&report(&message(payload.as_ref())));
        ExitStatus::Bug
    })
}

fn remember(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    if places.len() < REMEMBERED {
        places.insert(message(panic.payload()), place);
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_owned()
}

fn report(message: &str) -> String {
    let places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let place = places.get(message).map_or("place unknown", String::as_str);
    format!(
        "error: internal error: {} ({})\n\nhint: this is a bug of flowtape {}; please report it with this message, the \
         command and, if it may leave your hands, the tape",
        escaped(message),
        escaped(place),
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::{caught, message, report};
    use crate::cli::exit::ExitStatus;

    /// One test, because the hook is the process's.
    #[test]
    fn a_bug_ends_with_101_and_is_reported_with_its_message() {
        let hook = std::panic::take_hook();
        let ends = [caught(|| panic!("a bug")), caught(|| ExitStatus::Found)];
        std::panic::set_hook(hook);
        assert_eq!(ends.map(ExitStatus::code), [101, 1]);
        let payload = std::panic::catch_unwind(|| panic!("{} is odd", 17)).unwrap_err();
        let text = report(&message(payload.as_ref()));
        assert!(
            text.starts_with("error: internal error: 17 is odd (place unknown)\n\nhint: this is a bug"),
            "{text}"
        );
    }
}
