//! What was asked for, in the words of the kernel part and of the manifest.

use std::collections::BTreeMap;
use std::time::Duration;

use flowtape_recorder_ebpf::abi::control::{SAMPLE_ALL, SampleLimits};
use flowtape_schemas::manifest::REDACT;

use crate::cli::{Events, RecordArgs};
use crate::kernel::config::{DATAGRAM_SAMPLES, KernelConfig};

/// What the kernel part is told.
pub(super) fn kernel_config(arguments: &RecordArgs) -> KernelConfig {
    KernelConfig {
        ring_bytes: arguments.ring_bytes,
        flow_entries: arguments.flow_entries.get(),
        quota: arguments.quota.get(),
        passive_only: arguments.passive_only,
        limits: sample_limits(arguments.events),
        ..KernelConfig::default()
    }
}

/// How many events an edge may send in an interval.
pub(super) fn sample_limits(events: Events) -> SampleLimits {
    match events {
        Events::All => SampleLimits {
            connections: SAMPLE_ALL,
            datagrams: DATAGRAM_SAMPLES,
        },
        Events::First(count) => SampleLimits {
            connections: count.get(),
            datagrams: count.get(),
        },
    }
}

/// What was asked for, as the manifest keeps it.
pub(super) fn settings(arguments: &RecordArgs) -> BTreeMap<String, String> {
    let duration = arguments
        .duration
        .map_or_else(|| "unlimited".to_owned(), |duration| format!("{duration:?}"));
    [
        ("duration", duration),
        ("interval", format!("{:?}", arguments.interval)),
        ("rotation", format!("{:?}", arguments.rotation)),
        ("events", arguments.events.to_string()),
        ("ring_bytes", arguments.ring_bytes.to_string()),
        ("flow_entries", arguments.flow_entries.to_string()),
        (REDACT, arguments.redact.to_string()),
        ("quota", arguments.quota.to_string()),
        ("snapshot_interval", snapshot_interval(arguments.snapshot_interval)),
        (
            "max_size",
            arguments
                .max_size
                .map_or_else(|| "unlimited".to_owned(), |size| size.to_string()),
        ),
        ("passive_only", arguments.passive_only.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn snapshot_interval(every: Duration) -> String {
    if every.is_zero() {
        "start and end".to_owned()
    } else {
        format!("{every:?}")
    }
}
