//! Readable scenarios: one text declares a toy cluster and what its sockets did in a window of time.
//!
//! Two things are made from a text: the Kubernetes objects and the tape that a recorder would have written
//! (this crate, pure), and a live cluster of network namespaces with real traffic (the lab). Both start from the same
//! [`layout`] and the same [`connection`]s, so that a live recording can be compared with the compiled tape.
//! `README.md` is the reference of the format.

#![forbid(unsafe_code)]

mod check;
pub mod connection;
pub mod endpoint;
mod identity;
pub mod kubernetes;
pub mod layout;
pub mod model;
mod parse;
mod problem;
pub mod spec;
pub mod tape;

pub use model::Scenario;
pub use problem::{Problem, Problems};
