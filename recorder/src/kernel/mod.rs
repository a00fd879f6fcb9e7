//! The kernel part as the rest of the recorder sees it: load the programs, take what they counted, read what they tell.
//!
//! Nothing is pinned: programs, maps and links are file descriptors of this process, so a recorder that dies, however it
//! dies, leaves nothing behind in the kernel.

pub mod btf;
pub mod config;
pub mod error;
pub mod offsets;
pub mod open;
pub mod record;

#[cfg(target_os = "linux")]
mod iterator;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod running;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
pub use iterator::Reader;
#[cfg(target_os = "linux")]
pub use running::{Kernel, boot_now_ns};

#[cfg(not(target_os = "linux"))]
mod stub;
#[cfg(not(target_os = "linux"))]
pub use stub::Kernel;
