//! What formats in JSON have in common.

use std::borrow::Cow;
use std::ops::Deref;

use flowtape_schemas::address::Address;
use flowtape_schemas::import::QuarantineReason;
use flowtape_schemas::time::Time;
use serde::{Deserialize, Deserializer};

use crate::import::record::Reject;

/// One object. What the library says of an error may be a part of the content, so only its class is kept.
pub(super) fn object<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, Reject> {
    if !text.starts_with(b"{") {
        let (reason, detail) = if std::str::from_utf8(text).is_ok() {
            (QuarantineReason::OtherText, "it is no JSON object")
        } else {
            (QuarantineReason::NotText, "it is no UTF-8")
        };
        return Err(Reject { reason, detail });
    }
    // Of what is text as a whole, no part needs to be looked at again. What is none may be so where nobody reads.
    let object = match std::str::from_utf8(text) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(text),
    };
    object.map_err(|error: serde_json::Error| match error.classify() {
        serde_json::error::Category::Eof => Reject {
            reason: QuarantineReason::CutOff,
            detail: "it ends before it is complete",
        },
        serde_json::error::Category::Data => Reject::malformed("a field holds something else than it should"),
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            if std::str::from_utf8(text).is_ok() {
                Reject::malformed("it is no JSON")
            } else {
                Reject {
                    reason: QuarantineReason::NotText,
                    detail: "it is no UTF-8",
                }
            }
        }
    })
}

/// A text, which is a part of its line where nothing in it is escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A number, or a text of one: 64-bit numbers of protobuf are texts in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Number(pub(super) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => text.parse().map(Self).map_err(serde::de::Error::custom),
        }
    }
}

/// An address, as text.
pub(super) fn address(text: &str) -> Option<Address> {
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse::<std::net::IpAddr>()
        .ok()
        .map(|ip| Address::from(ip.to_canonical()))
}

/// An instant, as RFC 3339 has it.
pub(super) fn time(text: Option<&str>) -> Result<Time, Reject> {
    let text = text.ok_or(Reject::incomplete("it has no time"))?;
    text.parse().ok().ok_or(Reject::malformed("its time is none"))
}
