//! The schema version of a tape, and who may read what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Version of the tape schema, separate from the version of the tools.
///
/// A new *minor* adds tables or nullable columns, so that an older reader of the same major still reads what it knows.
/// A new *major* changes the meaning of something that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SchemaVersion {
    /// Readers refuse a major newer than their own.
    pub major: u16,
    /// Readers accept any minor of a major they know.
    pub minor: u16,
}

/// The version this crate writes.
///
/// - 1.0: the first release of the schema.
pub const CURRENT: SchemaVersion = SchemaVersion { major: 1, minor: 0 };

/// Why a version cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// The tape was written by a newer major than this reader knows.
    #[error(
        "schema version {found} is newer than {CURRENT}, the newest this build reads; \
         analyze the tape with the release of flowtape that recorded it, or a later one"
    )]
    Newer {
        /// Version of the tape.
        found: SchemaVersion,
    },
    /// The text is no version.
    #[error("`{text}` is not a schema version; expected `MAJOR.MINOR`, such as `{CURRENT}`")]
    Malformed {
        /// What was found.
        text: String,
    },
}

impl SchemaVersion {
    /// Refuses a newer major; every older one and every minor is readable.
    pub fn check_readable(self) -> Result<(), VersionError> {
        if self.major > CURRENT.major {
            return Err(VersionError::Newer { found: self });
        }
        Ok(())
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for SchemaVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || VersionError::Malformed { text: text.to_owned() };
        let (major, minor) = text.split_once('.').ok_or_else(malformed)?;
        let number = |part: &str| part.parse().ok().ok_or_else(malformed);
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

impl From<SchemaVersion> for String {
    fn from(version: SchemaVersion) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for SchemaVersion {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::{CURRENT, SchemaVersion};

    #[test]
    fn a_newer_major_is_refused_with_what_to_do() {
        let newer = SchemaVersion {
            major: CURRENT.major + 1,
            minor: 0,
        };
        let error = newer.check_readable().unwrap_err().to_string();
        assert!(
            error.contains("newer than") && error.contains("with the release of flowtape"),
            "{error}"
        );
    }

    #[test]
    fn a_newer_minor_and_any_older_version_are_read() {
        SchemaVersion {
            major: CURRENT.major,
            minor: CURRENT.minor + 7,
        }
        .check_readable()
        .unwrap();
        SchemaVersion { major: 0, minor: 9 }.check_readable().unwrap();
    }

    #[test]
    fn text_round_trips_and_nonsense_is_named() {
        assert_eq!("1.0".parse::<SchemaVersion>().unwrap().to_string(), "1.0");
        for text in ["", "1", "1.x", "1.0.0", "-1.0"] {
            assert!(text.parse::<SchemaVersion>().is_err(), "{text}");
        }
    }
}
