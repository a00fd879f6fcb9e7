//! Rows to Parquet bytes and back; damage is an error, never a panic.

use std::net::IpAddr;

use bytes::Bytes;
use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::Bound;
use flowtape_schemas::manifest::FileEntry;
use flowtape_schemas::node::{CgroupRow, Direction, FlowRow, Hook, Outcome};
use flowtape_schemas::parquet::{FileError, TableFile, decode_file, encode_file};
use flowtape_schemas::time::Time;
use flowtape_schemas::validate::{Problem, check_file};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

fn flow_row() -> impl Strategy<Value = FlowRow> {
    let address = prop::option::of(any::<[u8; 16]>().prop_map(Address::from_bytes));
    let outcome = prop_oneof![
        Just(Outcome::Established),
        Just(Outcome::Refused),
        Just(Outcome::Unknown)
    ];
    let direction = prop_oneof![Just(Direction::In), Just(Direction::Out)];
    let keys = (
        direction,
        any::<u8>(),
        address.clone(),
        address,
        any::<Option<u16>>(),
        outcome,
    );
    (
        keys,
        any::<Option<u64>>(),
        any::<Option<u32>>(),
        any::<[u64; 2]>(),
        any::<[i64; 4]>(),
        any::<bool>(),
    )
        .prop_map(
            |(
                (direction, protocol, local_ip, remote_ip, service_port, outcome),
                cgroup_id,
                netns,
                counts,
                times,
                predates,
            )| {
                FlowRow {
                    interval_start: Time(times[0].min(times[1])),
                    interval_end: Time(times[0].max(times[1])),
                    direction,
                    protocol,
                    local_ip,
                    remote_ip,
                    remote_folded: remote_ip.is_none(),
                    service_port,
                    asked_ip: remote_ip,
                    asked_port: service_port.filter(|_| remote_ip.is_some()),
                    outcome,
                    cgroup_id,
                    netns,
                    count: counts[0],
                    samples: counts[1],
                    first_seen: Time(times[2].min(times[3])),
                    last_seen: Time(times[2].max(times[3])),
                    predates_window: predates,
                    hook: Hook::SetState,
                }
            },
        )
}

proptest! {
    #[test]
    fn rows_come_back_as_they_went(rows in prop::collection::vec(flow_row(), 0..50)) {
        let bytes = Bytes::from(encode_file(&rows).unwrap());
        prop_assert_eq!(decode_file::<FlowRow>(bytes.clone()).unwrap(), rows);
        prop_assert_eq!(check_file("flows", &bytes, None).len(), 0);
    }

    #[test]
    fn the_same_rows_are_the_same_bytes(rows in prop::collection::vec(flow_row(), 0..50)) {
        prop_assert_eq!(encode_file(&rows).unwrap(), encode_file(&rows).unwrap());
    }

    #[test]
    fn damage_is_an_error_or_harmless_but_never_a_panic(
        rows in prop::collection::vec(flow_row(), 1..20), place in any::<prop::sample::Index>(), bit in 0..8u32,
    ) {
        let mut bytes = encode_file(&rows).unwrap();
        let entry = FileEntry::describe("node=n/flows-000001.parquet".to_owned(), "flows", rows.len() as u64, &bytes);
        let index = place.index(bytes.len());
        bytes[index] ^= 1 << bit;
        let bytes = Bytes::from(bytes);
        let _ = decode_file::<FlowRow>(bytes.clone());
        // With its manifest, any damage at all is noticed.
        let problems = check_file("flows", &bytes, Some(&entry));
        assert!(problems.iter().any(|problem| matches!(problem, Problem::Hash { .. })));
    }

    #[test]
    fn a_truncated_file_is_an_error(rows in prop::collection::vec(flow_row(), 1..20), keep in any::<prop::sample::Index>()) {
        let bytes = encode_file(&rows).unwrap();
        let kept = Bytes::copy_from_slice(&bytes[..keep.index(bytes.len())]);
        assert!(decode_file::<FlowRow>(kept).is_err());
    }

    #[test]
    fn any_bytes_at_all_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        assert!(decode_file::<FlowRow>(Bytes::from(bytes)).is_err());
    }
}

#[test]
fn a_misplaced_table_is_named_even_when_it_is_empty() {
    let bytes = Bytes::from(encode_file::<FlowRow>(&[]).unwrap());
    let problems = check_file("events", &bytes, None);
    assert!(
        matches!(problems[0], Problem::File(FileError::OtherTable { .. })),
        "{problems:?}"
    );
    let problems = check_file("nonsense", &bytes, None);
    assert!(matches!(problems[0], Problem::UnknownTable { .. }), "{problems:?}");
}

#[test]
fn addresses_of_both_families_are_canonical() {
    for text in ["10.0.0.1", "fd00::1"] {
        let ip: IpAddr = text.parse().unwrap();
        assert_eq!(Address::from(ip).to_string(), text);
    }
}

#[test]
fn no_parquet_is_said_in_a_sentence() {
    let error = decode_file::<FlowRow>(Bytes::from_static(b"hello")).unwrap_err();
    assert!(matches!(error, FileError::Parquet(_)), "{error}");
    assert!(error.to_string().contains("not a readable Parquet file"));
}

#[test]
fn what_a_file_expands_to_is_known_before_it_is_decoded() {
    let row = |text: String| CgroupRow {
        cgroup_id: 1,
        path: text,
        pod_uid: None,
        static_pod_hash: None,
        container_id: None,
        runtime: None,
        qos: None,
        valid_from: None,
        from_bound: Bound::Assumed,
        valid_to: None,
        to_bound: Bound::Assumed,
    };
    let same = vec![row("x".repeat(10_000)); 1000];
    let different: Vec<CgroupRow> = (0..1000).map(|number| row(format!("{number:010000}"))).collect();
    for rows in [same, different] {
        let file = TableFile::open(Bytes::from(encode_file(&rows).unwrap())).unwrap();
        let bytes = file.group_bytes::<CgroupRow>(0, u64::MAX).unwrap();
        let least = 1000 * (10_000 + size_of::<CgroupRow>() as u64);
        assert!((least..2 * least).contains(&bytes), "{bytes} is not about {least}");
        assert!(file.group_bytes::<CgroupRow>(0, 100_000).unwrap() > 100_000);
    }
}
