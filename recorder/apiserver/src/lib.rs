//! A scripted Kubernetes API server for tests.
//!
//! It speaks enough of the real protocol for real clients, over HTTP on loopback, in a process of its own that can be
//! killed and started again. Discovery is left out. What it serves and what goes wrong is ordered under `/control/`:
//!
//! - [`process`] is the side of the test: it starts the server and gives orders;
//! - [`fault`] says what can go wrong;
//! - [`resource`] lists what the server knows, and reads paths;
//! - [`kubelet`] plays controllers and kubelets, `exec` runs real processes in place of containers;
//! - `server` sees every request first and hands it to `read`, `stream` or `write`; `store` holds the objects.

mod answer;
pub mod cli;
mod control;
mod exec;
pub mod fault;
pub mod kubelet;
pub mod process;
mod query;
mod read;
pub mod resource;
mod selector;
mod server;
mod store;
mod stream;
mod write;
