//! Findings: what the user must know, with a stable code, a severity and a page that explains it.
//!
//! Partial trouble is a finding, not a log line: it reaches every report and every JSON document.

mod catalog;
mod sample;
mod severity;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use catalog::{CATALOG, Code, Entry};
pub use sample::{Sample, Samples};
pub use severity::Severity;

/// One finding of a run: the same code and message are one finding with a count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Which finding.
    pub code: Code,
    /// What it is about, in one sentence without a final full stop.
    pub message: String,
    /// How often it occurred; what is counted the page says.
    pub count: u64,
    /// Rows of the recording that it rests on; none where it is about no rows.
    pub samples: Samples,
}

/// Collects findings while stages run.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    told: BTreeMap<(Code, String), Told>,
}

/// How often something was found, and the first rows it rests on.
#[derive(Clone, Debug, Default)]
struct Told {
    count: u64,
    samples: Samples,
}

impl Findings {
    /// Reports one occurrence.
    pub fn report(&mut self, code: Code, message: impl Into<String>) {
        self.report_many(code, message, 1);
    }

    /// Reports `count` occurrences at once.
    pub fn report_many(&mut self, code: Code, message: impl Into<String>, count: u64) {
        self.report_rows(code, message, count, &Samples::default());
    }

    /// Reports `count` occurrences at once, and rows they rest on.
    pub fn report_rows(&mut self, code: Code, message: impl Into<String>, count: u64, rows: &Samples) {
        let told = self.told.entry((code, message.into())).or_default();
        told.count = told.count.saturating_add(count);
        told.samples.merge(rows);
    }

    /// Adds what others found.
    pub fn absorb(&mut self, others: Self) {
        for ((code, message), Told { count, samples }) in others.told {
            self.report_rows(code, message, count, &samples);
        }
    }

    /// Every finding, by code and message.
    #[must_use]
    pub fn list(&self) -> Vec<Finding> {
        let finding = |((code, message), told): (&(Code, String), &Told)| Finding {
            code: *code,
            message: message.clone(),
            count: told.count,
            samples: told.samples.clone(),
        };
        self.told.iter().map(finding).collect()
    }

    /// Whether any finding has this code.
    #[must_use]
    pub fn has(&self, code: Code) -> bool {
        self.told.keys().any(|(found, _)| *found == code)
    }

    /// The highest severity found.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.told.keys().map(|(code, _)| code.entry().severity).max()
    }
}
