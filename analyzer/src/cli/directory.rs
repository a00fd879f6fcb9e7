//! Output directories: nothing is overwritten unasked, and nothing is written unless all of it can be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::failure::Failure;

/// Files by their names relative to a directory, with `/` between folder and file.
pub(super) type Files = BTreeMap<String, String>;

/// What is written into one file.
pub(super) enum Content<'a> {
    /// A text.
    Text(&'a str),
    /// More than need be in memory at once, as this writes it.
    Made(Box<Making<'a>>),
}

/// Writes a file as it is made.
pub(super) type Making<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + Sync + 'a;

/// What is written into files, by their names.
pub(super) type Contents<'a> = BTreeMap<&'a str, Content<'a>>;

/// Texts as what is written.
pub(super) fn texts(files: &Files) -> Contents<'_> {
    let files = files.iter();
    files.map(|(name, text)| (name.as_str(), Content::Text(text))).collect()
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

/// Writes all files, unless one of them cannot be or the directory holds others.
pub(super) fn write(directory: &Path, files: &Contents<'_>, force: bool) -> Result<(), Failure> {
    check(directory, force)?;
    if let Some(name) = files.keys().find(|name| !is_below(name)) {
        let failure = Failure::plain(format!(
            "`{name}` cannot be the name of a file, and nothing was written"
        ));
        return Err(failure.hint("no API server allows such a name: do not trust this tape"));
    }
    replace(directory, files)
}

/// Writes files below a directory by their relative names, in the place of those that are there: all beside their places
/// first, and only then moves them there.
pub(super) fn replace(directory: &Path, files: &Contents<'_>) -> Result<(), Failure> {
    let failed = |error: &io::Error| Failure::of(format!("cannot write into `{}`", directory.display()), error);
    let folders: BTreeSet<PathBuf> = files
        .keys()
        .filter_map(|name| directory.join(name).parent().map(Path::to_owned))
        .collect();
    for folder in folders {
        fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    let beside = |name: &str| directory.join(format!("{name}.tmp"));
    let written = files.par_iter().map(|(name, content)| match content {
        Content::Text(text) => fs::write(beside(name), text),
        Content::Made(made) => made(&mut File::create(beside(name))?),
    });
    let written: Vec<io::Result<()>> = written.collect();
    if let Some(error) = written.into_iter().find_map(Result::err) {
        for name in files.keys() {
            // What was not written is not there to remove.
            let _ = fs::remove_file(beside(name));
        }
        return Err(failed(&error));
    }
    let moved = files
        .par_iter()
        .map(|(name, _)| fs::rename(beside(name), directory.join(name)));
    let moved: Vec<io::Result<()>> = moved.collect();
    moved
        .into_iter()
        .collect::<io::Result<()>>()
        .map_err(|error| failed(&error))
}

/// Whether a name leads to a file of the directory or of a folder in it.
pub(super) fn is_below(name: &str) -> bool {
    name.split('/').count() <= 2 && name.split('/').all(is_plain)
}

/// The characters of Kubernetes names (RFC 1123 subdomains) and no others: a name from a hostile tape leads nowhere else.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn only_kubernetes_names_become_paths() {
        assert!(is_below("dvwa-web.yaml") && is_below("dvwa/dvwa-web.yaml"));
        for name in [
            "", ".", "..", ".hidden", "a//b", "../x", "a/b/c", "/a", "A", "a\\b", "a\0", "a b", "ä",
        ] {
            assert!(!is_below(name), "{name:?}");
        }
    }
}
