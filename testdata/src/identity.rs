//! Identifiers that a cluster would invent, derived from names so that the same text always gives the same ones.

use sha2::{Digest as _, Sha256};

/// Characters Kubernetes uses for generated suffixes: no vowels, nothing that looks alike
/// (`k8s.io/apimachinery/pkg/util/rand`).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The hash all other identifiers are cut from.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}

/// An object's UID in the form of a random UUID (RFC 9562, version 4).
#[must_use]
pub(crate) fn uid(parts: &[&str]) -> String {
    let mut bytes = digest(parts);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex(&bytes[..16]);
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..32]
    )
}

/// `digits` hexadecimal digits, at most 64.
#[must_use]
pub(crate) fn hexadecimal(parts: &[&str], digits: usize) -> String {
    let mut text = hex(&digest(parts));
    text.truncate(digits);
    text
}

/// A generated suffix of `length` characters, at most 32.
#[must_use]
pub(crate) fn suffix(parts: &[&str], length: usize) -> String {
    let chosen = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    digest(parts).iter().take(length).map(chosen).collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
