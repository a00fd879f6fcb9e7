//! Kernels that lack something: other types than this one's are shown to the recorder.

use std::path::Path;

use flowtape_recorder::kernel::Kernel;
use flowtape_recorder::kernel::config::{HookState, KernelConfig, VMLINUX};
use flowtape_recorder::kernel::error::{KernelError, with_causes};
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome as FlowOutcome};

use crate::cgroup::Group;
use crate::stage::{Recording, config};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("before_linux_6_3_connecting_stands_for_a_datagram", before_6_3),
    ("without_a_tracepoint_its_hook_says_so", no_groups),
    ("without_kernel_types_nothing_is_loaded", no_types),
];

/// The types of this kernel, in which a tracepoint has another name.
fn types_without(tracepoint: &str, home: &Path) -> Outcome<KernelConfig> {
    let name = format!("btf_trace_{tracepoint}\0");
    let mut types = std::fs::read(VMLINUX)?;
    let at = types.windows(name.len()).position(|window| window == name.as_bytes());
    let at = at.ok_or("this kernel has no such tracepoint")?;
    types[at] = b'B';
    let path = home.join("types");
    std::fs::write(&path, types)?;
    Ok(KernelConfig {
        types: path,
        ..config()
    })
}

fn state(kernel: &Kernel, id: HookId) -> Outcome<HookState> {
    let hook = kernel.hooks().iter().find(|hook| hook.id == id);
    Ok(hook.ok_or("no such hook")?.state.clone())
}

fn before_6_3() -> Outcome {
    const SENT: u64 = 20;
    let home = tempfile::tempdir()?;
    let config = types_without("sock_send_length", home.path())?;
    for (version, connects, receives) in [
        ("v4", HookId::Connect4, HookId::Recvmsg4),
        ("v6", HookId::Connect6, HookId::Recvmsg6),
    ] {
        let group = Group::new()?;
        let mut kernel = Kernel::load(&config)?;
        let HookState::Fallback { reason } = state(&kernel, HookId::SockSendLength)? else {
            return Err(format!("{:?}", kernel.hooks()).into());
        };
        assert!(reason.contains("6.3") && reason.contains("connecting"), "{reason}");
        let job = ["udp-connected", version, &SENT.to_string()];
        let facts = crate::stage::work(group.path(), &job, || Ok(()))?;
        let mut recording = Recording::default();
        recording.finish(&mut kernel)?;
        let (netns, port): (u32, u16) = (facts.netns()?, facts.number("port")?);
        // One for connecting, whatever is sent; the server counts each datagram.
        let [(key, value)] = recording.flows_in(netns, Direction::Out, FlowOutcome::Unknown)[..] else {
            return Err(format!("not one flow: {:?}", recording.drained.flows).into());
        };
        assert_eq!(
            (key.hook, key.service_port, key.cgroup_id, value.count),
            (connects.id(), port, group.id, 1)
        );
        let [(key, value)] = recording.flows_in(netns, Direction::In, FlowOutcome::Established)[..] else {
            return Err("not one served flow".into());
        };
        assert_eq!((key.hook, key.service_port, value.count), (receives.id(), port, SENT));
        recording.check_books_of(connects)?;
    }
    Ok(())
}

/// A hook whose work nothing else does.
fn no_groups() -> Outcome {
    let home = tempfile::tempdir()?;
    let mut kernel = Kernel::load(&types_without("cgroup_mkdir", home.path())?)?;
    let HookState::Unavailable { reason } = state(&kernel, HookId::CgroupMkdir)? else {
        return Err(format!("{:?}", kernel.hooks()).into());
    };
    assert!(reason.contains("cgroup_mkdir"), "{reason}");
    assert_eq!(state(&kernel, HookId::CgroupRmdir)?, HookState::Available);
    // The others work as ever.
    let group = Group::new()?;
    let facts = crate::stage::work(group.path(), &["v4"], || Ok(()))?;
    let mut recording = Recording::default();
    recording.finish(&mut kernel)?;
    assert_eq!(
        recording.count_in(facts.netns()?, Direction::Out, FlowOutcome::Established),
        1
    );
    assert!(recording.counters.iter().all(|hook| hook.id != HookId::CgroupMkdir));
    recording.check_books()
}

fn no_types() -> Outcome {
    let home = tempfile::tempdir()?;
    let load = |types: &Path| {
        Kernel::load(&KernelConfig {
            types: types.to_owned(),
            ..config()
        })
    };
    let nowhere = home.path().join("nowhere");
    match load(&nowhere) {
        Err(error @ KernelError::NoBtf { .. }) => {
            let said = with_causes(&error);
            assert!(
                said.contains("nowhere") && said.contains("CONFIG_DEBUG_INFO_BTF"),
                "{said}"
            );
        }
        other => return Err(format!("without types: {other:?}").into()),
    }
    let types = std::fs::read(VMLINUX)?;
    let broken = home.path().join("broken");
    for part in [&types[..0], &types[..types.len() / 2], b"no types at all"] {
        std::fs::write(&broken, part)?;
        match load(&broken) {
            Err(KernelError::Layout(_)) => {}
            other => return Err(format!("with {} bytes of types: {other:?}", part.len()).into()),
        }
    }
    Ok(())
}
