//! What a Flowtape *tape* is: its tables, columns, versions, encoding, decoding and validation.
//!
//! A tape is a directory with `manifest.json` and Parquet tables. This crate is the only definition of a column; it
//! does no IO, reads no clock and starts no thread. `SCHEMA.md` beside it is generated from these types.
//!
//! - [`table`] declares rows and columns, [`value`] maps Rust values to Arrow columns;
//! - [`node`] holds the tables a node's recorder writes, [`cluster`] those of the cluster's metadata,
//!   [`import`] those about other tools' files;
//! - [`parquet`] writes and reads the files, [`validate`] reports every problem of a file at once;
//! - [`manifest`] describes a whole tape, [`version`] says who may read it;
//! - [`metadata`] turns what `kubectl get -o json` prints into rows, through an allow-list.
#![forbid(unsafe_code)]

pub mod address;
pub mod cluster;
pub mod import;
pub mod manifest;
pub mod metadata;
pub mod node;
mod pages;
pub mod parquet;
pub mod pseudonym;
pub mod reference;
pub mod table;
pub mod time;
pub mod validate;
pub mod value;
pub mod version;
