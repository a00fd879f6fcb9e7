//! Output directories: nothing is overwritten unasked, and nothing is written unless all of it can be.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// One file to write: `folder/name` below the output directory.
pub(super) struct OutputFile {
    /// A single path component, or nothing for the output directory itself.
    pub(super) folder: String,
    /// A single path component.
    pub(super) name: String,
    /// The whole content.
    pub(super) content: String,
}

/// Refuses a place that is no directory, and without `force` one that holds anything.
pub(super) fn check(directory: &Path, force: bool) -> Result<(), Failure> {
    let place = directory.display();
    let empty = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(Failure::of(format!("cannot write into `{place}`"), &error)),
    };
    if empty || force {
        return Ok(());
    }
    let failure = Failure::plain(format!("`{place}` is not empty, and nothing was written"));
    Err(failure.hint("choose a new directory, or replace files of the same name with `--force`"))
}

/// Writes all files beside their places first, and only then moves them there.
pub(super) fn write(directory: &Path, files: &[OutputFile], force: bool) -> Result<(), Failure> {
    check(directory, force)?;
    if let Some(file) = files
        .iter()
        .find(|file| !file.folder.is_empty() && !is_plain(&file.folder) || !is_plain(&file.name))
    {
        let name = format!("{}/{}", file.folder, file.name);
        let failure = Failure::plain(format!(
            "`{name}` cannot be the name of a file, and nothing was written"
        ));
        return Err(failure.hint("no API server allows such a name: do not trust this tape"));
    }
    let failed = |error: &io::Error| Failure::of(format!("cannot write into `{}`", directory.display()), error);
    let mut moves: Vec<(PathBuf, PathBuf)> = Vec::new();
    for file in files {
        let folder = directory.join(&file.folder);
        let (place, beside) = (folder.join(&file.name), folder.join(format!("{}.tmp", file.name)));
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&beside, &file.content));
        moves.push((beside, place));
        if let Err(error) = written {
            for (beside, _) in &moves {
                // What was not written is not there to remove.
                let _ = fs::remove_file(beside);
            }
            return Err(failed(&error));
        }
    }
    moves
        .iter()
        .try_for_each(|(beside, place)| fs::rename(beside, place))
        .map_err(|error| failed(&error))
}

/// Writes files below a directory by their relative names, in the place of those that are there: all beside their places
/// first, and only then moves them there.
pub(super) fn replace(directory: &Path, files: &BTreeMap<String, String>) -> Result<(), Failure> {
    let failed = |error: &io::Error| Failure::of(format!("cannot write into `{}`", directory.display()), error);
    let mut moves: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut written = Ok(());
    for (name, content) in files {
        let place = directory.join(name);
        let beside = directory.join(format!("{name}.tmp"));
        let folder = place.parent().unwrap_or(directory).to_owned();
        written = fs::create_dir_all(folder).and_then(|()| fs::write(&beside, content));
        moves.push((beside, place));
        if written.is_err() {
            break;
        }
    }
    if let Err(error) = written {
        for (beside, _) in &moves {
            // What was not written is not there to remove.
            let _ = fs::remove_file(beside);
        }
        return Err(failed(&error));
    }
    moves
        .iter()
        .try_for_each(|(beside, place)| fs::rename(beside, place))
        .map_err(|error| failed(&error))
}

/// The characters of Kubernetes names (RFC 1123 subdomains) and no others: a name from a hostile tape leads nowhere else.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn only_kubernetes_names_become_paths() {
        assert!(is_plain("dvwa-web.yaml"));
        for name in ["", ".", "..", ".hidden", "a/b", "../x", "A", "a\\b", "a\0", "a b", "ä"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
