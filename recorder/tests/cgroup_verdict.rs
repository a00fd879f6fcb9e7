//! Programs of control groups can refuse what they are shown: 0 is a refusal, 1 lets it pass. So every way out of every one of
//! them in the committed object must end with the constant 1, which is shown here from their instructions.
//!
//! Encoding of instructions: `Documentation/bpf/standardization/instruction-set.rst`, Linux v6.12.

use object::{Object as _, ObjectSection as _};

/// What is known of a register at a place: nothing was there yet, one constant, or anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Unreached,
    Constant(i32),
    Anything,
}

impl Known {
    /// What is known where two ways meet.
    fn meet(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unreached, known) | (known, Self::Unreached) => known,
            (one, another) if one == another => one,
            (Self::Constant(_) | Self::Anything, Self::Constant(_) | Self::Anything) => Self::Anything,
        }
    }
}

/// r0 to r10.
type Registers = [Known; 11];

/// One slot of eight bytes.
#[derive(Clone, Copy)]
struct Slot {
    opcode: u8,
    to: usize,
    from: usize,
    jump: i16,
    immediate: i32,
}

impl Slot {
    fn read(bytes: &[u8]) -> Self {
        Self {
            opcode: bytes[0],
            to: usize::from(bytes[1] & 0xf),
            from: usize::from(bytes[1] >> 4),
            jump: i16::from_le_bytes([bytes[2], bytes[3]]),
            immediate: i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        }
    }
}

const EXIT: u8 = 0x95;
const CALL: u8 = 0x85;
const JUMP: u8 = 0x05;
const JUMP_FAR: u8 = 0x06;
const MOVE_CONSTANT: [u8; 2] = [0xb7, 0xb4];
const MOVE_REGISTER: u8 = 0xbf;
const LOAD_WIDE: u8 = 0x18;
/// Atomic operations on 32 and 64 bits.
const ATOMIC: [u8; 2] = [0xc3, 0xdb];
const COMPARE_AND_SWAP: i32 = 0xf1;
const FETCH: i32 = 0x01;

/// What is known after an instruction, and where it may go from there.
fn step(slot: Slot, at: usize, mut known: Registers) -> (Registers, Vec<usize>) {
    let next = at + 1;
    let target = |distance: i32| {
        let distance = isize::try_from(distance).expect("an instruction counts its way in 32 bits");
        next.checked_add_signed(distance)
            .expect("no way leads out of a program")
    };
    // Classes of instructions: 0 to 3 load and store, 4 and 7 calculate, 5 and 6 jump.
    match (slot.opcode, slot.opcode & 7) {
        (EXIT, _) => return (known, Vec::new()),
        (CALL, _) => known[..6].fill(Known::Anything),
        (JUMP, _) => return (known, vec![target(slot.jump.into())]),
        (JUMP_FAR, _) => return (known, vec![target(slot.immediate)]),
        (_, 5 | 6) => return (known, vec![next, target(slot.jump.into())]),
        (LOAD_WIDE, _) => {
            known[slot.to] = Known::Anything;
            return (known, vec![next + 1]);
        }
        (opcode, _) if MOVE_CONSTANT.contains(&opcode) => known[slot.to] = Known::Constant(slot.immediate),
        (MOVE_REGISTER, _) if slot.jump == 0 => known[slot.to] = known[slot.from],
        (opcode, _) if ATOMIC.contains(&opcode) => {
            if slot.immediate == COMPARE_AND_SWAP {
                known[0] = Known::Anything;
            } else if slot.immediate & FETCH != 0 {
                known[slot.from] = Known::Anything;
            }
        }
        // Stores leave the registers alone.
        (_, 2 | 3) => {}
        _ => known[slot.to] = Known::Anything,
    }
    (known, vec![next])
}

/// What r0 may be at each way out of a program.
fn verdicts(program: &[u8]) -> Vec<Known> {
    let slots: Vec<Slot> = program.chunks_exact(8).map(Slot::read).collect();
    let mut before = vec![[Known::Unreached; 11]; slots.len()];
    before[0] = [Known::Anything; 11];
    let mut waiting = vec![0];
    while let Some(at) = waiting.pop() {
        let (after, targets) = step(slots[at], at, before[at]);
        for to in targets {
            let merged: Registers = std::array::from_fn(|register| before[to][register].meet(after[register]));
            if merged != before[to] {
                before[to] = merged;
                waiting.push(to);
            }
        }
    }
    let exits = slots.iter().zip(before).filter(|(slot, _)| slot.opcode == EXIT);
    exits.map(|(_, known)| known[0]).collect()
}

fn instruction(opcode: u8, registers: u8, jump: i16, immediate: i32) -> [u8; 8] {
    let mut bytes = [opcode, registers, 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&jump.to_le_bytes());
    bytes[4..].copy_from_slice(&immediate.to_le_bytes());
    bytes
}

#[test]
fn every_way_out_of_every_program_of_a_control_group_lets_pass() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../recorder-ebpf/prebuilt/flowtape.bpf.o");
    let bytes = std::fs::read(path).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let mut names = Vec::new();
    for section in file.sections() {
        let name = section.name().unwrap();
        if !name.starts_with("cgroup") || section.kind() != object::SectionKind::Text {
            continue;
        }
        let verdicts = verdicts(section.data().unwrap());
        assert!(!verdicts.is_empty(), "`{name}` has no way out");
        for verdict in verdicts {
            assert_eq!(verdict, Known::Constant(1), "`{name}` may refuse");
        }
        names.push(name.to_owned());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "cgroup/bind4",
            "cgroup/bind6",
            "cgroup/connect4",
            "cgroup/connect6",
            "cgroup/post_bind4",
            "cgroup/post_bind6",
            "cgroup/recvmsg4",
            "cgroup/recvmsg6",
            "cgroup/sendmsg4",
            "cgroup/sendmsg6",
            "cgroup/sock_create",
            "cgroup/sock_release",
        ]
    );
}

#[test]
fn a_program_that_may_refuse_is_found() {
    let exit = instruction(EXIT, 0, 0, 0);
    let one = instruction(0xb7, 0, 0, 1);
    // if r1 == 0 goto over the next
    let skip = instruction(0x15, 1, 1, 0);
    let passes: &[&[[u8; 8]]] = &[
        &[one, exit],
        &[
            instruction(0xb7, 6, 0, 1),
            instruction(CALL, 0, 0, 5),
            instruction(0xbf, 0x60, 0, 0),
            exit,
        ],
        &[one, skip, one, exit],
    ];
    let may_refuse: &[&[[u8; 8]]] = &[
        &[instruction(0xb7, 0, 0, 0), exit],
        // What a helper gave.
        &[one, instruction(CALL, 0, 0, 5), exit],
        // One of two ways gives 0.
        &[one, skip, instruction(0xb7, 0, 0, 0), exit],
        // What was there before, a sum, memory, a compare-and-swap.
        &[exit],
        &[one, instruction(0x07, 0, 0, 1), exit],
        &[one, instruction(0x79, 0x10, 0, 0), exit],
        &[one, instruction(0xdb, 0x21, 0, COMPARE_AND_SWAP), exit],
        // A way back that changes it.
        &[one, skip, exit, instruction(0xb7, 0, 0, 0), instruction(JUMP, 0, -3, 0)],
    ];
    let all_pass = |program: &&[[u8; 8]]| {
        verdicts(&program.concat())
            .iter()
            .all(|known| *known == Known::Constant(1))
    };
    for program in passes {
        assert!(all_pass(program), "{program:x?}");
    }
    for program in may_refuse {
        assert!(!all_pass(program), "{program:x?}");
    }
}
