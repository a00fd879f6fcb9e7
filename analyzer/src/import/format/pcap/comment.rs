//! Comments of packets, as the command line of NetObserv writes them: one of the source, one of the destination, one of what is common, each
//! line a column of its list, `Src Name: web-1` (`writePacketData` in `cmd/packet_capture.go` of netobserv/network-observability-cli at
//! commit aefb27f; names of columns: `static-frontend-config.yaml` of netobserv/network-observability-operator at commit 18433e0).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use flowtape_schemas::address::Address;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;

use crate::import::format::json::address;
use crate::import::record::{End, Pod, Record, Who};

/// What the comments of a packet say.
#[derive(Debug, Default)]
pub(super) struct Told {
    source: Named,
    target: Named,
    /// The interfaces at which it was seen.
    point: Option<u64>,
}

/// Who an end is.
#[derive(Debug, Default)]
struct Named {
    address: Option<Address>,
    kind: String,
    pod: Pod,
    owner_kind: String,
    owner: String,
}

impl Told {
    /// By all comments of a packet.
    pub(super) fn of(options: &[EnhancedPacketOption<'_>]) -> Self {
        let mut told = Self::default();
        for option in options {
            if let EnhancedPacketOption::Comment(comment) = option {
                comment.lines().for_each(|line| told.line(line));
            }
        }
        told
    }

    fn line(&mut self, line: &str) {
        let Some((column, value)) = line.split_once(": ") else {
            return;
        };
        if column.starts_with("Interface") {
            // The hasher is keyed with constants: the same point has the same number in every run.
            let mut hasher = DefaultHasher::new();
            (self.point, column, value).hash(&mut hasher);
            self.point = Some(hasher.finish());
        } else if let Some(column) = column.strip_prefix("Src ") {
            self.source.set(column, value);
        } else if let Some(column) = column.strip_prefix("Dst ") {
            self.target.set(column, value);
        }
    }

    /// The records of the packet, with the pods of its ends. What is in a tunnel has other ends than the comments.
    pub(super) fn tell(self, records: Vec<Record>) -> Vec<Record> {
        let Self { source, target, point } = self;
        let (source_address, target_address) = (source.address, target.address);
        let (source, target) = (source.who(), target.who());
        let name = |end: &mut End, address: Option<Address>, who: &Who| {
            if end.who == Who::Untold && address.is_some() && end.address == address {
                end.who.clone_from(who);
            }
        };
        let told = |mut record: Record| {
            if let Record::Packet(packet) = &mut record {
                name(&mut packet.from, source_address, &source);
                name(&mut packet.to, target_address, &target);
                packet.point = point.unwrap_or(packet.point);
            }
            record
        };
        records.into_iter().map(told).collect()
    }
}

impl Named {
    fn set(&mut self, column: &str, value: &str) {
        let value = value.trim();
        let field = match column {
            "IP" => {
                self.address = address(value);
                return;
            }
            "Name" => &mut self.pod.name,
            "Namespace" => &mut self.pod.namespace,
            "Kind" => &mut self.kind,
            "Owner" => &mut self.owner,
            "Owner Kind" => &mut self.owner_kind,
            _ => return,
        };
        value.clone_into(field);
    }

    fn who(self) -> Who {
        let Self {
            address: _,
            kind,
            mut pod,
            owner_kind,
            owner,
        } = self;
        if kind != "Pod" || pod.name.is_empty() || pod.namespace.is_empty() {
            return Who::Untold;
        }
        let is_owned = !owner.is_empty() && !owner_kind.is_empty() && owner_kind != "Pod";
        pod.owner = is_owned.then_some((owner_kind, owner));
        Who::Pod(pod)
    }
}
