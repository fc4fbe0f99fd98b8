// SPDX-License-Identifier: GPL-2.0

//! A PCI function's way to memory and interrupts.

use ferrite_abi::cmd::{
    one_queue,
    FaultKind,
    QueueKind, //
};
use ferrite_abi::event::QueueSyndrome;
use ferrite_abi::ids::FunctionId;

use crate::dirty::DirtyLogs;
use crate::faults::{
    Faults,
    Strike, //
};
use crate::host::{
    DmaFault,
    Host,
    PciFn,
    Trace, //
};
use crate::timers::Timers;

/// What a queue needs of the device while it works: the host, as seen by one PCI function.
pub(crate) struct Bus<'a> {
    pub(crate) host: &'a mut dyn Host,
    pub(crate) faults: &'a mut Faults,
    pub(crate) timers: &'a mut Timers,
    /// Where writes are logged.
    pub(crate) logs: &'a mut DirtyLogs,
    /// Who does the DMA and raises the interrupts.
    pub(crate) function: PciFn,
    /// The time, as it was when the device began to work.
    pub(crate) now: u64,
}

/// What a queue of a [`Device`](crate::device::Device) needs while it works for the PCI function: each part is borrowed for
/// itself, so that the queue can be as well.
macro_rules! bus {
    ($device:ident, $host:expr, $function:expr) => {
        $crate::bus::Bus {
            host: $host,
            faults: &mut $device.state.faults,
            timers: &mut $device.timers,
            logs: &mut $device.state.logs,
            function: $function,
            now: $device.now,
        }
    };
}
pub(crate) use bus;

impl Bus<'_> {
    /// Reads memory.
    pub(crate) fn read(&mut self, addr: u64, buf: &mut [u8]) -> Result<(), DmaFault> {
        self.host.dma_read(self.function, addr, buf)
    }

    /// Writes memory.
    pub(crate) fn write(&mut self, addr: u64, buf: &[u8]) -> Result<(), DmaFault> {
        // Some of it may be written even where not all can be.
        self.logs.mark(self.function, addr, buf.len());
        if let Some(strike) = self.strike(FaultKind::CORRUPT_WRITE) {
            let mut altered = buf.to_vec();
            strike.block(&mut altered);
            return self.host.dma_write(self.function, addr, &altered);
        }
        self.host.dma_write(self.function, addr, buf)
    }

    /// Reads a word that the driver publishes.
    pub(crate) fn load(&mut self, addr: u64) -> Result<u32, DmaFault> {
        self.host.dma_load32(self.function, addr)
    }

    /// Publishes a word to the driver.
    pub(crate) fn store(&mut self, addr: u64, value: u32) -> Result<(), DmaFault> {
        self.logs.mark(self.function, addr, size_of::<u32>());
        let strike = self.strike(FaultKind::CORRUPT_WORD);
        let value = strike.map_or(value, |strike| strike.word(value));
        self.host.dma_store32(self.function, addr, value)
    }

    /// Raises an interrupt.
    pub(crate) fn raise(&mut self, vector: u16) {
        if self.strikes(FaultKind::LOSE_INTERRUPT).is_some() {
            return;
        }
        self.host.trace(&Trace::Interrupt {
            function: self.function,
            vector,
        });
        self.host.raise(self.function, vector);
    }

    /// Takes an opportunity for an injected fault to stop a queue.
    ///
    /// # Errors
    ///
    /// Why the queue stops, if it does.
    #[inline]
    pub(crate) fn stops(
        &mut self,
        function: FunctionId,
        kind: QueueKind,
        index: u16,
    ) -> Result<(), QueueSyndrome> {
        let param = one_queue(function, kind, index);
        if !self.faults.stop_queue(param) {
            return Ok(());
        }
        self.host.trace(&Trace::Fault {
            kind: FaultKind::STOP_QUEUE.0,
            param,
        });
        Err(QueueSyndrome::INJECTED)
    }

    /// Takes an opportunity for a fault; returns its parameter if it strikes.
    #[inline]
    pub(crate) fn strikes(&mut self, kind: FaultKind) -> Option<u32> {
        self.strike(kind).map(|strike| strike.param)
    }

    /// Takes an opportunity for a fault; returns what it does if it strikes.
    #[inline]
    fn strike(&mut self, kind: FaultKind) -> Option<Strike> {
        let strike = self.faults.strike_any(kind)?;
        self.host.trace(&Trace::Fault {
            kind: kind.0,
            param: strike.param,
        });
        Some(strike)
    }
}
