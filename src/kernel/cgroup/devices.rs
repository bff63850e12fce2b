//! Which device nodes a container may open: a list for the v1 controller, the same list as a program for v2.

use std::path::Path;

use super::tree;
use crate::kernel::failure::{Failure, Step as _};
use crate::sys::bpf::{self, Instruction};
use crate::sys::descriptor;

/// A device: its kind, major number and minor number; no minor = any.
type Device = (Kind, u32, Option<u32>);

/// Null, zero, full, random, urandom, tty, console, ptmx, every pts, fuse and tun, which may be read and written.
const ALLOWED: [Device; 11] = [
    (Kind::Character, 1, Some(3)),
    (Kind::Character, 1, Some(5)),
    (Kind::Character, 1, Some(7)),
    (Kind::Character, 1, Some(8)),
    (Kind::Character, 1, Some(9)),
    (Kind::Character, 5, Some(0)),
    (Kind::Character, 5, Some(1)),
    (Kind::Character, 5, Some(2)),
    (Kind::Character, 136, None),
    (Kind::Character, 10, Some(229)),
    (Kind::Character, 10, Some(200)),
];
/// Every loop device and their control: also those of others on this host.
const LOOPS: [Device; 2] = [(Kind::Character, 10, Some(237)), (Kind::Block, 7, None)];

/// `BPF_DEVCG_DEV_BLOCK` and `BPF_DEVCG_DEV_CHAR` of linux/bpf.h.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Block = 1,
    Character = 2,
}

fn allowed(loops: bool) -> impl Iterator<Item = Device> {
    let more: &[Device] = if loops { &LOOPS } else { &[] };
    ALLOWED.iter().chain(more).copied()
}

/// Denies all by the v1 devices controller, then allows the list. Nodes may be made of anything (inside a user
/// namespace the kernel refuses that anyway), only opening matters.
pub(super) fn restrict_v1(group: &Path, loops: bool) -> Result<(), Failure> {
    tree::write(group, "devices.deny", "a")?;
    tree::write(group, "devices.allow", "c *:* m")?;
    tree::write(group, "devices.allow", "b *:* m")?;
    for (kind, major, minor) in allowed(loops) {
        let minor = minor.map_or_else(|| "*".to_owned(), |number| number.to_string());
        let letter = if matches!(kind, Kind::Block) { 'b' } else { 'c' };
        tree::write(group, "devices.allow", &format!("{letter} {major}:{minor} rwm"))?;
    }
    Ok(())
}

/// Attaches the list as a device program.
pub(super) fn restrict_v2(group: &Path, loops: bool) -> Result<(), Failure> {
    let program = bpf::load_device_program(&program(loops)).step("load the device program")?;
    let directory = descriptor::open_directory(group).step("open the cgroup")?;
    bpf::attach_device_program(directory, program).step("attach the device program")
}

const LOAD_WORD: u8 = 0x61;
const AND_IMMEDIATE: u8 = 0x54;
const MOVE_IMMEDIATE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;
/// `BPF_DEVCG_ACC_MKNOD` of linux/bpf.h.
const ACCESS_MAKE_NODE: i32 = 1;

fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers, offset, immediate }
}

fn answer(value: i32) -> [Instruction; 2] {
    [instruction(MOVE_IMMEDIATE, 0, 0, value), instruction(EXIT, 0, 0, 0)]
}

/// r1 is the context { access_type, major, minor }; access_type holds the device type in its low and the kind of
/// access in its high 16 bits. The answer 1 allows.
fn program(loops: bool) -> Vec<Instruction> {
    let mut list = vec![
        instruction(LOAD_WORD, 0x12, 0, 0),          // r2 = access_type
        instruction(MOVE_REGISTER, 0x23, 0, 0),      // r3 = r2
        instruction(SHIFT_RIGHT, 0x03, 0, 16),       // r3 = access
        instruction(AND_IMMEDIATE, 0x02, 0, 0xffff), // r2 = type
        instruction(LOAD_WORD, 0x14, 4, 0),          // r4 = major
        instruction(LOAD_WORD, 0x15, 8, 0),          // r5 = minor
        instruction(JUMP_NOT_EQUAL, 0x03, 2, ACCESS_MAKE_NODE),
    ];
    list.extend(answer(1));
    for (kind, major, minor) in allowed(loops) {
        let wanted = [(0x02, kind as i32), (0x04, major as i32)];
        let wanted: Vec<_> = wanted.into_iter().chain(minor.map(|minor| (0x05, minor as i32))).collect();
        for (index, (register, value)) in wanted.iter().enumerate() {
            // Over the comparisons that are left and the answer.
            let rest = wanted.len() - index - 1 + 2;
            list.push(instruction(JUMP_NOT_EQUAL, *register, rest as i16, *value));
        }
        list.extend(answer(1));
    }
    list.extend(answer(0));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn allows(access: i32, kind: i32, major: i32, minor: i32) -> bool {
        runs(&program(false), access, kind, major, minor)
    }

    fn runs(program: &[Instruction], access: i32, kind: i32, major: i32, minor: i32) -> bool {
        let mut registers = [0_i32; 6];
        let context = [access << 16 | kind, major, minor];
        let mut at = 0_usize;
        loop {
            let Instruction { code, registers: pair, offset, immediate } = program[at];
            let (to, from) = ((pair & 15) as usize, (pair >> 4) as usize);
            at += 1;
            let mut jump = |holds: bool| at += if holds { offset as usize } else { 0 };
            match code {
                LOAD_WORD => registers[to] = context[offset as usize / 4],
                MOVE_REGISTER => registers[to] = registers[from],
                MOVE_IMMEDIATE => registers[to] = immediate,
                SHIFT_RIGHT => registers[to] >>= immediate,
                AND_IMMEDIATE => registers[to] &= immediate,
                JUMP_NOT_EQUAL => jump(registers[to] != immediate),
                EXIT => return registers[0] == 1,
                other => panic!("code {other:#x}"),
            }
        }
    }

    #[test]
    fn null_terminals_and_fuse_open_but_no_disk_and_no_memory() {
        let read_write = 6;
        assert!(allows(read_write, 2, 1, 3));
        assert!(allows(read_write, 2, 136, 77));
        assert!(allows(read_write, 2, 10, 229));
        assert!(!allows(read_write, 2, 1, 1), "/dev/mem");
        assert!(!allows(read_write, 1, 254, 0), "a disk");
        assert!(!allows(read_write, 1, 1, 3), "a block device with the numbers of null");
        assert!(allows(ACCESS_MAKE_NODE, 1, 254, 0));
    }

    #[test]
    fn loop_devices_open_where_they_are_asked_for_and_no_other_disk() {
        let read_write = 6;
        assert!(!allows(read_write, 1, 7, 3) && !allows(read_write, 2, 10, 237));
        let program = program(true);
        assert!(runs(&program, read_write, 1, 7, 3) && runs(&program, read_write, 2, 10, 237));
        assert!(runs(&program, read_write, 2, 1, 3));
        assert!(!runs(&program, read_write, 1, 254, 0), "a disk");
        assert!(!runs(&program, read_write, 2, 7, 3), "a character device with the numbers of a loop device");
    }
}
