//! Why a verb could not do what it had to.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use crate::escape::escaped;
use crate::replay::named::NamedError;
use crate::tape::TapeError;

/// Why a verb could not do what it had to.
#[derive(Debug)]
pub(super) enum Failure {
    /// The result could not be written to stdout.
    Output(io::Error),
    /// The arguments are wrong; the text says how, and how they would be right.
    Usage(String),
    /// Anything else.
    Told {
        /// What could not be done.
        message: String,
        /// Why, the nearest cause first.
        causes: Vec<String>,
        /// What the user can do about it.
        hint: Option<String>,
    },
}

impl Failure {
    /// A failure with the causes that the error knows.
    pub(super) fn of(message: impl Into<String>, error: &dyn Error) -> Self {
        let mut causes = vec![error.to_string()];
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        Self::Told {
            message: message.into(),
            causes,
            hint: None,
        }
    }

    /// A failure without further causes.
    pub(super) fn plain(message: impl Into<String>) -> Self {
        Self::Told {
            message: message.into(),
            causes: Vec::new(),
            hint: None,
        }
    }

    /// The same with what the user can do about it.
    pub(super) fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Told { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// The failure as it is printed.
    pub(super) fn text(&self) -> String {
        let (message, causes, hint) = match self {
            Self::Usage(text) => return text.clone(),
            Self::Output(error) => return format!("error: cannot write to stdout\ncaused by: {error}"),
            Self::Told { message, causes, hint } => (message, causes, hint),
        };
        let mut text = format!("error: {}", escaped(message));
        for cause in causes {
            let _ = write!(text, "\ncaused by: {}", escaped(cause));
        }
        if let Some(hint) = hint {
            let _ = write!(text, "\n\nhint: {}", escaped(hint));
        }
        text
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<TapeError> for Failure {
    fn from(error: TapeError) -> Self {
        Self::Told {
            message: error.to_string(),
            causes: error.causes(),
            hint: error.hint(),
        }
    }
}

impl From<NamedError> for Failure {
    fn from(error: NamedError) -> Self {
        let hint = match error {
            NamedError::Nobody { .. } => "a PEER is NAMESPACE/POD, NAMESPACE/KIND/NAME, node:NAME or an address",
            NamedError::Ambiguous { .. } => "name its kind",
            NamedError::NoAddress { .. } => "give an address in its place",
        };
        Self::plain(error.to_string()).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn an_error_a_cause_and_a_hint_have_their_lines() {
        let cause = "x".parse::<u8>().unwrap_err();
        let failure = Failure::of("cannot count `a\nb`", &cause).hint("say `1`");
        assert_eq!(
            failure.text(),
            "error: cannot count `a\\nb`\ncaused by: invalid digit found in string\n\nhint: say `1`"
        );
    }
}
