//! Files of a tape: the first byte chooses which one is damaged, the rest is what stands in it.

#![no_main]

use std::{env, fs, io, panic, process};

use flowtape::findings::Findings;
use flowtape::tape;
use libfuzzer_sys::fuzz_target;

/// Those that a file of other content may replace.
const FILES: [&str; 6] = [
    "manifest.json",
    "node=n1/flows-000001.parquet",
    "node=n1/listens-000001.parquet",
    "node=n1/names-000001.parquet",
    "cluster/pods.parquet",
    "cluster/services.parquet",
];

fuzz_target!(
    init: {
        // The library of Parquet panics at some damage, which is caught and becomes an error; libFuzzer's hook would end the
        // process before that. A panic that nothing catches still does.
        panic::set_hook(Box::new(|_| {}));
    },
    |bytes: &[u8]| {
        if let Some((choice, content)) = bytes.split_first()
            && let Some(name) = FILES.get(usize::from(*choice) % FILES.len())
        {
            read(name, content).expect("a temporary directory that can be written");
        }
    }
);

fn read(name: &str, content: &[u8]) -> io::Result<()> {
    let directory = env::temp_dir().join(format!("flowtape-fuzz-{}", process::id()));
    let file = directory.join(name);
    fs::create_dir_all(file.parent().unwrap_or(&directory))?;
    fs::write(&file, content)?;
    // An error is as good as a tape.
    let _ = tape::open(std::slice::from_ref(&directory), &mut Findings::default());
    fs::remove_file(file)
}
