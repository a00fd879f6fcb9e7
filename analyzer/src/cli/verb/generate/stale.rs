//! Files of an earlier run whose policies are gone.

use std::fs;
use std::path::Path;

use super::lock::{hash, locked};
use crate::cli::directory::Files;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::policies;
use crate::escape::escaped;

/// Files that an earlier run wrote and this one does not.
pub(super) struct Stale {
    /// As they were written.
    unchanged: Vec<String>,
    /// Edited since.
    edited: Vec<String>,
}

impl Stale {
    /// Those in a directory, by its lock, which names no others.
    pub(super) fn of(directory: &Path, files: &Files) -> Self {
        let mut stale = Self {
            unchanged: Vec::new(),
            edited: Vec::new(),
        };
        for (name, written) in locked(directory) {
            let path = directory.join(&name);
            if files.contains_key(&name) || !path.is_file() {
                continue;
            }
            let same = policies::text(&path).is_ok_and(|text| hash(&text) == written);
            let list = if same { &mut stale.unchanged } else { &mut stale.edited };
            list.push(name);
        }
        stale
    }

    /// Removes those that nobody edited, and says what became of each.
    pub(super) fn remove(self, directory: &Path) -> Result<(), Failure> {
        let Self { unchanged, edited } = self;
        for name in unchanged {
            let path = directory.join(&name);
            fs::remove_file(&path)
                .map_err(|error| Failure::of(format!("cannot remove `{}`", path.display()), &error))?;
            // A folder that holds anything else stays.
            let _ = path.parent().filter(|folder| *folder != directory).map(fs::remove_dir);
            output::say(&escaped(&format!("removed `{name}`: no policy is in it any more")));
        }
        for name in edited {
            let told = format!(
                "warning: no policy of this run is in `{name}`, which was edited since it was generated, so it stays; \
                 remove it if it is not needed"
            );
            output::say(&escaped(&told));
        }
        Ok(())
    }
}
