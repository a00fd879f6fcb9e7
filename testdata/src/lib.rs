//! Readable scenarios, compiled to Kubernetes objects and tapes.
