//! Where a tape may be written: into a new or an empty directory, or in place of an older tape if the user insists.
//!
//! Nothing but files of a tape is ever removed, and nothing is touched before the work that could fail has been done:
//! [`Target::check`] only looks, [`Target::prepare`] acts.

use std::fs::{self, File, FileType, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use flowtape_schemas::manifest::MANIFEST_FILE;

use super::file::TEMPORARY;
use super::name::is_table_file;
use super::reserve::RESERVE_FILE;
use super::{CLUSTER_DIRECTORY, TapeError, sync_directory};

/// Why a directory cannot take a tape.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It has content, and nobody said that it may go.
    #[error("`{}` is not empty; name another directory, or replace the tape in it with `--force`", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// It holds something that no tape holds, which `--force` does not remove.
    #[error("`{}` holds `{foreign}`, which is no part of a tape; `--force` replaces tapes only, so name another directory", path.display())]
    NoTape {
        /// The directory.
        path: PathBuf,
        /// Path below it.
        foreign: String,
    },
    /// It is a file.
    #[error("`{}` is not a directory; a tape is one, so name another path", path.display())]
    NotDirectory {
        /// The path.
        path: PathBuf,
    },
    /// Another recorder writes to it.
    #[error("another recorder is writing to `{}`; name another directory", path.display())]
    Held {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be looked at.
    #[error("cannot look into `{}`", path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A directory that no other recorder writes to while this lives.
#[derive(Debug)]
pub struct Hold {
    /// The lock belongs to the open directory and ends with it (`flock(2)`), also when the process is killed.
    _directory: File,
}

/// A directory that may take a tape.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    /// Files of an older tape, the manifest first: without it a tape is incomplete.
    old_files: Vec<PathBuf>,
    old_directories: Vec<PathBuf>,
}

impl Target {
    /// Looks whether a tape may be written to `path`; changes nothing.
    pub fn check(path: &Path, force: bool) -> Result<Self, DirectoryError> {
        let mut target = Self {
            path: path.to_owned(),
            old_files: Vec::new(),
            old_directories: Vec::new(),
        };
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(target),
            Err(source) => return Err(unreadable(path)(source)),
            Ok(metadata) if !metadata.is_dir() => {
                return Err(DirectoryError::NotDirectory { path: path.to_owned() });
            }
            Ok(_) => {}
        }
        let entries = list(path)?;
        if !entries.is_empty() && !force {
            return Err(DirectoryError::NotEmpty { path: path.to_owned() });
        }
        for (name, kind) in entries {
            target.add_old(name, kind)?;
        }
        target.old_files.sort_by_key(|file| !file.ends_with(MANIFEST_FILE));
        Ok(target)
    }

    /// Where the tape will stand.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory and holds it until the result is dropped, so that two recordings do not mix.
    pub fn hold(&self) -> Result<Hold, DirectoryError> {
        let unreadable = |source| DirectoryError::Unreadable {
            path: self.path.clone(),
            source,
        };
        fs::create_dir_all(&self.path).map_err(unreadable)?;
        let directory = File::open(&self.path).map_err(unreadable)?;
        match directory.try_lock() {
            // A file system that knows no locks cannot tell.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Hold { _directory: directory }),
            Err(TryLockError::WouldBlock) => Err(DirectoryError::Held {
                path: self.path.clone(),
            }),
        }
    }

    /// Removes the older tape and makes `subdirectory` in an otherwise empty directory.
    pub fn prepare(self, subdirectory: &str) -> Result<PathBuf, TapeError> {
        for file in &self.old_files {
            fs::remove_file(file).map_err(TapeError::io("remove", file))?;
        }
        for directory in &self.old_directories {
            fs::remove_dir(directory).map_err(TapeError::io("remove", directory))?;
        }
        let tables = self.path.join(subdirectory);
        fs::create_dir_all(&tables).map_err(TapeError::io("create directory", &tables))?;
        sync_directory(&self.path)?;
        Ok(self.path)
    }

    fn add_old(&mut self, name: String, kind: FileType) -> Result<(), DirectoryError> {
        let path = self.path.join(&name);
        let foreign = |foreign: String| DirectoryError::NoTape {
            path: self.path.clone(),
            foreign,
        };
        if kind.is_file() && name.strip_suffix(TEMPORARY).unwrap_or(&name) == MANIFEST_FILE {
            self.old_files.push(path);
            return Ok(());
        }
        if !kind.is_dir() || !(name == CLUSTER_DIRECTORY || name.starts_with("node=")) {
            return Err(foreign(name));
        }
        for (file, kind) in list(&path)? {
            let is_table = is_table_file(file.strip_suffix(TEMPORARY).unwrap_or(&file));
            if !kind.is_file() || !(is_table || file == RESERVE_FILE) {
                return Err(foreign(format!("{name}/{file}")));
            }
            self.old_files.push(path.join(file));
        }
        self.old_directories.push(path);
        Ok(())
    }
}

/// Names and kinds of what a directory holds; links are not followed.
fn list(path: &Path) -> Result<Vec<(String, FileType)>, DirectoryError> {
    let entries = fs::read_dir(path).map_err(unreadable(path))?;
    let entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok((entry.file_name().to_string_lossy().into_owned(), entry.file_type()?))
    };
    let mut listed: Vec<_> = entries
        .map(entry)
        .collect::<io::Result<_>>()
        .map_err(unreadable(path))?;
    listed.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(listed)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    |source| DirectoryError::Unreadable { path, source }
}

#[cfg(test)]
mod tests {
    use super::{DirectoryError, Target};
    use std::fs;

    #[test]
    fn only_a_whole_tape_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let tape = home.path().join("tape");
        fs::create_dir_all(tape.join("node=n1")).unwrap();
        fs::write(tape.join("manifest.json"), "{}").unwrap();
        fs::write(tape.join("node=n1/flows-000001.parquet"), "").unwrap();
        assert!(matches!(
            Target::check(&tape, false),
            Err(DirectoryError::NotEmpty { .. })
        ));

        let foreign = tape.join("node=n1/notes.txt");
        fs::write(&foreign, "mine").unwrap();
        let error = Target::check(&tape, true).unwrap_err();
        assert!(error.to_string().contains("node=n1/notes.txt"), "{error}");
        fs::remove_file(&foreign).unwrap();

        Target::check(&tape, true).unwrap().prepare("cluster").unwrap();
        let left: Vec<_> = fs::read_dir(&tape)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["cluster"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_is_held_by_one_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let tape = home.path().join("new/tape");
        let (first, second) = (
            Target::check(&tape, false).unwrap(),
            Target::check(&tape, true).unwrap(),
        );
        let hold = first.hold().unwrap();
        assert!(matches!(second.hold(), Err(DirectoryError::Held { .. })));
        drop(hold);
        second.hold().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_part_of_a_tape() {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", home.path().join("cluster")).unwrap();
        assert!(matches!(
            Target::check(home.path(), true),
            Err(DirectoryError::NoTape { .. })
        ));
    }
}
