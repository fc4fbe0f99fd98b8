// SPDX-License-Identifier: GPL-2.0

//! A device plugged into a fake host.

use std::sync::Arc;

use ferrite_abi::bar::Doorbell;
use ferrite_abi::regs::Register;

use crate::config::Config;
use crate::device::Device;
use crate::host::PciFn;
use crate::latch::Latch;
use crate::testing::FakeHost;

/// Budget of a run.
const BUDGET: u32 = 256;
/// Runs without end are taken for a loop.
const MAX_RUNS: u32 = 100_000;

/// A device plugged into a fake host, with what a test needs of both.
#[derive(Debug)]
pub struct Machine {
    /// The device.
    pub device: Device,
    /// The host.
    pub host: FakeHost,
    latch: Arc<Latch>,
}

impl Machine {
    /// Makes a machine with 16 MiB of memory, its PF allowed to do DMA, the uplink up.
    ///
    /// # Panics
    ///
    /// When the device cannot be made like this.
    pub fn new(config: Config) -> Self {
        Self::with_memory(config, 16 << 20)
    }

    /// Makes a machine with `size` bytes of memory, otherwise as [`Self::new`].
    ///
    /// # Panics
    ///
    /// When the device cannot be made like this.
    pub fn with_memory(config: Config, size: usize) -> Self {
        let mut device = Device::new(config).expect("bad set-up");
        let mut host = FakeHost::new(size);
        device.set_bus_master(&mut host, PciFn::PF, true);
        device.set_uplink(&mut host, true);
        let latch = device.doorbells();
        Self {
            device,
            host,
            latch,
        }
    }

    /// Turns VFs on and lets them do DMA.
    pub fn set_vfs(&mut self, count: u16) {
        self.device.set_vfs(&mut self.host, count);
        for index in 0..count {
            self.device
                .set_bus_master(&mut self.host, PciFn::vf(index), true);
        }
    }

    /// Reads a register.
    pub fn read<R: Register>(&mut self, function: PciFn) -> R {
        R::from_raw(self.read_at(function, R::OFFSET))
    }

    /// Writes a register.
    pub fn write<R: Register>(&mut self, function: PciFn, register: R) {
        self.write_at(function, R::OFFSET, register.raw());
    }

    /// Reads the register at an offset.
    pub fn read_at(&mut self, function: PciFn, offset: u32) -> u32 {
        // CAST: an access of four bytes returns no more.
        self.device
            .reg_read(&mut self.host, function, offset.into(), 4) as u32
    }

    /// Writes the register at an offset.
    pub fn write_at(&mut self, function: PciFn, offset: u32, value: u32) {
        self.device
            .reg_write(&mut self.host, function, offset.into(), 4, value.into());
    }

    /// Rings a doorbell of a PCI function's own page.
    pub fn ring(&mut self, function: PciFn, doorbell: Doorbell) {
        self.ring_at(function, doorbell.offset().into());
    }

    /// Rings at an offset in the doorbell BAR of a PCI function.
    pub fn ring_at(&mut self, function: PciFn, offset: u64) {
        self.notify_at(function, offset, 0);
    }

    /// Writes a value at an offset in the doorbell BAR of a PCI function.
    pub fn notify_at(&mut self, function: PciFn, offset: u64, value: u32) {
        if self.latch.ring(function, offset, value) {
            self.host.scheduled = true;
        }
    }

    /// Runs the device until it has nothing to do, at most `runs` times.
    pub fn run(&mut self, runs: u32) {
        for _ in 0..runs {
            if !std::mem::take(&mut self.host.scheduled) {
                return;
            }
            if self.device.run(&mut self.host, BUDGET) {
                self.host.scheduled = true;
            }
        }
    }

    /// Runs the device until it has nothing to do.
    ///
    /// # Panics
    ///
    /// When that takes for ever.
    pub fn settle(&mut self) {
        self.run(MAX_RUNS);
        assert!(!self.host.scheduled, "the device does not settle");
    }

    /// Lets time pass: the timer calls when it is due, and the device runs.
    pub fn advance(&mut self, ns: u64) {
        let end = self.host.now + ns;
        while let Some(at) = self.host.timer.filter(|at| *at <= end) {
            self.host.now = self.host.now.max(at);
            self.host.timer = None;
            self.device.timer(&mut self.host);
            self.settle();
        }
        self.host.now = end;
        self.settle();
    }

    /// Sends a frame into the uplink, and runs the device.
    pub fn receive(&mut self, frame: &[u8]) {
        let _ = self.device.uplink_receive(&mut self.host, frame);
        self.settle();
    }

    /// Replaces the device by another that loads its saved state.
    ///
    /// # Panics
    ///
    /// When the state cannot be loaded.
    pub fn migrate(&mut self) {
        let saved = self.device.save();
        let mut device = Device::new(self.device.config().clone()).expect("bad set-up");
        device.load(&saved).expect("cannot load what was saved");
        assert_eq!(device.save(), saved, "another state than was saved");
        self.latch = device.doorbells();
        self.device = device;
        self.host.timer = None;
        self.host.scheduled = true;
    }
}
