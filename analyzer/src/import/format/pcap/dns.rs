//! Answers of DNS (RFC 1035, RFC 3596): which addresses a name led to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flowtape_schemas::address::Address;
use flowtape_schemas::time::Time;

use crate::import::record::Name;

/// Where servers answer from; what an answer says is believed only if it reads as one.
pub(super) const PORT: u16 = 53;

/// Pointers of one name that are followed; a message that points in circles has more.
const POINTERS: usize = 16;

/// Answers of one message that are read.
const ANSWERS: u16 = 64;

/// An address of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    name: String,
    address: Address,
    ttl_seconds: u32,
}

impl Answer {
    /// As it was told to a client.
    pub(super) fn told(self, time: Time, client: Address) -> Name {
        let Self {
            name,
            address,
            ttl_seconds,
        } = self;
        Name {
            time,
            node: None,
            name,
            address,
            client: Some(client),
            ttl_seconds: Some(ttl_seconds),
            answered: true,
        }
    }
}

/// The addresses that a message gives for the name that it was asked for, also by way of aliases; as many as can be read.
pub(super) fn answers(message: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    // What a cut message still says holds.
    let _ = read(message, &mut answers);
    answers
}

fn read(message: &[u8], answers: &mut Vec<Answer>) -> Option<()> {
    let flags = word(message, 2)?;
    // A response without an error, about one question.
    if flags & 0x8000 == 0 || flags & 0xf != 0 || word(message, 4)? != 1 {
        return None;
    }
    let (asked, mut place) = name(message, 12)?;
    place += 4;
    for _ in 0..word(message, 6)?.min(ANSWERS) {
        let (_, after) = name(message, place)?;
        let (kind, class) = (word(message, after)?, word(message, after + 2)?);
        let ttl_seconds = u32::from(word(message, after + 4)?) << 16 | u32::from(word(message, after + 6)?);
        let length = usize::from(word(message, after + 8)?);
        let data = message.get(after + 10..after + 10 + length)?;
        let address: Option<IpAddr> = match (class, kind) {
            (1, 1) => <[u8; 4]>::try_from(data).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
            (1, 28) => <[u8; 16]>::try_from(data)
                .ok()
                .map(|bytes| Ipv6Addr::from(bytes).into()),
            _ => None,
        };
        answers.extend(address.map(|address| Answer {
            name: asked.clone(),
            address: Address::from(address),
            ttl_seconds,
        }));
        place = after + 10 + length;
    }
    Some(())
}

/// A name, and where what follows it begins.
fn name(message: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut place, mut after, mut pointers) = (start, None, 0);
    let mut labels: Vec<&str> = Vec::new();
    loop {
        let length = usize::from(*message.get(place)?);
        match length >> 6 {
            0 if length == 0 => return Some((labels.join("."), after.unwrap_or(place + 1))),
            0 => {
                labels.push(std::str::from_utf8(message.get(place + 1..place + 1 + length)?).ok()?);
                place += 1 + length;
            }
            3 => {
                after = after.or(Some(place + 2));
                place = usize::from(word(message, place)? & 0x3fff);
                pointers += 1;
                if pointers > POINTERS {
                    return None;
                }
            }
            _ => return None,
        }
        if labels.len() > 127 {
            return None;
        }
    }
}

fn word(message: &[u8], place: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(place)?, *message.get(place + 1)?]))
}

#[cfg(test)]
mod tests {
    use super::answers;

    #[test]
    fn an_alias_leads_to_the_address_of_the_name_that_was_asked() {
        let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
        message.extend(b"\x02s3\x07example\x03com\0\0\x01\0\x01");
        // An alias of it, then the address of the alias.
        message.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01a\xc0\x0f");
        message.extend(b"\x01a\xc0\x0f\0\x01\0\x01\0\0\0\x3c\0\x04\xc6\x33\x64\x07");
        let found = answers(&message);
        let found: Vec<_> = found
            .iter()
            .map(|answer| (answer.name.as_str(), answer.address.to_string()))
            .collect();
        assert_eq!(found, [("s3.example.com", "198.51.100.7".to_owned())]);
        // A question, an error and a message that points to itself say nothing.
        message[2] = 0x01;
        assert!(answers(&message).is_empty());
        let mut circle = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        circle.extend(b"\xc0\x0c\0\x01\0\x01");
        assert!(answers(&circle).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(message in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = answers(&message);
            let mut real = vec![0, 7, 0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, 0];
            real.extend(message);
            let _ = answers(&real);
        }
    }
}
