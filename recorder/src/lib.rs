//! Records socket operations and Kubernetes metadata into a tape.

pub mod check;
pub mod kernel;
