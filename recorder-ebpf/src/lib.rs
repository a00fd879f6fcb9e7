//! What the kernel programs and the recorder say to each other: map keys and values, ring-buffer records, counters, and
//! the words the recorder writes into the programs before they are loaded.
//!
//! Both sides are built from one commit and ship in one binary, so nothing here is a file format: it may change with any
//! commit, as long as [`ABI_REVISION`] is raised. What lasts is in the `schemas` crate.
//!
//! Every struct is `#[repr(C)]`, has its padding spelled out (map keys are compared byte by byte, padding included) and has
//! its size and alignment asserted at compile time. Integers are in host byte order, addresses are bytes in network order.
//! Values that are an enumeration travel as a plain integer; `from_id` turns them into the enumeration and refuses what it
//! does not know, so that a stale object can never be misread.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod abi;

/// Raised whenever a layout, an identifier or a map in this crate changes. The object carries it as the name of a global
/// variable (`ABI_REVISION_<n>`), and a recorder refuses an object that lacks its own.
pub const ABI_REVISION: u32 = 4;
