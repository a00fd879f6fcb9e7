//! Instants as a tape stores them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An instant in nanoseconds since 1970-01-01T00:00:00Z, the unit of every time column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Time(pub i64);

/// A text that is no instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time; expected RFC 3339, such as `2026-01-01T00:00:00Z`")]
pub struct TimeError {
    text: String,
}

impl Time {
    /// The earliest instant a tape can hold.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest instant a tape can hold.
    pub const MAX: Self = Self(i64::MAX);

    /// This instant moved by `nanos`, stopping at the ends of the range.
    #[must_use]
    pub fn saturating_add(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Display for Time {
    /// RFC 3339 with nine digits of fraction, always UTC: one instant has one text.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every i64 of nanoseconds (years 1677 to 2262) is within jiff's range.
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(instant) => write!(formatter, "{instant:.9}"),
            Err(_) => write!(formatter, "{}ns", self.0),
        }
    }
}

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let instant: Option<jiff::Timestamp> = text.parse().ok();
        instant
            .and_then(|instant| i64::try_from(instant.as_nanosecond()).ok())
            .map(Self)
            .ok_or_else(|| TimeError { text: text.to_owned() })
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Time {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn one_instant_has_one_text() {
        for (text, canonical) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000000Z"),
            ("2026-01-01T01:00:00.5+01:00", "2026-01-01T00:00:00.500000000Z"),
        ] {
            assert_eq!(text.parse::<Time>().unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn the_ends_of_the_range_print_and_parse() {
        for time in [Time::MIN, Time(0), Time::MAX] {
            assert_eq!(time.to_string().parse::<Time>().unwrap(), time);
        }
    }

    #[test]
    fn nonsense_is_named() {
        assert!(
            "yesterday"
                .parse::<Time>()
                .unwrap_err()
                .to_string()
                .contains("`yesterday`")
        );
        assert!(
            "9999-01-01T00:00:00Z".parse::<Time>().is_err(),
            "beyond what 64 bits of nanoseconds hold"
        );
    }
}
