//! `flowtape-recorder check`: what this kernel and these privileges allow, and what to do about what they do not.
//!
//! [`run`] looks, [`judge`] decides. Looking includes loading and attaching the programs, because that is the only test that
//! answers the question; they are gone again before it returns.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::kernel::Kernel;
use crate::kernel::config::{Hook, HookState, KernelConfig};
use crate::kernel::error::with_causes;

/// The oldest kernel the programs are written for: the control group of a socket is a plain pointer since v5.15.
pub const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing is missing.
    Yes,
    /// A recording is possible and will lack something, which `detail` names.
    Degraded,
    /// No recording is possible until the remedy is applied.
    No,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name: `kernel`, `kernel-types`, `cap-bpf`, `cap-perfmon`, `cap-net-admin`, `cgroup-v2`, `programs`, `clock`, and
    /// each hook by its name in the tables.
    pub name: &'static str,
    /// How it came out.
    pub ok: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do; absent if there is nothing to do.
    pub remedy: Option<String>,
}

impl Check {
    fn yes(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            ok: Verdict::Yes,
            detail: detail.into(),
            remedy: None,
        }
    }

    fn not(name: &'static str, ok: Verdict, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            ok,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// What was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Release of the kernel, as `6.1.0-18-amd64`.
    pub release: String,
    /// The kernel describes its types; otherwise why it does not.
    pub types: Result<(), String>,
    /// Effective capabilities as a bit set (`/proc/self/status`), or why they are not known.
    pub capabilities: Result<u64, String>,
    /// Where version 2 control groups are mounted.
    pub cgroup_mount: Option<PathBuf>,
    /// A directory of the kubelet below it.
    pub kubepods: Option<PathBuf>,
    /// A directory of the kubelet in a version 1 hierarchy.
    pub kubepods_of_version_1: Option<PathBuf>,
    /// The hooks, or why the programs could not be loaded and attached.
    pub hooks: Result<Vec<Hook>, String>,
    /// True if the system clock is kept right by somebody; absent if the kernel does not say.
    pub clock_synchronised: Option<bool>,
}

/// Looks and decides. The first check that says [`Verdict::No`] is what to mend first.
#[must_use]
pub fn run() -> Vec<Check> {
    judge(&look(&KernelConfig::default()))
}

/// Looks at this machine.
#[must_use]
pub fn look(config: &KernelConfig) -> Facts {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let cgroup_mount = mounts_of(&mounts, "cgroup2").next();
    Facts {
        release: fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        types: fs::metadata("/sys/kernel/btf/vmlinux")
            .map(|_found| ())
            .map_err(|error| error.to_string()),
        capabilities: fs::read_to_string("/proc/self/status")
            .map_err(|error| error.to_string())
            .and_then(|status| effective_capabilities(&status)),
        kubepods: cgroup_mount
            .as_deref()
            .and_then(|mount| kubepods_below(mount, KUBEPODS_DEPTH)),
        cgroup_mount,
        kubepods_of_version_1: mounts_of(&mounts, "cgroup").find_map(|mount| kubepods_below(&mount, KUBEPODS_DEPTH)),
        hooks: Kernel::load(config)
            .map(|kernel| kernel.hooks().to_vec())
            .map_err(|error| with_causes(&error)),
        clock_synchronised: clock_synchronised(),
    }
}

/// Decides.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Check> {
    // Numbers from `include/uapi/linux/capability.h`. CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON.
    const CAP_NET_ADMIN: u64 = 1 << 12;
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    const CAP_PERFMON: u64 = 1 << 38;
    const CAP_BPF: u64 = 1 << 39;
    let capability = |name, label: &str, bits, missing| match &facts.capabilities {
        Ok(held) if held & bits != 0 => Check::yes(name, format!("{label} is held")),
        Ok(_) => Check::not(
            name,
            missing,
            format!("{label} is not held"),
            format!(
                "run as root, or add `{}` to `securityContext.capabilities.add`",
                label.trim_start_matches("CAP_")
            ),
        ),
        Err(reason) => Check::not(name, missing, format!("not known: {reason}"), "mount /proc"),
    };
    let mut checks = vec![
        judge_kernel(&facts.release),
        match &facts.types {
            Ok(()) => Check::yes("kernel-types", "/sys/kernel/btf/vmlinux is there"),
            Err(reason) => Check::not(
                "kernel-types",
                Verdict::No,
                format!("/sys/kernel/btf/vmlinux: {reason}"),
                "use a kernel built with CONFIG_DEBUG_INFO_BTF, and mount /sys",
            ),
        },
        capability("cap-bpf", "CAP_BPF", CAP_BPF | CAP_SYS_ADMIN, Verdict::No),
        capability("cap-perfmon", "CAP_PERFMON", CAP_PERFMON | CAP_SYS_ADMIN, Verdict::No),
        // The hooks of control groups need it: without them UDP is not recorded.
        capability("cap-net-admin", "CAP_NET_ADMIN", CAP_NET_ADMIN, Verdict::Degraded),
        judge_cgroups(facts),
    ];
    checks.extend(judge_hooks(facts.hooks.as_deref()));
    checks.push(judge_clock(facts.clock_synchronised));
    checks
}

fn judge_clock(synchronised: Option<bool>) -> Check {
    match synchronised {
        Some(true) => Check::yes("clock", "the system clock is synchronised"),
        Some(false) => Check::not(
            "clock",
            Verdict::Degraded,
            "the system clock is not synchronised: recordings of several nodes may not line up",
            "run an NTP client on the node",
        ),
        None => Check::yes(
            "clock",
            "the kernel does not say whether the system clock is synchronised",
        ),
    }
}

fn judge_kernel(release: &str) -> Check {
    let mut numbers = release
        .split(|letter: char| !letter.is_ascii_digit())
        .map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Check::not(
            "kernel",
            Verdict::No,
            format!("`{release}` is no Linux release"),
            "run on Linux",
        );
    };
    let (oldest_major, oldest_minor) = OLDEST_KERNEL;
    if (major, minor) >= OLDEST_KERNEL {
        Check::yes("kernel", format!("Linux {release}"))
    } else {
        // Distributions carry newer parts on older numbers; whether the programs load decides.
        Check::not(
            "kernel",
            Verdict::Degraded,
            format!("Linux {release} is older than {oldest_major}.{oldest_minor}"),
            format!("use Linux {oldest_major}.{oldest_minor} or newer, unless `programs` below says yes"),
        )
    }
}

fn judge_cgroups(facts: &Facts) -> Check {
    let paths = (&facts.cgroup_mount, &facts.kubepods, &facts.kubepods_of_version_1);
    match paths {
        (Some(_), Some(kubepods), _) => Check::yes("cgroup-v2", format!("pods are below `{}`", kubepods.display())),
        (_, _, Some(kubepods)) => Check::not(
            "cgroup-v2",
            Verdict::Degraded,
            format!(
                "pods are in version 1 control groups, below `{}`: sockets are told apart by network namespace, and pods \
                 on the network of the host not at all",
                kubepods.display()
            ),
            "boot with `systemd.unified_cgroup_hierarchy=1`, and let the kubelet use cgroup v2",
        ),
        (Some(mount), None, None) => Check::not(
            "cgroup-v2",
            Verdict::Degraded,
            format!(
                "no `kubepods` below `{}`: sockets cannot be told apart by pod, only by address",
                mount.display()
            ),
            "on a node with pods: mount the host's /sys/fs/cgroup, and let the kubelet use cgroup v2",
        ),
        (None, _, None) => Check::not(
            "cgroup-v2",
            Verdict::Degraded,
            "no version 2 control groups are mounted: sockets cannot be told apart by pod, only by address",
            "mount the host's /sys/fs/cgroup, or boot with `systemd.unified_cgroup_hierarchy=1`",
        ),
    }
}

/// Whether the programs load, and each hook by its name.
fn judge_hooks(hooks: Result<&[Hook], &String>) -> Vec<Check> {
    let hooks = match hooks {
        Ok(hooks) => hooks,
        Err(reason) => {
            return vec![Check::not(
                "programs",
                Verdict::No,
                reason.as_str(),
                "mend what is said `no` to above; in a container also allow bpf(2) in the seccomp profile",
            )];
        }
    };
    let loaded = Check::yes("programs", "they load, and each hook was tried");
    std::iter::once(loaded).chain(hooks.iter().map(judge_hook)).collect()
}

fn judge_hook(hook: &Hook) -> Check {
    match &hook.state {
        HookState::Available => Check::yes(hook.name, "attached"),
        HookState::NotAskedFor => Check::yes(hook.name, "not asked for"),
        HookState::Fallback { reason } => Check::not(
            hook.name,
            Verdict::Degraded,
            reason.as_str(),
            "use a newer kernel, or live with what stands in for it",
        ),
        HookState::Unavailable { reason } => Check::not(
            hook.name,
            Verdict::Degraded,
            reason.as_str(),
            "mend what is not said `yes` to above, or use a newer kernel",
        ),
    }
}

/// Where file systems of a type are mounted, by `/proc/self/mounts`.
fn mounts_of<'a>(mounts: &'a str, wanted: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    mounts
        .lines()
        .filter_map(move |line| match line.split(' ').collect::<Vec<_>>().as_slice() {
            [_, path, kind, ..] if *kind == wanted => Some(PathBuf::from(path)),
            _ => None,
        })
}

/// Levels below the mount at which the kubelet's directory is looked for: nested clusters have it deeper.
const KUBEPODS_DEPTH: u32 = 4;

/// The kubelet's directory, in both spellings: `kubepods` and `kubepods.slice`, with whatever stands before it.
fn kubepods_below(directory: &Path, depth: u32) -> Option<PathBuf> {
    let mut directories: Vec<PathBuf> = fs::read_dir(directory)
        .ok()?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    directories.sort();
    let is_kubepods = |path: &&PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.trim_end_matches(".slice").ends_with("kubepods"))
    };
    directories.iter().find(is_kubepods).cloned().or_else(|| {
        directories
            .iter()
            .filter(|_| depth > 1)
            .find_map(|path| kubepods_below(path, depth - 1))
    })
}

/// The line `CapEff` of `/proc/self/status`.
fn effective_capabilities(status: &str) -> Result<u64, String> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let text = line.ok_or("no line `CapEff` in /proc/self/status")?.trim();
    u64::from_str_radix(text, 16).map_err(|error| format!("`CapEff: {text}`: {error}"))
}

#[cfg(target_os = "linux")]
fn clock_synchronised() -> Option<bool> {
    // SAFETY: all zero is a valid `timex`, and asks for nothing to be changed.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: a live `timex`.
    let result = unsafe { libc::adjtimex(&raw mut state) };
    (result >= 0).then_some(state.status & libc::STA_UNSYNC == 0)
}

#[cfg(not(target_os = "linux"))]
fn clock_synchronised() -> Option<bool> {
    None
}

#[cfg(test)]
mod tests {
    use flowtape_recorder_ebpf::abi::id::HookId;

    use super::*;

    fn healthy() -> Facts {
        let hook = Hook {
            id: HookId::InetSockSetState,
            name: "tp_btf/inet_sock_set_state",
            essential: true,
            state: HookState::Available,
        };
        Facts {
            release: "6.1.0-18-amd64".to_owned(),
            types: Ok(()),
            capabilities: Ok(1 << 39 | 1 << 38 | 1 << 12),
            cgroup_mount: Some(PathBuf::from("/sys/fs/cgroup")),
            kubepods: Some(PathBuf::from("/sys/fs/cgroup/kubepods.slice")),
            kubepods_of_version_1: None,
            hooks: Ok(vec![hook]),
            clock_synchronised: Some(true),
        }
    }

    /// The verdict of one check; everything that is not a plain yes must come with a remedy.
    fn verdict(facts: &Facts, name: &str) -> Verdict {
        let checks = judge(facts);
        for check in &checks {
            assert_eq!(check.remedy.is_none(), check.ok == Verdict::Yes, "{check:?}");
        }
        checks.iter().find(|check| check.name == name).unwrap().ok
    }

    #[test]
    fn a_healthy_node_passes_every_check() {
        assert!(judge(&healthy()).iter().all(|check| check.ok == Verdict::Yes));
    }

    #[test]
    fn each_missing_thing_is_named_with_its_remedy() {
        let facts = Facts {
            release: "5.4.0".to_owned(),
            ..healthy()
        };
        assert_eq!(verdict(&facts, "kernel"), Verdict::Degraded);
        let facts = Facts {
            release: "Darwin".to_owned(),
            ..healthy()
        };
        assert_eq!(verdict(&facts, "kernel"), Verdict::No);
        let facts = Facts {
            types: Err("not found".to_owned()),
            ..healthy()
        };
        assert_eq!(verdict(&facts, "kernel-types"), Verdict::No);
        let facts = Facts {
            capabilities: Ok(0),
            ..healthy()
        };
        assert_eq!(verdict(&facts, "cap-bpf"), Verdict::No);
        assert_eq!(verdict(&facts, "cap-perfmon"), Verdict::No);
        assert_eq!(verdict(&facts, "cap-net-admin"), Verdict::Degraded);
        let facts = Facts {
            kubepods: None,
            ..healthy()
        };
        assert_eq!(verdict(&facts, "cgroup-v2"), Verdict::Degraded);
        let facts = Facts {
            kubepods: None,
            cgroup_mount: None,
            ..healthy()
        };
        assert_eq!(verdict(&facts, "cgroup-v2"), Verdict::Degraded);
        let facts = Facts {
            hooks: Err("not permitted".to_owned()),
            ..healthy()
        };
        assert_eq!(verdict(&facts, "programs"), Verdict::No);
        let facts = Facts {
            clock_synchronised: Some(false),
            ..healthy()
        };
        assert_eq!(verdict(&facts, "clock"), Verdict::Degraded);
    }

    #[test]
    fn a_hook_that_is_missing_degrades() {
        let mut facts = healthy();
        if let Ok(hooks) = &mut facts.hooks {
            hooks.push(Hook {
                id: HookId::CgroupMkdir,
                name: "tp_btf/cgroup_mkdir",
                essential: false,
                state: HookState::Unavailable {
                    reason: "no such tracepoint".to_owned(),
                },
            });
        }
        assert_eq!(verdict(&facts, "tp_btf/cgroup_mkdir"), Verdict::Degraded);
    }

    #[test]
    fn sys_admin_stands_in_for_bpf_and_perfmon_only() {
        let facts = Facts {
            capabilities: Ok(1 << 21),
            ..healthy()
        };
        assert_eq!(verdict(&facts, "cap-bpf"), Verdict::Yes);
        assert_eq!(verdict(&facts, "cap-perfmon"), Verdict::Yes);
        assert_eq!(verdict(&facts, "cap-net-admin"), Verdict::Degraded);
    }

    #[test]
    fn kubepods_is_found_in_both_spellings_and_nested() {
        for path in [
            "kubepods",
            "kubepods.slice",
            "system.slice/docker-1.scope/kubelet.slice/kubelet-kubepods.slice",
        ] {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join(path).join("pod1")).unwrap();
            assert_eq!(
                kubepods_below(root.path(), KUBEPODS_DEPTH),
                Some(root.path().join(path))
            );
        }
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("user.slice/a/b/c/kubepods")).unwrap();
        assert_eq!(kubepods_below(root.path(), KUBEPODS_DEPTH), None);
    }

    #[test]
    fn reads_what_proc_says() {
        assert_eq!(
            effective_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n"),
            Ok(0x1ff_ffff_ffff)
        );
        assert!(effective_capabilities("Name:\tx\n").is_err());
        assert!(effective_capabilities("CapEff:\tzz\n").is_err());
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs ro 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                      cgroup /sys/fs/cgroup/memory cgroup rw 0 0\n";
        let mounted = |kind| {
            mounts_of(hybrid, kind)
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(mounted("cgroup2"), ["/sys/fs/cgroup/unified"]);
        assert_eq!(mounted("cgroup"), ["/sys/fs/cgroup/memory"]);
    }

    #[test]
    fn where_only_version_1_knows_pods_the_namespace_is_the_key() {
        for cgroup_mount in [None, Some(PathBuf::from("/sys/fs/cgroup/unified"))] {
            let facts = Facts {
                cgroup_mount,
                kubepods: None,
                kubepods_of_version_1: Some(PathBuf::from("/sys/fs/cgroup/memory/kubepods")),
                ..healthy()
            };
            assert_eq!(verdict(&facts, "cgroup-v2"), Verdict::Degraded);
            assert!(
                judge(&facts)
                    .iter()
                    .any(|check| check.detail.contains("network namespace"))
            );
        }
        // A unified tree with pods needs nothing else.
        let facts = Facts {
            kubepods_of_version_1: Some(PathBuf::from("/sys/fs/cgroup/memory/kubepods")),
            ..healthy()
        };
        assert_eq!(verdict(&facts, "cgroup-v2"), Verdict::Yes);
    }
}
