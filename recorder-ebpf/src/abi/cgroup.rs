//! Control groups made and removed while recording, so that a container that lived for a moment still has a path.

/// Bytes of a path that travel, with the final zero. The longest path seen for a pod in a nested cluster is about 330.
pub const PATH_LEN: usize = 512;

/// Ring-buffer record: a version 2 control group came or went.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupChange {
    /// `CgroupMade` or `CgroupRemoved`: [`RecordKind`](crate::abi::id::RecordKind).
    pub kind: u16,
    /// [`HookId`](crate::abi::id::HookId).
    pub hook: u8,
    /// Padding, always zero.
    pub pad: u8,
    /// Bytes of `path` in use, without the final zero; `PATH_LEN - 1` means that the path may have been cut.
    pub path_len: u32,
    /// Time, nanoseconds of `CLOCK_BOOTTIME`.
    pub ts_ns: u64,
    /// Inode number of the control group's directory.
    pub cgroup_id: u64,
    /// Path below the root of the hierarchy, beginning with `/`. Bytes after `path_len` are undefined.
    pub path: [u8; PATH_LEN],
}

const _: () = assert!(size_of::<CgroupChange>() == 24 + PATH_LEN && align_of::<CgroupChange>() == 8);
