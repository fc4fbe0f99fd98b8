// SPDX-License-Identifier: GPL-2.0

//! What belongs to a PCI function, beyond the network function that it carries: its registers,
//! its admin queue, its event queue, its place on the bus.

use ferrite_abi::event::Syndrome;
use ferrite_abi::mig::RegisterRecord;
use ferrite_abi::regs::{
    AdminError,
    AdminSize,
    AdminVector, //
};
use ferrite_abi::wire::{
    U32,
    U64, //
};

use crate::admin::AdminQueue;
use crate::events::EventQueue;
use crate::save::saved;

/// A PCI function.
#[derive(Debug, Default)]
pub(crate) struct PciFunction {
    /// Whether it may do DMA and raise interrupts.
    pub(crate) bus_master: bool,
    /// Until when it is in reset, in nanoseconds.
    pub(crate) reset_until: u64,
    /// What only a reset mends.
    pub(crate) syndrome: Syndrome,
    /// The register that holds anything.
    pub(crate) scratch: u32,
    /// The admin queue.
    pub(crate) admin: AdminQueue,
    /// The event queue, once created.
    pub(crate) events: Option<EventQueue>,
}

saved!(PciFunction {
    bus_master,
    reset_until,
    syndrome,
    scratch,
    admin,
    events
});

impl PciFunction {
    /// Forgets everything but the place on the bus.
    pub(crate) fn reset(&mut self, reset_until: u64) {
        *self = Self {
            bus_master: self.bus_master,
            reset_until,
            ..Self::default()
        };
    }

    /// Returns the registers as a record of a stream.
    pub(crate) fn record(&self, now: u64) -> RegisterRecord {
        let resets = self.reset_until.saturating_sub(now);
        RegisterRecord {
            sq_addr: U64::new(self.admin.sq_addr),
            cq_addr: U64::new(self.admin.cq_addr),
            size: U32::new(self.admin.size),
            vector: U32::new(self.admin.vector),
            control: U32::new(self.admin.control),
            scratch: U32::new(self.scratch),
            syndrome: U32::new(self.syndrome.0),
            // CAST: made to fit.
            reset_ns: U32::new(resets.min(u32::MAX.into()) as u32),
            error: self.admin.error.0,
            rsvd: [0; 7],
        }
    }

    /// Makes the function that a record of a stream tells of, without queues; [`None`] if a register
    /// cannot hold what it is to.
    pub(crate) fn restore(record: &RegisterRecord, bus_master: bool, now: u64) -> Option<Self> {
        let (size, vector) = (record.size.get(), record.vector.get());
        let (syndrome, error) = (Syndrome(record.syndrome.get()), AdminError(record.error));
        let whole = AdminSize(0).with_depth_log2(AdminSize(size).depth_log2());
        let fields = AdminVector(vector);
        let possible = record.control.get() <= 1
            && size == whole.0
            && fields
                == AdminVector(0)
                    .with_enable(fields.enable())
                    .with_vector(fields.vector())
            && syndrome.name().is_some()
            && error.name().is_some();
        possible.then(|| Self {
            bus_master,
            reset_until: now.saturating_add(record.reset_ns.get().into()),
            syndrome,
            scratch: record.scratch.get(),
            admin: AdminQueue {
                sq_addr: record.sq_addr.get(),
                cq_addr: record.cq_addr.get(),
                size,
                vector,
                control: record.control.get(),
                error,
                running: None,
            },
            events: None,
        })
    }

    /// Returns whether the function may be used: neither in reset nor stopped by an error.
    pub(crate) fn is_ready(&self, now: u64) -> bool {
        now >= self.reset_until && self.syndrome == Syndrome::NONE
    }
}
