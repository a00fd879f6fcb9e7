//! The command `flowtape`.
fn main() {}
