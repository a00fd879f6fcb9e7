//! Records socket operations and Kubernetes metadata into a tape.
