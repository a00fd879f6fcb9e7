//! What is missing is named in one line; what is not needed any more is given up.

use flowtape_recorder::kernel::config::VMLINUX;
use flowtape_schemas::manifest::HookState;
use flowtape_schemas::node::{Direction, FlowRow, Hook};

use crate::recording::{Recording, refused};
use crate::tape::Tape;
use crate::worker::{Worker, mount};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("without_a_capability_it_names_it", missing_one),
    ("three_capabilities_are_enough", three_capabilities),
    ("what_draining_does_not_need_is_given_up", given_up),
    ("without_kernel_types_it_says_so", no_types),
    (
        "before_linux_6_3_connecting_stands_in_and_the_manifest_says_so",
        before_6_3,
    ),
    ("without_control_groups_it_says_what_is_lost_by_that", no_control_groups),
];

/// Runs a command with these capabilities only. `CAP_SYS_ADMIN` stands for all of ours, so one cannot be left out alone.
fn only(set: &str) -> [&str; 5] {
    ["setpriv", "--bounding-set", set, "--inh-caps", set]
}

fn missing_one() -> Outcome {
    for (set, name) in [
        ("-all,+perfmon,+net_admin", "CAP_BPF"),
        ("-all,+bpf,+net_admin", "CAP_PERFMON"),
    ] {
        let (code, said) = refused(&only(set))?;
        assert_eq!(code, Some(2), "{said}");
        let not_held = format!("{name} is not held");
        let missing: Vec<&str> = said.lines().filter(|line| line.contains(" is not held")).collect();
        assert!(
            matches!(missing.as_slice(), [line] if line.ends_with(&not_held)),
            "{said}"
        );
    }
    // Hooks that need it are not attached then, and the last line says so.
    let home = tempfile::tempdir()?;
    let ended = Recording::start_as(&only("-all,+bpf,+perfmon"), home, &["--duration", "500ms"])?.wait()?;
    ended.must_be_done()?;
    let hooks = &Tape::at(ended.tape()).manifest()?.nodes[0].hooks;
    let refused = hooks.iter().filter_map(|hook| hook.reason.as_ref());
    for reason in refused {
        assert!(
            reason.contains("CAP_NET_ADMIN") && ended.said.contains(reason),
            "{}",
            ended.said
        );
    }
    Ok(())
}

fn three_capabilities() -> Outcome {
    let home = tempfile::tempdir()?;
    let recording = Recording::start_as(&only("-all,+bpf,+perfmon,+net_admin"), home, &[])?;
    let worker = Worker::connects(1, 50)?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    assert_eq!(Tape::at(ended.tape()).operations(worker.cgroup_id, Direction::Out)?, 51);
    Ok(())
}

fn given_up() -> Outcome {
    let recording = Recording::start(&["--interval", "100ms", "--rotation", "200ms"])?;
    let worker = Worker::connects(1, 50)?;
    let process = recording.process();
    let mut threads = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let status = std::fs::read_to_string(thread?.path().join("status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).unwrap_or_default().to_owned()
        };
        // CAP_SYS_PTRACE and CAP_BPF, which every kernel that can record has.
        let kept = 1_u64 << 19 | 1 << 39;
        for name in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
            let has = u64::from_str_radix(&field(name), 16)?;
            assert_eq!(has & !kept, 0, "{name} {has:x}");
        }
        assert_eq!(field("NoNewPrivs:"), "1");
        threads += 1;
    }
    assert_eq!(threads, 2, "one that reads and one that writes");
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    assert_eq!(Tape::at(ended.tape()).operations(worker.cgroup_id, Direction::Out)?, 51);
    Ok(())
}

fn no_types() -> Outcome {
    let hide = "mount -t tmpfs none /sys/kernel/btf && exec \"$0\" \"$@\"";
    let (code, said) = refused(&["unshare", "--mount", "sh", "-c", hide])?;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("/sys/kernel/btf/vmlinux"), "{said}");
    Ok(())
}

/// The recorder is shown this kernel's types without the tracepoint that Linux 6.3 brought.
fn before_6_3() -> Outcome {
    let home = tempfile::tempdir()?;
    let (types, name) = (home.path().join("types"), b"btf_trace_sock_send_length\0");
    let mut bytes = std::fs::read(VMLINUX)?;
    let at = bytes.windows(name.len()).position(|window| window == name);
    bytes[at.ok_or("this kernel has no such tracepoint")?] = b'B';
    std::fs::write(&types, bytes)?;
    let hide = format!("mount --bind {} {VMLINUX} && exec \"$0\" \"$@\"", types.display());
    let recording = Recording::start_as(&["unshare", "--mount", "sh", "-c", &hide], home, &[])?;
    // A socket that connects and sends nothing counts as one datagram then.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    socket.connect(nobody)?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    let tape = Tape::at(ended.tape());
    let manifest = tape.manifest()?;
    let hooks = &manifest.nodes[0].hooks;
    let stands_in = hooks.iter().filter(|hook| hook.state == HookState::Fallback);
    let [hook] = stands_in.collect::<Vec<_>>()[..] else {
        return Err(format!("{hooks:?}").into());
    };
    let reason = hook.reason.as_deref().unwrap_or_default();
    assert!(
        hook.hook == "tp_btf/sock_send_length" && reason.contains("Linux 6.3"),
        "{hook:?}"
    );
    let flows: Vec<FlowRow> = tape.rows()?;
    let is_ours = |row: &&FlowRow| row.protocol == 17 && row.service_port == Some(nobody.port());
    let counted = flows.iter().filter(is_ours).filter(|row| row.hook == Hook::Connect4);
    assert_eq!(counted.map(|row| row.count).sum::<u64>(), 1);
    Ok(())
}

fn no_control_groups() -> Outcome {
    let mount = mount()?;
    let hide = format!("umount -l {} && exec \"$0\" \"$@\"", mount.display());
    let home = tempfile::tempdir()?;
    let recording = Recording::start_as(&["unshare", "--mount", "sh", "-c", &hide], home, &[])?;
    assert!(
        recording.began_with().contains("no cgroup v2 hierarchy is mounted"),
        "{}",
        recording.began_with()
    );
    let worker = Worker::connects(1, 50)?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    assert_eq!(Tape::at(ended.tape()).operations(worker.cgroup_id, Direction::Out)?, 51);
    Ok(())
}
