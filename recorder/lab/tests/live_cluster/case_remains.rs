//! Nothing is left behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flowtape_lab::leftovers;

use crate::recorded::Shared;
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[("nothing_is_left", nothing_is_left)];

/// What outlives a process: labs of this one, and what is pinned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Remains {
    labs: BTreeSet<String>,
    pinned: BTreeSet<PathBuf>,
}

impl Remains {
    pub(crate) fn now() -> Outcome<Self> {
        let own = format!("{}-", std::process::id());
        let mut pinned = BTreeSet::new();
        collect(Path::new("/sys/fs/bpf"), &mut pinned)?;
        Ok(Self {
            labs: leftovers::labs()
                .into_iter()
                .filter(|id| id.starts_with(&own))
                .collect(),
            pinned,
        })
    }
}

/// Everything below a directory of pinned objects that has our name.
fn collect(directory: &Path, found: &mut BTreeSet<PathBuf>) -> Outcome {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Ok(()); // No such file system is mounted: nothing can be pinned.
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        }
        if path.to_string_lossy().contains("flowtape") {
            found.insert(path);
        }
    }
    Ok(())
}

/// Runs last: network namespaces and control groups of every lab above are gone, and nothing was pinned.
fn nothing_is_left(shared: &Shared) -> Outcome<String> {
    let now = Remains::now()?;
    if !now.labs.is_empty() || now != shared.before {
        return Err(format!("before {:?}, now {now:?}", shared.before).into());
    }
    Ok("no namespace, control group or pinned object".to_owned())
}
