//! Records socket operations and Kubernetes metadata into a tape.

pub mod kernel;
