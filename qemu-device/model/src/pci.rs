// SPDX-License-Identifier: GPL-2.0

//! What belongs to a PCI function, beyond the network function that it carries: its registers,
//! its admin queue, its event queue, its place on the bus.

use ferrite_abi::event::Syndrome;

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

    /// Returns whether the function may be used: neither in reset nor stopped by an error.
    pub(crate) fn is_ready(&self, now: u64) -> bool {
        now >= self.reset_until && self.syndrome == Syndrome::NONE
    }
}
