//! Findings: what the user must know, with a stable code, a severity and a page that explains it.
//!
//! Partial trouble is a finding, not a log line: it reaches every report and every JSON document.

mod catalog;

use std::collections::BTreeMap;

pub use catalog::{CATALOG, Code, Entry, Severity};

/// One finding of a run: the same code and message are one finding with a count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Which finding.
    pub code: Code,
    /// What it is about, in one sentence without a final full stop.
    pub message: String,
    /// How often it occurred; what is counted the page says.
    pub count: u64,
}

/// Collects findings while stages run.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    counts: BTreeMap<(Code, String), u64>,
}

impl Findings {
    /// Reports one occurrence.
    pub fn report(&mut self, code: Code, message: impl Into<String>) {
        self.report_many(code, message, 1);
    }

    /// Reports `count` occurrences at once.
    pub fn report_many(&mut self, code: Code, message: impl Into<String>, count: u64) {
        let total = self.counts.entry((code, message.into())).or_default();
        *total = total.saturating_add(count);
    }

    /// Every finding, by code and message.
    #[must_use]
    pub fn list(&self) -> Vec<Finding> {
        let finding = |((code, message), count): (&(Code, String), &u64)| Finding {
            code: *code,
            message: message.clone(),
            count: *count,
        };
        self.counts.iter().map(finding).collect()
    }

    /// Whether any finding has this code.
    #[must_use]
    pub fn has(&self, code: Code) -> bool {
        self.counts.keys().any(|(found, _)| *found == code)
    }

    /// The highest severity found.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.counts.keys().map(|(code, _)| code.entry().severity).max()
    }
}
