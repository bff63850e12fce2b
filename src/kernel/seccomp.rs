//! Builds system call filters: classic BPF over `struct seccomp_data` (seccomp(2), linux/filter.h).
//!
//! A deny list that answers with an error number: a program that probes for a call finds it missing and goes on,
//! where a kill would end it. Own code and not a crate, because the answers differ (`EPERM` for most, `ENOSYS` for
//! clone3, whose flags a filter cannot read, so that libc falls back to clone, and for what a kernel may lack; the
//! supervisor is asked about new user namespaces) and a foreign architecture must be told "not there" and not be killed.
//!
//! The filter is on before the namespaces and mounts of a container are made (decision 0024), so what a launch needs of the
//! calls that are refused later is let through with the word of a [`Pass`].

use crate::sys::pass::Pass;
use crate::sys::seccomp::{
    CLONE, CLONE3, DENIED_ALWAYS, DENIED_BUT_TO_HOSTS, DENIED_HERE, DENIED_TO_COMMANDS, IOCTL, Instruction,
    KEY_CONTROL, MISSING, NATIVE_ARCHITECTURE, OF_LAUNCHES, SET_SOCKET_OPTION, SOCKET, SOCKET_FAMILIES, SOCKET_PAIR,
    UNSHARE,
};

const LOAD_WORD: u16 = 0x20;
const STORE: u16 = 0x02;
const LOAD_INDEX: u16 = 0x61;
const EXCLUSIVE_OR: u16 = 0xa4;
const OR_INDEX: u16 = 0x4c;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
/// Low halves of the first two arguments, on a little-endian machine.
const OFFSET_ARGUMENT_0: u32 = 16;
const OFFSET_ARGUMENT_1: u32 = 24;
const OFFSET_ARGUMENT_2: u32 = 32;
/// Both halves of the sixth argument.
const OFFSETS_OF_PASS: [u32; 2] = [56, 60];

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = ERRNO | 1;
/// The supervisor is asked (`SECCOMP_RET_USER_NOTIF`).
const ASK: u32 = 0x7fc0_0000;
const ENOSYS: u32 = ERRNO | 0x26;
const EAFNOSUPPORT: u32 = ERRNO | 0x61;

const CLONE_NEWUSER: u32 = 0x1000_0000;
/// Pushing input into a terminal one does not own, and the console's paste buffer.
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541C;
/// Marks calls of the x32 ABI, which reach the same kernel functions under other numbers.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

/// What the filter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterOptions {
    /// New user namespaces (and with them containers inside) are allowed. A system without asks its supervisor about each.
    pub nesting: bool,
    /// It limits the devices of containers inside, which takes programs in the kernel.
    pub host: bool,
    /// A single command, which needs no mounts, rather than an init.
    pub command: bool,
    /// Nobody can be asked: new user namespaces are refused instead.
    pub unheard: bool,
}

impl FilterOptions {
    /// Tells whether the filter asks about some calls, so that it needs somebody who listens.
    pub fn asks(self) -> bool {
        !self.nesting && !self.command && !self.unheard
    }
}

const fn instruction(code: u16, jump_true: u8, jump_false: u8, operand: u32) -> Instruction {
    Instruction { code, jump_true, jump_false, operand }
}

const fn load(offset: u32) -> Instruction {
    instruction(LOAD_WORD, 0, 0, offset)
}

const fn answer(action: u32) -> Instruction {
    instruction(RETURN, 0, 0, action)
}

/// Returns `action` for this call and goes on with the next instruction for every other.
const fn refuse(number: u32, action: u32) -> [Instruction; 2] {
    [instruction(JUMP_EQUAL, 0, 1, number), answer(action)]
}

/// Lets these calls through to whoever shows the pass, and returns `action` for them to everybody else.
///
/// Its halves are compared in one: two answers that take different time would let somebody find one half after the other.
fn only_with(pass: Pass, numbers: &[u32], action: u32) -> Vec<Instruction> {
    const SCRATCH: u32 = 0;
    let ([low, high], [at_low, at_high]) = (pass.halves(), OFFSETS_OF_PASS);
    let check = [
        load(at_low),
        instruction(EXCLUSIVE_OR, 0, 0, low),
        instruction(STORE, 0, 0, SCRATCH),
        load(at_high),
        instruction(EXCLUSIVE_OR, 0, 0, high),
        instruction(LOAD_INDEX, 0, 0, SCRATCH),
        instruction(OR_INDEX, 0, 0, 0),
        instruction(JUMP_EQUAL, 0, 1, 0),
        answer(ALLOW),
        answer(action),
    ];
    let count = numbers.len() as u8;
    let compare = |(index, number): (u8, &u32)| instruction(JUMP_EQUAL, count - index, 0, *number);
    let mut list: Vec<_> = (0..count).zip(numbers).map(compare).collect();
    list.push(instruction(JUMP, 0, 0, check.len() as u32));
    list.extend(check);
    list
}

/// Returns `action` for a call when one of `bits` is set in the word at `offset`; leaves the number loaded again.
fn answer_with_bits(number: u32, offset: u32, bits: u32, action: u32) -> [Instruction; 5] {
    [
        instruction(JUMP_EQUAL, 0, 4, number),
        load(offset),
        instruction(JUMP_ANY_BIT, 0, 1, bits),
        answer(action),
        load(OFFSET_NUMBER),
    ]
}

/// Refuses a call when the word at `offset` has exactly this value; leaves the number loaded again.
fn refuse_with_value(number: u32, offset: u32, value: u32) -> [Instruction; 5] {
    [
        instruction(JUMP_EQUAL, 0, 4, number),
        load(offset),
        instruction(JUMP_EQUAL, 0, 1, value),
        answer(EPERM),
        load(OFFSET_NUMBER),
    ]
}

/// Answers "not supported" to a call whose first argument is none of the socket families that there are inside; leaves
/// the number loaded again.
///
/// The list says what there is, since most families know no network namespace: they reach the hypervisor (vsock), the
/// devices of the host, or are code of the kernel that hardly anybody uses.
fn only_known_families(number: u32) -> Vec<Instruction> {
    let families = SOCKET_FAMILIES;
    let rest = families.len() as u8;
    let mut list = vec![instruction(JUMP_EQUAL, 0, rest + 3, number), load(OFFSET_ARGUMENT_0)];
    list.extend((0..rest).map(|index| instruction(JUMP_EQUAL, rest - index, 0, families[usize::from(index)])));
    list.extend([answer(EAFNOSUPPORT), load(OFFSET_NUMBER)]);
    list
}

/// `SOL_PACKET` of linux/socket.h.
const SOL_PACKET: u32 = 263;
/// `PACKET_RX_RING` and `PACKET_TX_RING` of linux/if_packet.h.
const RINGS: [u32; 2] = [5, 13];

/// `SOL_SOCKET` of asm-generic/socket.h.
const SOL_SOCKET: u32 = 1;
/// `SO_SNDBUFFORCE` and `SO_RCVBUFFORCE` of asm-generic/socket.h.
const FORCED_BUFFERS: [u32; 2] = [32, 33];

/// Refuses two options of sockets of one level. Leaves the number loaded again.
fn refuse_options(level: u32, options: [u32; 2]) -> [Instruction; 8] {
    [
        instruction(JUMP_EQUAL, 0, 7, SET_SOCKET_OPTION),
        load(OFFSET_ARGUMENT_1),
        instruction(JUMP_EQUAL, 0, 4, level),
        load(OFFSET_ARGUMENT_2),
        instruction(JUMP_EQUAL, 1, 0, options[0]),
        instruction(JUMP_EQUAL, 0, 1, options[1]),
        answer(EPERM),
        load(OFFSET_NUMBER),
    ]
}

/// Builds the filter for this machine; a launch goes on below it with the pass.
pub fn filter(options: FilterOptions, pass: Pass) -> Vec<Instruction> {
    let mut program = vec![
        load(OFFSET_ARCHITECTURE),
        instruction(JUMP_EQUAL, 1, 0, NATIVE_ARCHITECTURE),
        answer(ENOSYS),
        load(OFFSET_NUMBER),
    ];
    #[cfg(target_arch = "x86_64")]
    program.extend([instruction(JUMP_ANY_BIT, 0, 1, X32_BIT), answer(ENOSYS)]);
    let but_to_hosts: &[(&str, u32)] = if options.host { &[] } else { DENIED_BUT_TO_HOSTS };
    for (_, number) in DENIED_ALWAYS.iter().chain(DENIED_HERE).chain(but_to_hosts) {
        program.extend(refuse(*number, EPERM));
    }
    for (_, number) in MISSING {
        program.extend(refuse(*number, ENOSYS));
    }
    if options.command {
        for (_, number) in DENIED_TO_COMMANDS {
            program.extend(refuse(*number, EPERM));
        }
        let numbers: Vec<u32> = OF_LAUNCHES.iter().map(|(_, number)| *number).collect();
        program.extend(only_with(pass, &numbers, EPERM));
    }
    program.extend(only_with(pass, if options.nesting { &[KEY_CONTROL] } else { &[KEY_CONTROL, CLONE3] }, ENOSYS));
    if !options.nesting {
        let action = if options.asks() { ASK } else { EPERM };
        program.extend(answer_with_bits(CLONE, OFFSET_ARGUMENT_0, CLONE_NEWUSER, action));
        program.extend(answer_with_bits(UNSHARE, OFFSET_ARGUMENT_0, CLONE_NEWUSER, action));
    }
    program.extend(refuse_with_value(IOCTL, OFFSET_ARGUMENT_1, TIOCSTI));
    program.extend(refuse_with_value(IOCTL, OFFSET_ARGUMENT_1, TIOCLINUX));
    program.extend(only_known_families(SOCKET));
    program.extend(only_known_families(SOCKET_PAIR));
    if !options.host {
        // Memory that the kernel counts for nobody: one container could take all there is.
        program.extend(refuse_options(SOL_PACKET, RINGS));
        // Root inside may have buffers beyond what the host allows everybody, and those of netlink are counted for nobody.
        program.extend(refuse_options(SOL_SOCKET, FORCED_BUFFERS));
    }
    program.push(answer(ALLOW));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would, for one call.
    fn run(program: &[Instruction], architecture: u32, number: u32, arguments: [u32; 3]) -> u32 {
        run_showing([0, 0], program, architecture, number, arguments)
    }

    fn run_showing(
        shown: [u32; 2],
        program: &[Instruction],
        architecture: u32,
        number: u32,
        arguments: [u32; 3],
    ) -> u32 {
        let (mut at, mut word, mut index, mut scratch) = (0, 0, 0, 0);
        loop {
            let Instruction { code, jump_true, jump_false, operand } = program[at];
            at += 1;
            let holds = match code {
                LOAD_WORD => {
                    word = match operand {
                        OFFSET_NUMBER => number,
                        OFFSET_ARCHITECTURE => architecture,
                        OFFSET_ARGUMENT_0 => arguments[0],
                        OFFSET_ARGUMENT_1 => arguments[1],
                        OFFSET_ARGUMENT_2 => arguments[2],
                        56 => shown[0],
                        60 => shown[1],
                        other => panic!("offset {other}"),
                    };
                    continue;
                }
                RETURN => return operand,
                STORE | LOAD_INDEX | EXCLUSIVE_OR | OR_INDEX | JUMP => {
                    match code {
                        STORE => scratch = word,
                        LOAD_INDEX => index = scratch,
                        EXCLUSIVE_OR => word ^= operand,
                        OR_INDEX => word |= index,
                        _ => at += operand as usize,
                    }
                    continue;
                }
                JUMP_EQUAL => word == operand,
                JUMP_ANY_BIT => word & operand != 0,
                other => panic!("code {other}"),
            };
            at += usize::from(if holds { jump_true } else { jump_false });
        }
    }

    const SYSTEM: FilterOptions = FilterOptions { nesting: false, host: false, command: false, unheard: false };

    fn pass() -> Pass {
        Pass::draw().unwrap()
    }

    fn call(options: FilterOptions, number: u32, arguments: [u32; 2]) -> u32 {
        run(&filter(options, pass()), NATIVE_ARCHITECTURE, number, [arguments[0], arguments[1], 0])
    }

    #[test]
    fn sockets_have_no_rings_and_no_forced_buffers_but_everything_else() {
        let set = |options, level, option| {
            run(&filter(options, pass()), NATIVE_ARCHITECTURE, SET_SOCKET_OPTION, [3, level, option])
        };
        for (level, refused) in [(SOL_PACKET, RINGS), (SOL_SOCKET, FORCED_BUFFERS)] {
            for option in refused {
                assert_eq!(set(SYSTEM, level, option), EPERM);
                assert_eq!(set(SYSTEM, 6, option), ALLOW);
                assert_eq!(set(FilterOptions { host: true, ..SYSTEM }, level, option), ALLOW);
            }
            assert_eq!(set(SYSTEM, level, 2), ALLOW);
        }
        assert_eq!(call(SYSTEM, IOCTL, [0, 0x5401]), ALLOW, "the number is loaded again");
    }

    #[test]
    fn every_call_of_the_list_is_refused_and_others_pass() {
        for (name, number) in DENIED_ALWAYS.iter().chain(DENIED_HERE).chain(DENIED_BUT_TO_HOSTS) {
            assert_eq!(call(SYSTEM, *number, [0, 0]), EPERM, "{name}");
        }
        for (name, number) in MISSING.iter().chain(&[("SYS_keyctl", KEY_CONTROL), ("memfd_secret", 447)]) {
            assert_eq!(call(SYSTEM, *number, [0, 0]), ENOSYS, "{name}");
        }
        assert_eq!(call(SYSTEM, IOCTL, [0, 0x5401]), ALLOW);
        assert_eq!(call(SYSTEM, CLONE, [17, 0]), ALLOW);
    }

    #[test]
    fn a_launch_goes_on_with_its_pass_and_nobody_with_half_of_one() {
        let command = FilterOptions { command: true, ..SYSTEM };
        let nesting = FilterOptions { nesting: true, ..SYSTEM };
        let (_, bpf) = DENIED_BUT_TO_HOSTS[0];
        for options in [SYSTEM, command, nesting] {
            let pass = pass();
            let (program, [low, high]) = (filter(options, pass), pass.halves());
            let show = |shown, number, flags| run_showing(shown, &program, NATIVE_ARCHITECTURE, number, [flags, 0, 0]);
            let commands = if options.command { OF_LAUNCHES } else { &[] };
            let of_all = [KEY_CONTROL, CLONE3];
            for number in commands.iter().map(|(_, number)| *number).chain(of_all) {
                assert_eq!(show([low, high], number, CLONE_NEWUSER), ALLOW, "{number}");
                for wrong in [[0, 0], [low, 0], [0, high], [low, !high], [!low, high], [high, low], [!low, !high]] {
                    let allowed = show(wrong, number, 0) == ALLOW;
                    assert_eq!(allowed, options.nesting && number == CLONE3, "{number} {wrong:?}");
                }
            }
            let of_commands = DENIED_TO_COMMANDS.iter().filter(|_| options.command).map(|(_, number)| *number);
            for refused in of_commands.chain([bpf, DENIED_ALWAYS[0].1, MISSING[0].1]) {
                assert_ne!(show([low, high], refused, 0), ALLOW, "{refused}");
            }
            assert_eq!(show([low, high], IOCTL, 0), ALLOW);
        }
    }

    #[test]
    fn new_user_namespaces_need_a_yes_or_the_nesting_switch() {
        let nesting = FilterOptions { nesting: true, ..SYSTEM };
        let command = FilterOptions { command: true, ..SYSTEM };
        assert!(SYSTEM.asks() && !nesting.asks() && !command.asks());
        let unheard = FilterOptions { unheard: true, ..SYSTEM };
        for (options, action) in [(SYSTEM, ASK), (command, EPERM), (unheard, EPERM)] {
            assert_eq!(call(options, CLONE3, [0, 0]), ENOSYS);
            assert_eq!(call(options, CLONE, [CLONE_NEWUSER | 0x11, 0]), action);
        }
        assert_eq!(call(SYSTEM, UNSHARE, [CLONE_NEWUSER, 0]), ASK);
        assert_eq!(call(command, UNSHARE, [CLONE_NEWUSER, 0]), EPERM);
        assert_eq!(call(nesting, CLONE3, [0, 0]), ALLOW);
        assert_eq!(call(nesting, UNSHARE, [CLONE_NEWUSER, 0]), ALLOW);
    }

    #[test]
    fn a_host_of_containers_may_load_device_programs_and_nobody_else() {
        let (_, bpf) = DENIED_BUT_TO_HOSTS[0];
        assert_eq!(call(FilterOptions { nesting: true, ..SYSTEM }, bpf, [0, 0]), EPERM);
        assert_eq!(call(FilterOptions { nesting: true, host: true, ..SYSTEM }, bpf, [0, 0]), ALLOW);
    }

    #[test]
    fn terminals_cannot_be_fed_and_foreign_programs_find_no_calls() {
        assert_eq!(call(SYSTEM, IOCTL, [0, TIOCSTI]), EPERM);
        assert_eq!(call(SYSTEM, IOCTL, [0, TIOCLINUX]), EPERM);
        assert_eq!(run(&filter(SYSTEM, pass()), 0x4000_0003, 1, [0, 0, 0]), ENOSYS);
    }

    #[test]
    fn sockets_are_of_the_families_that_know_namespaces() {
        for family in [1, 2, 10, 16, 17] {
            assert_eq!(call(SYSTEM, SOCKET, [family, 2]), ALLOW, "{family}");
        }
        // Kernel crypto, Bluetooth, CAN, NFC, vsock, XDP, TIPC, and one that is not there yet.
        for family in [38, 31, 29, 39, 40, 44, 30, 99] {
            assert_eq!(call(SYSTEM, SOCKET, [family, 2]), EAFNOSUPPORT, "{family}");
            assert_eq!(call(SYSTEM, SOCKET_PAIR, [family, 2]), EAFNOSUPPORT, "{family}");
        }
        assert_eq!(call(SYSTEM, SOCKET_PAIR, [1, 2]), ALLOW);
        assert_eq!(call(SYSTEM, UNSHARE, [40, 0]), ALLOW);
    }

    #[test]
    fn a_command_cannot_mount_or_reboot_though_an_init_can() {
        for (name, number) in OF_LAUNCHES.iter().chain(DENIED_TO_COMMANDS) {
            assert_eq!(call(SYSTEM, *number, [0, 0]), ALLOW, "{name}");
            assert_eq!(call(FilterOptions { command: true, ..SYSTEM }, *number, [0, 0]), EPERM, "{name}");
        }
    }
}
