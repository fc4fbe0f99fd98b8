// SPDX-License-Identifier: GPL-2.0

//! A function copies memory when it is told to, and nothing but that.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    CopyMemory,
    MAX_COPY, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::wire::{
    U32,
    U64, //
};
use ferrite_model::testing::{
    Driver,
    Machine, //
};
use ferrite_model::{
    Config,
    PciFn, //
};

const VF: PciFn = PciFn::vf(0);

fn start() -> (Machine, Driver) {
    let config = Config {
        max_vfs: 1,
        ..Config::default()
    };
    let mut machine = Machine::with_memory(config, 8 << 20);
    machine.set_vfs(1);
    let driver = Driver::start(&mut machine, VF);
    (machine, driver)
}

fn copy(source: u64, destination: u64, length: u32) -> CopyMemory {
    CopyMemory {
        source: U64::new(source),
        destination: U64::new(destination),
        length: U32::new(length),
        rsvd: [0; 4],
    }
}

fn read(machine: &Machine, addr: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    machine.host.read(addr, &mut bytes);
    bytes
}

/// Bytes that differ from their neighbours.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 + 1).collect()
}

#[test]
fn bytes_arrive_and_their_neighbours_stay() {
    let (mut machine, mut driver) = start();
    let from = machine.host.alloc(MAX_COPY as usize);
    let to = machine.host.alloc(MAX_COPY as usize + 2);
    for length in [1, 3, 4096, 4097, MAX_COPY] {
        let bytes = pattern(length as usize);
        machine.host.write(from, &bytes);
        machine.host.write(to, &vec![0; MAX_COPY as usize + 2]);
        driver
            .send(&mut machine, copy(from, to + 1, length))
            .unwrap();
        let all = read(&machine, to, length as usize + 2);
        assert_eq!(all[1..=length as usize], bytes);
        assert_eq!((all[0], all[length as usize + 1]), (0, 0));
    }
}

#[test]
fn overlapping_ranges_are_copied_as_they_were() {
    let (mut machine, mut driver) = start();
    let at = machine.host.alloc(0x3000);
    let bytes = pattern(0x2000);
    for (from, to) in [(at, at + 0x800), (at + 0x800, at)] {
        machine.host.write(from, &bytes);
        driver.send(&mut machine, copy(from, to, 0x2000)).unwrap();
        assert_eq!(read(&machine, to, 0x2000), bytes);
    }
}

#[test]
fn impossible_ranges_are_refused() {
    let (mut machine, mut driver) = start();
    let at = machine.host.alloc(0x2000);
    let wrong = [
        copy(at, at, 0),
        copy(at, at, MAX_COPY + 1),
        copy(u64::MAX, at, 1),
        copy(at, u64::MAX - 10, 12),
        CopyMemory {
            rsvd: [0, 0, 0, 1],
            ..copy(at, at, 1)
        },
    ];
    for command in wrong {
        let refused = driver.send(&mut machine, command);
        assert_eq!(refused.err(), Some(Status::INVALID_FIELD), "{command:?}");
    }
}

#[test]
fn memory_that_the_function_may_not_reach_is_a_fault_of_the_command_alone() {
    let (mut machine, mut driver) = start();
    let (from, to) = (machine.host.alloc(0x1000), machine.host.alloc(0x1000));
    machine.host.write(from, &pattern(0x1000));
    for broken in [from, to] {
        machine.host.break_range(Some(VF), broken..broken + 0x1000);
        let refused = driver.send(&mut machine, copy(from, to, 0x1000));
        assert_eq!(refused.err(), Some(Status::DMA_FAULT));
        assert_eq!(read(&machine, to, 0x1000), [0; 0x1000]);
        machine.host.mend();
    }
    driver.send(&mut machine, copy(from, to, 0x1000)).unwrap();
    assert_eq!(read(&machine, to, 0x1000), pattern(0x1000));
}

#[test]
fn it_is_the_sender_that_reads_and_writes() {
    let (mut machine, mut vf) = start();
    let mut pf = Driver::start(&mut machine, PciFn::PF);
    let (from, to) = (machine.host.alloc(0x1000), machine.host.alloc(0x1000));
    machine.host.break_range(Some(PciFn::PF), to..to + 0x1000);
    let command = copy(from, to, 1);
    let refused = pf.send_about(&mut machine, FunctionId(1), command);
    assert_eq!(refused.err(), Some(Status::DMA_FAULT));
    vf.send(&mut machine, command).unwrap();
    let refused = vf.send_about(&mut machine, FunctionId::PF, command);
    assert_eq!(refused.err(), Some(Status::NOT_PERMITTED));
}
