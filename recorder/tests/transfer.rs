//! The stream between a node and whoever collects: cut anywhere, damaged anywhere, hostile on either side.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::Path;
use std::thread;

use flowtape_recorder::transfer::{ReceiveError, Received, SendError, Sent, receive, send};
use proptest::prelude::*;

/// What happens to the bytes on their way from the sender.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// The stream ends after so many bytes.
    Cut(usize),
    /// The byte there has another bit.
    Flip(usize, u8),
}

/// The sender's way out, with a fault on it.
struct Faulty {
    to: PipeWriter,
    at: usize,
    fault: Fault,
}

impl Write for Faulty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut bytes = bytes.to_vec();
        match self.fault {
            Fault::Cut(end) if self.at + bytes.len() > end => {
                bytes.truncate(end - self.at);
                self.to.write_all(&bytes)?;
                self.at = end;
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Fault::Flip(place, bit) if (self.at..self.at + bytes.len()).contains(&place) => {
                bytes[place - self.at] ^= 1 << bit;
            }
            Fault::None | Fault::Cut(_) | Fault::Flip(..) => {}
        }
        self.at += bytes.len();
        self.to.write_all(&bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// One stream from a directory to another.
fn stream(from: &Path, to: &Path, fault: Fault) -> (Result<Sent, SendError>, Result<Received, ReceiveError>) {
    let (mut there_read, there_write) = io::pipe().unwrap();
    let (mut back_read, mut back_write): (PipeReader, PipeWriter) = io::pipe().unwrap();
    thread::scope(|scope| {
        let sender = scope.spawn(move || {
            let mut faulty = Faulty {
                to: there_write,
                at: 0,
                fault,
            };
            send(from, &mut back_read, &mut faulty)
        });
        let received = receive(to, &mut there_read, &mut back_write, &mut |_, _| {});
        drop((there_read, back_write));
        (sender.join().unwrap(), received)
    })
}

/// A directory with two recordings, whose files have these sizes.
fn recordings(sizes: &[usize]) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (number, &size) in sizes.iter().enumerate() {
        let directory = home.path().join(format!("recording-{:06}/node=n1", 1 + number % 2));
        fs::create_dir_all(&directory).unwrap();
        let content: Vec<u8> = (0..size)
            .map(|at| u8::try_from((at * 31 + number * 7) % 251).unwrap())
            .collect();
        fs::write(directory.join(format!("flows-{number:06}.parquet")), content).unwrap();
    }
    fs::write(home.path().join("recording-000001/manifest.json"), "{}").unwrap();
    // What is no file of a tape stays where it is.
    fs::write(home.path().join("ended"), "complete").unwrap();
    fs::write(
        home.path().join("recording-000001/node=n1/flows-000099.parquet.tmp"),
        "half",
    )
    .unwrap();
    home
}

/// Path below a directory and content of every file.
fn content(below: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut rest = vec![below.to_owned()];
    while let Some(directory) = rest.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rest.push(path);
            } else {
                let name = path.strip_prefix(below).unwrap().display().to_string();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// What a whole transfer leaves.
fn expected(from: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = content(from);
    for stays in ["ended", "recording-000001/node=n1/flows-000099.parquet.tmp"] {
        assert!(all.remove(stays).is_some());
    }
    all
}

#[test]
fn files_of_tapes_arrive_and_nothing_else() {
    let from = recordings(&[0, 1, 70_000, 200_000]);
    let to = tempfile::tempdir().unwrap();
    let (sent, received) = stream(from.path(), to.path(), Fault::None);
    let (sent, received) = (sent.unwrap(), received.unwrap());
    assert_eq!((sent.files, sent.bytes), (5, 270_003));
    assert_eq!((received.files, received.bytes, received.fresh), (5, 270_003, 270_003));
    assert_eq!(content(to.path()), expected(from.path()));

    // A second stream finds everything there.
    let (sent, received) = stream(from.path(), to.path(), Fault::None);
    assert_eq!((sent.unwrap().bytes, received.unwrap().fresh), (0, 0));
}

#[test]
fn a_file_that_changed_between_two_streams_is_sent_anew() {
    let from = recordings(&[500_000]);
    let to = tempfile::tempdir().unwrap();
    assert!(stream(from.path(), to.path(), Fault::Cut(300_000)).1.is_err());
    let file = from.path().join("recording-000001/node=n1/flows-000000.parquet");
    fs::write(&file, vec![7; 500_000]).unwrap();
    let (_, received) = stream(from.path(), to.path(), Fault::None);
    assert!(matches!(received, Err(ReceiveError::Damaged { .. })), "{received:?}");
    assert_eq!(stream(from.path(), to.path(), Fault::None).1.unwrap().fresh, 500_000);
    assert_eq!(content(to.path()), expected(from.path()));
}

#[test]
fn what_cannot_be_read_is_told_to_the_other_side() {
    let to = tempfile::tempdir().unwrap();
    let (sent, received) = stream(Path::new("/nonexistent"), to.path(), Fault::None);
    assert!(matches!(sent, Err(SendError::Read { .. })), "{sent:?}");
    let told = received.unwrap_err();
    assert!(told.to_string().contains("/nonexistent"), "{told}");
    assert!(!told.is_worth_another_try());
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    let from = recordings(&[10]);
    let secret = tempfile::tempdir().unwrap();
    fs::write(secret.path().join("flows-000001.parquet"), "secret").unwrap();
    let recording = from.path().join("recording-000001");
    std::os::unix::fs::symlink(secret.path(), recording.join("node=n2")).unwrap();
    let file = secret.path().join("flows-000001.parquet");
    std::os::unix::fs::symlink(file, recording.join("node=n1/flows-000777.parquet")).unwrap();
    let to = tempfile::tempdir().unwrap();
    stream(from.path(), to.path(), Fault::None).1.unwrap();
    assert_eq!(content(to.path()).len(), 2);
}

/// A writer into nowhere.
struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts what is read, so that a test sees that reading ends.
struct Counting<'a>(&'a [u8], &'a Cell<usize>);

impl Read for Counting<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(bytes)?;
        self.1.set(self.1.get() + count);
        Ok(count)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_often_it_is_cut_it_ends_whole_and_repeats_little(
        sizes in prop::collection::vec(0_usize..150_000, 1..5),
        cuts in prop::collection::vec(0_usize..600_000, 0..5),
    ) {
        let from = recordings(&sizes);
        let to = tempfile::tempdir().unwrap();
        let mut fresh = 0;
        for cut in &cuts {
            let before: usize = content(to.path()).values().map(Vec::len).sum();
            if let (_, Ok(received)) = stream(from.path(), to.path(), Fault::Cut(*cut)) {
                fresh += received.fresh;
            } else {
                let after: usize = content(to.path()).values().map(Vec::len).sum();
                prop_assert!(after >= before, "what had arrived is gone");
                fresh += (after - before) as u64;
            }
        }
        let received = stream(from.path(), to.path(), Fault::None).1.unwrap();
        prop_assert_eq!(fresh + received.fresh, received.bytes, "bytes that had arrived were sent again");
        prop_assert_eq!(content(to.path()), expected(from.path()));
    }

    #[test]
    fn a_flipped_bit_never_becomes_content(place in 0_usize..160_000, bit in 0_u8..8) {
        let from = recordings(&[100_000, 50_000]);
        let to = tempfile::tempdir().unwrap();
        let (_, received) = stream(from.path(), to.path(), Fault::Flip(place, bit));
        let whole: BTreeMap<_, _> = expected(from.path());
        for (name, bytes) in content(to.path()) {
            let is_part = name.strip_suffix(".part");
            let original = &whole[is_part.unwrap_or(&name)];
            prop_assert!(original.starts_with(&bytes) && (is_part.is_some() || *original == bytes), "{name}");
        }
        if let Err(error) = received {
            prop_assert!(!error.to_string().is_empty());
        }
        stream(from.path(), to.path(), Fault::None).1.unwrap();
        prop_assert_eq!(content(to.path()), whole);
    }

    #[test]
    fn any_bytes_at_all_are_an_error_on_either_side(bytes: Vec<u8>) {
        let home = recordings(&[10]);
        let read = Cell::new(0);
        let received = receive(&home.path().join("new"), &mut Counting(&bytes, &read), &mut Nowhere, &mut |_, _| {});
        prop_assert!(received.is_err() && read.get() <= bytes.len());
        prop_assert!(send(home.path(), &mut &bytes[..], &mut Nowhere).is_err());
    }
}
