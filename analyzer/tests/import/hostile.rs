//! Files that nobody wrote for us: any bytes, samples with damage, and what is packed to do harm.

use std::io::Write as _;

use flowtape::import::format::{ALL, Format};
use flowtape::import::{ImportError, Imported, Source, import};
use flowtape_schemas::import::QuarantineReason;
use flowtape_schemas::metadata::ClusterRows;
use proptest::prelude::*;

use crate::samples::{sample, untold};

fn read(format: Option<&'static Format>, content: &[u8]) -> Result<Imported, ImportError> {
    let source = Source {
        name: "file".to_owned(),
        content: Box::new(std::io::Cursor::new(content.to_vec())),
    };
    import(format, vec![source], ClusterRows::default(), untold("import"))
}

/// Every record was used, passed over or set aside.
fn adds_up(imported: &Imported) {
    for recording in &imported.imports {
        let passed_over: u64 = recording.passed_over.values().sum();
        assert!(
            passed_over + recording.quarantined <= recording.records,
            "{recording:?}"
        );
    }
    let told: u64 = imported.imports.iter().map(|recording| recording.quarantined).sum();
    let rows: u64 = imported.quarantine.iter().map(|row| row.count).sum();
    assert_eq!(told, rows);
}

/// Operations of all rows, as each side saw them.
fn operations(imported: &Imported) -> u64 {
    let rows = imported.nodes.iter().flat_map(|node| &node.flows);
    rows.map(|row| row.count).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn no_bytes_make_any_format_panic(content in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for format in ALL {
            if let Ok(imported) = read(Some(format), &content) {
                adds_up(&imported);
            }
        }
        let _ = read(None, &content);
    }

    #[test]
    fn damage_of_a_sample_costs_no_more_than_what_it_hits(
        which in 0..ALL.len(),
        hits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let format = &ALL[which];
        let mut content = sample(format);
        for (place, byte) in hits {
            let place = place.index(content.len());
            content[place] = byte;
        }
        if let Ok(imported) = read(Some(format), &content) {
            adds_up(&imported);
        }
    }

    #[test]
    fn a_sample_that_ends_anywhere_is_read_up_to_there(which in 0..ALL.len(), end in any::<proptest::sample::Index>()) {
        let format = &ALL[which];
        let content = sample(format);
        let whole = read(Some(format), &content).unwrap();
        if let Ok(part) = read(Some(format), &content[..end.index(content.len())]) {
            adds_up(&part);
            prop_assert!(part.nodes.len() <= whole.nodes.len());
        }
    }
}

#[test]
fn a_line_without_end_is_set_aside_and_the_rest_is_read() {
    let format = flowtape::import::format::named("kubearmor").unwrap();
    let good = sample(format);
    let mut content = good.clone();
    content.extend(vec![b'x'; 5 << 20]);
    content.push(b'\n');
    content.extend(&good);
    let imported = read(Some(format), &content).unwrap();
    let long: Vec<u64> = imported
        .quarantine
        .iter()
        .filter(|row| row.reason == QuarantineReason::TooLong)
        .map(|row| row.count)
        .collect();
    assert_eq!(long, [1]);
    assert!(operations(&imported) >= operations(&read(Some(format), &good).unwrap()));
}

#[test]
fn other_encodings_between_the_lines_are_set_aside() {
    let format = flowtape::import::format::named("hubble").unwrap();
    let good = sample(format);
    let utf16: Vec<u8> = "{\"flow\":{}}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let content = [b"\xff\xfe".as_slice(), &utf16, b"\n", &good].concat();
    let imported = read(Some(format), &content).unwrap();
    let told: Vec<QuarantineReason> = imported.quarantine.iter().map(|row| row.reason).collect();
    assert!(told.contains(&QuarantineReason::NotText), "{told:?}");
    assert_eq!(operations(&imported), operations(&read(Some(format), &good).unwrap()));
}

#[test]
fn packed_files_are_the_same_and_bombs_end() {
    let format = flowtape::import::format::named("hubble").unwrap();
    let good = sample(format);
    let plain = read(None, &good).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&good).unwrap();
    let zstd = zstd::encode_all(good.as_slice(), 3).unwrap();
    for packed in [gzip.finish().unwrap(), zstd] {
        assert_eq!(read(None, &packed).unwrap().nodes, plain.nodes);
    }
    // 300 megabytes of blanks in some kilobytes, behind what is usable.
    let mut bomb = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    bomb.write_all(&good).unwrap();
    let blanks = vec![b'\n'; 1 << 20];
    for _ in 0..300 {
        bomb.write_all(&blanks).unwrap();
    }
    let imported = read(Some(format), &bomb.finish().unwrap()).unwrap();
    assert_eq!(imported.nodes, plain.nodes);
    let reasons: Vec<QuarantineReason> = imported.quarantine.iter().map(|row| row.reason).collect();
    assert!(reasons.contains(&QuarantineReason::Expands), "{reasons:?}");
}

#[test]
fn a_table_of_very_many_lines_ends() {
    let format = flowtape::import::format::named("ss").unwrap();
    // Two megabytes of text, of which each line costs as much as a long one.
    let content = [sample(format), b"x\n".repeat(1_100_000)].concat();
    let imported = read(Some(format), &content).unwrap();
    let too_many = imported
        .quarantine
        .iter()
        .filter(|row| row.reason == QuarantineReason::TooMany);
    assert!(too_many.map(|row| row.count).sum::<u64>() > 50_000);
    adds_up(&imported);
}

#[test]
fn a_packed_file_that_was_cut_off_is_read_up_to_there() {
    let format = flowtape::import::format::named("kubearmor").unwrap();
    let good = sample(format).repeat(40);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(&good).unwrap();
    let mut packed = gzip.finish().unwrap();
    packed.truncate(packed.len() * 3 / 4);
    let imported = read(Some(format), &packed).unwrap();
    assert!(
        imported
            .quarantine
            .iter()
            .any(|row| row.reason == QuarantineReason::CutOff)
    );
}

#[test]
fn an_empty_file_among_others_is_no_error_and_alone_is_called_empty() {
    let format = flowtape::import::format::named("hubble").unwrap();
    let source = |name: &str, content: Vec<u8>| Source {
        name: name.to_owned(),
        content: Box::new(std::io::Cursor::new(content)),
    };
    let rotated = vec![source("a.log", Vec::new()), source("b.log", sample(format))];
    let imported = import(None, rotated, ClusterRows::default(), untold("import")).unwrap();
    assert_eq!(imported.nodes, read(None, &sample(format)).unwrap().nodes);
    let ImportError::Nothing { found, .. } = read(None, b"").unwrap_err() else {
        panic!("an empty file has a format");
    };
    assert_eq!(found, ["`file` is empty"]);
}
