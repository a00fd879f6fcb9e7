//! The programs of the object, where each is attached, and what it means if one cannot be.

use std::fs::File;

use aya::programs::cgroup_sock::CgroupSockLinkId;
use aya::programs::cgroup_sock_addr::CgroupSockAddrLinkId;
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::programs::{BtfTracePoint, CgroupAttachMode, CgroupSock, CgroupSockAddr, ProgramError};
use aya::{Ebpf, EbpfError};
use flowtape_recorder_ebpf::abi::id::HookId;

use super::config::{Hook, HookState};
use super::error::{KernelError, with_causes};
use super::load::refused;

/// What a program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// A tracepoint with types.
    Tracepoint,
    /// The root of the version 2 control groups, where an address is named.
    Address,
    /// The same, where a socket is made, bound or given up.
    Socket,
}

/// A program.
pub(super) struct Program {
    pub(super) id: HookId,
    /// Its name in the object; of a tracepoint that of the tracepoint.
    pub(super) program: &'static str,
    /// Where it is attached, as in the tables.
    name: &'static str,
    point: Point,
    essential: bool,
    /// The program of the object that handles what the kernel does not show to this one. The kernel calls the programs of a
    /// tracepoint in the order in which they were attached (`func_add`, `kernel/tracepoint.c`, v6.12), so it comes after it.
    pub(super) rescue: Option<&'static str>,
}

/// Every program of the object. What ends something is attached before what begins it, so that nothing is left waiting for an
/// end that nobody saw: the tracepoint that ends an attempt to connect, the program that is shown what is closed.
pub(super) const PROGRAMS: &[Program] = &[
    Program {
        essential: true,
        rescue: Some("inet_sock_set_state_rescue"),
        ..tracepoint(
            HookId::InetSockSetState,
            "inet_sock_set_state",
            "tp_btf/inet_sock_set_state",
        )
    },
    tracepoint(HookId::CgroupMkdir, "cgroup_mkdir", "tp_btf/cgroup_mkdir"),
    tracepoint(HookId::CgroupRmdir, "cgroup_rmdir", "tp_btf/cgroup_rmdir"),
    tracepoint(HookId::SockSendLength, "sock_send_length", "tp_btf/sock_send_length"),
    tracepoint(
        HookId::SkErrorReport,
        "inet_sk_error_report",
        "tp_btf/inet_sk_error_report",
    ),
    address(HookId::Recvmsg4, "recvmsg4", "cgroup/recvmsg4"),
    address(HookId::Recvmsg6, "recvmsg6", "cgroup/recvmsg6"),
    address(HookId::Sendmsg4, "sendmsg4", "cgroup/sendmsg4"),
    address(HookId::Sendmsg6, "sendmsg6", "cgroup/sendmsg6"),
    address(HookId::Connect4, "connect4", "cgroup/connect4"),
    address(HookId::Connect6, "connect6", "cgroup/connect6"),
    socket(HookId::SockCreate, "sock_create", "cgroup/sock_create"),
    socket(HookId::SockRelease, "sock_release", "cgroup/sock_release"),
    socket(HookId::PostBind4, "post_bind4", "cgroup/post_bind4"),
    socket(HookId::PostBind6, "post_bind6", "cgroup/post_bind6"),
    address(HookId::Bind4, "bind4", "cgroup/bind4"),
    address(HookId::Bind6, "bind6", "cgroup/bind6"),
];

const fn tracepoint(id: HookId, program: &'static str, name: &'static str) -> Program {
    at(Point::Tracepoint, id, program, name)
}

const fn address(id: HookId, program: &'static str, name: &'static str) -> Program {
    at(Point::Address, id, program, name)
}

const fn socket(id: HookId, program: &'static str, name: &'static str) -> Program {
    at(Point::Socket, id, program, name)
}

const fn at(point: Point, id: HookId, program: &'static str, name: &'static str) -> Program {
    Program {
        id,
        program,
        name,
        point,
        essential: false,
        rescue: None,
    }
}

/// What holds a program in place.
#[derive(Debug)]
pub(super) enum Link {
    Tracepoint(BtfTracePointLinkId),
    Address(CgroupSockAddrLinkId),
    Socket(CgroupSockLinkId),
}

/// What programs are attached to.
pub(super) struct Places<'a> {
    pub(super) btf: &'a aya::Btf,
    /// The root of the version 2 control groups, or why programs are not attached to it.
    pub(super) root: &'a Result<File, HookState>,
    /// The one hook that is wanted; all of them without.
    pub(super) only: Option<HookId>,
}

/// Attaches every program; fails only if an essential one cannot be.
pub(super) fn attach_all(ebpf: &mut Ebpf, places: &Places<'_>) -> Result<(Vec<Hook>, Vec<Attached>), KernelError> {
    let (mut hooks, mut links) = (Vec::new(), Vec::new());
    for program in PROGRAMS {
        let state = match attach(ebpf, program, places)? {
            Ok(link) => {
                let kind = match &link {
                    Link::Tracepoint(_) => Kind::First,
                    Link::Address(_) | Link::Socket(_) => Kind::Cgroup,
                };
                links.push(Attached {
                    program: program.program,
                    kind,
                    link,
                });
                if let Some(rescue) = program.rescue {
                    links.push(stand_behind(ebpf, program.program, rescue, places)?);
                }
                HookState::Available
            }
            Err(state) => state,
        };
        hooks.push(Hook {
            id: program.id,
            name: program.name,
            essential: program.essential,
            state,
        });
    }
    stand_in(&mut hooks);
    Ok((hooks, links))
}

/// A program that is in place.
#[derive(Debug)]
pub(super) struct Attached {
    program: &'static str,
    pub(super) kind: Kind,
    link: Link,
}

/// Programs that are taken off together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The only or first one of a tracepoint.
    First,
    /// One that stands behind another in its tracepoint.
    Rescue,
    /// One of the root of the control groups.
    Cgroup,
}

impl Attached {
    /// Takes it off; it stays loaded, with its maps and numbers.
    pub(super) fn detach(self, ebpf: &mut Ebpf) {
        // Closing a descriptor cannot fail in a way that leaves the program attached.
        let _ = match self.link {
            Link::Tracepoint(link) => program::<BtfTracePoint>(ebpf, self.program).map(|found| found.detach(link)),
            Link::Address(link) => program::<CgroupSockAddr>(ebpf, self.program).map(|found| found.detach(link)),
            Link::Socket(link) => program::<CgroupSock>(ebpf, self.program).map(|found| found.detach(link)),
        };
    }
}

/// Attaches one, or says in which state that leaves it.
fn attach(ebpf: &mut Ebpf, wanted: &Program, places: &Places<'_>) -> Result<Result<Link, HookState>, KernelError> {
    if places.only.is_some_and(|only| only != wanted.id) {
        return Ok(Err(HookState::NotAskedFor));
    }
    let name = wanted.program;
    let attached = match wanted.point {
        Point::Tracepoint => {
            let found = program::<BtfTracePoint>(ebpf, name)?;
            let attached = found.load(name, places.btf).and_then(|()| found.attach());
            attached.map(Link::Tracepoint)
        }
        Point::Address | Point::Socket => {
            let root = match places.root {
                Ok(root) => root,
                Err(state) => return Ok(Err(state.clone())),
            };
            attach_to_root(ebpf, wanted, root)?
        }
    };
    match attached {
        Ok(link) => Ok(Ok(link)),
        Err(source) if wanted.essential => Err(refused(EbpfError::ProgramError(source))),
        Err(source) => Ok(Err(HookState::Unavailable {
            reason: why(wanted.point, &source),
        })),
    }
}

/// Attaches a program of control groups. The kernel takes any number of links; it refuses the flag that would ask for that.
fn attach_to_root(ebpf: &mut Ebpf, wanted: &Program, root: &File) -> Result<Result<Link, ProgramError>, KernelError> {
    const ONE_OF_MANY: CgroupAttachMode = CgroupAttachMode::Single;
    Ok(if wanted.point == Point::Address {
        let found = program::<CgroupSockAddr>(ebpf, wanted.program)?;
        let attached = found.load().and_then(|()| found.attach(root, ONE_OF_MANY));
        attached.map(Link::Address)
    } else {
        let found = program::<CgroupSock>(ebpf, wanted.program)?;
        let attached = found.load().and_then(|()| found.attach(root, ONE_OF_MANY));
        attached.map(Link::Socket)
    })
}

/// Attaches a program behind the first one of a tracepoint.
fn stand_behind(
    ebpf: &mut Ebpf,
    tracepoint: &str,
    name: &'static str,
    places: &Places<'_>,
) -> Result<Attached, KernelError> {
    let found = program::<BtfTracePoint>(ebpf, name)?;
    let link = found.load(tracepoint, places.btf).and_then(|()| found.attach());
    let link = link.map_err(|source| refused(EbpfError::ProgramError(source)))?;
    Ok(Attached {
        program: name,
        kind: Kind::Rescue,
        link: Link::Tracepoint(link),
    })
}

pub(super) fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, KernelError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    let foreign = || KernelError::Foreign { name };
    let found = ebpf.program_mut(name).ok_or_else(foreign)?;
    found.try_into().map_err(|_other_type| foreign())
}

fn why(point: Point, source: &ProgramError) -> String {
    let text = with_causes(source);
    match point {
        Point::Address | Point::Socket if is_refused(source) => {
            format!("not permitted; programs of control groups need CAP_NET_ADMIN ({text})")
        }
        Point::Address | Point::Socket | Point::Tracepoint => text,
    }
}

fn is_refused(source: &ProgramError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source);
    while let Some(error) = cause {
        let number = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error);
        if number == Some(libc::EPERM) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Where connected sockets do not show what they send, connecting stands in for it.
fn stand_in(hooks: &mut [Hook]) {
    let connects = hooks
        .iter()
        .any(|hook| hook.id == HookId::Connect4 && hook.state == HookState::Available);
    let sends = hooks.iter_mut().find(|hook| hook.id == HookId::SockSendLength);
    if let Some(Hook {
        state: state @ HookState::Unavailable { .. },
        ..
    }) = sends
        && connects
    {
        *state = HookState::Fallback {
            reason: "this kernel does not show what connected UDP sockets send (Linux 6.3 and newer do): connecting \
                     one counts as one datagram"
                .to_owned(),
        };
    }
}
