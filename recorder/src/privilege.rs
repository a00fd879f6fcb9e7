//! Capabilities: what attaching needed and draining does not is given up for good.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Numbers of capabilities (`include/uapi/linux/capability.h`).
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_BPF: u32 = 39;

/// `CAP_BPF` to read and empty maps where `kernel.unprivileged_bpf_disabled` is set, which closes all of bpf(2) to others
/// before v6.0; `CAP_SYS_PTRACE` to ask which network namespace the processes of other users are in.
const NEEDED: u64 = 1 << CAP_BPF | 1 << CAP_SYS_PTRACE;

/// `_LINUX_CAPABILITY_VERSION_3`: two words for each set.
const VERSION: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`, once for the low and once for the high capabilities.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives up every capability that is not needed to go on recording into `directory`. Threads that begin later have no more;
/// those that run already keep theirs, so it is called before there are any.
pub fn give_up(directory: &Path) -> io::Result<()> {
    let had = permitted()?;
    let mut keep = had & NEEDED;
    set(keep, had)?;
    // The tape may stand where only its owner may write, and a file is begun at every rotation.
    if !is_writable(directory)? {
        keep |= had & 1 << CAP_DAC_OVERRIDE;
    }
    set(keep, keep)?;
    // SAFETY: no pointers are involved.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn permitted() -> io::Result<u64> {
    let (mut header, mut data) = (own(), [Data::default(); 2]);
    // SAFETY: a header of version 3 and two live structs, as that version has it (capget(2)).
    if unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let [low, high] = data;
    Ok(u64::from(high.permitted) << 32 | u64::from(low.permitted))
}

fn set(effective: u64, permitted: u64) -> io::Result<()> {
    let word = |set: u64| u32::try_from(set & u64::from(u32::MAX)).unwrap_or_default();
    let data = [0, 32].map(|shift| Data {
        effective: word(effective >> shift),
        permitted: word(permitted >> shift),
        inheritable: 0,
    });
    let mut header = own();
    // SAFETY: a header of version 3 and two live structs, as that version has it (capset(2)).
    if unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn own() -> Header {
    Header {
        version: VERSION,
        pid: 0,
    }
}

fn is_writable(directory: &Path) -> io::Result<bool> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    // SAFETY: a text that ends with a zero and lives through the call.
    let answer = unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK | libc::X_OK, libc::AT_EACCESS) };
    Ok(answer == 0)
}
