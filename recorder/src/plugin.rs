//! `kubectl flowtape`: records a window on every node of a cluster, and brings it home as one tape.
//!
//! Runs where the user is, on Linux or elsewhere, and needs nothing there but a kubeconfig.
//!
//! - [`cli`] says what may be asked, [`manifest`] what stands in the cluster meanwhile, [`yaml`] prints it;
//! - `cluster` speaks with the API server, `remove` takes back what was created;
//! - `progress` tells what became of each node from what its pod says;
//! - `window` drives a run from the first question to the last object removed;
//! - `collect` fetches the files of a pod, `roster` those of all, `unite` makes one tape of them, `verdict` judges it.

pub mod cli;
mod cluster;
mod collect;
mod interrupt;
pub mod manifest;
mod progress;
mod remove;
mod roster;
pub mod unite;
mod verdict;
mod window;
pub mod yaml;
