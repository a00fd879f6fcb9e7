//! Why the kernel programs could not be loaded or read.

use std::io;
use std::path::PathBuf;

use super::btf::BtfError;
use super::record::RecordError;

/// Why the kernel programs could not be loaded or read.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// This build is for an operating system without the programs.
    #[error("recording needs Linux; tapes are read anywhere")]
    NotLinux,
    /// A kernel object was named and cannot be read.
    #[error("cannot read the kernel object `{path}`")]
    Object {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// No type information.
    #[error("cannot read `{path}`: the kernel must be built with CONFIG_DEBUG_INFO_BTF")]
    NoBtf {
        /// Where it was looked for.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// Type information without what the programs need.
    #[error("this kernel's types do not fit the programs")]
    Layout(#[from] BtfError),
    /// A size that cannot be used.
    #[error("{what} of {found} cannot be used: {wanted}")]
    Size {
        /// Which size.
        what: &'static str,
        /// What was asked for.
        found: u32,
        /// What is possible.
        wanted: &'static str,
    },
    /// The object was refused by the loader or by the kernel.
    #[error("cannot load the kernel programs: {reason}")]
    Load {
        /// What is missing, with the remedy where it is known.
        reason: String,
        /// What the loader says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The object lacks a map or program, so it is not the one this recorder was built with.
    #[error("the kernel object has no `{name}`: it was built from other sources, run `make bpf`")]
    Foreign {
        /// Map or program.
        name: &'static str,
    },
    /// A call to the kernel failed while recording.
    #[error("cannot {what}")]
    Call {
        /// What was tried.
        what: &'static str,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The ring buffer held something that is no record.
    #[error("the ring buffer is not readable")]
    Record(#[from] RecordError),
}

/// An error and its causes as one line.
///
/// Some libraries repeat their cause in their own text; what was already said is left out. Of a cause with several lines,
/// such as the verifier's log, the first is taken: the rest belongs to a bug report.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = first_line(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = first_line(error);
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        cause = error.source();
    }
    text
}

fn first_line(error: &dyn std::error::Error) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches([':', ' '])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    #[test]
    fn causes_are_told_once_and_in_one_line() {
        let root = Link {
            text: "not permitted",
            source: None,
        };
        let middle = Link {
            text: "load: not permitted. Log:\nline 1",
            source: Some(Box::new(root)),
        };
        let top = Link {
            text: "cannot record",
            source: Some(Box::new(middle)),
        };
        assert_eq!(with_causes(&top), "cannot record: load: not permitted. Log");
    }
}
