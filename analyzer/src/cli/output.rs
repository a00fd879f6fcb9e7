//! The only place that writes to the terminal: data to stdout, everything else to stderr.

use std::io::{self, Write as _};

/// Writes data to stdout, whole.
pub(super) fn data(data: impl AsRef<[u8]>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(data.as_ref())?;
    stdout.flush()
}

/// Writes to stderr, ending the last line. There is nobody left to tell when that fails.
pub(super) fn say(text: &str) {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    let _ = write!(io::stderr().lock(), "{text}{newline}");
}
