// SPDX-License-Identifier: GPL-2.0

//! What the fuzz targets share: a reader of the fuzzer's bytes, and machines to try them on.

use ferrite_model::testing::Machine;
use ferrite_model::{
    Config,
    PciFn, //
};

/// Memory of the machines: small, so that random addresses often hit it.
pub const MEMORY: usize = 1 << 20;

/// Runs of the device after each step. A driver may give it work without end, by letting a queue
/// write into its own tail, so that waiting for the last is no option.
pub const RUNS: u32 = 8;

/// The fuzzer's bytes, taken one after the other; zeros after the last.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// Begins to take.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns whether all was taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes an array.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let count = self.0.len().min(N);
        array[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        array
    }

    /// Takes up to `count` bytes.
    pub fn slice(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Takes a byte.
    pub fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// Takes a number of 16 bits.
    pub fn half(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// Takes a number of 32 bits.
    pub fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }
}

/// Returns a machine with faults and two VFs.
pub fn machine() -> Machine {
    let config = Config {
        faults: true,
        max_vfs: 4,
        num_queues: 4,
        ..Config::default()
    };
    let mut machine = Machine::with_memory(config, MEMORY);
    machine.set_vfs(2);
    machine
}

/// Returns one of the PCI functions, one that is off and one that cannot be among them.
pub fn function(choice: u8) -> PciFn {
    PciFn((choice % 6).into())
}

/// Does something that the machine, not the driver, does: resets, VFs, time, the uplink.
pub fn disturb(machine: &mut Machine, bytes: &mut Bytes<'_>) {
    let choice = bytes.byte();
    let function = function(bytes.byte());
    let Machine { device, host, .. } = machine;
    match choice % 9 {
        0 => device.reset_function(host, function),
        1 => device.set_vfs(host, bytes.byte().into()),
        2 => device.set_bus_master(host, function, bytes.byte() & 1 == 1),
        3 => device.set_uplink(host, bytes.byte() & 1 == 1),
        4 => {
            host.now += u64::from(bytes.word());
            device.timer(host);
        }
        5 => machine.migrate(),
        6 => device.reset(host),
        _ => {
            let length = usize::from(bytes.half() % 2000);
            let frame = bytes.slice(length);
            let _ = device.uplink_receive(host, frame);
        }
    }
}
