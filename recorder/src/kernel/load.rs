//! Loads the object: finds the offsets, writes them and the sizes into it, hands it to the kernel and attaches it.

use std::borrow::Cow;
use std::fs::{self, File};
use std::path::Path;

use aya::maps::{Array, Map, MapData, PerCpuArray, RingBuf};
use aya::{Ebpf, EbpfError, EbpfLoader, Endianness};
use flowtape_recorder_ebpf::ABI_REVISION;
use flowtape_recorder_ebpf::abi::counters::COUNTERS_LEN;
use flowtape_recorder_ebpf::abi::layout::Layout;

use super::btf::Btf;
use super::config::{GROUP_RING_BYTES, Hook, HookState, KernelConfig};
use super::error::KernelError;
use super::iterator::{self, Iterator};
use super::offsets::{has_tracepoint, layout};
use super::open::{Look, OpenSockets};
use super::program::{Attached, Kind, Places, attach_all};
use crate::cgroup::walk::hierarchy;

/// The object that was built with this recorder, aligned as the loader library wants it.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../recorder-ebpf/prebuilt/flowtape.bpf.o");

/// The name of the variable by which an object shows its revision.
const REVISION: &str = "ABI_REVISION_4";
const _: () = assert!(
    ABI_REVISION == 4,
    "the revision is in the name of the variable, here and in the programs"
);

/// A half of the counting maps.
pub(super) struct Half {
    pub(super) flows: MapData,
    pub(super) quotas: MapData,
    pub(super) listens: MapData,
    pub(super) sockets: MapData,
}

/// The object in the kernel, with its maps taken out.
pub(super) struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) ring: RingBuf<MapData>,
    /// The one for control groups.
    pub(super) groups: RingBuf<MapData>,
    pub(super) halves: [Half; 2],
    pub(super) connects: MapData,
    pub(super) control: Array<MapData, u64>,
    pub(super) counters: PerCpuArray<MapData, [u64; COUNTERS_LEN]>,
    pub(super) hooks: Vec<Hook>,
    /// What looks at the sockets that are open; `None` where that is not possible.
    pub(super) iterator: Option<Iterator>,
    /// What holds each program in place.
    links: Vec<Attached>,
}

/// Reads the offsets of the running kernel, and whether it shows what connected UDP sockets send.
fn running_kernel(types: &Path) -> Result<(Layout, bool), KernelError> {
    let data = fs::read(types).map_err(|source| KernelError::NoBtf {
        path: types.to_owned(),
        source,
    })?;
    let btf = Btf::parse(&data)?;
    Ok((layout(&btf)?, has_tracepoint(&btf, "sock_send_length")))
}

/// Loads and attaches. Nothing counts before the first word is written to the control map by the caller, except into the
/// first half and with a sample limit of zero, which is what a fresh map says.
pub(super) fn load(config: &KernelConfig) -> Result<Loaded, KernelError> {
    check_sizes(config)?;
    let (layout, sends_are_shown) = running_kernel(&config.types)?;
    let words = layout.to_words();
    let sends = u32::from(sends_are_shown);
    let wake_above = u64::from(config.ring_bytes / 2);
    let tasks = u32::from(config.tasks);
    let quota = u64::from(config.quota);
    let connects = u32::from(!config.passive_only);
    let object = object(config.object.as_deref())?;
    let mut loader = EbpfLoader::new();
    loader
        .override_global(REVISION, &ABI_REVISION, true)
        .override_global("LAYOUT", words.as_slice(), true)
        .override_global("WAKE_ABOVE", &wake_above, true)
        .override_global("WANT_TASK", &tasks, true)
        .override_global("QUOTA", &quota, true)
        .override_global("SEND_LENGTH", &sends, true)
        .override_global("CONNECT", &connects, true)
        .map_max_entries("RECORDS", config.ring_bytes)
        .map_max_entries("GROUPS", config.ring_bytes.min(GROUP_RING_BYTES))
        .map_max_entries("FLOWS_0", config.flow_entries)
        .map_max_entries("FLOWS_1", config.flow_entries)
        .map_max_entries("CONNECTS", config.connect_entries)
        .map_max_entries("BOUND", config.bound_entries)
        .map_max_entries("LISTENS_0", config.listen_entries)
        .map_max_entries("LISTENS_1", config.listen_entries)
        .map_max_entries("SOCKETS_0", config.socket_entries)
        .map_max_entries("SOCKETS_1", config.socket_entries);
    let mut ebpf = loader.load(&object).map_err(refused)?;

    let halves = [
        Half {
            flows: hash(&mut ebpf, "FLOWS_0")?,
            quotas: hash(&mut ebpf, "QUOTAS_0")?,
            listens: hash(&mut ebpf, "LISTENS_0")?,
            sockets: hash(&mut ebpf, "SOCKETS_0")?,
        },
        Half {
            flows: hash(&mut ebpf, "FLOWS_1")?,
            quotas: hash(&mut ebpf, "QUOTAS_1")?,
            listens: hash(&mut ebpf, "LISTENS_1")?,
            sockets: hash(&mut ebpf, "SOCKETS_1")?,
        },
    ];
    let connects = hash(&mut ebpf, "CONNECTS")?;
    let ring = take(&mut ebpf, "RECORDS")?;
    let groups = take(&mut ebpf, "GROUPS")?;
    let control = take(&mut ebpf, "CONTROL")?;
    let counters = take(&mut ebpf, "COUNTERS")?;
    Ok(Loaded {
        ebpf,
        ring,
        groups,
        halves,
        connects,
        control,
        counters,
        hooks: Vec::new(),
        iterator: None,
        links: Vec::new(),
    })
}

impl Loaded {
    /// Attaches every program; fails only if an essential one cannot be. Gives the sockets that were open before.
    pub(super) fn attach(&mut self, config: &KernelConfig) -> Result<OpenSockets, KernelError> {
        let btf = aya::Btf::parse_file(&config.types, Endianness::default())
            .map_err(|source| load_error("kernel type information is not readable", source))?;
        let places = Places {
            btf: &btf,
            root: &cgroup_root(config.passive_only),
            only: config.only,
        };
        let mut open = OpenSockets::default();
        let (hook, iterator) = iterator::attach(&mut self.ebpf, &btf, config.only)?;
        if let Some(iterator) = &iterator {
            iterator.look(Look::Before, &mut open)?;
        }
        (self.hooks, self.links) = attach_all(&mut self.ebpf, &places)?;
        self.hooks.push(hook);
        self.iterator = iterator;
        Ok(open)
    }

    /// Detaches the programs of one kind; they stay loaded, with their maps and numbers.
    pub(super) fn detach(&mut self, kind: Kind) {
        for attached in self.links.extract_if(.., |attached| attached.kind == kind) {
            attached.detach(&mut self.ebpf);
        }
    }
}

/// The directory that programs of control groups are attached to.
fn cgroup_root(passive_only: bool) -> Result<File, HookState> {
    if passive_only {
        return Err(HookState::NotAskedFor);
    }
    let unavailable = |reason| HookState::Unavailable { reason };
    let mountinfo = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| unavailable(format!("/proc/self/mountinfo: {error}")))?;
    let hierarchy = hierarchy(&mountinfo)
        .ok_or_else(|| unavailable("no version 2 control groups are mounted; mount them to record UDP".to_owned()))?;
    File::open(&hierarchy.mount).map_err(|error| unavailable(format!("{}: {error}", hierarchy.mount.display())))
}

fn object(path: Option<&Path>) -> Result<Cow<'static, [u8]>, KernelError> {
    match path {
        None => Ok(Cow::Borrowed(OBJECT)),
        Some(path) => fs::read(path).map(Cow::Owned).map_err(|source| KernelError::Object {
            path: path.to_owned(),
            source,
        }),
    }
}

fn check_sizes(config: &KernelConfig) -> Result<(), KernelError> {
    // SAFETY: no pointers are involved.
    let page = u32::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    if !config.ring_bytes.is_power_of_two() || config.ring_bytes < page {
        return Err(KernelError::Size {
            what: "ring buffer size",
            found: config.ring_bytes,
            wanted: "it must be a power of two and at least one page",
        });
    }
    for (what, found) in [
        ("number of flow entries", config.flow_entries),
        ("number of listen entries", config.listen_entries),
        ("number of attempts to connect", config.connect_entries),
        ("number of kinds of sockets", config.socket_entries),
        ("number of bound sockets", config.bound_entries),
    ] {
        if !(1..=1 << 24).contains(&found) {
            return Err(KernelError::Size {
                what,
                found,
                wanted: "it must be between 1 and 16777216",
            });
        }
    }
    Ok(())
}

fn take<T: TryFrom<Map>>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, KernelError> {
    let map = ebpf.take_map(name).ok_or(KernelError::Foreign { name })?;
    T::try_from(map).map_err(|_other_type| KernelError::Foreign { name })
}

fn hash(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, KernelError> {
    match ebpf.take_map(name) {
        Some(Map::HashMap(data)) => Ok(data),
        _ => Err(KernelError::Foreign { name }),
    }
}

fn load_error(reason: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> KernelError {
    KernelError::Load {
        reason: reason.into(),
        source: Box::new(source),
    }
}

/// Says what a refusal most likely means.
pub(super) fn refused(source: EbpfError) -> KernelError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&source);
    let mut number = None;
    while let Some(error) = cause {
        number = number.or_else(|| {
            error
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::raw_os_error)
        });
        cause = error.source();
    }
    let reason = match number {
        Some(libc::EPERM | libc::EACCES) => {
            "not permitted; it needs the capabilities CAP_BPF and CAP_PERFMON (or root), and a seccomp profile that \
             allows bpf(2)"
        }
        Some(libc::ENOSYS) => "this kernel is built without CONFIG_BPF_SYSCALL",
        Some(libc::ENOMEM) => "not enough memory for the maps; use smaller ones",
        Some(libc::EINVAL) => "this kernel refuses them; the recorder needs Linux 5.15 or newer",
        Some(_) | None => "the kernel or the loader refuses them",
    };
    load_error(reason, source)
}
