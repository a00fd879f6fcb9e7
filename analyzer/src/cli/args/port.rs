//! One port of one protocol, as it is typed.

use std::str::FromStr;

use crate::policy::ports::Protocol;

/// A port and its protocol, as in `53/UDP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// From 1.
    pub number: u16,
    /// TCP where nothing else is said.
    pub protocol: Protocol,
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
        let number = number.parse().ok().filter(|number| *number > 0);
        let protocol = Protocol::from_name(&protocol.to_uppercase());
        number
            .zip(protocol)
            .map(|(number, protocol)| Self { number, protocol })
            .ok_or_else(|| "expected a port such as `443` or `53/UDP`; protocols are TCP, UDP and SCTP".to_owned())
    }
}
