//! Archives of a capture and of what the node looked like, as Retina makes them.

use std::io::Cursor;
use std::path::Path;

use flowtape::import::{ImportError, Imported, Source, Untold, import};
use flowtape_schemas::import::QuarantineReason;
use flowtape_schemas::metadata::{Snapshot, rows};

/// Appends a file.
fn add(archive: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, name, content).unwrap();
}

fn testdata(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/import");
    std::fs::read(folder.join(name)).unwrap()
}

fn read(name: &str, content: Vec<u8>) -> Result<Imported, ImportError> {
    let cluster = rows(vec![Snapshot::parse(&testdata("pcap/cluster.json"), None).unwrap()]).unwrap();
    let source = Source {
        name: name.to_owned(),
        content: Box::new(Cursor::new(content)),
    };
    let untold = Untold {
        node: "import",
        time: None,
    };
    import(None, vec![source], cluster, untold)
}

#[test]
fn an_archive_is_the_capture_and_the_sockets_in_it() {
    let name = "retina-capture-n2-20260101000001UTC.tar.gz";
    let sockets = [b"Total: 5\nTCP: 3\n".as_slice(), &testdata("ss/sample.txt")].concat();
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "ip-resources.txt", b"1: lo: <LOOPBACK,UP> mtu 65536\n");
    add(
        &mut archive,
        "retina-capture-n2-20260101000001UTC.pcap",
        &testdata("pcap/sample.pcap"),
    );
    add(&mut archive, "proc-net/tcp", b"  sl  local_address rem_address\n");
    add(&mut archive, "socket-stats.txt", &sockets);
    let content = archive.into_inner().unwrap();
    let packed = zstd::encode_all(content.as_slice(), 3).unwrap();

    let imported = read(name, packed).unwrap();
    assert_eq!(imported.quarantine, []);
    let nodes: Vec<&str> = imported.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(nodes, ["n2"]);
    let files: Vec<&String> = imported.imports.iter().flat_map(|import| &import.files).collect();
    assert_eq!(
        files,
        [
            &format!("{name}/retina-capture-n2-20260101000001UTC.pcap"),
            &format!("{name}/socket-stats.txt")
        ]
    );
    // What else there was is counted.
    let other = "file of an archive that is no capture and no list of sockets";
    let passed_over: Vec<u64> = imported
        .imports
        .iter()
        .filter_map(|import| import.passed_over.get(other).copied())
        .collect();
    assert_eq!(passed_over, [2]);
    let predating = imported.nodes[0].flows.iter().filter(|row| row.predates_window);
    assert_eq!(predating.count(), 5);

    let flows = imported.nodes[0].flows.len();
    // A name that tells no time leaves the sockets without one; the capture is read.
    let untimed = read("capture.tar", content.clone()).unwrap();
    let told: Vec<(&str, QuarantineReason)> = set_aside(&untimed).collect();
    assert_eq!(told, [("capture.tar/socket-stats.txt", QuarantineReason::Incomplete)]);
    assert_eq!(untimed.nodes[0].flows.len(), flows - 5);
    // Cut off anywhere, what was read before is there, and it is said that there was more.
    for left in [content.len() - 1_024, content.len() - 1_025, content.len() - 3_000] {
        let cut = read(name, content[..left].to_vec()).unwrap();
        let told: Vec<(&str, QuarantineReason)> = set_aside(&cut).collect();
        assert!(told.contains(&(name, QuarantineReason::CutOff)), "{left}: {told:?}");
        assert!(cut.nodes[0].flows.len() >= flows - 5, "{left}");
    }
    let error = read(name, content[..700].to_vec()).unwrap_err();
    assert!(error.to_string().contains(name), "{error}");
    let mut logs = tar::Builder::new(Vec::new());
    add(&mut logs, "kubelet.log", b"began\n");
    let error = read("logs.tar", logs.into_inner().unwrap()).unwrap_err();
    let ImportError::Nothing { found, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(found, [format!("passed over 1: {other}")]);
}

#[test]
fn an_archive_of_too_many_files_is_read_up_to_there() {
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "capture.pcap", &testdata("pcap/sample.pcap"));
    let mut content = archive.into_inner().unwrap();
    let end_length = 1_024;
    content.truncate(content.len() - end_length);
    let mut empty = tar::Header::new_gnu();
    empty.set_path("socket-stats.txt").unwrap();
    empty.set_size(0);
    empty.set_cksum();
    content.extend(empty.as_bytes().repeat(1 << 16));
    content.resize(content.len() + end_length, 0);
    let imported = read("many-n2-20260101000001UTC.tar", content).unwrap();
    let told: Vec<(&str, QuarantineReason)> = set_aside(&imported).collect();
    assert_eq!(told, [("many-n2-20260101000001UTC.tar", QuarantineReason::TooMany)]);
    let files = imported.imports.iter().map(|import| import.files.len());
    assert_eq!(files.sum::<usize>(), 1 << 16);
}

fn set_aside(imported: &Imported) -> impl Iterator<Item = (&str, QuarantineReason)> {
    imported.quarantine.iter().map(|row| (row.file.as_str(), row.reason))
}
