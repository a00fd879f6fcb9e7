//! The manifest, written last.

use std::io::Write as _;
use std::path::Path;

use flowtape_schemas::manifest::{FileEntry, MANIFEST_FILE, Manifest, Tool, sha256_hex};

use super::file::TEMPORARY;
use super::{TapeError, sync_directory};

/// What this build calls itself in a manifest.
#[must_use]
pub fn tool() -> Tool {
    Tool {
        name: "flowtape-recorder".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// An identifier that follows from the content of every file: 32 hexadecimal digits.
#[must_use]
pub fn tape_id(files: &[FileEntry]) -> String {
    let mut lines: Vec<String> = files
        .iter()
        .map(|file| format!("{} {}\n", file.path, file.sha256))
        .collect();
    lines.sort();
    let mut id = sha256_hex(lines.concat().as_bytes());
    id.truncate(32);
    id
}

/// Writes the manifest of a tape whose files are all finished.
pub fn write_manifest(tape: &Path, manifest: &Manifest) -> Result<(), TapeError> {
    let path = tape.join(MANIFEST_FILE);
    let temporary = tape.join(format!("{MANIFEST_FILE}{TEMPORARY}"));
    let text = manifest.render()?;
    let mut file = std::fs::File::create(&temporary).map_err(TapeError::io("create", &temporary))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(TapeError::io("write", &temporary))?;
    std::fs::rename(&temporary, &path).map_err(TapeError::io("rename", &temporary))?;
    sync_directory(tape)
}
