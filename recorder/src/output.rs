//! The only place that writes to the terminal: data to stdout, everything else to stderr.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

/// Writes data to stdout. A reader that went away (`| head`) is no error.
pub fn data(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a line to stderr. There is nobody left to tell when that fails.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes a warning to stderr: the work goes on.
pub fn warn(line: impl Display) {
    say(format_args!("warning: {line}"));
}

/// Writes an error with its causes to stderr.
pub fn error(error: &anyhow::Error) {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        text.push_str("\ncaused by: ");
        text.push_str(&cause.to_string());
    }
    say(text);
}
