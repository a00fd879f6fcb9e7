//! Values of the command line: durations, sizes, and which events to keep.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// Why a value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// It is no duration.
    #[error("`{0}` is not a duration; expected one such as 30s, 10m or 1h30m")]
    Duration(String),
    /// It is a duration of nothing, or less.
    #[error("`{0}` is not above zero")]
    NotPositive(String),
    /// It is no size.
    #[error("`{0}` is not a size; expected bytes, or a number with KiB, MiB or GiB, such as 8MiB")]
    Bytes(String),
    /// The ring buffer has sizes of its own.
    #[error("{0} bytes is not a power of two from 4 KiB to 1 GiB, which a ring buffer needs")]
    RingSize(u64),
    /// Not even what every tape holds would fit.
    #[error("{0} bytes is too little for a tape; expected at least 1 MiB")]
    TapeSize(u64),
    /// It does not say which events.
    #[error("`{0}` does not say which events to keep; expected `all` or `first:K` with K above zero")]
    Events(String),
}

/// Which single events of an edge are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// Every one.
    All,
    /// The first of each edge and interval.
    First(NonZeroU32),
}

impl FromStr for Events {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let first = |count: &str| count.parse().ok().map(Self::First);
        match text {
            "all" => Some(Self::All),
            other => other.strip_prefix("first:").and_then(first),
        }
        .ok_or_else(|| ValueError::Events(text.to_owned()))
    }
}

impl fmt::Display for Events {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("all"),
            Self::First(count) => write!(formatter, "first:{count}"),
        }
    }
}

/// A duration above zero: `30s`, `1h30m`, `500ms`.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let no_duration = || ValueError::Duration(text.to_owned());
    let signed: jiff::SignedDuration = text.parse().ok().ok_or_else(no_duration)?;
    if !signed.is_positive() {
        return Err(ValueError::NotPositive(text.to_owned()));
    }
    Duration::try_from(signed).ok().ok_or_else(no_duration)
}

/// A duration, or `0` for none.
pub fn parse_duration_or_zero(text: &str) -> Result<Duration, ValueError> {
    match text {
        "0" => Ok(Duration::ZERO),
        other => parse_duration(other),
    }
}

/// The size of a ring buffer: a power of two, of at least the page of most kernels.
pub fn parse_bytes(text: &str) -> Result<u32, ValueError> {
    let bytes = size(text)?;
    if !bytes.is_power_of_two() || !(1 << 12..=1 << 30).contains(&bytes) {
        return Err(ValueError::RingSize(bytes));
    }
    u32::try_from(bytes).ok().ok_or(ValueError::RingSize(bytes))
}

/// The size a tape may have.
pub fn parse_tape_size(text: &str) -> Result<u64, ValueError> {
    match size(text)? {
        small @ 0..0x10_0000 => Err(ValueError::TapeSize(small)),
        enough => Ok(enough),
    }
}

fn size(text: &str) -> Result<u64, ValueError> {
    let (number, unit) = text.split_at(text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len()));
    let factor: u64 = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(ValueError::Bytes(text.to_owned())),
    };
    let number: Option<u64> = number.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(factor));
    bytes.ok_or_else(|| ValueError::Bytes(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Events, ValueError, parse_bytes, parse_duration, parse_duration_or_zero, parse_tape_size};
    use std::time::Duration;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("30s", Duration::from_secs(30)),
            ("1h30m", Duration::from_mins(90)),
            ("500ms", Duration::from_millis(500)),
            ("2 minutes", Duration::from_mins(2)),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
        for text in ["", "30", "soon", "s", "1x"] {
            assert!(matches!(parse_duration(text), Err(ValueError::Duration(_))), "{text}");
        }
        for text in ["0s", "-5s"] {
            assert!(
                matches!(parse_duration(text), Err(ValueError::NotPositive(_))),
                "{text}"
            );
        }
        assert_eq!(parse_duration_or_zero("0"), Ok(Duration::ZERO));
        assert_eq!(parse_duration_or_zero("5m"), Ok(Duration::from_mins(5)));
        assert!(parse_duration_or_zero("-5s").is_err() && parse_duration_or_zero("").is_err());
    }

    #[test]
    fn sizes_of_the_ring() {
        for (text, expected) in [("4096", 4096), ("64KiB", 1 << 16), ("8MiB", 1 << 23)] {
            assert_eq!(parse_bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "MiB", "8MB", "-1", "1.5MiB", "99999999999999999999"] {
            assert!(matches!(parse_bytes(text), Err(ValueError::Bytes(_))), "{text}");
        }
        for text in ["0", "1", "2048", "5000", "3MiB", "2048MiB"] {
            assert!(matches!(parse_bytes(text), Err(ValueError::RingSize(_))), "{text}");
        }
    }

    #[test]
    fn sizes_of_tapes() {
        assert_eq!(parse_tape_size("1MiB"), Ok(1 << 20));
        assert_eq!(parse_tape_size("3GiB"), Ok(3 << 30));
        assert_eq!(parse_tape_size("1000KiB"), Err(ValueError::TapeSize(1000 << 10)));
        assert!(matches!(parse_tape_size("1GB"), Err(ValueError::Bytes(_))));
    }

    #[test]
    fn which_events() {
        assert_eq!("all".parse(), Ok(Events::All));
        let first: Events = "first:8".parse().unwrap();
        assert_eq!(first.to_string(), "first:8");
        for text in ["", "none", "first", "first:", "first:0", "first:-1", "ALL"] {
            assert!(text.parse::<Events>().is_err(), "{text}");
        }
    }
}
