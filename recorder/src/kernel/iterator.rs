//! Looks at the sockets that processes hold: those that were there before the window, and those that still are.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use aya::programs::Iter;
use aya::{Btf, Ebpf};
use flowtape_recorder_ebpf::abi::id::HookId;

use super::config::{Hook, HookState};
use super::error::{KernelError, with_causes};
use super::open::{Look, OpenSockets};
use super::program::program;
use super::sys;

/// The program in the object, and what it goes through.
const PROGRAM: &str = "task_file";

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`, since v3.8).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// Bytes asked for at once: more than the buffer that the kernel fills (8 pages, `prepare_seq_file`, `kernel/bpf/bpf_iter.c`).
const PIECE: usize = 64 << 10;

/// What reads the sockets, made while that was still permitted.
#[derive(Debug)]
pub(super) struct Iterator {
    link: OwnedFd,
}

/// Makes the iterator ready, or says why there is none.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &Btf,
    only: Option<HookId>,
) -> Result<(Hook, Option<Iterator>), KernelError> {
    let (state, iterator) = match try_attach(ebpf, btf, only)? {
        Ok(iterator) => (HookState::Available, Some(iterator)),
        Err(state) => (state, None),
    };
    let hook = Hook {
        id: HookId::TaskFile,
        name: "iter/task_file",
        essential: false,
        state,
    };
    Ok((hook, iterator))
}

fn try_attach(ebpf: &mut Ebpf, btf: &Btf, only: Option<HookId>) -> Result<Result<Iterator, HookState>, KernelError> {
    if only.is_some_and(|only| only != HookId::TaskFile) {
        return Ok(Err(HookState::NotAskedFor));
    }
    let unavailable = |reason: String| Ok(Err(HookState::Unavailable { reason }));
    if let Err(reason) = sees_every_process() {
        return unavailable(reason);
    }
    let found = program::<Iter>(ebpf, PROGRAM)?;
    if let Err(source) = found.load(PROGRAM, btf) {
        return unavailable(format!(
            "sockets that are open already cannot be found; that needs Linux 5.11 or newer ({})",
            with_causes(&source)
        ));
    }
    let linked = found
        .fd()
        .map_err(io::Error::other)
        .and_then(|program| sys::link_iterator(program.as_fd()));
    match linked {
        Ok(link) => Ok(Ok(Iterator { link })),
        Err(source) => unavailable(format!("the kernel does not attach it: {source}")),
    }
}

/// The iterator goes through the processes of its reader's pid namespace, which is all of them only in the initial one.
fn sees_every_process() -> Result<(), String> {
    let namespace = fs::metadata("/proc/self/ns/pid").map_err(|error| format!("/proc/self/ns/pid: {error}"))?;
    if namespace.ino() == INITIAL_PID_NAMESPACE {
        return Ok(());
    }
    Err(
        "only the processes of this container can be seen, not those of the node; give it the node's pid namespace \
         (`hostPID: true`)"
            .to_owned(),
    )
}

impl Iterator {
    /// Begins a look at all sockets.
    pub(super) fn begin(&self) -> Result<Reader, KernelError> {
        let file = sys::begin_iteration(self.link.as_fd()).map_err(failed)?;
        Ok(Reader {
            file: File::from(file),
            piece: vec![0; PIECE],
        })
    }

    /// Takes a whole look.
    pub(super) fn look(&self, look: Look, into: &mut OpenSockets) -> Result<(), KernelError> {
        let mut reader = self.begin()?;
        while reader.read(look, into)? {}
        Ok(())
    }
}

/// A look at all sockets that is under way.
#[derive(Debug)]
pub struct Reader {
    file: File,
    piece: Vec<u8>,
}

impl Reader {
    /// Takes some sockets; says whether there may be more.
    pub fn read(&mut self, look: Look, into: &mut OpenSockets) -> Result<bool, KernelError> {
        match self.file.read(&mut self.piece) {
            Ok(0) => {
                into.end()?;
                Ok(false)
            }
            Ok(length) => {
                into.add(look, self.piece.get(..length).unwrap_or_default());
                Ok(true)
            }
            // After a million files without a socket the kernel lets others run (`bpf_seq_read`, v6.12).
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => Ok(true),
            Err(error) => Err(failed(error)),
        }
    }
}

fn failed(source: io::Error) -> KernelError {
    KernelError::Call {
        what: "read which sockets are open",
        source,
    }
}
