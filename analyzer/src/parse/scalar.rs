//! What a plain (unquoted) YAML scalar is.
//!
//! Same reading as `kubectl`, whose YAML is version 1.1 without sexagesimal numbers and with timestamps left as text
//! (`sigs.k8s.io/yaml` v1, `goyaml.v2/resolve.go`): `yes` and `on` are booleans, `0644` and `1_000` are integers. A
//! manifest means to us what it means to the cluster, or is refused.

/// A scalar with its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `null`, `~` or nothing at all.
    Null,
    /// A boolean, in any of its spellings; the text as written.
    Bool(String),
    /// An integer; the text as written and the value, clamped to 64 bits.
    Int(String, i64),
    /// A number that is no integer, infinity or not-a-number; the text as written.
    Float(String),
    /// Everything else, and everything quoted.
    Text(String),
}

impl Scalar {
    /// The type of a plain scalar.
    #[must_use]
    pub fn from_plain(text: &str) -> Self {
        let owned = || text.to_owned();
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" | "n" | "N" | "no"
            | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Self::Bool(owned()),
            ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
            | "-.INF" => return Self::Float(owned()),
            _ => {}
        }
        let numeric_start = text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-'));
        if numeric_start {
            let compact = text.replace('_', "");
            if let Some(value) = integer(&compact) {
                return Self::Int(owned(), value);
            }
            if is_decimal(&compact) {
                return Self::Float(owned());
            }
        } else if text.starts_with('.') && is_decimal(text) {
            return Self::Float(owned());
        }
        Self::Text(owned())
    }

    /// The scalar in words, for messages: `the boolean`, and the text as written.
    #[must_use]
    pub fn described(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(text) => format!("the boolean `{text}`"),
            Self::Int(text, _) | Self::Float(text) => format!("the number `{text}`"),
            Self::Text(text) => format!("the text `{text}`"),
        }
    }
}

/// The value of an integer literal with an optional sign and a base prefix (`0x`, `0o`, `0b`, or `0` for octal), clamped
/// to 64 bits; `None` if it is none.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    let signed = if negative {
        format!("-{digits}")
    } else {
        digits.to_owned()
    };
    let limit = if negative { i64::MIN } else { i64::MAX };
    Some(i64::from_str_radix(&signed, base).unwrap_or(limit))
}

/// Sign, digits with at most one point and at least one digit, optional exponent.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}
