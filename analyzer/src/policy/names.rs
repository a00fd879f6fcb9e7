//! The forms of names, label keys, label values and port names that an API server takes.
//!
//! Source: Kubernetes `apimachinery/pkg/util/validation` (v1.36): RFC 1123 labels and subdomains, qualified names, label
//! values, and port names after RFC 6335.

const LABEL: &str = "lower-case letters, digits and `-`, starting and ending with a letter or digit, at most 63";
const SUBDOMAIN: &str =
    "lower-case letters, digits, `-` and `.`, each part starting and ending with a letter or digit, at most 253";
const KEY: &str = "a label key is a name of at most 63 letters, digits, `-`, `_` and `.`, starting and ending with a \
                   letter or digit, after an optional DNS subdomain and `/`";
const VALUE: &str =
    "a label value is at most 63 letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit";
const PORT_NAME: &str = "a port name is at most 15 lower-case letters, digits and single `-`, with at least one letter \
                         and no `-` at either end";

/// The label that every API server sets on every namespace, with its name (Kubernetes 1.22, `core/v1` LabelMetadataName).
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The rule that a namespace name breaks.
#[must_use]
pub fn namespace_fault(name: &str) -> Option<&'static str> {
    (!is_dns_label(name)).then_some(LABEL)
}

/// The rule that the name of a policy breaks.
#[must_use]
pub fn policy_name_fault(name: &str) -> Option<&'static str> {
    (!is_subdomain(name)).then_some(SUBDOMAIN)
}

/// The rule that a label key breaks.
#[must_use]
pub fn label_key_fault(key: &str) -> Option<&'static str> {
    let valid = match key.split_once('/') {
        None => is_label_text(key),
        Some((prefix, name)) => is_subdomain(prefix) && is_label_text(name),
    };
    (!valid).then_some(KEY)
}

/// The rule that a label value breaks.
#[must_use]
pub fn label_value_fault(value: &str) -> Option<&'static str> {
    (!value.is_empty() && !is_label_text(value)).then_some(VALUE)
}

/// The rule that the name of a port breaks.
#[must_use]
pub fn port_name_fault(name: &str) -> Option<&'static str> {
    let characters = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let letter = name.bytes().any(|byte| byte.is_ascii_lowercase());
    let hyphens = !name.contains("--") && !name.starts_with('-') && !name.ends_with('-');
    let valid = name.len() <= 15 && characters && letter && hyphens;
    (!valid).then_some(PORT_NAME)
}

fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len()) && is_dns_part(text)
}

/// Subdomain parts have no length limit of their own, only the whole has.
fn is_subdomain(text: &str) -> bool {
    (1..=253).contains(&text.len()) && text.split('.').all(is_dns_part)
}

fn is_dns_part(text: &str) -> bool {
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    framed_by(text, lower) && text.bytes().all(|byte| lower(byte) || byte == b'-')
}

fn is_label_text(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    text.len() <= 63
        && framed_by(text, plain)
        && text
            .bytes()
            .all(|byte| plain(byte) || matches!(byte, b'-' | b'_' | b'.'))
}

fn framed_by(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let ends = (text.bytes().next(), text.bytes().next_back());
    matches!(ends, (Some(first), Some(last)) if allowed(first) && allowed(last))
}
