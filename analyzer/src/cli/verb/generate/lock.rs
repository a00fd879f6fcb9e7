//! `flowtape.lock`: which recordings, which build and which settings policies came from. It stands beside them, so that they stay
//! the same where only the recording is another.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use clap::ValueEnum;
use flowtape_schemas::manifest::sha256_hex;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use serde::Deserialize;

use crate::cli::args::generate::{Cni, DefaultDeny, Dns, Evidence, Kind, Layout, Options, Published};
use crate::cli::directory::{Files, is_below};
use crate::cli::policies;
use crate::json::Input;

/// Where it stands, below the directory of the policies.
pub(super) const FILE: &str = "flowtape.lock";

/// The files that were written, by name, with their hashes as they were written.
pub(super) type Locked = BTreeMap<String, String>;

/// What a run before this one locked in a directory; nothing where there is no lock, or none that can be read.
pub(super) fn locked(directory: &Path) -> Locked {
    #[derive(Default, Deserialize)]
    struct Lock {
        #[serde(default)]
        files: Locked,
    }
    let text = policies::text(&directory.join(FILE)).unwrap_or_default();
    let mut lock: Lock = toml::from_str(&text).unwrap_or_default();
    lock.files.retain(|name, _| is_below(name));
    lock.files
}

/// What is to be locked of files.
pub(super) fn of_files(files: &Files) -> Locked {
    files
        .par_iter()
        .map(|(name, text)| (name.clone(), hash(text)))
        .collect()
}

/// What tells a file as it was written from one that was edited.
pub(super) fn hash(text: &str) -> String {
    sha256_hex(text.as_bytes())[..16].to_owned()
}

/// The lock, in TOML.
pub(super) fn lock(options: &Options, inputs: &[Input], files: &Locked) -> String {
    let settings = settings(options);
    let tapes: Vec<&str> = inputs.iter().map(|input| input.id.as_str()).collect();
    let mut content =
        String::from("# Where the policies beside this file come from. Written by `flowtape generate`.\n");
    for (key, value) in [
        ("version", "1".to_owned()),
        ("tool", text(env!("CARGO_PKG_VERSION"))),
        ("tapes", texts(tapes)),
        ("settings-hash", text(&hash(&settings))),
    ] {
        line(&mut content, key, &value);
    }
    content.push_str("\n[files]\n");
    for (name, hash) in files {
        line(&mut content, &text(name), &text(hash));
    }
    content.push_str("\n[settings]\n");
    content.push_str(&settings);
    content
}

/// Every setting, also those that were not asked for, as `flowtape.toml` has them.
fn settings(options: &Options) -> String {
    let Options {
        namespaces,
        kind,
        cni,
        default_deny,
        published,
        dns,
        include_failed,
        min_count,
        exclude,
        widen,
        split_directions,
        evidence,
        layout,
    } = options;
    let mut content = String::new();
    for (key, value) in [
        ("namespace", texts(namespaces)),
        ("kind", word(&kind.unwrap_or(Kind::NetworkPolicy))),
        ("cni", word(&cni.unwrap_or(Cni::Generic))),
        ("default-deny", word(&default_deny.unwrap_or(DefaultDeny::Workload))),
        ("published", word(&published.unwrap_or(Published::Declared))),
        ("dns", word(&dns.unwrap_or(Dns::Auto))),
        ("include-failed", include_failed.unwrap_or(false).to_string()),
        ("min-count", min_count.unwrap_or(1).to_string()),
        ("exclude", texts(exclude)),
        ("widen", texts(widen)),
        ("split-directions", split_directions.unwrap_or(false).to_string()),
        ("evidence", word(&evidence.unwrap_or(Evidence::Comments))),
        ("layout", word(&layout.unwrap_or(Layout::Policy))),
    ] {
        line(&mut content, key, &value);
    }
    content
}

fn line(content: &mut String, key: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(content, "{key} = {value}");
}

fn word<V: ValueEnum>(value: &V) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |value| text(value.get_name()))
}

/// What JSON writes as a string is a basic string of TOML 1.0, but for DEL, which no name of a peer or namespace has.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn texts<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| text(&value.to_string())).collect();
    format!("[{}]", values.join(", "))
}
