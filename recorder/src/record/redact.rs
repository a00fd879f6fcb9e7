//! `--redact`: names of processes go, and addresses outside the cluster become pseudonyms, before anything else sees them.
//!
//! The key is random, of one recording, and in memory only, so that a pseudonym cannot be found by hashing all addresses.

use std::io;

use flowtape_recorder_ebpf::abi::address::Address as KernelAddress;
use flowtape_recorder_ebpf::abi::event::{Comm, Event};
use flowtape_recorder_ebpf::abi::flow::FlowKey;
use flowtape_recorder_ebpf::abi::listen::ListenKey;
use flowtape_schemas::address::Address;
use flowtape_schemas::pseudonym::{is_outside, pseudonym};
use sha2::{Digest as _, Sha256};

/// What makes the pseudonyms of one recording.
#[derive(Clone)]
pub(super) struct Redaction {
    key: [u8; 32],
}

impl Redaction {
    /// With a key that nobody else has.
    pub(super) fn new() -> io::Result<Self> {
        let mut key = [0; 32];
        // SAFETY: a live array of the stated length.
        let filled = unsafe { libc::getrandom(key.as_mut_ptr().cast(), key.len(), 0) };
        // The kernel gives up to 256 bytes at once, or none (getrandom(2)).
        if usize::try_from(filled).is_ok_and(|filled| filled == key.len()) {
            Ok(Self { key })
        } else {
            Err(io::Error::last_os_error())
        }
    }

    pub(super) fn event(&self, event: &mut Event) {
        event.comm = Comm::NONE;
        for address in [&mut event.local_ip, &mut event.remote_ip, &mut event.asked_ip] {
            self.address(address);
        }
    }

    pub(super) fn flow(&self, key: &mut FlowKey) {
        for address in [&mut key.local_ip, &mut key.remote_ip, &mut key.asked_ip] {
            self.address(address);
        }
    }

    pub(super) fn listen(&self, key: &mut ListenKey) {
        self.address(&mut key.local_ip);
    }

    fn address(&self, address: &mut KernelAddress) {
        let original = Address::from_bytes(address.bytes());
        if !is_outside(original) {
            return;
        }
        // Both parts have a fixed length, and half of the hash is shown: it can neither be split otherwise nor continued.
        let hash = Sha256::new()
            .chain_update(self.key)
            .chain_update(address.bytes())
            .finalize();
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash[..16]);
        *address = KernelAddress::from_bytes(pseudonym(original, digest).bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{KernelAddress, Redaction};
    use flowtape_recorder_ebpf::abi::event::{Comm, Event};
    use flowtape_recorder_ebpf::abi::flow::FlowKey;
    use flowtape_recorder_ebpf::abi::listen::ListenKey;
    use flowtape_schemas::address::Address;
    use flowtape_schemas::pseudonym::is_pseudonym;
    use std::net::IpAddr;

    fn address(text: &str) -> KernelAddress {
        KernelAddress::from_bytes(Address::from(text.parse::<IpAddr>().unwrap()).bytes())
    }

    #[test]
    fn one_address_has_one_pseudonym_in_every_table_and_another_in_the_next_recording() {
        let redaction = Redaction::new().unwrap();
        let (outside, inside) = (address("203.0.113.7"), address("10.0.0.1"));
        let mut event = Event {
            local_ip: inside,
            remote_ip: outside,
            asked_ip: outside,
            comm: Comm::from_bytes(*b"curl\0\0\0\0\0\0\0\0\0\0\0\0"),
            ..Event::default()
        };
        let mut flow = FlowKey {
            remote_ip: outside,
            ..FlowKey::default()
        };
        let mut listen = ListenKey {
            local_ip: outside,
            ..ListenKey::default()
        };
        redaction.event(&mut event);
        redaction.flow(&mut flow);
        redaction.listen(&mut listen);
        assert_eq!((event.local_ip, event.comm), (inside, Comm::NONE));
        assert!(is_pseudonym(Address::from_bytes(event.remote_ip.bytes())));
        assert!(
            [event.asked_ip, flow.remote_ip, listen.local_ip]
                .iter()
                .all(|ip| *ip == event.remote_ip)
        );
        assert_eq!(flow.local_ip, KernelAddress::default(), "a wildcard stays one");

        let mut other = FlowKey {
            remote_ip: outside,
            ..FlowKey::default()
        };
        Redaction::new().unwrap().flow(&mut other);
        assert_ne!(other.remote_ip, flow.remote_ip);
    }
}
