//! Other kinds of policies against the policy set that they are made of: each has a naive reader here, written from the
//! reference of its fields, that shares nothing with the writer and reads what was written as plain JSON.

mod calico;
mod cilium;
mod cluster;
mod differences;
mod names;
mod pods;
mod read;
