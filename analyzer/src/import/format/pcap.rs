//! Packet captures: pcap and pcapng. The layers of a packet are read in [`layer`], answers of DNS in [`dns`], and in
//! [`mod@comment`] whom comments name.

mod comment;
mod dns;
mod layer;

use std::io::BufRead;
use std::time::Duration;

use flowtape_schemas::import::QuarantineReason;
use flowtape_schemas::time::Time;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, PcapError, TsResolution};

use self::comment::Told;
use self::layer::Frame;
use super::{Each, Format, Kind, Limit};
use crate::import::record::Reject;

pub(super) const FORMAT: Format = Format {
    name: "pcap",
    page: include_str!("pcap.md"),
    clock: "the clock of the machine that captured, as the file has it",
    limits: &[
        Limit::Detail("a capture shows packets and no sockets: whose they were follows from their addresses"),
        Limit::Detail(
            "datagrams that one interface shows before and after their addresses were translated count twice",
        ),
    ],
    kind: Kind::Packets(read),
    claims: |start| MAGIC.iter().any(|magic| start.starts_with(magic)),
};

/// How files begin: pcap in microseconds and nanoseconds, in both orders of bytes, and pcapng
/// (draft-ietf-opsawg-pcap-05, draft-ietf-opsawg-pcapng-03).
const MAGIC: [&[u8]; 5] = [
    &[0xa1, 0xb2, 0xc3, 0xd4],
    &[0xd4, 0xc3, 0xb2, 0xa1],
    &[0xa1, 0xb2, 0x3c, 0x4d],
    &[0x4d, 0x3c, 0xb2, 0xa1],
    &[0x0a, 0x0d, 0x0d, 0x0a],
];

const NANOS_PER_SECOND: u128 = 1_000_000_000;

fn read(content: &mut (dyn BufRead + Send), each: &mut Each<'_>) {
    let start = match content.fill_buf() {
        Ok(start) => start.to_vec(),
        Err(error) => return each(1, Err(crate::import::read::stop(&error))),
    };
    if start.starts_with(MAGIC[4]) {
        blocks(content, each);
    } else if MAGIC.iter().any(|magic| start.starts_with(magic)) {
        packets(content, each);
    } else {
        each(1, Err(Reject::unknown("it does not begin as a capture does")));
    }
}

/// A file of pcap. Its packets are taken raw: the library refuses those that were cut at the snap length.
fn packets(content: &mut (dyn BufRead + Send), each: &mut Each<'_>) {
    let mut reader = match PcapReader::new(content) {
        Ok(reader) => reader,
        Err(error) => return each(1, Err(stop(&error))),
    };
    let header = reader.header();
    let unit = match header.ts_resolution {
        TsResolution::MicroSecond => 1_000,
        TsResolution::NanoSecond => 1,
    };
    let mut number = 0;
    while let Some(packet) = reader.next_raw_packet() {
        number += 1;
        let packet = match packet {
            Ok(packet) => packet,
            Err(error) => return each(number, Err(stop(&error))),
        };
        let nanos = i64::from(packet.ts_sec) * 1_000_000_000 + i64::from(packet.ts_frac) * unit;
        let frame = Frame {
            time: Time(nanos),
            interface: 0,
            link: header.datalink,
            data: &packet.data,
        };
        each(number, frame.records());
    }
}

/// An interface of a pcapng file.
struct Interface {
    link: DataLink,
    /// How many units of its times a second has.
    units: u128,
    /// Seconds to add to its times.
    offset: i64,
}

impl Interface {
    fn new(block: &InterfaceDescriptionBlock<'_>) -> Self {
        let mut interface = Self {
            link: block.linktype,
            units: 1_000_000,
            offset: 0,
        };
        for option in &block.options {
            if let InterfaceDescriptionOption::IfTsResol(resolution) = option {
                // The highest bit says whether the exponent is of 2 or of 10.
                let exponent = u32::from(resolution & 0x7f);
                let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
                interface.units = base.checked_pow(exponent).unwrap_or(u128::MAX);
            } else if let InterfaceDescriptionOption::IfTsOffset(offset) = option {
                interface.offset = i64::try_from(*offset).unwrap_or(0);
            }
        }
        interface
    }

    /// The library hands out the number of units as if they were nanoseconds.
    fn time(&self, units: Duration) -> Option<Time> {
        let nanos = units.as_nanos().checked_mul(NANOS_PER_SECOND)? / self.units;
        let nanos = i64::try_from(nanos).ok()?;
        Some(Time(nanos.checked_add(self.offset.checked_mul(1_000_000_000)?)?))
    }
}

fn blocks(content: &mut (dyn BufRead + Send), each: &mut Each<'_>) {
    let mut reader = match PcapNgReader::new(content) {
        Ok(reader) => reader,
        Err(error) => return each(1, Err(stop(&error))),
    };
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut number = 0;
    while let Some(block) = reader.next_block() {
        let block = match block {
            Ok(block) => block,
            Err(error) => return each(number + 1, Err(stop(&error))),
        };
        let mut told = Told::default();
        let (interface, units, data) = match &block {
            Block::SectionHeader(_) => {
                interfaces.clear();
                continue;
            }
            Block::InterfaceDescription(block) => {
                interfaces.push(Interface::new(block));
                continue;
            }
            Block::EnhancedPacket(packet) => {
                told = Told::of(&packet.options);
                (packet.interface_id, Some(packet.timestamp), &packet.data)
            }
            Block::Packet(packet) => {
                let units = Duration::from_nanos(packet.timestamp);
                (u32::from(packet.interface_id), Some(units), &packet.data)
            }
            Block::SimplePacket(packet) => (0, None, &packet.data),
            Block::NameResolution(_)
            | Block::InterfaceStatistics(_)
            | Block::SystemdJournalExport(_)
            | Block::Unknown(_) => {
                continue;
            }
        };
        number += 1;
        let known = usize::try_from(interface).ok().and_then(|place| interfaces.get(place));
        let records = match (known, units) {
            (None, _) => Err(Reject::malformed(
                "it is of an interface that the file does not describe",
            )),
            (Some(_), None) => Err(Reject::incomplete("it has no time")),
            (Some(described), Some(units)) => match described.time(units) {
                None => Err(Reject::malformed("its time is none")),
                Some(time) => Frame {
                    time,
                    interface,
                    link: described.link,
                    data,
                }
                .records(),
            },
        };
        each(number, records.map(|records| told.tell(records)));
    }
}

/// Why a file could be read no further. What follows damage cannot be found again.
fn stop(error: &PcapError) -> Reject {
    match error {
        PcapError::IoError(error) => crate::import::read::stop(error),
        PcapError::IncompleteBuffer => Reject {
            reason: QuarantineReason::CutOff,
            detail: "it ends before it is complete",
        },
        PcapError::InvalidField(_)
        | PcapError::Utf8Error(_)
        | PcapError::FromUtf8Error(_)
        | PcapError::InvalidInterfaceId(_) => {
            Reject::malformed("a header says what no capture can, and what follows was not read")
        }
    }
}
